"""Documents made from a custom resource, in the credentials namespace: written where they differ, deleted when their source goes.

Goes in: plain Secrets of documents/objects.py, and whose they are. Comes out: writes.
"""

import structlog

from devbox_common.kube import Object
from devbox_operator.documents import objects as documents
from devbox_operator.kit import paths
from devbox_operator.seen.keys import Key
from devbox_operator.watch.tools import Tools

log = structlog.get_logger()


class Store:
    """The documents of one type (`devbox-gateway.io/gateway`, say)."""

    def __init__(self, tools: Tools, kind: str) -> None:
        self._watches, self._writer, self._kind = tools.watches, tools.writer, kind
        self._namespace = tools.settings.credentials_namespace

    async def put(self, key: Key, body: Object) -> None:
        """The document of that object, as it is now, and none of a namesake with another UID."""
        name = body["metadata"]["name"]
        await self.drop(key, keep=name)
        if not documents.equal(body, self._watches.stored.objects.get((self._namespace, name))):
            await self._writer.apply(paths.secrets(self._namespace, name), body)
            log.info("document_written", document=name, source="/".join(key))

    async def drop(self, key: Key, keep: str = "") -> None:
        """Documents of an object that is gone, refused, unused, or was made anew."""
        for stored in list(self._watches.stored.within((self._kind, key)).values()):
            if stored.name != keep:
                await self._writer.delete(paths.secrets(self._namespace, stored.name), uid=stored.uid, kind="Secret")
                log.info("document_deleted", document=stored.name, source="/".join(key))
