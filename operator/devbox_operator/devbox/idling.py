"""A devbox in which nobody works is suspended, or deleted, as its spec.lifecycle.idle says.

Goes in: the Devbox and its pods. Comes out: its `Idleness`; and that something was done about it. All gateways are asked once more before
that. What is done is done to the Devbox as it was read: who kept it alive meanwhile has kept it alive.
"""

from collections.abc import Iterable
from dataclasses import replace

import structlog

from devbox_operator.devbox import idleness
from devbox_operator.devbox.expiry import Expiry
from devbox_operator.devbox.idleness import Idleness, Use
from devbox_operator.devbox.incarnation import own
from devbox_operator.kit.encoding import format_time
from devbox_operator.report.problem import Problem
from devbox_operator.report.statuses import StatusWriter
from devbox_operator.seen.keys import Key
from devbox_operator.seen.pods import PodView
from devbox_operator.seen.resources import DevboxView
from devbox_operator.watch.activity import PERIOD_SECONDS
from devbox_operator.watch.tools import Tools

log = structlog.get_logger()


class Idling:
    """Looks, and acts."""

    def __init__(self, tools: Tools, statuses: StatusWriter, expiry: Expiry) -> None:
        self._observer, self._activity = tools.observer, tools.activity
        self._statuses, self._expiry = statuses, expiry

    def forget(self, key: Key) -> None:
        """The Devbox is gone."""
        self._activity.forget(key)

    def look(self, view: DevboxView, pods: Iterable[PodView], asked: float | None = None) -> Idleness | None:
        """None: nothing becomes of it when nobody works in it, or it is not at work yet. `asked`: what gateways have said since then alone
        counts."""
        pod = next(iter(own(view, pods)), None)
        now = self._observer.server_time()
        if pod is None or not idleness.watched(view, pod):
            self._activity.forget(view.key)
            return None
        if now is None:
            return None
        if not self._activity.follows(view.key, pod.uid):
            if idleness.before(view, pod) is None and not (pod.ready or pod.ended):
                return None
            self._activity.follow(view.key, pod.uid, idleness.begins(view, pod, now), now)
        found = idleness.idleness(view, Use(*self._activity.use(pod.uid, now, asked)), now)
        self._activity.wake(pod.uid, idleness.news_at(view, pod, found), now)
        return found

    async def act(self, view: DevboxView, pods: Iterable[PodView], obstacle: Problem | None) -> Idleness | None:
        """None: it was done. Else the same with what stands in the way, and when it is tried again. Raises a conflict if the Devbox changed
        since it was read."""
        found = self.look(view, pods, self._activity.asked)
        if self._activity.asked is None or found is None or not found.use.doubt:
            # (Nobody waits for a gateway that gave no answer a moment ago: many who did would hold up all other work.)
            found = self.look(view, pods, await self._activity.fresh())
        if found is None or not found.over:
            return found
        if found.use.doubt:
            return replace(found, refused=idleness.unknown(found.use.doubt), again=PERIOD_SECONDS)
        if found.action == "Delete":
            return await self._expiry.end(view, found, obstacle)
        last = format_time(found.use.last)
        status = {"suspendedBy": "Idle", "resumedAt": view.resumed_at or None, "lastActivity": last}
        await self._statuses.patch(view, status)
        log.info(
            "devbox_idle", namespace=view.box.namespace, devbox=view.box.name, since=format_time(found.since), after=found.after
        )
        return None
