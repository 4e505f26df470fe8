"""Launch commands: the container that runs them, the shell's part of it, and what is said of them."""

import subprocess
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from devbox_api.conditions import Reason
from devbox_api.devbox import DevboxSpec
from devbox_operator.attach.wanted import Attachment
from devbox_operator.devbox import launching
from devbox_operator.devbox.compile import compile_devbox
from devbox_operator.devbox.outcome import HasPod
from devbox_operator.devbox.pod import pod as made_pod
from devbox_operator.devbox.pod import spec_fields, spec_hash
from devbox_operator.devbox.status import devbox_status
from devbox_operator.seen.launchview import LaunchView
from devbox_operator.seen.pods import PodView
from devbox_operator.settings import Devboxes, Settings

from .conftest import NOW

pytestmark = pytest.mark.row("S23")
COMMANDS = ["npm ci", "echo $(HOME) $$"]
SPEC: dict[str, Any] = {"command": ["agent", "$(HOME)"], "args": ["--serve"], "launchCommands": COMMANDS}


def test_the_agents_container_runs_them_and_becomes_its_command(devbox: Any, settings: Settings) -> None:
    spec = made_pod(devbox(spec=SPEC), 1, settings, ("10.96.0.9",))["spec"]
    (container,) = spec["containers"]
    shell, option, script, *words = container["command"]
    assert (shell, option) == ("sh", "-c")
    # (The kubelet makes one of two; of the command's own words it makes what it made of them before.)
    assert script.replace("$$", "$") == launching.SCRIPT
    assert words == ["devbox-launch", "2", "npm ci", "echo $$(HOME) $$$$", "agent", "$(HOME)"]
    assert container["args"] == ["--serve"]
    assert container["startupProbe"]["exec"]["command"] == ["sh", "-c", "test -e /run/devbox-gateway/launch/done"]
    assert {"name": "devbox-gateway-launch", "emptyDir": {}} in spec["volumes"]
    assert {"name": "devbox-gateway-launch", "mountPath": "/run/devbox-gateway/launch"} in container["volumeMounts"]


def test_without_them_a_pod_is_what_it_was(devbox: Any, settings: Settings) -> None:
    plain, empty = devbox(spec={"command": ["agent"]}), devbox(spec={"command": ["agent"], "launchCommands": []})
    assert made_pod(plain, 1, settings, ()) == made_pod(empty, 1, settings, ())
    assert "launch" not in str(made_pod(plain, 1, settings, ()))


def test_a_change_of_them_asks_for_a_restart(devbox: Any, settings: Settings) -> None:
    one, other = (devbox(spec={**SPEC, "launchCommands": [line]}) for line in ("a", "b"))
    assert spec_hash(one, settings, ()) != spec_hash(other, settings, ())
    assert spec_fields(one, settings, ())["spec.launchCommands"] != spec_fields(other, settings, ())["spec.launchCommands"]
    assert spec_fields(one, settings, ())["spec.command"] == spec_fields(other, settings, ())["spec.command"]


def test_what_sets_the_code_up_is_none_of_it(devbox: Any, settings: Settings) -> None:
    mounts = [{"name": "a", "repository": "https://github.com/o/r", "installCommand": "make"}]
    cloning = settings.model_copy(update={"devboxes": Devboxes(git_image="git:1")})
    spec = made_pod(devbox(spec={**SPEC, "codeMounts": mounts, "egressPolicyRef": {"name": "web"}}), 1, cloning, ())["spec"]
    _, clone, setup = spec["initContainers"]
    assert "npm ci" not in str(clone)
    assert "npm ci" not in str(setup)
    assert "startupProbe" not in setup
    assert setup["volumeMounts"] == spec["containers"][0]["volumeMounts"], "as the admission policy asks"


# The shell's part


@pytest.fixture(params=["sh", "bash"])
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """A container's start: its own process, its notes in `tmp_path`."""

    def begin(commands: Sequence[str], command: Sequence[str]) -> "subprocess.Popen[str]":
        words = launching.wrapped(DevboxSpec(command=tuple(command), launch_commands=tuple(commands)))["command"]
        ours = 5 + len(commands)
        words = [*(word.replace("$$", "$") for word in words[:ours]), *words[ours:]]
        for there, here in (("/run/devbox-gateway/launch", tmp_path / "notes"), ("/dev/termination-log", tmp_path / "ended")):
            words[2] = words[2].replace(there, str(here))
        (tmp_path / "notes").mkdir(exist_ok=True)
        words[0] = request.param
        return subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, start_new_session=True
        )

    return begin


