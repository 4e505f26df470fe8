"""Containers that do not begin or do not stay: what is said of them, and when it is beyond mending by itself."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from devbox_operator.attach.wanted import Attachment
from devbox_operator.devbox import starting
from devbox_operator.devbox.compile import compile_devbox
from devbox_operator.devbox.outcome import HasPod, PodPostponed
from devbox_operator.devbox.status import devbox_status
from devbox_operator.kit.encoding import format_time
from devbox_operator.seen.pods import PodView
from devbox_operator.seen.startview import StartView

DONE = Attachment(confined=True, issued=True, opened=True, expires={}, renew_at=None)
RUNC = (
    "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start "
    "container process: "
)
NEVER = "1970-01-01T00:00:00Z"


def waiting(reason: str, message: str = "", **more: Any) -> dict[str, Any]:
    return {"name": "devbox", "state": {"waiting": {"reason": reason, "message": message}}, **more}


def not_started(message: str) -> dict[str, Any]:
    """As the kubelet has it between two tries."""
    ended = {"reason": "StartError", "exitCode": 128, "message": message, "startedAt": NEVER, "finishedAt": NEVER}
    back_off = {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container"}
    return {"name": "devbox", "restartCount": 1, "state": {"waiting": back_off}, "lastState": {"terminated": ended}}


def status_of(container: dict[str, Any], now: datetime, age: int = 1, init: bool = False) -> dict[str, Any]:
    turn = {"type": "PodScheduled" if init else "Initialized", "status": "True"}
    turn["lastTransitionTime"] = format_time(now - timedelta(seconds=age))
    return {
        "phase": "Pending",
        "conditions": [turn],
        "initContainerStatuses" if init else "containerStatuses": [container],
    }


def judged(snapshot: Any, devbox: Any, pod: Any, settings: Any, status: dict[str, Any]) -> tuple[str, str, str, str]:
    view = devbox()
    metadata = {"namespace": "team-a", "name": "p", "uid": "u"}
    seen = PodView.of({"metadata": metadata, "status": status})
    current = pod(
        view,
        ready=False,
        phase=seen.phase,
        **{field: getattr(seen, field) for field in ("trouble", "start", "started", "restarts", "exit_code", "ran_for")},
        starved=seen.starved,
    )
    shot = snapshot(view, pods=(current,))
    found = devbox_status(shot, compile_devbox(shot, settings), HasPod(1, 0, current, DONE), settings)
    conditions = {one.type: one for one in found.conditions}
    ready = conditions["Ready"]
    return found.phase or "", ready.reason, conditions["Stalled"].status, ready.message


@pytest.mark.parametrize(
    ("container", "age", "reason", "stalled", "words"),
    [
        (
            waiting("ErrImagePull", "not found"),
            1,
            "ImagePullFailed",
            "False",
            "ErrImagePull: not found; see whether spec.image",
        ),
        (waiting("ImagePullBackOff", "Back-off"), 119, "ImagePullFailed", "False", "spec.imagePullSecrets"),
        (waiting("ImagePullBackOff", "Back-off"), 121, "ImagePullFailed", "True", "the kubelet goes on trying"),
        (waiting("ErrImageNeverPull", "absent"), 121, "ImagePullFailed", "True", "ErrImageNeverPull: absent"),
        (
            waiting("InvalidImageName", "bad"),
            0,
            "ImagePullFailed",
            "True",
            "write spec.image as registry/name:tag, in lower case",
        ),
        (
            not_started(f'{RUNC}exec: "nosuch": executable file not found in $PATH: unknown'),
            0,
            "StartFailed",
            "True",
            'the image has no program nosuch; set spec.command to one that it has; the runtime said: exec: "nosuch": executable file '
            "not found in $PATH",
        ),
        (
            waiting("RunContainerError", f'{RUNC}exec: "/opt/x": stat /opt/x: no such file or directory: unknown'),
            0,
            "StartFailed",
            "True",
            "the image has no program /opt/x",
        ),
        (
            not_started(
                f'{RUNC}error during container init: exec: "sleep infinity": executable file not found in $PATH: unknown'
            ),
            0,
            "StartFailed",
            "True",
            "spec.command is to be a list with each word by itself: [sleep, infinity]",
        ),
        (
            not_started(f'{RUNC}exec: "/etc/passwd": permission denied: unknown'),
            0,
            "StartFailed",
            "True",
            "/etc/passwd is not a program that the devbox's user may execute",
        ),
        (not_started(f"{RUNC}exec /agent: exec format error"), 0, "StartFailed", "True", "another kind of processor"),
        (
            not_started(f"{RUNC}error during container init: unable to set memory limit to 4 (current usage: 2428928)"),
            0,
            "StartFailed",
            "True",
            "spec.resources.limits.memory is too little",
        ),
        (
            waiting("CreateContainerError", "context deadline exceeded"),
            1,
            "StartFailed",
            "False",
            "CreateContainerError: context",
        ),
        (waiting("CreateContainerError", "context deadline exceeded"), 121, "StartFailed", "True", "context deadline exceeded"),
        (waiting("ContainerCreating"), 1000, "PodPending", "False", "starts"),
    ],
)
def test_one_that_does_not_begin(
    snapshot: Any,
    devbox: Any,
    pod: Any,
    settings: Any,
    now: datetime,
    *,
    container: dict[str, Any],
    age: int,
    reason: str,
    stalled: str,
    words: str,
) -> None:
    phase, *said, message = judged(snapshot, devbox, pod, settings, status_of(container, now, age))
    assert (phase, *said) == ("Starting", reason, stalled)
    assert words in message


def test_what_may_mend_is_looked_at_again_when_it_has_had_its_time(devbox: Any, pod: Any, now: datetime) -> None:
    start = StartView("devbox", "ErrImagePull", "", True, now - timedelta(seconds=20))
    slow = pod(devbox(), ready=False, start=start)
    assert starting.again(slow, now) == now + timedelta(seconds=100)
    assert starting.again(slow, now + timedelta(seconds=100)) is None
    assert starting.again(pod(devbox(), start=start), now) is None, "it is ready"
    assert starting.again(pod(devbox()), now) is None


def test_an_image_of_the_releases_is_no_affair_of_the_author(
    snapshot: Any, devbox: Any, pod: Any, settings: Any, now: datetime
) -> None:
    init = {**waiting("ErrImagePull", "denied"), "name": "devbox-init"}
    _, reason, _, message = judged(snapshot, devbox, pod, settings, status_of(init, now, init=True))
    assert reason == "ImagePullFailed"
    assert "the release's own: an administrator" in message


def test_the_time_of_one_that_ran_before_counts_from_its_end(now: datetime) -> None:
    ended = {"terminated": {"exitCode": 1, "finishedAt": format_time(now - timedelta(seconds=5))}}
    found = StartView.of(status_of(waiting("ErrImagePull", lastState=ended), now, 9999))
    assert found is not None
    assert found.since == now - timedelta(seconds=5)


def test_a_container_that_never_ran_leaves_its_agent_held(now: datetime) -> None:
    """A correction of the spec takes effect at once."""
    seen = PodView.of(
        {
            "metadata": {"namespace": "team-a", "name": "p", "uid": "u"},
            "spec": {"initContainers": [{"name": "devbox-init", "image": "i"}]},
            "status": status_of(not_started("x"), now),
        }
    )
    assert (seen.started, seen.held, seen.ran_for) == (None, True, None)


@pytest.mark.parametrize(
    ("ended", "words"),
    [
        ({"exitCode": 0}, "(exit code 0); set spec.command to something that stays, e.g. [sleep, infinity]"),
        ({"exitCode": 3}, "by now: exit code 3; what it said: kubectl -n team-a logs NAME -c devbox --previous"),
        ({"exitCode": 127}, "exit code 127: something that it calls does not exist in the image; what it said"),
        (
            {"exitCode": 137, "reason": "OOMKilled"},
            "exit code 137: it had more memory than spec.resources.limits gives it; what",
        ),
    ],
)
def test_one_that_does_not_stay(
    snapshot: Any, devbox: Any, pod: Any, settings: Any, now: datetime, *, ended: dict[str, Any], words: str
) -> None:
    times = {"startedAt": format_time(now - timedelta(seconds=3)), "finishedAt": format_time(now - timedelta(seconds=1))}
    back_off = waiting("CrashLoopBackOff", "back-off", lastState={"terminated": {**ended, **times}}, restartCount=2)
    status = {**status_of(back_off, now), "phase": "Running"}
    phase, reason, stalled, message = judged(snapshot, devbox, pod, settings, status)
    assert (phase, reason, stalled) == ("Starting", "CommandEnded", "True")
    name = pod(devbox()).name
    assert words.replace("NAME", name) in message


def test_between_two_pods_it_is_still_said_why(snapshot: Any, devbox: Any, pod: Any, settings: Any, now: datetime) -> None:
    """With restartPolicy Never, a container that can't be started ends its pod; another one follows, after a pause."""
    view = devbox(spec={"restartPolicy": "Never"})
    start = StartView("devbox", "StartError", f'{RUNC}exec: "nosuch": executable file not found in $PATH', False, now)
    failed = pod(view, ready=False, phase="Failed", started=None, start=start)
    shot = snapshot(view, pods=(failed,))
    found = devbox_status(shot, compile_devbox(shot, settings), PodPostponed(1, 1, failed, "pod p ended"), settings)
    conditions = {one.type: one for one in found.conditions}
    assert (conditions["Ready"].reason, conditions["Stalled"].status) == ("StartFailed", "True")
