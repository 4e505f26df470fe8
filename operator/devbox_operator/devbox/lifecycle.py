"""Which pod a Devbox should have now: none yet, the one there, or the next one.

Goes in: the Devbox (with its status), its pods, the time. Comes out: one `Step`. Pure. The rules:
an incarnation is written into the status before its pod is posted, and in the same pass; who finds an incarnation without its
pod takes the next one, unless the API server is known to have refused it. So a pod's name is never used twice.

What there is, and what follows; `n` is the last number that was announced, or the newest pod's if the status was lost. The first row that
applies counts, and of the last two, which look at what came out, both:

| what there is | the step |
|---|---|
| the Devbox is being deleted | Leave |
| suspended, and its command has not ended as restartPolicy asks | Rest |
| no pod, and none was ever announced | Create 1 |
| no pod: it was announced, and nothing is known of it | Create n+1 |
| no pod: the API server refused it | Create n |
| no pod: it ended as restartPolicy asks | Leave |
| no pod: its end was seen, and the pause began | Later, Create n+1 |
| no pod: it had not started, or was taken away | Create n+1 |
| no pod: it ran | Later, Create n+1 |
| a pod that is being deleted | Keep |
| a pod that is being deleted, on a node that is lost for too long | Create n+1 |
| a pod whose number is not its name's | Replace |
| a pod that ended, and a restart is asked for | Create n+1 |
| a pod that ended as restartPolicy asks | Keep |
| a pod that ended | Later, Create n+1 |
| a pod that runs, and a restart is asked for | Replace |
| a pod whose agent never ran, made for another spec | Replace |
| a pod on which a container of another release is at work before the agent | Replace |
| a pod that mounts code, and has had its time for that | Replace |
| a pod | Keep |
| Create, and an older pod may write to what the next one mounts | Keep |
| Replace of one that runs, and no pod can be made of the spec | Keep |
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from devbox_api.conditions import ConditionType, Reason
from devbox_api.devbox import DevboxStatus
from devbox_api.shared import Condition
from devbox_operator.devbox import mounting
from devbox_operator.devbox.incarnation import own
from devbox_operator.devbox.lingering import Endings
from devbox_operator.kit.encoding import format_time, parse_time
from devbox_operator.kit.queue import pause
from devbox_operator.seen.pods import PodView
from devbox_operator.seen.resources import DevboxView

LONG_ENOUGH: Final = timedelta(minutes=10)
"""A pod that lived this long was no failure of the start: the pause begins anew (as the kubelet does)."""
FIRST_PAUSE: Final = 10.0
"""Seconds before the second replacement in a row; the first comes at once."""


@dataclass(frozen=True)
class Keep:
    """The pod is the right one."""

    pod: PodView


@dataclass(frozen=True)
class Create:
    """Post a pod: incarnation and failures go into the status first, unless both are there already."""

    incarnation: int
    failures: int


@dataclass(frozen=True)
class Replace:
    """Delete the pod; when it is gone, the next one follows."""

    pod: PodView
    why: str
    runs: bool = False
    """Its agent may be at work, and nothing is wrong with it."""


@dataclass(frozen=True)
class Later:
    """A new pod, but not yet."""

    at: datetime
    failures: int
    message: str


@dataclass(frozen=True)
class Leave:
    """No pod is to be made: the Devbox is being deleted, or its command is done."""

    message: str


@dataclass(frozen=True)
class Rest:
    """No pod is to be there for now: whatever there is, is ended. Afterwards a new one is made, and nothing of before counts against it."""


Step = Keep | Create | Replace | Later | Leave | Rest


def plan(
    view: DevboxView,
    pods: Iterable[PodView],
    wanted_hash: str,
    now: datetime,
    wanted_init: str = "",
    *,
    endings: Endings = Endings(),  # noqa: B008 (frozen)
    possible: bool = True,
) -> Step:
    """What to do about the Devbox's pod. (`wanted_init`: mounting.digest. Not `possible`: no pod can be made of the spec.)"""
    mine = own(view, pods)
    step = _next(view, mine, (wanted_hash, wanted_init), now, endings)
    if view.suspended_by is not None and not _over(step):
        return Rest()
    if isinstance(step, Replace) and step.runs and not possible:
        return Keep(step.pod)  # no other would follow
    if not isinstance(step, Create):
        return step
    # Whatever became of the newest one: an older pod may have been left behind on a node that was lost, and still write.
    beside = next((pod for pod in mine if pod.deleting and endings.shared(pod)), None)
    return step if beside is None else Keep(beside)