def test_in_their_order_then_the_command_in_the_same_process(start: Any) -> None:
    with start(["echo a b", "echo 'c  d'; cd /"], ["sh", "-c", 'echo "$@"; echo pid $$; pwd', "x", "e  f", ""]) as process:
        out, _ = process.communicate(timeout=60)
        assert out.splitlines()[:3] == ["a b", "c  d", "e  f "]
        assert out.splitlines()[3] == f"pid {process.pid}"
        assert out.splitlines()[4] != "/", "where the container begins, whatever a launch command does"
        assert process.returncode == 0


def test_one_that_fails_ends_it_and_is_named(start: Any, tmp_path: Path) -> None:
    with start(["echo 1 >>ran", "echo 2 >>ran; exit 7", "echo 3 >>ran"], ["touch", "begun"]) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 7
    assert "devbox-launch: spec.launchCommands[1] ended with exit code 7" in err
    assert (tmp_path / "ended").read_text() == "devbox-launch: spec.launchCommands[1] ended with exit code 7\n"
    assert (tmp_path / "ran").read_text() == "1\n2\n"
    assert not (tmp_path / "begun").exists()
    # The container is started again, in the same pod: what ended well does not run again.
    (tmp_path / "fixed").touch()
    with start(["echo 1 >>ran", "echo 2 >>ran; test -e fixed", "echo 3 >>ran"], ["touch", "begun"]) as process:
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert (tmp_path / "ran").read_text() == "1\n2\n2\n3\n"
    assert (tmp_path / "begun").exists()
    assert (tmp_path / "notes" / "done").exists()
    with start(["echo 1 >>ran", "echo 2 >>ran; test -e fixed", "echo 3 >>ran"], ["sh", "-c", "exit 9"]) as process:
        process.communicate(timeout=60)
    assert process.returncode == 9, "the command's own"
    assert (tmp_path / "ran").read_text() == "1\n2\n2\n3\n"


def until(there: Path) -> None:
    ends = time.monotonic() + 60
    while not there.exists():
        assert time.monotonic() < ends, f"no {there.name}"
        time.sleep(0.02)


def test_the_order_to_end_reaches_a_launch_command_and_the_command(start: Any, tmp_path: Path) -> None:
    waits = "trap 'touch told; exit 0' TERM; touch waits; while :; do sleep 0.05; done"
    with start([waits], ["touch", "begun"]) as process:
        until(tmp_path / "waits")
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 143
    assert (tmp_path / "told").exists()
    assert not (tmp_path / "begun").exists()
    (tmp_path / "told").unlink()
    with start(["true"], ["sh", "-c", "trap 'touch told; exit 3' TERM; touch runs; while :; do sleep 0.05; done"]) as process:
        until(tmp_path / "runs")
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 3
    assert (tmp_path / "told").exists()


def test_a_note_that_can_not_be_written_ends_it(start: Any, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "0").symlink_to(tmp_path / "nowhere" / "else")
    with start(["true"], ["touch", "begun"]) as process:
        process.communicate(timeout=60)
    assert process.returncode != 0
    assert not (tmp_path / "begun").exists()


# What is seen and said


def observed(devbox: Any, settings: Settings, **state: Any) -> PodView:
    """A pod with launch commands, as the API server has it."""
    body = made_pod(devbox(spec=SPEC), 1, settings, ())
    body["metadata"] |= {"uid": "pod-1", "creationTimestamp": NOW.isoformat()}
    init = {"name": "devbox-init", "state": {"terminated": {"exitCode": 0, "message": "confined"}}}
    phase = state.pop("phase", "Running")
    body["status"] = {
        "phase": phase,
        "initContainerStatuses": [init],
        "containerStatuses": [{"name": "devbox", **state}],
    }
    return PodView.of(body)


