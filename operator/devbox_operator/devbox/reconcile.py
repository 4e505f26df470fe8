"""One Devbox: observe → compile (pure) → the step that is next → status.

Goes in: a key. Comes out: writes, where something differs, and seconds until the Devbox is due again by itself (a token's
renewal, a pause before the next pod).
"""

import time
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from pydantic import ValidationError

from devbox_api.devbox import DevboxStatus
from devbox_common.kube import ApiError, Object
from devbox_operator.attach.attaching import Attacher
from devbox_operator.attach.denial import Denial
from devbox_operator.devbox import claim, lifecycle, mounting, starting
from devbox_operator.devbox.announce import Announcements
from devbox_operator.devbox.claiming import Claims
from devbox_operator.devbox.compile import DesiredState, compile_devbox
from devbox_operator.devbox.expiry import Expiry
from devbox_operator.devbox.idleness import Idleness
from devbox_operator.devbox.idling import Idling
from devbox_operator.devbox.incarnation import own, strays
from devbox_operator.devbox.lifetime import Lifetime, lifetime
from devbox_operator.devbox.lingering import endings
from devbox_operator.devbox.outcome import AtRest, NoPod, Outcome, attached_of, pod_of, refusal_of
from devbox_operator.devbox.routes import Routes
from devbox_operator.devbox.starting import QUICK
from devbox_operator.devbox.status import devbox_status, ended_quickly
from devbox_operator.devbox.steps import Steps
from devbox_operator.kit import paths
from devbox_operator.report import settling
from devbox_operator.report.conditions import Regarding, events, urgent
from devbox_operator.report.invalid import report_invalid
from devbox_operator.report.statuses import StatusWriter, difference
from devbox_operator.seen.index import References
from devbox_operator.seen.keys import Key, Kind, WorkKey
from devbox_operator.seen.resources import DevboxView
from devbox_operator.seen.snapshot import Snapshot
from devbox_operator.watch.tools import Tools

log = structlog.get_logger()


TOGETHER_SECONDS: Final = 0.5
"""Devboxes that come or go within this are counted together."""
PROGRESS_SECONDS: Final = 2.0
"""A status that shows progress, and nothing that anybody has to act on, may be this old."""
LOOK_SECONDS: Final = 600.0
"""A Devbox that ends by itself is looked at this often at the least."""


class PodRefusedError(Exception):
    """The API server refused the pod; the status says so, and the queue tries again with a growing pause."""


