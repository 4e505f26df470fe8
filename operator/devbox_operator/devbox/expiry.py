"""A Devbox whose time is over is deleted, as it was when that was decided; where the API server refuses, again and again, and it is said.

Goes in: the Devbox, its `Lifetime` or `Idleness`. Comes out: nothing more to do for it, or what the refusal was. What goes with the
Devbox (pod, Route, tokens) goes as when anybody else deletes it.
"""

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, TypeVar

import structlog

from devbox_api.conditions import Reason
from devbox_common.kube import ApiError
from devbox_operator.devbox.idleness import Idleness
from devbox_operator.devbox.lifetime import Lifetime
from devbox_operator.kit import paths
from devbox_operator.kit.queue import pause
from devbox_operator.report.conditions import Regarding, event
from devbox_operator.report.problem import Problem
from devbox_operator.report.statuses import StatusWriter
from devbox_operator.seen.keys import Key
from devbox_operator.seen.resources import DevboxView
from devbox_operator.watch.tools import Tools

FIRST_PAUSE: Final = 1.0
"""Seconds after the first refusal; they double, up to five minutes."""
PASSING: Final = 3
"""Failures in a row of what may pass by itself, such as an API server that is busy, before they are said."""
DELETED: Final = "Expired"
"""Reason of the Event that says who deleted it."""

End = TypeVar("End", Lifetime, Idleness)
"""Why it ends."""

log = structlog.get_logger()


@dataclass(frozen=True)
class _Refusal:
    """Of one Devbox."""

    failures: int
    again: float
    """Of the monotonic clock."""
    problem: Problem | None


class Expiry:
    """Deletes."""

    def __init__(self, tools: Tools, statuses: StatusWriter) -> None:
        self._writer, self._statuses = tools.writer, statuses
        self._refusals: dict[Key, _Refusal] = {}

    def forget(self, key: Key) -> None:
        """The Devbox is gone, or has time."""
        self._refusals.pop(key, None)

    async def end(self, view: DevboxView, life: End, obstacle: Problem | None = None) -> End | None:
        """None: its deletion has begun. Else the same with what stands in the way (the `obstacle`, or the API server's refusal), and when
        it is tried again. Raises a conflict if the Devbox changed since it was read: it may have been kept alive."""
        if obstacle is not None:
            return replace(life, refused=obstacle)
        known = self._refusals.get(view.key)
        if known is None or time.monotonic() >= known.again:
            try:
                deleted = await self._writer.delete(
                    paths.devboxes(*view.key), uid=view.box.uid, version=view.version, kind="Devbox"
                )
            except ApiError as error:
                known = self._refusals[view.key] = _refused(view, error, known.failures + 1 if known else 1)
            else:
                if not deleted:
                    raise ApiError(409, "Conflict", "the Devbox changed, or went, while its deletion was asked for")
                self.forget(view.key)
                await self._tell(view, life)
                return None
        return replace(life, refused=known.problem, again=max(0.1, known.again - time.monotonic()))

    async def _tell(self, view: DevboxView, life: Lifetime | Idleness) -> None:
        log.info("devbox_expired", namespace=view.box.namespace, devbox=view.box.name, why=life.why)
        regarding = Regarding("Devbox", *view.key, view.box.uid)
        note = f"deleted: {life.why}"
        await self._statuses.events([event(regarding, (DELETED, "Normal", note), datetime.now(UTC), (DELETED, note))])


def _refused(view: DevboxView, error: ApiError, failures: int) -> _Refusal:
    log.warning("devbox_not_deleted", namespace=view.box.namespace, devbox=view.box.name, tries=failures, error=str(error))
    said = not error.transient or failures >= PASSING
    problem = Problem(Reason.DELETION_REFUSED, error.message) if said else None
    return _Refusal(failures, time.monotonic() + pause(failures, FIRST_PAUSE), problem)
