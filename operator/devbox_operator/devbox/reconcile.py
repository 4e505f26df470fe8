"""One Devbox: observe → compile (pure) → apply → status.

Goes in: a key. Comes out: writes, where something differs, and seconds until the Devbox is due again by itself (a token's
renewal, a pause before the next pod).
"""

import math
import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from pydantic import ValidationError

from devbox_api.conditions import Reason
from devbox_api.devbox import DevboxStatus
from devbox_api.route import CONFINED
from devbox_common.kube import ApiError, Object
from devbox_operator.attach.attaching import Attached, Attacher, PodBinding, Wanted
from devbox_operator.attach.confinement import believed, relied_upon, served
from devbox_operator.attach.denial import Denial
from devbox_operator.devbox import lifecycle, pod
from devbox_operator.devbox.compile import Desired, compile_devbox, new_pod
from devbox_operator.devbox.lingering import endings
from devbox_operator.devbox.namespaced import Shared
from devbox_operator.devbox.status import QUICK, Outcome, devbox_status, ended_quickly
from devbox_operator.documents import objects as documents
from devbox_operator.kit import paths
from devbox_operator.report.conditions import Regarding, events, urgent
from devbox_operator.report.invalid import report_invalid
from devbox_operator.report.problem import Problem
from devbox_operator.report.statuses import StatusWriter, difference
from devbox_operator.seen.index import References
from devbox_operator.seen.keys import Kind, WorkKey
from devbox_operator.seen.model import DevboxView, Key, PodView, Snapshot
from devbox_operator.watch.tools import Tools

log = structlog.get_logger()


TOGETHER_SECONDS: Final = 0.5
"""Devboxes that come or go within this are counted together."""
PROGRESS_SECONDS: Final = 2.0
"""A status that shows progress, and nothing that anybody has to act on, may be this old."""

POSTED_SECONDS: Final = 3.0
"""A pod that was announced is posted within this."""


class RefusedError(Exception):
    """The API server refused the pod; the status says so, and the queue tries again with a growing pause."""


