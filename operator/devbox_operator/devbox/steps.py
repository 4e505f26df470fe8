"""What lifecycle.py planned is done: a pod is made, replaced, or given what it is still to have.

Goes in: a snapshot and what should be. Comes out: an `Outcome`, and the Devbox as the announcement of a new pod left it.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import structlog

from devbox_api.conditions import Reason
from devbox_api.route import LACKS_POLICY
from devbox_common.kube import ApiError
from devbox_operator.attach.attaching import Attacher
from devbox_operator.attach.confinement import believed, relied_upon, served
from devbox_operator.attach.wanted import Attachment, AttachmentSpec, PodBinding
from devbox_operator.devbox import claim, lifecycle
from devbox_operator.devbox.announce import Announcements
from devbox_operator.devbox.compile import DesiredState, new_pod
from devbox_operator.devbox.incarnation import own
from devbox_operator.devbox.namespaced import SharedObjects
from devbox_operator.devbox.outcome import AtRest, HasPod, NoPod, Outcome, PodLeft, PodPostponed, PodRefused, PodReplaced
from devbox_operator.kit import paths
from devbox_operator.report.problem import Problem
from devbox_operator.seen.pods import PodView
from devbox_operator.seen.resources import DevboxView
from devbox_operator.seen.snapshot import Snapshot
from devbox_operator.watch.tools import Tools

log = structlog.get_logger()


class Steps:
    """Takes them."""

    def __init__(self, tools: Tools, attacher: Attacher, announcements: Announcements) -> None:
        self._observer, self._watches, self._index = tools.observer, tools.watches, tools.index
        self._writer, self._settings = tools.writer, tools.settings
        self._attacher, self._announcements = attacher, announcements
        self._shared = SharedObjects(tools.observer, tools.writer)

    async def take(self, snapshot: Snapshot, desired: DesiredState) -> tuple[Outcome, DevboxView]:
        """Do the step."""
        view, step = snapshot.devbox, desired.step
        incarnation, failures = view.box.status.incarnation or 0, view.box.status.failures or 0
        match step:
            case lifecycle.Leave(message):
                newest = next(iter(own(view, snapshot.pods)), None)
                return PodLeft(incarnation, failures, newest, message), view
            case lifecycle.Later(_, failed, message):
                ended = next((p for p in own(view, snapshot.pods) if p.ended), None)
                return PodPostponed(incarnation, failed, ended, message), view
            case lifecycle.Replace(old, why):
                log.info("pod_replaced", pod=old.name, namespace=old.namespace, why=why)
                await self._delete(old)
                return PodReplaced(max(incarnation, old.incarnation), 0, _ending(old, snapshot.now), why), view
            case lifecycle.Rest():
                return await self._rest(snapshot), view
            case lifecycle.Create(number, failed):
                return await self._create(snapshot, desired, number, failed)
            case lifecycle.Keep(kept):
                await self._delete_stale(snapshot, kept)
                kept_at = HasPod(max(incarnation, kept.incarnation), failures, kept)
                # (Where nothing may be made, a pod of an older version is left as it is, and the condition Accepted says so.)
                if kept.deleting or kept.ended or self._settings.reserved(view.box.namespace):
                    return kept_at, view
                account = await self._shared.ensure(view, self._observer.bundle)
                return replace(kept_at, attached=await self._attach(snapshot, desired, kept, account)), view

    async def end_strays(self, pods: Iterable[PodView]) -> None:
        """Pods that say that they are this Devbox's, and are not: somebody took their owner away, or orphaned them. Nobody would give
        them tokens or look after them, and the garbage collector leaves them. (Those of a Devbox that is gone it takes itself.)"""
        for stray in pods:
            log.warning("stray_pod_deleted", pod=stray.name, namespace=stray.namespace, owner=stray.owner)
            await self._delete(stray)

    async def _create(
        self, snapshot: Snapshot, desired: DesiredState, number: int, failures: int
    ) -> tuple[Outcome, DevboxView]:
        view, box = snapshot.devbox, snapshot.devbox.box
        none = NoPod(box.status.incarnation or 0, box.status.failures or 0)
        if box.namespace in self._index.ending:
            # Every object that goes with it wakes us, and each pod would be refused.
            return replace(none, why=f"namespace {box.namespace} is being deleted"), view
        if number > 1 and await self._observer.unseen_pods(view, snapshot.pods):
            raise ApiError(409, "Conflict", "the watch of pods is behind")
        if (seconds := self._announcements.on_its_way(view, number)) > 0:
            return replace(none, why=_announced(view), again=seconds), view
        if desired.refused is not None or not snapshot.system.ready:
            return replace(none, why="see the condition Accepted" if desired.refused else ""), view
        account = await self._shared.ensure(view, self._observer.bundle)
        body = new_pod(snapshot, number, self._settings)
        # (Nothing stands between the announcement and the pod that could fail or take long.)
        announced = await self._announcements.announce(view, number, failures, claim.status(snapshot))
        try:
            made = PodView.of(await self._writer.create(paths.pods(box.namespace), body))
        except ApiError as error:
            if error.transient or error.conflict or (error.status == 403 and await self._observer.ending(box.namespace)):
                raise  # (A conflict: it was posted by us, before an interruption; the next look finds it.)
            return PodRefused(number, failures, Problem(Reason.POD_REFUSED, error.message)), announced
        log.info("pod_created", pod=made.name, namespace=made.namespace, devbox=box.name, incarnation=number)
        for left in (other for other in own(view, snapshot.pods) if other.deleting):
            log.warning("pod_left_behind", pod=left.name, namespace=left.namespace, node=left.node)
        await self._delete_stale(snapshot, made)
        return HasPod(number, failures, made, await self._attach(snapshot, desired, made, account)), announced

    async def _rest(self, snapshot: Snapshot) -> AtRest:
        """Whatever pod there is, is ended. That there is none is said once nobody can be about to post one."""
        view, mine = snapshot.devbox, own(snapshot.devbox, snapshot.pods)
        number = max(view.box.status.incarnation or 0, *(pod.incarnation for pod in mine), 0)
        for pod in (pod for pod in mine if not pod.deleting):
            log.info("pod_suspended", pod=pod.name, namespace=pod.namespace, devbox=view.box.name)
            await self._delete(pod)
        if mine:
            return AtRest(number, 0, mine[0] if mine[0].deleting else _ending(mine[0], snapshot.now))
        if view.box.status.suspended_at is None:
            if number and await self._observer.unseen_pods(view, snapshot.pods):
                raise ApiError(409, "Conflict", "the watch of pods is behind")
            if (seconds := self._announcements.on_its_way(view, number + 1)) > 0:
                return AtRest(number, 0, why=_announced(view), again=seconds)
        return AtRest(number, 0)

    async def _attach(self, snapshot: Snapshot, desired: DesiredState, target: PodView, account: str) -> Attachment:
        wanted = AttachmentSpec(
            bindings=[PodBinding(one.name, one.gateway, one.credential, one.kept, one.lacks) for one in desired.bindings],
            egress_policy=desired.egress,
            egress_lacks=LACKS_POLICY if desired.egress_problem is not None else "",
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
        for other in own(snapshot.devbox, snapshot.pods):
            if other.uid != current.uid and not other.deleting:
                await self._delete(other)

    async def _delete(self, old: PodView) -> None:
        await self._writer.delete(paths.pods(old.namespace, old.name), uid=old.uid, grace=old.grace, kind="Pod")


def _ending(pod: PodView, now: datetime) -> PodView:
    """As its deletion, which has just been asked for, leaves it."""
    return replace(pod, deleting=True, ends=now + timedelta(seconds=pod.grace))


def _announced(view: DevboxView) -> str:
    return f"pod {view.box.status.pod_name} was announced by another replica, which may be posting it"
