"""The next pod's number, written into the Devbox's status before the pod is posted; and those that others announced.

Goes in: a Devbox, a number. Comes out: the Devbox as it is then, or seconds to wait. What makes it safe: of two that announce at a time one
has a conflict, since the status is written at the version that was read; and a number whose pod is not there is given up for the next one
(lifecycle.py), but for a moment in which its announcer may be posting it.
"""

import math
import time
from typing import Final

from devbox_api.workspace import WorkspaceStatus
from devbox_common.kube import ApiError, Object
from devbox_operator.devbox.incarnation import announced, pod_name
from devbox_operator.report.statuses import StatusWriter
from devbox_operator.seen.keys import Key
from devbox_operator.seen.resources import DevboxView

POSTED_SECONDS: Final = 3.0
"""A pod that was announced is posted within this."""


class Announcements:
    """Makes them, and remembers the last one of each Devbox."""

    def __init__(self, statuses: StatusWriter) -> None:
        self._statuses = statuses
        self._last: dict[Key, tuple[int, float]] = {}
        """The number, and since when (of the monotonic clock) it is known; our own count as posted."""

    def forget(self, key: Key) -> None:
        """The Devbox is gone."""
        self._last.pop(key, None)

    def on_its_way(self, view: DevboxView, number: int) -> float:
        """Seconds to wait: the pod before this number was announced a moment ago, and not by us. Its announcer was killed, or is about
        to post it: two operators that share no Lease would make two pods. (One that was posted has its UID in the status; and none was on
        its way when the Devbox was said to be suspended, which the next announcement takes back.)"""
        status = view.box.status
        before = status.incarnation or 0
        if before == 0 or before >= number or status.pod_uid or status.suspended_at:
            return 0.0
        known, since = self._last.get(view.key, (0, 0.0))
        if known != before:
            since = time.monotonic()
            self._last[view.key] = (before, since)
        return since + POSTED_SECONDS - time.monotonic()

    async def announce(
        self, view: DevboxView, number: int, failures: int, workspace: WorkspaceStatus | None = None
    ) -> DevboxView:
        """Write it, unless it is written. Raises a conflict if the Devbox changed since it was read. `workspace`: what the pod will mount,
        which is written with it, so that its absence is known for a loss from then on."""
        old = view.box.status
        if (old.incarnation, old.failures or 0, old.workspace) == (number, failures, workspace):
            return view
        # Ours, also where the answer is lost; unless somebody else was first.
        self._last[view.key] = (number, -math.inf)
        name = pod_name(view.box, number)
        status: Object = {"incarnation": number, "failures": failures or None, "podName": name}
        status |= dict.fromkeys(("podUID", "podIPs", "suspendedAt"))
        if workspace != old.workspace:
            status["workspace"] = workspace.model_dump(mode="json", by_alias=True) if workspace else None
        try:
            version = await self._statuses.patch(view, status)
        except ApiError as error:
            if error.conflict:
                del self._last[view.key]
            raise
        return announced(view, number, failures, version, workspace)
