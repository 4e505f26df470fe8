"""One source Secret: the credentials made from it, one object per key in use.

Goes in: the Secret's key. Comes out: `credential-<hash>` in the credentials namespace, rewritten when the Secret changes and
deleted when nobody uses it, or when the grant or the value is gone. However many Devboxes use it, a rotation is one write.
Called by the queue.
"""

import structlog

from devbox_api import names
from devbox_common import hosts
from devbox_common.kube import Object

from . import documents, paths
from .apply import Writer
from .credentials import Problem, in_secret
from .index import Index
from .model import FORBIDDEN, Key
from .settings import Settings
from .watches import Watches

log = structlog.get_logger()


class SourceReconciler:
    """Reconciles source Secrets."""

    def __init__(self, watches: Watches, index: Index, writer: Writer, settings: Settings) -> None:
        self._watches, self._index, self._writer, self._settings = watches, index, writer, settings

    async def reconcile(self, key: Key) -> float | None:
        """Bring the credentials of one Secret up to date."""
        used = sorted(self._index.sources_of(key), key=lambda source: source.key or "")
        wanted: dict[str, Object] = {}
        if used:
            secret = await self._watches.secret(key)
            if secret == FORBIDDEN:
                # What is there stays: an API server that starts refuses for a moment what it allows.
                return None
            for source in used:
                if isinstance(secret, str):
                    continue
                grant = hosts.parse_grant(secret.allowed_hosts)
                resolved = in_secret(source, secret)
                if grant and not isinstance(resolved, Problem):
                    namespace = self._settings.credentials_namespace
                    wanted[resolved.name] = documents.credential(resolved, secret.version, ",".join(grant), namespace)
        await self._write(key, wanted)
        return None

    async def _write(self, key: Key, wanted: dict[str, Object]) -> None:
        namespace = self._settings.credentials_namespace
        for stored in list(self._watches.stored.within((names.CREDENTIAL_TYPE, key)).values()):
            if stored.name in wanted:
                continue
            await self._writer.delete(paths.secrets(namespace, stored.name), uid=stored.uid, kind="Secret")
            log.info("credential_deleted", credential=stored.name, secret="/".join(key))
        for name, body in wanted.items():
            if not documents.equal(body, self._watches.stored.objects.get((namespace, name))):
                await self._writer.apply(paths.secrets(namespace, name), body)
                log.info("credential_written", credential=name, secret="/".join(key))
