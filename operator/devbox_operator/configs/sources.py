"""One source Secret: the credentials made from it, one object per key in use.

Goes in: the Secret's key. Comes out: `credential-<hash>` in the credentials namespace, rewritten when the Secret changes and
deleted when nobody uses it, or when the grant or the value is gone. However many Devboxes use it, a rotation is one write. What the
Secret does not bear out, though nobody took it away, stays for a bounded while (keeping.py).
"""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from devbox_api import names
from devbox_api.judge import hosts
from devbox_common.clock import now
from devbox_common.kube import Object
from devbox_operator.documents import keeping
from devbox_operator.documents import objects as documents
from devbox_operator.documents.credentials import in_secret
from devbox_operator.kit import paths
from devbox_operator.kit.encoding import format_time
from devbox_operator.report.problem import Problem
from devbox_operator.seen.index import Source
from devbox_operator.seen.keys import Key
from devbox_operator.seen.secrets import SecretView, StoredView
from devbox_operator.seen.snapshot import FORBIDDEN, UNREADABLE
from devbox_operator.watch.sources import REFUSED_SECONDS
from devbox_operator.watch.tools import Tools

UNUSED_SECONDS: Final = 2.0
"""Routes that lead to a credential are written anew by other reconciles, a moment after nobody refers to it any more."""

log = structlog.get_logger()


class SourceReconciler:
    """Reconciles source Secrets."""

    def __init__(self, tools: Tools) -> None:
        self._watches, self._index, self._writer, self._settings = tools.watches, tools.index, tools.writer, tools.settings
        self._unused: dict[str, float] = {}
        """Credentials that nobody refers to, and since when."""

    async def reconcile(self, key: Key) -> float | None:
        """Bring the credentials of one Secret up to date. Returns seconds until one that is kept is due."""
        used = sorted(self._index.sources_of(key), key=lambda source: source.key or "")
        wanted: dict[str, Object] = {}
        kept: dict[str, float] = {}
        grant = ""
        if used:
            secret = await self._watches.sources.read(key)
            if isinstance(secret, SecretView):
                grant = ",".join(hosts.parse_grant(secret.allowed_hosts))
                wanted, kept = self._found(used, secret, grant)
            elif secret in (FORBIDDEN, UNREADABLE):
                refused = self._watches.sources.refused_for(key) if secret == FORBIDDEN else REFUSED_SECONDS
                mirrored = self._watches.mirrored(key)
                if refused < REFUSED_SECONDS and not any(mirrored.values()):
                    return REFUSED_SECONDS - refused  # an API server that starts refuses for a moment what it allows
                kept = dict.fromkeys(mirrored, self._settings.keeping.forbidden_seconds - refused)
        mirrored = self._watches.mirrored(key)
        used_names = {name for source in used for name in keeping.names_of(source, mirrored)}
        return await self._write(key, wanted, kept, grant, used_names)

    def _found(self, used: list[Source], secret: SecretView, grant: str) -> tuple[dict[str, Object], dict[str, float]]:
        """The credentials that a Secret holds, and the names and seconds of those whose new value is invalid. Nothing without a grant."""
        wanted: dict[str, Object] = {}
        kept: dict[str, float] = {}
        for source in used if grant else ():
            resolved = in_secret(source, secret)
            if not isinstance(resolved, Problem):
                namespace = self._settings.credentials_namespace
                wanted[resolved.name] = documents.credential(resolved, secret.version, grant, namespace)
            elif resolved.keeps:
                known = keeping.names_of(source, self._watches.mirrored(source.secret))
                kept |= dict.fromkeys(known, self._settings.keeping.invalid_seconds)
        return wanted, kept

    async def _write(
        self, key: Key, wanted: dict[str, Object], kept: dict[str, float], grant: str, used: Collection[str]
    ) -> float | None:
        namespace, present, due = self._settings.credentials_namespace, datetime.now(UTC), list[float]()
        for stored in list(self._watches.stored.within((names.CREDENTIAL_TYPE, key)).values()):
            if stored.name in used:
                self._unused.pop(stored.name, None)
            elif (left := self._unused.setdefault(stored.name, now()) + UNUSED_SECONDS - now()) > 0:
                due.append(left)
                continue
            if stored.name in wanted:
                continue
            until = keeping.until(stored, kept.get(stored.name, 0.0), present)
            if until > present:
                await self._keep(stored, until, grant)
                due.append((until - present) / timedelta(seconds=1))
                continue
            await self._writer.delete(paths.secrets(namespace, stored.name), uid=stored.uid, kind="Secret")
            self._unused.pop(stored.name, None)
            log.info("credential_deleted", credential=stored.name, secret="/".join(key), was_kept=stored.name in kept)
        for name, body in wanted.items():
            found = self._watches.stored.objects.get((namespace, name))
            if not documents.equal(body, found):
                await self._writer.apply(paths.secrets(namespace, name), body)
                log.info("credential_written", credential=name, secret="/".join(key))
            if found is not None and names.KEPT_UNTIL_ANNOTATION in found.annotations:
                await self._annotate(found, {names.KEPT_UNTIL_ANNOTATION: None})
        return min(due, default=None)

    async def _keep(self, stored: StoredView, until: datetime, grant: str) -> None:
        """Written on the credential, so that the next operator goes on counting. What its owner grants counts at once, also for it."""
        wanted = {names.KEPT_UNTIL_ANNOTATION: format_time(until)}
        if grant:
            wanted[names.ALLOWED_HOSTS_ANNOTATION] = grant
        if any(stored.annotations.get(name) != value for name, value in wanted.items()):
            await self._annotate(stored, wanted)
            log.warning(
                "credential_kept",
                credential=stored.name,
                secret="/".join(documents.source_of(stored)),
                until=format_time(until),
            )

    async def _annotate(self, stored: StoredView, annotations: Mapping[str, str | None]) -> None:
        body = {"metadata": {"uid": stored.uid, "annotations": annotations}}
        await self._writer.merge(paths.secrets(self._settings.credentials_namespace, stored.name), body, kind="Secret")