def _next(view: DevboxView, mine: list[PodView], wanted: tuple[str, str], now: datetime, endings: Endings) -> Step:
    """The same, as if no pod had been left behind. `wanted`: hashes of spec and init."""
    current = mine[0] if mine else None
    status = view.box.status
    known = max(status.incarnation or 0, current.incarnation if current else 0)
    if view.deleting:
        return Leave("the Devbox is being deleted")
    if current is None or 0 < current.incarnation < known:
        # (An older pod that is still there is one whose successor's pod was never posted, or is gone.)
        return _without_pod(view, known, now)
    if current.deleting:
        # (It never comes back, and is not counted as a failure: nodes are lost, and pods deleted, whatever runs in them.)
        return Create(known + 1, 0) if endings.of(current, now).follows else Keep(current)
    if current.incarnation == 0:
        return Replace(current, "its number is not the one that its name is made of")
    if current.ended:
        return _after_end(view, current, known, now)
    if view.restarted_at and view.restarted_at != current.restarted_at:
        return Replace(
            current, "a restart was asked for (devbox-gateway.io/restarted-at)", runs=not (current.gated or current.held)
        )
    spec, release = current.spec_hash != wanted[0], current.init_hash != wanted[1]
    if ((current.gated or current.held) and spec) or ((current.gated or current.preparing) and release):
        return Replace(current, "the spec changed before the agent was started")
    if (at := mounting.overdue(view.box.spec, current)) is not None and at <= now:
        assert current.mounts is not None  # noqa: S101 (for the type checker)
        return Replace(current, f"{current.mounts.at_work} had not ended at {format_time(at)}, and was not to take longer")
    return Keep(current)


def _over(step: Step) -> bool:
    """Nothing follows by itself: the Devbox is being deleted, or its command is done. (A pod that is being deleted, though its processes
    have ended, did not get to the end of its command.)"""
    return isinstance(step, Leave) or (isinstance(step, Keep) and step.pod.ended and not step.pod.deleting)


def final(view: DevboxView, pod: PodView) -> bool:
    """The pod's end is the end that restartPolicy asks for. (Always: there is none; an eviction brings a new pod.) An agent that
    never ran has not ended."""
    if pod.held:
        return False
    policy = view.box.spec.restart_policy
    return policy == "Never" or (policy == "OnFailure" and pod.phase == "Succeeded")


def _after_end(view: DevboxView, pod: PodView, known: int, now: datetime) -> Step:
    if view.restarted_at and view.restarted_at != pod.restarted_at:
        return Create(known + 1, 0)
    if final(view, pod):
        return Keep(pod)
    failures = view.box.status.failures or 0
    end = pod.finished or pod.created
    at = end + timedelta(seconds=pause(failures, FIRST_PAUSE))
    if at > now:
        return Later(at, failures, f"pod {pod.name} ended: {pod.trouble or pod.phase}")
    return Create(known + 1, 0 if end - pod.created >= LONG_ENOUGH else failures + 1)


def _without_pod(view: DevboxView, known: int, now: datetime) -> Step:
    status = view.box.status
    condition = _condition(status, ConditionType.POD_READY)
    failures = status.failures or 0
    if known == 0:
        return Create(1, 0)
    if condition is None:
        return Create(known + 1, failures)
    if condition.reason == Reason.POD_REFUSED and not status.pod_uid:
        # The API server said no: that pod never was, its name is free. (The queue's back-off decides when to try again.)
        return Create(known, failures)
    if status.phase in ("Succeeded", "Failed") and view.box.spec.restart_policy != "Always":
        return Leave(f"pod {status.pod_name} ended and is gone; to run the command again, delete and create the Devbox")
    since = parse_time(condition.last_transition_time) or now
    if condition.status == "Unknown":
        # Noticed before (that is what Unknown says): the pause is counted from then.
        at, message = since + timedelta(seconds=pause(failures - 1, FIRST_PAUSE)), condition.message
    elif condition.reason in (Reason.WAITING, Reason.NODE_LOST, Reason.POD_STUCK) or not status.pod_uid:
        # It had not started, or was taken away.
        at, message = now, condition.message
    else:
        long = condition.status == "True" and now - since >= LONG_ENOUGH
        at, message = now + timedelta(seconds=pause(0 if long else failures, FIRST_PAUSE)), f"pod {status.pod_name} is gone"
        failures = 0 if long else failures + 1
    return Create(known + 1, failures) if at <= now else Later(at, failures, message)


def _condition(status: DevboxStatus, kind: ConditionType) -> Condition | None:
    return next((condition for condition in status.conditions if condition.type == kind), None)
