"""Statuses, written where they differ, and the Events of their transitions."""

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import structlog
from pydantic import BaseModel

from devbox_api.devbox import DevboxStatus
from devbox_api.egresspolicy import EgressPolicyStatus
from devbox_api.gatewayconfig import GatewayConfigStatus
from devbox_common.kube import ApiError, Object
from devbox_operator.kit import paths
from devbox_operator.kit.writer import Writer
from devbox_operator.report.conditions import Regarding, events
from devbox_operator.seen.keys import Key
from devbox_operator.seen.resources import DevboxView

log = structlog.get_logger()

MOST_NAMES: Final = 64
"""Of status.usedBy."""
COUNT_SECONDS: Final = 2.0
"""How many use a GatewayConfig or EgressPolicy may be this old, and their names."""
UseStatus = GatewayConfigStatus | EgressPolicyStatus
"""Statuses that count who uses the object."""


def difference(old: BaseModel, new: BaseModel) -> dict[str, Any]:
    """A merge patch from one status to the other; empty if they are equal."""
    before = old.model_dump(mode="json", by_alias=True, exclude_none=True)
    after = new.model_dump(mode="json", by_alias=True, exclude_none=True)
    changed = {key: value for key, value in after.items() if before.get(key) != value}
    return changed | {key: None for key in before if key not in after}


class StatusWriter:
    """Writes statuses, and Events."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self.versions: dict[Key, str] = {}
        """Devboxes, and the resourceVersion that our last write gave them."""
        self._counted: dict[str, float] = {}
        """Paths of what is used, and when (of the monotonic clock) its users were last written."""

    def forget(self, key: Key) -> None:
        """The Devbox is gone."""
        self.versions.pop(key, None)

    def forget_users(self, path: str) -> None:
        """What was used is gone."""
        self._counted.pop(path, None)

    async def devbox(self, view: DevboxView, status: DevboxStatus) -> None:
        """Write what differs."""
        patch = difference(view.box.status, status)
        if patch:
            await self.patch(view, patch)

    async def counted(self, regarding: Regarding, path: str, old: UseStatus, new: UseStatus, now: datetime) -> float | None:
        """Of a GatewayConfig or EgressPolicy: write what differs, and post the Events of its transitions.

        Returns seconds until what was put off is due: who uses it, where somebody does anyway. (Whether anybody does decides if it may
        be deleted, and is written at once.)
        """
        patch, present = difference(old, new), time.monotonic()
        if patch and old.devboxes and new.devboxes and patch.keys() <= {"usedBy", "devboxes"}:
            left = self._counted.get(path, -COUNT_SECONDS) + COUNT_SECONDS - present
            if left > 0:
                return left
        if patch:
            self._counted[path] = present
            body = {"metadata": {"uid": regarding.uid}, "status": patch}
            await self._writer.merge(f"{path}/status", body, kind=f"{regarding.kind}Status")
        await self.events(events(regarding, old.conditions, new.conditions, now))
        return None

    async def events(self, events: Sequence[Object]) -> None:
        """Post Events; one that can't be posted is logged, and no reason to stop."""
        for event in events:
            path = paths.of("/apis/events.k8s.io/v1", "events", event["metadata"]["namespace"])
            try:
                await self._writer.create(path, event)
            except ApiError as error:
                if not error.conflict:
                    log.info("event_not_posted", error=error.message, reason=event["reason"])

    async def patch(self, view: DevboxView, status: dict[str, Any]) -> str:
        """Write some fields of a Devbox's status. Raises a conflict if it changed since it was read. Returns the resourceVersion."""
        body = {"metadata": {"resourceVersion": view.version, "uid": view.box.uid}, "status": status}
        path = paths.devboxes(view.box.namespace, view.box.name) + "/status"
        answer = await self._writer.merge(path, body, kind="DevboxStatus")
        written = self.versions[view.key] = str(answer["metadata"]["resourceVersion"])
        return written
