"""A Devbox that is suspended: what is said of it, from the first word to the pod that comes when it is resumed."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.support.kstatus import kstatus

from devbox_api import names
from devbox_api.conditions import REASONS, Reason
from devbox_api.devbox import DevboxStatus
from devbox_operator.attach.wanted import Attachment
from devbox_operator.devbox import lifecycle, pod
from devbox_operator.devbox.compile import compile_devbox
from devbox_operator.devbox.lifecycle import Create, Rest
from devbox_operator.devbox.outcome import AtRest, HasPod, Outcome, PodLeft
from devbox_operator.devbox.status import devbox_status
from devbox_operator.kit.encoding import format_time
from devbox_operator.seen.snapshot import NOT_FOUND, Snapshot
from devbox_operator.settings import Settings

pytestmark = pytest.mark.row("S23")
SUSPEND = {"suspend": True}
DONE = Attachment(confined=True, issued=True, opened=True, expires={}, renew_at=None)
_READY = {"type": "Ready", "status": "True", "reason": "Ready", "message": "", "lastTransitionTime": "2026-11-23T11:00:00Z"}
RAN = {"incarnation": 4, "podUID": "u", "failures": 3, "conditions": [_READY, {**_READY, "type": "PodReady"}]}


def said(status: DevboxStatus) -> dict[str, tuple[str, str]]:
    return {condition.type: (condition.status, condition.reason) for condition in status.conditions}


def word(status: DevboxStatus) -> str:
    """kstatus'."""
    return kstatus({"metadata": {"generation": 3}, "status": status.model_dump(by_alias=True, exclude_none=True)})


def judged(shot: Snapshot, outcome: Outcome, settings: Settings) -> DevboxStatus:
    status = devbox_status(shot, compile_devbox(shot, settings), outcome, settings)
    for condition in status.conditions:
        if condition.type not in ("Ready", "Stalled", "Reconciling"):
            assert condition.type in REASONS[Reason(condition.reason)].types, condition
    return status


def again(devbox: Any, status: DevboxStatus, **spec: Any) -> Any:
    """The Devbox with what was written."""
    return devbox(spec=spec, status=status.model_dump(by_alias=True, exclude_none=True))


def test_one_that_is_suspended_is_what_it_is_to_be(snapshot: Any, devbox: Any, settings: Settings) -> None:
    shot = snapshot(devbox(spec=SUSPEND, status=RAN))
    status = judged(shot, AtRest(4, 0), settings)
    assert said(status) == {
        "Accepted": ("True", "Accepted"),
        "CredentialsResolved": ("True", "Resolved"),
        "Suspended": ("True", "SuspendedBySpec"),
        "Reconciling": ("False", "SuspendedBySpec"),
        "Stalled": ("False", "SuspendedBySpec"),
    }
    assert word(status) == "Current"
    assert (status.phase, status.suspended_by, status.suspended_at) == ("Suspended", "Spec", format_time(shot.now))
    assert (status.incarnation, status.failures, status.pod_name, status.pod_uid, status.pod_ips) == (4, None, None, None, ())
    (resume,) = [condition.message for condition in status.conditions if condition.type == "Suspended"]
    assert resume.endswith("""kubectl -n team-a patch dbx agent --type=merge -p '{"spec":{"suspend":null}}'""")


def test_it_stays_so_and_says_since_when(snapshot: Any, devbox: Any, settings: Settings) -> None:
    shot = snapshot(devbox(spec=SUSPEND))
    first = judged(shot, AtRest(0, 0), settings)
    later = replace(shot, devbox=again(devbox, first, **SUSPEND), now=shot.now + timedelta(hours=1))
    assert judged(later, AtRest(0, 0), settings) == first, "so that nothing is written"


def test_nothing_that_its_spec_refers_to_holds_it_up(snapshot: Any, devbox: Any, settings: Settings) -> None:
    missing = {("team-a", "anthropic"): NOT_FOUND}
    status = judged(snapshot(devbox(spec={**SUSPEND, "image": None}), secrets=missing), AtRest(0, 0), settings)
    assert said(status)["Accepted"] == ("False", "ImageMissing"), "it is told what a new pod would meet"
    assert said(status)["CredentialsResolved"] == ("False", "SecretNotFound")
    assert word(status) == "Current"


def test_while_its_pod_has_its_time(snapshot: Any, devbox: Any, pod: Any, settings: Settings) -> None:
    view = devbox(spec=SUSPEND, status=RAN)
    ending = pod(view, 4, deleting=True, ends=snapshot().now + timedelta(seconds=30), node="n")
    status = judged(snapshot(view, pods=(ending,)), AtRest(4, 0, ending), settings)
    assert (said(status)["Suspended"], said(status)["Ready"]) == (("False", "Suspending"), ("False", "Suspending"))
    assert word(status) == "InProgress"
    assert (status.phase, status.suspended_by, status.suspended_at, status.failures) == ("Suspending", "Spec", None, None)
    ready = next(condition for condition in status.conditions if condition.type == "Ready")
    assert "at 2026-11-23T12:00:30Z at the latest; none follows while it is suspended" in ready.message


