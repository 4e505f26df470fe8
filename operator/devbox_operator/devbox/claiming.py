"""The claim of a workspace is made, given to whom the spec says, and made larger.

Goes in: a snapshot. Comes out: the same, with the claim as it is then. The claim comes before the pod, since a pod that names one which
does not exist is not scheduled. It goes with its Devbox by garbage collection alone: nothing here deletes it.
"""

from dataclasses import replace
from datetime import UTC, datetime

import structlog

from devbox_common.kube import ApiError
from devbox_operator.devbox import claim as claims
from devbox_operator.kit import paths
from devbox_operator.report.statuses import StatusWriter
from devbox_operator.seen.claims import ClaimView
from devbox_operator.seen.keys import Key
from devbox_operator.seen.snapshot import Snapshot
from devbox_operator.watch.tools import Tools

log = structlog.get_logger()
_KIND = "PersistentVolumeClaim"


class Claims:
    """Makes them."""

    def __init__(self, tools: Tools, statuses: StatusWriter) -> None:
        self._observer, self._watches, self._index = tools.observer, tools.watches, tools.index
        self._writer, self._settings, self._statuses = tools.writer, tools.settings, statuses
        self._retained: dict[Key, str] = {}
        """Devboxes whose claims outlive them, and their UIDs: there is no finalizer that would hold one until that is said."""

    async def keep(self, snapshot: Snapshot) -> Snapshot:
        """Do what is still to do. Raises `ApiError`; everything can be done again."""
        snapshot, box = await self._keep(snapshot), snapshot.devbox.box
        if self._retained.get(snapshot.devbox.key, box.uid) != box.uid:
            await self.gone(snapshot.devbox.key)  # another one has its name already
        found = claims.ours(box, snapshot.claim)
        if found is not None and box.uid not in found.owners:
            self._retained[snapshot.devbox.key] = box.uid
        elif not snapshot.devbox.deleting:
            self._retained.pop(snapshot.devbox.key, None)
        return snapshot

    async def gone(self, key: Key) -> None:
        """A Devbox is gone. Say where its files are, if they are anywhere."""
        uid = self._retained.pop(key, None)
        if uid is None or key[0] in self._index.ending:
            return
        for claim in self._watches.claims(key):
            if claim.workspace_of == uid and uid not in claim.owners and not claim.deleting:
                await self._statuses.events([claims.retained(key[1], uid, claim, datetime.now(UTC))])

    async def _keep(self, snapshot: Snapshot) -> Snapshot:
        view, namespace = snapshot.devbox, snapshot.devbox.box.namespace
        if view.box.spec.workspace is None or view.deleting:
            return snapshot
        if self._settings.reserved(namespace) or namespace in self._index.ending:
            return snapshot
        if claims.wanted(snapshot):
            return await self._create(snapshot)
        found = claims.ours(view.box, snapshot.claim)
        if found is None or claims.problem(snapshot) is not None:
            return snapshot
        if patch := claims.ownership(view.box, found):
            snapshot = replace(snapshot, claim=await self._patch(found, patch))
        return await self._grow(snapshot, found)

    async def _create(self, snapshot: Snapshot) -> Snapshot:
        box = snapshot.devbox.box
        assert box.spec.workspace is not None  # noqa: S101 (wanted)
        try:
            made = await self._writer.create(
                paths.core("persistentvolumeclaims", box.namespace), claims.body(box, box.spec.workspace)
            )
        except ApiError as error:
            if error.transient or error.conflict or (error.status == 403 and await self._observer.ending(box.namespace)):
                raise  # (A conflict: it was made by us, before an interruption, or by somebody else; the next look finds it.)
            return replace(snapshot, claim_refused=error.message)
        log.info("claim_created", claim=made["metadata"]["name"], namespace=box.namespace, devbox=box.name)
        return replace(snapshot, claim=ClaimView.of(made))

    async def _grow(self, snapshot: Snapshot, found: ClaimView) -> Snapshot:
        wanted = claims.growth(snapshot)
        if wanted is None:
            return snapshot
        patch = {"metadata": {"uid": found.uid}, "spec": {"resources": {"requests": {"storage": wanted}}}}
        try:
            grown = await self._patch(found, patch)
        except ApiError as error:
            if error.transient or error.conflict or error.not_found:
                raise
            return replace(snapshot, claim_refused=error.message)
        log.info("claim_grows", claim=found.name, namespace=found.namespace, size=wanted)
        return replace(snapshot, claim=grown)

    async def _patch(self, found: ClaimView, body: dict[str, object]) -> ClaimView:
        path = paths.core("persistentvolumeclaims", found.namespace, found.name)
        return ClaimView.of(await self._writer.strategic(path, body, kind=_KIND))
