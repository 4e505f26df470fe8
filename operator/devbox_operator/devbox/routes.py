"""The Routes of a Devbox whose pods are gone, or of which nobody can say what they may use.

Goes in: a Devbox's key. Comes out: deletions, and Routes that serve nothing. (attach/ writes those of pods that are there.)
"""

from collections.abc import Container

import structlog

from devbox_api.route import CONFINED
from devbox_operator.documents import objects as documents
from devbox_operator.kit import paths
from devbox_operator.seen.keys import Key
from devbox_operator.watch.tools import Tools

log = structlog.get_logger()


class Routes:
    """Takes them away."""

    def __init__(self, tools: Tools) -> None:
        self._watches, self._writer = tools.watches, tools.writer
        self._namespace = tools.settings.credentials_namespace

    async def delete(self, devbox: Key, keep: Container[str]) -> None:
        """Those of pods that are gone: at once, not with the next sweep. `keep`: UIDs of pods."""
        for view in self._watches.routes(devbox):
            if view.name.removeprefix("route-") not in keep:
                await self._writer.delete(paths.secrets(self._namespace, view.name), uid=view.uid, kind="Secret")
                log.info("route_deleted", route=view.name, namespace=devbox[0], devbox=devbox[1])

    async def shut(self, devbox: Key) -> None:
        """They serve nothing; they keep their tokens, so that it heals."""
        for view in self._watches.routes(devbox):
            try:
                stored = documents.stored_route(view)
            except ValueError:
                continue  # nor can a gateway read it
            if stored.route.confined:
                document = stored.route.model_copy(update={"confined": False, "requires": (CONFINED,)})
                body = documents.route(document, self._namespace, stored.tokens_content)
                body["metadata"]["resourceVersion"] = stored.version
                await self._writer.apply(paths.secrets(self._namespace, view.name), body)
                log.warning("route_serves_nothing", route=view.name, namespace=devbox[0], devbox=devbox[1])