def test_a_pod_that_nobody_can_end_is_not_said_to_be_gone(snapshot: Any, devbox: Any, pod: Any, settings: Settings) -> None:
    view, now = devbox(spec=SUSPEND, status=RAN), snapshot().now
    left = pod(view, 4, deleting=True, ends=now - timedelta(seconds=1), node="n")
    status = judged(snapshot(view, pods=(left,), silent={"n": now}), AtRest(4, 0, left), settings)
    assert said(status)["Suspended"] == ("False", "NodeLost")
    assert (said(status)["Stalled"], word(status)) == (("True", "NodeLost"), "Failed")
    late = replace(left, ends=now - timedelta(minutes=2), phase="Failed")
    status = judged(snapshot(view, pods=(late,)), AtRest(4, 0, late), settings)
    assert said(status)["Suspended"] == ("False", "PodStuck")


def test_while_another_replica_may_be_posting_one(snapshot: Any, devbox: Any, settings: Settings) -> None:
    view = devbox(spec=SUSPEND, status={"incarnation": 4, "podName": "p"})
    status = judged(snapshot(view), AtRest(4, 0, why="pod p was announced", again=3.0), settings)
    assert (said(status)["Suspended"], status.phase, status.suspended_at) == (("False", "Suspending"), "Suspending", None)


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_command_that_is_done_has_nothing_to_suspend(
    snapshot: Any, devbox: Any, pod: Any, settings: Settings, phase: str
) -> None:
    view = devbox(spec={**SUSPEND, "restartPolicy": "Never"}, status={"incarnation": 1})
    ended = pod(view, phase=phase)
    shot = snapshot(view, pods=(ended,))
    assert compile_devbox(shot, settings).step == lifecycle.Keep(ended)
    status = judged(shot, HasPod(1, 0, ended), settings)
    assert (status.phase, said(status)["Suspended"]) == (phase, ("False", "NotSuspended"))
    assert said(status)["Stalled"][0] == "True"
    gone = replace(shot, devbox=again(devbox, status, suspend=True, restartPolicy="Never"), pods=())
    step = compile_devbox(gone, settings).step
    assert isinstance(step, lifecycle.Leave), "also once its pod was cleaned up"
    assert judged(gone, PodLeft(1, 0, None, step.message), settings).phase == phase


@pytest.mark.parametrize("policy", ["Always", "OnFailure", "Never"])
def test_when_it_is_resumed_a_new_pod_comes_at_once(snapshot: Any, devbox: Any, settings: Settings, policy: str) -> None:
    """Whatever it went through before, and whatever restartPolicy says of commands that ended: this one was ended by us."""
    shot = snapshot(devbox(spec={**SUSPEND, "restartPolicy": policy}, status=RAN))
    status = judged(shot, AtRest(4, 0), settings)
    resumed = again(devbox, status, restartPolicy=policy)
    assert lifecycle.plan(resumed, [], "hash", shot.now) == Create(5, 0)


def test_what_is_said_of_one_that_was_resumed(snapshot: Any, devbox: Any, pod: Any, settings: Settings) -> None:
    shot = snapshot(devbox(spec=SUSPEND, status=RAN))
    resumed = again(devbox, judged(shot, AtRest(4, 0), settings))
    later = replace(shot, devbox=resumed, now=shot.now + timedelta(hours=1))
    made = pod(resumed, 5, gates=(names.SCHEDULING_GATE,))
    status = judged(later, HasPod(5, 0, made, replace(DONE, issued=False, opened=False)), settings)
    assert said(status)["Suspended"] == ("False", "NotSuspended")
    assert (status.phase, status.suspended_by, status.suspended_at) == ("Pending", None, None)
    times = {c.type: c.last_transition_time for c in status.conditions}
    assert times["Ready"] == times["Suspended"] == "2026-11-23T13:00:00Z", "by which clients see that it is coming back"
    assert word(status) == "InProgress"


def test_one_that_nobody_ever_suspended_says_nothing_of_it(snapshot: Any, devbox: Any, pod: Any, settings: Settings) -> None:
    view = devbox()
    status = judged(snapshot(view), HasPod(1, 0, pod(view), DONE), settings)
    assert "Suspended" not in said(status), "an upgrade writes no status anew"


def test_suspending_and_resuming_is_no_reason_for_a_restart(devbox: Any, settings: Settings) -> None:
    for suspend in (True, False):
        one, other = devbox(), devbox(spec={"suspend": suspend})
        assert pod.spec_hash(one, settings, ()) == pod.spec_hash(other, settings, ())
        assert pod.spec_fields(one, settings, ()) == pod.spec_fields(other, settings, ())


def test_a_pod_that_ends_because_of_it_is_the_right_one_again_for_nobody(devbox: Any, pod: Any, now: Any) -> None:
    """Resumed while its pod still ends: the next one follows that."""
    ending = pod(devbox(), 1, deleting=True)
    assert lifecycle.plan(devbox(spec=SUSPEND), [ending], "hash", now) == Rest()
    assert lifecycle.plan(devbox(), [ending], "hash", now) == lifecycle.Keep(ending)


def test_documents_are_not_awaited(snapshot: Any, devbox: Any, settings: Settings) -> None:
    assert compile_devbox(snapshot(devbox(spec=SUSPEND), documents=frozenset()), settings).missing == ()