class DevboxReconciler:
    """Reconciles Devboxes."""

    def __init__(self, tools: Tools, attacher: Attacher, denial: Denial) -> None:
        self._observer, self._watches, self._index = tools.observer, tools.watches, tools.index
        self._writer, self._settings, self._queue = tools.writer, tools.settings, tools.queue
        self._attacher, self._denial = attacher, denial
        self._statuses = StatusWriter(tools.writer)
        self._announced: dict[Key, tuple[int, float]] = {}
        """The last announcement of a pod that was seen, and since when (of the monotonic clock)."""
        self._since: dict[Key, float] = {}
        """Since when (of the monotonic clock) a status waits to be written."""
        self._shared = Shared(tools.observer, tools.writer)

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
            await self._end_strays(pods, item)
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
            await self._delete_routes(key, keep=frozenset())
            self._queue.forget(WorkKey(Kind.DEVBOX, *key))
            self._statuses.forget(key)
            self._since.pop(key, None)
            self._announced.pop(key, None)
            return None
        try:
            view = DevboxView.of(item)
        except ValidationError as error:
            return await self._unjudged(key, await report_invalid(self._writer, "Devbox", paths.devboxes(*key), item, error))
        del item  # its metadata may be a MiB, and there are many workers
        snapshot = await self._observer.snapshot(view)
        desired = compile_devbox(snapshot, self._settings)
        self._wake_users(before, self._index.devboxes.get(key), missing=bool(desired.missing))
        outcome, version = await self._carry_out(snapshot, desired)
        status = devbox_status(snapshot, desired, outcome, self._settings)
        later = await self._write(_without_announcement(view, outcome, version), version, status)
        live = frozenset(p.uid for p in lifecycle.own(view, snapshot.pods) if not p.deleting and not p.ended)
        if not view.deleting and outcome.attached is not None and outcome.pod is not None:
            live |= {outcome.pod.uid}
        await self._delete_routes(key, keep=frozenset() if view.deleting else live)
        if outcome.refused is not None:
            raise RefusedError(outcome.refused.message)
        due = self._due(snapshot, desired, outcome)
        return later if due is None or (later is not None and later < due) else due

    async def _write(self, view: DevboxView, version: str, status: DevboxStatus) -> float | None:
        """Write the status, if anything differs and can't wait. Returns seconds until what was put off is due.

        A pod that starts goes through half a dozen states within a second or two, and a write of each would be most of what a
        Devbox costs.
        """
        key, old, now = view.key, view.box.status, time.monotonic()
        if not difference(old, status):
            self._since.pop(key, None)
            return None
        waited = now - self._since.setdefault(key, now)
        if waited < PROGRESS_SECONDS and not urgent(old.conditions, status.conditions):
            return PROGRESS_SECONDS - waited
        await self._statuses.devbox(view, version, status)
        self._since.pop(key, None)
        regarding = Regarding("Devbox", *key, view.box.uid)
        await self._statuses.events(events(regarding, old.conditions, status.conditions, datetime.now(UTC)))
        return None

    def wrote(self, key: Key, version: str) -> bool:
        """That version of the Devbox is our own last write of its status."""
        return self._statuses.versions.get(key) == version

    async def _carry_out(self, snapshot: Snapshot, desired: Desired) -> tuple[Outcome, str]:
        """Do the step. Returns what came of it and the Devbox's resourceVersion."""
        view, step = snapshot.devbox, desired.step
        box, version = view.box, view.version
        now_at = Outcome(incarnation=box.status.incarnation or 0, failures=box.status.failures or 0)
        match step:
            case lifecycle.Leave(message):
                newest = next(iter(lifecycle.own(view, snapshot.pods)), None)
                return replace(now_at, pod=newest, waiting=message, ended=message), version
            case lifecycle.Later(_, failures, message):
                ended = next((p for p in lifecycle.own(view, snapshot.pods) if p.ended), None)
                return replace(now_at, failures=failures, pod=ended, waiting=message, gone=True), version
            case lifecycle.Replace(old, why):
                log.info("pod_replaced", pod=old.name, namespace=old.namespace, why=why)
                await self._delete_pod(old)
                outcome = replace(now_at, incarnation=max(now_at.incarnation, old.incarnation), failures=0)
                ends = snapshot.now + timedelta(seconds=old.grace)
                return replace(outcome, pod=replace(old, deleting=True, ends=ends), waiting=why), version
            case lifecycle.Create(number, failures):
                return await self._create(snapshot, desired, number, failures, now_at)
            case lifecycle.Keep(kept):
                outcome = replace(now_at, incarnation=max(now_at.incarnation, kept.incarnation), pod=kept)
                await self._delete_stale(snapshot, kept)
                # (Where nothing may be made, a pod of an older version is left as it is, and the condition Accepted says so.)
                if kept.deleting or kept.ended or self._settings.reserved(box.namespace):
                    return outcome, version
                account = await self._shared.ensure(view, self._observer.bundle)
                return _with(outcome, await self._attach(snapshot, desired, kept, account)), version

    async def _create(
        self, snapshot: Snapshot, desired: Desired, number: int, failures: int, now_at: Outcome
    ) -> tuple[Outcome, str]:
        view = snapshot.devbox
        box, version = view.box, view.version
        if box.namespace in self._index.ending:
            # Every object that goes with it wakes us, and each pod would be refused.
            return replace(now_at, waiting=f"namespace {box.namespace} is being deleted"), version
        if number > 1 and await self._observer.unseen_pods(view, snapshot.pods):
            raise ApiError(409, "Conflict", "the watch of pods is behind")
        if (seconds := self._on_its_way(view, number)) > 0:
            why = f"pod {box.status.pod_name} was announced by another replica, which may be posting it"
            return replace(now_at, waiting=why, again=seconds), version
        if desired.refused is not None or not snapshot.system.ready:
            return replace(now_at, waiting="see the condition Accepted" if desired.refused else ""), version
        account = await self._shared.ensure(view, self._observer.bundle)
        body = new_pod(snapshot, number, self._settings)
        # (Nothing stands between the announcement and the pod that could fail or take long.)
        if (box.status.incarnation, box.status.failures or 0) != (number, failures):
            # Ours, also where the answer is lost; unless somebody else was first.
            self._announced[view.key] = (number, -math.inf)
            try:
                version = await self._statuses.incarnation(view, number, failures, pod.pod_name(box, number))
            except ApiError as error:
                if error.conflict:
                    del self._announced[view.key]
                raise
        outcome = Outcome(incarnation=number, failures=failures)
        try:
            made = PodView.of(await self._writer.create(paths.pods(box.namespace), body))
        except ApiError as error:
            if error.transient or error.conflict or (error.status == 403 and await self._observer.ending(box.namespace)):
                raise  # (A conflict: it was posted by us, before an interruption; the next look finds it.)
            return replace(outcome, refused=Problem(Reason.POD_REFUSED, error.message)), version
        log.info("pod_created", pod=made.name, namespace=made.namespace, devbox=box.name, incarnation=number)
        for left in (other for other in lifecycle.own(view, snapshot.pods) if other.deleting):
            log.warning("pod_left_behind", pod=left.name, namespace=left.namespace, node=left.node)
        await self._delete_stale(snapshot, made)
        return _with(replace(outcome, pod=made), await self._attach(snapshot, desired, made, account)), version

    def _on_its_way(self, view: DevboxView, number: int) -> float:
        """Seconds to wait: the pod before this number was announced a moment ago, and not by us. Its announcer was killed, or is about
        to post it: two operators that share no Lease would make two pods. (One that was posted has its UID in the status.)"""
        before = view.box.status.incarnation or 0
        if before == 0 or before >= number or view.box.status.pod_uid:
            return 0.0
        announced, since = self._announced.get(view.key, (0, 0.0))
        if announced != before:
            since = time.monotonic()
            self._announced[view.key] = (before, since)
        return since + POSTED_SECONDS - time.monotonic()

    async def _attach(self, snapshot: Snapshot, desired: Desired, target: PodView, account: str) -> Attached:
        wanted = Wanted(
            bindings=[PodBinding(one.name, one.gateway, one.credential, one.kept) for one in desired.bindings],
            egress_policy=desired.egress,
            complete=desired.complete
            and believed(target, self._settings)
            and relied_upon(snapshot.system.visibility, self._settings),
            served=served(target, snapshot.policies, self._settings),
            secret_env=desired.secret_env.given,
        )
        return await self._attacher.attach(
            target,
            snapshot.devbox.box.uid,
            wanted,
            policies=snapshot.policies,
            route=self._watches.route(target.uid),
            token_secret=self._watches.token_secret((target.namespace, target.name)),
            service_account=account,
            now=datetime.now(UTC),
        )

    async def _delete_stale(self, snapshot: Snapshot, current: PodView) -> None:
        """Pods of older incarnations."""
        for other in lifecycle.own(snapshot.devbox, snapshot.pods):
            if other.uid != current.uid and not other.deleting:
                await self._delete_pod(other)

    async def _end_strays(self, pods: Iterable[PodView], item: Object | None) -> None:
        """Pods that say that they are this Devbox's, and are not: somebody took their owner away, or orphaned them. Nobody would give
        them tokens or look after them, and the garbage collector leaves them. (Those of a Devbox that is gone it takes itself.)"""
        for stray in lifecycle.strays(pods, item["metadata"]["uid"] if item else None):
            log.warning("stray_pod_deleted", pod=stray.name, namespace=stray.namespace, owner=stray.owner)
            await self._delete_pod(stray)

    async def _delete_pod(self, old: PodView) -> None:
        await self._writer.delete(paths.pods(old.namespace, old.name), uid=old.uid, grace=old.grace, kind="Pod")

    async def _delete_routes(self, key: Key, keep: frozenset[str]) -> None:
        """Routes of the Devbox's pods that are gone: at once, not with the next sweep."""
        namespace = self._settings.credentials_namespace
        for view in self._watches.routes(key):
            if view.name.removeprefix("route-") not in keep:
                await self._writer.delete(paths.secrets(namespace, view.name), uid=view.uid, kind="Secret")
                log.info("route_deleted", route=view.name, namespace=key[0], devbox=key[1])

    async def _unjudged(self, key: Key, since: datetime) -> float | None:
        """Of a Devbox that breaks a rule nobody can say what it may use, nor whether it is confined. Its Routes stay for a while, then they
        serve nothing; they keep their tokens, so that it heals. Returns seconds until then."""
        left = (since - datetime.now(UTC)) / timedelta(seconds=1) + self._settings.keeping.invalid_seconds
        if left > 0:
            return left
        namespace = self._settings.credentials_namespace
        for view in self._watches.routes(key):
            try:
                stored = documents.stored_route(view)
            except ValueError:
                continue  # nor can a gateway read it
            if stored.route.confined:
                document = stored.route.model_copy(update={"confined": False, "requires": (CONFINED,)})
                body = documents.route(document, namespace, stored.tokens_content)
                body["metadata"]["resourceVersion"] = stored.version
                await self._writer.apply(paths.secrets(namespace, view.name), body)
                log.warning("route_serves_nothing", route=view.name, namespace=key[0], devbox=key[1])
        return None

    def _wake_users(self, before: References | None, after: References | None, *, missing: bool = False) -> None:
        """GatewayConfigs and EgressPolicies count who uses them; documents and credentials come and go with the use."""
        old, new = before or References(), after or References()
        changed = old.counts != new.counts or (before is None) != (after is None)
        # Whoever waits for a document has it at once; the counts of many Devboxes that come or go are one look.
        delay = 0.0 if missing else TOGETHER_SECONDS
        for gateway in (old.gateways | new.gateways) if changed or missing else (old.gateways ^ new.gateways):
            self._queue.add(WorkKey(Kind.GATEWAY, *gateway), delay)
        for policy in {old.egress, new.egress} if changed or missing or old.egress != new.egress else ():
            if policy is not None:
                self._queue.add(WorkKey(Kind.EGRESS, *policy), delay)
        for source in (old.sources | new.sources) if changed or missing else (old.sources ^ new.sources):
            self._queue.add(WorkKey(Kind.SOURCE, *source.secret), delay)

    def _due(self, snapshot: Snapshot, desired: Desired, outcome: Outcome) -> float | None:
        times = []
        if isinstance(desired.step, lifecycle.Later):
            times.append(desired.step.at)
        if outcome.attached and outcome.attached.renew_at:
            times.append(outcome.attached.renew_at)
        if outcome.pod and outcome.pod.started and ended_quickly(snapshot, outcome.pod):
            times.append(outcome.pod.started + QUICK)
        if (
            outcome.pod
            and outcome.pod.deleting
            and (again := endings(snapshot, self._settings).of(outcome.pod, snapshot.now).again)
        ):
            times.append(again)
        if desired.refused:
            # A volume that appears without the label is not in the mirror; its owner wants to see what is missing.
            times.append(snapshot.now + timedelta(seconds=15))
        if outcome.again is not None:
            return outcome.again
        if not times:
            return None
        return max(0.1, (min(times) - datetime.now(UTC)) / timedelta(seconds=1))


def _with(outcome: Outcome, attached: Attached) -> Outcome:
    return replace(outcome, attached=attached, refused=attached.refused)


def _without_announcement(view: DevboxView, outcome: Outcome, version: str) -> DevboxView:
    """The view with the status as the announcement of the next pod left it, so that the difference is right."""
    if version == view.version:
        return view
    cleared: dict[str, object] = {
        "incarnation": outcome.incarnation,
        "failures": outcome.failures or None,
        "pod_uid": None,
        "pod_ips": (),
    }
    cleared["pod_name"] = pod.pod_name(view.box, outcome.incarnation)
    return replace(view, box=view.box.model_copy(update={"status": view.box.status.model_copy(update=cleared)}))