ENDED = {"exitCode": 7, "startedAt": NOW.isoformat(), "finishedAt": NOW.isoformat()}
SAID = "devbox-launch: spec.launchCommands[1] ended with exit code 7\n"
RUNS = {"running": {"startedAt": NOW.isoformat()}}
NO_SHELL = 'failed to create containerd task: exec: "sh": executable file not found in $PATH: unknown'


@pytest.mark.parametrize(
    ("state", "seen"),
    [
        ({"state": {"waiting": {"reason": "PodInitializing"}}}, LaunchView()),
        ({"state": RUNS, "started": False}, LaunchView(at_work=True)),
        ({"state": RUNS, "started": True}, LaunchView()),
        (
            {"state": RUNS, "lastState": {"terminated": {**ENDED, "message": SAID}}},
            LaunchView(at_work=True, failed="spec.launchCommands[1] ended with exit code 7"),
        ),
        (
            {"state": {"terminated": {**ENDED, "message": SAID}}},
            LaunchView(failed="spec.launchCommands[1] ended with exit code 7"),
        ),
        ({"state": {"terminated": {**ENDED, "message": f"{SAID}\x1b[2J"}}}, LaunchView()),
        ({"state": {"terminated": {**ENDED, "reason": "StartError", "message": NO_SHELL}}}, LaunchView(no_shell=True)),
        ({"state": {"waiting": {"reason": "RunContainerError", "message": NO_SHELL}}}, LaunchView(no_shell=True)),
        ({"state": None}, LaunchView()),
    ],
)
def test_what_is_seen(devbox: Any, settings: Settings, state: dict[str, Any], seen: LaunchView) -> None:
    assert observed(devbox, settings, **state).launch == seen


def status(devbox: Any, settings: Settings, snapshot: Any, pod: PodView) -> Any:
    view = devbox(spec=SPEC)
    found = snapshot(view, pods=(pod,))
    outcome = HasPod(
        pod=pod,
        incarnation=1,
        failures=0,
        attached=Attachment(confined=True, issued=True, opened=True, expires={}, renew_at=None),
    )
    made = devbox_status(found, compile_devbox(found, settings), outcome, settings)
    return made.phase, {one.type: one for one in made.conditions}


def test_a_devbox_is_ready_once_they_are_done(devbox: Any, settings: Settings, snapshot: Any) -> None:
    runs = observed(devbox, settings, state=RUNS, started=False)
    phase, found = status(devbox, settings, snapshot, runs)
    assert (phase, found["PodReady"].reason) == ("Starting", Reason.LAUNCHING)
    assert found["Stalled"].status == "False"
    phase, found = status(devbox, settings, snapshot, replace(runs, ready=True, launch=LaunchView()))
    assert (phase, found["PodReady"].status) == ("Running", "True")


def test_what_failed_is_named_with_where_to_look(devbox: Any, settings: Settings, snapshot: Any) -> None:
    again = observed(
        devbox, settings, state=RUNS, started=False, lastState={"terminated": {**ENDED, "message": SAID}}, restartCount=1
    )
    _, found = status(devbox, settings, snapshot, again)
    assert found["PodReady"].reason == Reason.LAUNCH_FAILED
    assert found["PodReady"].message.startswith(
        f"spec.launchCommands[1] ended with exit code 7 in pod {again.name}, and is tried again"
    )
    assert found["PodReady"].message.endswith(f"kubectl -n team-a logs {again.name} -c devbox --previous")
    assert found["Stalled"].status == "False"
    _, found = status(devbox, settings, snapshot, replace(again, restarts=3))
    assert found["Stalled"].status == "True"
    over = observed(devbox, settings, state={"terminated": {**ENDED, "message": SAID}}, phase="Failed")
    _, found = status(devbox, settings, snapshot, over)
    assert found["PodReady"].reason == Reason.LAUNCH_FAILED
    assert "tried again" not in found["PodReady"].message


def test_an_image_without_a_shell_is_said_at_once(devbox: Any, settings: Settings, snapshot: Any) -> None:
    pod = observed(devbox, settings, state={"terminated": {**ENDED, "reason": "StartError", "message": NO_SHELL}})
    _, found = status(devbox, settings, snapshot, pod)
    assert found["PodReady"].reason == Reason.LAUNCH_FAILED
    assert "has no sh" in found["PodReady"].message
    assert found["Stalled"].status == "True"