class DevboxReconciler:
    """Reconciles Devboxes."""

    def __init__(self, tools: Tools, attacher: Attacher, denial: Denial) -> None:
        self._observer, self._watches, self._index = tools.observer, tools.watches, tools.index
        self._writer, self._settings, self._queue = tools.writer, tools.settings, tools.queue
        self._denial = denial
        self._statuses = StatusWriter(tools.writer)
        self._announcements = Announcements(self._statuses)
        self._claims, self._expiry = Claims(tools, self._statuses), Expiry(tools, self._statuses)
        self._idling = Idling(tools, self._statuses, self._expiry)
        self._steps, self._routes = Steps(tools, attacher, self._announcements), Routes(tools)
        self._since: dict[Key, float] = {}
        """Since when (of the monotonic clock) a status waits to be written."""

    async def reconcile(self, key: Key) -> float | None:
        """Bring one Devbox to what its spec says."""
        try:
            return await self._reconcile(key)
        except ApiError as error:
            if error.status != 403 or not await self._observer.ending(key[0]):
                raise
            # The Devbox goes with its namespace; its own deletion is what we hear of next.
            self._index.ending.add(key[0])
            log.info("namespace_ends", namespace=key[0], devbox=key[1])
            return None

    async def _reconcile(self, key: Key) -> float | None:
        item = await self._observer.get(paths.devboxes(*key))
        pods, undenied = self._watches.pods(key), None
        if pods:
            # Also where nothing else is done about a pod: one that is being deleted, or has no Devbox any more, lives on for a while.
            try:
                if not self._settings.reserved(key[0]):
                    await self._denial.ensure(key[0])
            except ApiError as error:
                undenied = error  # (a full quota, say, which is no reason to go on serving what may be served no more)
            await self._steps.end_strays(strays(pods, item["metadata"]["uid"] if item else None))
        after = await self._follow(key, item)
        if undenied is not None:
            raise undenied
        return after

    async def _follow(self, key: Key, item: Object | None) -> float | None:
        """What the Devbox says, or that there is none."""
        before = self._index.devboxes.get(key)
        if item is None:
            self._index.put(key, None)
            self._wake_users(before, None)
            await self._routes.delete(key, keep=())
            self._queue.forget(WorkKey(Kind.DEVBOX, *key))
            self._statuses.forget(key)
            self._since.pop(key, None)
            self._announcements.forget(key)
            self._expiry.forget(key)
            self._idling.forget(key)
            await self._claims.gone(key)
            return None
        try:
            view = DevboxView.of(item)
        except ValidationError as error:
            return await self._unjudged(key, await report_invalid(self._writer, "Devbox", paths.devboxes(*key), item, error))
        del item  # its metadata may be a MiB, and there are many workers
        life = lifetime(view, self._observer.server_time())
        idle = self._idling.look(view, self._watches.pods(key))
        for end in (life, idle):
            if end is not None and not end.over:
                self._look_again(key, end)
        if not any(end is not None and end.over for end in (life, idle)):
            self._expiry.forget(key)
        # (Before it may be deleted: a claim that is to outlive it must not go with it.)
        snapshot = await self._claims.keep(await self._observer.snapshot(view))
        if life is not None and life.over:
            life = await self._expiry.end(view, life, claim.taken_along(snapshot))
            if life is None:
                return 0.0  # what is left of it is looked at anew
            self._look_again(key, life)
        elif idle is not None and idle.over:
            idle = await self._idling.act(view, snapshot.pods, claim.taken_along(snapshot))
            if idle is None:
                return 0.0
            self._look_again(key, idle)
        desired = compile_devbox(snapshot, self._settings)
        self._wake_users(before, self._index.devboxes.get(key), missing=bool(desired.missing))
        outcome, announced = await self._steps.take(snapshot, desired)
        later = await self._write(announced, devbox_status(snapshot, desired, outcome, self._settings, life, idle=idle))
        live = {p.uid for p in own(view, snapshot.pods) if not p.deleting and not p.ended}
        if attached_of(outcome) is not None and (pod := pod_of(outcome)) is not None:
            live.add(pod.uid)
        await self._routes.delete(key, keep=() if view.deleting else live)
        if (refused := refusal_of(outcome)) is not None:
            raise PodRefusedError(refused.message)
        due = self._due(snapshot, desired, outcome)
        return later if due is None or (later is not None and later < due) else due

    def _look_again(self, key: Key, life: Lifetime | Idleness) -> None:
        """When its time has something new to say, whatever becomes of this pass. (Not in months: each look would leave a time behind in
        the queue.)"""
        if life.again is not None:
            self._queue.add(WorkKey(Kind.DEVBOX, *key), min(life.again, LOOK_SECONDS))

    async def _write(self, view: DevboxView, status: DevboxStatus) -> float | None:
        """Write the status, if anything differs and can't wait. Returns seconds until what was put off is due.

        A pod that starts goes through half a dozen states within a second or two, and a write of each would be most of what a
        Devbox costs.
        """
        key, old, now = view.key, view.box.status, time.monotonic()
        if not difference(old, status):
            self._since.pop(key, None)
            return None
        settles = settling.settles(view.created, status.conditions, self._observer.server_time())
        if settles is not None:
            return settles
        waited = now - self._since.setdefault(key, now)
        if waited < PROGRESS_SECONDS and not urgent(old.conditions, status.conditions):
            return PROGRESS_SECONDS - waited
        await self._statuses.devbox(view, status)
        self._since.pop(key, None)
        regarding = Regarding("Devbox", *key, view.box.uid)
        await self._statuses.events(events(regarding, old.conditions, status.conditions, datetime.now(UTC)))
        return None

    def wrote(self, key: Key, version: str) -> bool:
        """That version of the Devbox is our own last write of its status."""
        return self._statuses.versions.get(key) == version

    async def _unjudged(self, key: Key, since: datetime) -> float | None:
        """Of a Devbox that breaks a rule nobody can say what it may use, nor whether it is confined. Its Routes stay for a while, then they
        serve nothing. Returns seconds until then."""
        left = (since - datetime.now(UTC)) / timedelta(seconds=1) + self._settings.keeping.invalid_seconds
        if left > 0:
            return left
        await self._routes.shut(key)
        return None

    def _wake_users(self, before: References | None, after: References | None, *, missing: bool = False) -> None:
        """GatewayConfigs and EgressPolicies count who uses them; documents and credentials come and go with the use."""
        old, new = before or References(), after or References()
        changed = (old.counts, old.suspended) != (new.counts, new.suspended) or (before is None) != (after is None)
        # Whoever waits for a document has it at once; the counts of many Devboxes that come or go are one look.
        delay = 0.0 if missing else TOGETHER_SECONDS
        for gateway in (old.gateways | new.gateways) if changed or missing else (old.gateways ^ new.gateways):
            self._queue.add(WorkKey(Kind.GATEWAY, *gateway), delay)
        for policy in {old.egress, new.egress} if changed or missing or old.egress != new.egress else ():
            if policy is not None:
                self._queue.add(WorkKey(Kind.EGRESS, *policy), delay)
        for source in (old.sources | new.sources) if changed or missing else (old.sources ^ new.sources):
            self._queue.add(WorkKey(Kind.SOURCE, *source.secret), delay)

    def _due(self, snapshot: Snapshot, desired: DesiredState, outcome: Outcome) -> float | None:
        if isinstance(outcome, NoPod | AtRest) and outcome.again is not None:
            return outcome.again
        times, attached, pod = [], attached_of(outcome), pod_of(outcome)
        if isinstance(desired.step, lifecycle.Later):
            times.append(desired.step.at)
        if pod and not pod.deleting and not pod.ended and (overdue := mounting.overdue(snapshot.devbox.box.spec, pod)):
            times.append(overdue)
        if attached and attached.renew_at:
            times.append(attached.renew_at)
        if pod and pod.started and ended_quickly(snapshot, pod):
            times.append(pod.started + QUICK)
        if (stalls := starting.again(pod, snapshot.now)) is not None:
            times.append(stalls)
        if pod and pod.deleting and (again := endings(snapshot, self._settings).of(pod, snapshot.now).again):
            times.append(again)
        if at := claim.again(snapshot):
            times.append(at)
        if desired.refused and not isinstance(outcome, AtRest):
            # A volume that appears without the label is not in the mirror; its owner wants to see what is missing.
            times.append(snapshot.now + timedelta(seconds=15))
        if not times:
            return None
        return max(0.1, (min(times) - datetime.now(UTC)) / timedelta(seconds=1))
