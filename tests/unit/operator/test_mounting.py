"""The containers that mount code, what is read of them, and the condition CodeMounted."""

import json
import subprocess
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from devbox_api import names
from devbox_api.conditions import Reason
from devbox_clone import document
from devbox_operator.attach.wanted import Attachment
from devbox_operator.devbox import mounted, mounting
from devbox_operator.devbox.compile import compile_devbox
from devbox_operator.devbox.outcome import HasPod
from devbox_operator.devbox.pod import completed, pod, spec_fields, spec_hash
from devbox_operator.devbox.status import devbox_status
from devbox_operator.seen.mountview import MountView
from devbox_operator.settings import Devboxes, Settings

from .conftest import NOW

pytestmark = pytest.mark.row("S23")
GIT = "registry.example/devbox-gateway-git:1"
MOUNTS = [
    {"name": "app", "repository": "https://github.com/org/app", "ref": "main", "depth": 1, "gateway": "ANTHROPIC", "lfs": True},
    {
        "name": "lib",
        "repository": "https://git.corp/team/lib.git",
        "path": "src/lib",
        "submodules": True,
        "installCommand": "make",
    },
]
SPEC: dict[str, Any] = {"codeMounts": MOUNTS, "egressPolicyRef": {"name": "web"}, "env": [{"name": "A", "value": "1"}]}


@pytest.fixture
def cloning(settings: Settings) -> Settings:
    return settings.model_copy(update={"devboxes": Devboxes(git_image=GIT)})


def made(view: Any, settings: Settings) -> dict[str, Any]:
    return dict(pod(view, 1, settings, ("10.96.0.9",))["spec"])


def test_without_code_mounts_a_pod_is_what_it_was(devbox: Any, settings: Settings, cloning: Settings) -> None:
    view = devbox()
    assert pod(view, 1, settings, ("10.96.0.9",)) == pod(view, 1, cloning, ("10.96.0.9",))
    assert [one["name"] for one in made(view, cloning)["initContainers"]] == ["devbox-init"]
    assert "spec.codeMounts" not in spec_fields(view, settings, ())
    assert "devbox-gateway-workspace" not in json.dumps(made(view, settings))


def test_the_one_that_clones_is_given_what_it_needs_and_no_more(devbox: Any, cloning: Settings) -> None:
    view = devbox(spec={**SPEC, "secretEnv": [{"name": "S", "secretRef": {"name": "s"}}]})
    spec = made(view, cloning)
    init, clone, setup = spec["initContainers"]
    assert (init["name"], clone["name"], setup["name"]) == ("devbox-init", "devbox-clone", "devbox-setup")
    assert clone["image"] == GIT
    assert clone["command"] == ["devbox-clone"]
    assert clone["securityContext"] == init["securityContext"]
    assert [one["mountPath"] for one in clone["volumeMounts"]] == [names.CA_DIRECTORY, "/workspace"]
    secret = {one["name"]: one["valueFrom"]["secretKeyRef"]["key"] for one in clone["env"] if "valueFrom" in one}
    assert secret == {"ANTHROPIC": "ANTHROPIC", "HTTPS_PROXY": "HTTPS_PROXY"}
    assert {one["name"] for one in clone["env"] if "value" in one} == {"CODE_MOUNTS", "NO_PROXY", "GIT_SSL_CAINFO"}
    assert {"name": "devbox-gateway-workspace", "emptyDir": {}} in spec["volumes"]


def test_what_it_is_told_is_what_it_understands(devbox: Any, cloning: Settings) -> None:
    clone = made(devbox(spec=SPEC), cloning)["initContainers"][1]
    work = document.parse(next(one["value"] for one in clone["env"] if one["name"] == "CODE_MOUNTS"))
    gateway = document.Gateway("https://gateway.rel.svc", "https://github.com/", "ANTHROPIC")
    assert work == document.Work(
        "/workspace",
        (
            document.Mount("app", "https://github.com/org/app", "app", "main", 1, lfs=True, gateway=gateway),
            document.Mount("lib", "https://git.corp/team/lib.git", "src/lib", submodules=True),
        ),
    )


@pytest.mark.parametrize("path", ["/opt", "/opt/devbox-clone", "/usr/local", "/work"])
def test_where_the_agent_has_its_workspace_hides_nothing_from_the_one_that_clones(
    devbox: Any, cloning: Settings, path: str
) -> None:
    view = devbox(spec={**SPEC, "workspace": {"size": "1Gi", "path": path}})
    _, clone, setup = made(view, cloning)["initContainers"]
    assert [one["mountPath"] for one in clone["volumeMounts"]] == [names.CA_DIRECTORY, "/workspace"]
    assert document.parse(next(one["value"] for one in clone["env"] if one["name"] == "CODE_MOUNTS")).workspace == "/workspace"
    assert {"name": "devbox-gateway-workspace", "mountPath": path} in setup["volumeMounts"]


def test_the_one_that_installs_is_the_agents_with_another_command(devbox: Any, cloning: Settings) -> None:
    workspace = {"workspace": {"size": "1Gi", "path": "/work", "home": True}}
    spec = made(devbox(spec={**SPEC, **workspace, "resources": {"limits": {"cpu": "1"}}, "command": ["x"]}), cloning)
    setup, main = spec["initContainers"][2], spec["containers"][0]
    for key in ("image", "env", "volumeMounts", "securityContext", "resources"):
        assert setup[key] == main[key]
    assert setup["command"][:2] == ["sh", "-c"]
    assert setup["command"][3:] == ["devbox-setup", "lib", "1800", "/work/src/lib", "make"]
    assert setup["command"][2].replace("$$", "$") == mounting.SCRIPT
    assert setup["terminationMessagePolicy"] == "FallbackToLogsOnError"
    nothing = [{**MOUNTS[0]}]
    assert len(made(devbox(spec={"codeMounts": nothing}), cloning)["initContainers"]) == 2


def test_what_the_kubelet_would_put_variables_into_stands_as_it_was_written(devbox: Any, cloning: Settings) -> None:
    mount = {**MOUNTS[1], "installCommand": 'echo $$ "$(HOME)" $(date)'}
    command = made(devbox(spec={**SPEC, "codeMounts": [mount]}), cloning)["initContainers"][2]["command"]
    assert command[-1] == 'echo $$$$ "$$(HOME)" $$(date)'


def test_a_change_asks_for_a_restart_and_another_image_that_clones_does_not(devbox: Any, cloning: Settings) -> None:
    view, other = devbox(spec=SPEC), devbox(spec={**SPEC, "codeMounts": [{**MOUNTS[0], "depth": 2}]})
    assert spec_hash(view, cloning, ()) != spec_hash(other, cloning, ())
    changed = {
        field for field, value in spec_fields(view, cloning, ()).items() if spec_fields(other, cloning, ())[field] != value
    }
    assert changed == {"spec.codeMounts"}
    newer = cloning.model_copy(update={"devboxes": Devboxes(git_image="other:2")})
    assert spec_hash(view, cloning, ()) == spec_hash(view, newer, ())
    assert mounting.digest(view.box.spec, cloning) != mounting.digest(view.box.spec, newer)


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (
            [("one", "30", ".", "echo a; cd /"), ("two", "30", ".", "pwd")],
            0,
            "devbox-setup: one\na\ndevbox-setup: two\n{here}\n",
        ),
        (
            [("one", "30", ".", "echo a; exit 7"), ("two", "30", ".", "echo b")],
            7,
            "devbox-setup: one\na\ndevbox-setup: one: installCommand ended with exit code 7\n",
        ),
        (
            [("one", "1", ".", "exec sleep 300")],
            124,
            "devbox-setup: one\ndevbox-setup: one: installCommand has not ended after 1 s (installTimeoutSeconds)\n",
        ),
        ([("one", "30", "missing", "echo a")], None, "devbox-setup: one\n"),
    ],
)
def test_the_script(tmp_path: Path, arguments: list[tuple[str, ...]], status: int | None, words: str) -> None:
    """As process 1 of a namespace of its own: what it leaves ends with it."""
    began = time.monotonic()
    command = ["unshare", "--map-root-user", "--pid", "--fork", "--kill-child", "sh", "-c", mounting.SCRIPT, "devbox-setup"]
    done = subprocess.run(
        [*command, *(word for one in arguments for word in one)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == status if status is not None else done.returncode > 0
    assert done.stdout.startswith(words.format(here=tmp_path))
    assert time.monotonic() - began < 20


def status_of(**containers: Any) -> dict[str, Any]:
    return {"initContainerStatuses": [{"name": f"devbox-{name}", **value} for name, value in containers.items()]}


RUNS = {"state": {"running": {"startedAt": "2026-11-23T11:00:00Z"}}}
ENDED = {"state": {"terminated": {"exitCode": 0}}}
FAILED = {"state": {"terminated": {"exitCode": 1, "message": "a\x1b[2J\nb gws_token.x\n"}}, "restartCount": 1}
FULL = {"state": {"terminated": {"exitCode": 1, "message": "tar: x: Cannot write: No space left on device\n"}}}
STARVED = {"state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}
AGAIN = {"state": {"waiting": {}}, "lastState": FAILED["state"], "restartCount": 2}
INITS = {"initContainers": [{"name": "devbox-init"}, {"name": "devbox-clone", "image": GIT}, {"name": "devbox-setup"}]}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({}, MountView(GIT)),
        (status_of(init=RUNS), MountView(GIT)),
        (status_of(clone=RUNS), MountView(GIT, at_work="devbox-clone", since=NOW - timedelta(hours=1))),
        (status_of(clone=FAILED), MountView(GIT, failed="devbox-clone", words="a\\x1b[2J\nb gws_…", failures=2)),
        (status_of(clone=AGAIN), MountView(GIT, failed="devbox-clone", words="a\\x1b[2J\nb gws_…", failures=2)),
        (status_of(clone=ENDED), MountView(GIT, cloned=True)),
        (
            status_of(clone=ENDED, setup={**AGAIN, **RUNS}),
            MountView(
                GIT,
                cloned=True,
                at_work="devbox-setup",
                since=NOW - timedelta(hours=1),
                failed="devbox-setup",
                words="a\\x1b[2J\nb gws_…",
                failures=2,
            ),
        ),
        (status_of(clone=ENDED, setup=ENDED), MountView(GIT, cloned=True, done=True)),
        (
            status_of(clone={"state": {"terminated": {"exitCode": 137}}}),
            MountView(GIT, failed="devbox-clone", words="it ended with exit code 137 and said nothing", failures=1),
        ),
    ],
)
def test_how_far_they_are(status: dict[str, Any], expected: MountView) -> None:
    assert MountView.of(INITS, status) == expected


def test_what_they_said_has_a_bound() -> None:
    message = "\n".join(f"{number} " + "€" * 100 for number in range(10000))
    found = MountView.of(INITS, status_of(clone={"state": {"terminated": {"exitCode": 1, "message": message}}}))
    assert found is not None
    assert len(found.words.encode()) <= 2048
    assert found.words.splitlines()[-1].startswith("9999 ")
    assert MountView.of({"initContainers": [{"name": "devbox-init"}]}, {}) is None


@pytest.mark.parametrize(("begins", "shown"), [("eyJhbGci.payload-of_a.token" * 40, "gws_…"), ("code 1", "code 1")])
def test_a_token_that_the_kubelet_cut(begins: str, shown: str) -> None:
    """Of a log it takes the last 2,048 bytes, wherever these begin."""
    ended = {"exitCode": 1, "message": f"{begins}\nnpm failed"}
    found = MountView.of(INITS, status_of(clone=ENDED, setup={"state": {"terminated": ended}}))
    assert found is not None
    assert found.words == f"{shown}\nnpm failed"


HELD: dict[str, Any] = {"started": None, "ready": False, "phase": "Pending"}


@pytest.mark.parametrize(
    ("changes", "status", "reason", "words"),
    [
        ({**HELD, "gates": (names.SCHEDULING_GATE,)}, {}, Reason.WAITING, "code is mounted when the pod has what it needs"),
        (HELD, {}, Reason.CLONING, "repositories are cloned in pod"),
        (HELD, status_of(clone=ENDED), Reason.CLONING, "install commands run in pod"),
        (HELD, status_of(clone=FAILED), Reason.CLONE_FAILED, "> a\\x1b[2J\n> b gws_…\ndevbox-clone of pod"),
        (HELD, status_of(clone=STARVED), Reason.CLONE_FAILED, "> it was ended for want of memory (exit code 137)"),
        (HELD, status_of(clone=STARVED), Reason.CLONE_FAILED, "it ran out of memory: clone less (codeMounts[].depth: 1"),
        (HELD, status_of(clone=ENDED, setup=STARVED), Reason.INSTALL_FAILED, "give the devbox more (spec.resources.limits"),
        (HELD, status_of(clone=ENDED, setup=FAILED), Reason.INSTALL_FAILED, "> a\\x1b[2J\n> b gws_…\ndevbox-setup of"),
        (HELD, status_of(clone=ENDED, setup=FULL), Reason.INSTALL_FAILED, "a disk was full: give the workspace more room"),
        (HELD, status_of(clone=ENDED, setup=ENDED), Reason.MOUNTED, ""),
        ({}, status_of(clone=ENDED, setup=ENDED), Reason.MOUNTED, ""),
    ],
)
def test_the_condition(devbox: Any, pod: Any, *, changes: Any, status: Any, reason: Reason, words: str) -> None:
    view = devbox(spec=SPEC)
    found = mounted.finding(view.box.spec, pod(view, mounts=MountView.of(INITS, status), **changes), None)
    assert found is not None
    assert found.reason == reason
    assert words in found.message
    assert found.status == ("True" if reason == Reason.MOUNTED else "False")


@pytest.mark.parametrize(
    ("status", "failures", "phase", "reason", "stalled"),
    [
        ({}, 0, "Mounting", "Cloning", "False"),
        (status_of(clone=ENDED, setup=RUNS), 0, "Mounting", "Cloning", "False"),
        (status_of(clone=AGAIN), 0, "Mounting", "CloneFailed", "False"),
        (status_of(clone={**AGAIN, "restartCount": 3}), 0, "Mounting", "CloneFailed", "True"),
        (status_of(clone=FAILED), 3, "Mounting", "CloneFailed", "True"),
        (status_of(clone=ENDED, setup=ENDED), 0, "Starting", "PodPending", "False"),
    ],
)
def test_the_status(
    snapshot: Any,
    devbox: Any,
    pod: Any,
    cloning: Settings,
    *,
    status: Any,
    failures: int,
    phase: str,
    reason: str,
    stalled: str,
) -> None:
    view = devbox(spec={"codeMounts": MOUNTS[1:], "egressPolicyRef": {"name": "web"}})
    held = pod(view, mounts=MountView.of(INITS, status), **HELD)
    seen = snapshot(view, pods=(held,), policies=(), egress="NotFound")
    attached = Attachment(confined=True, issued=True, opened=True, expires={}, renew_at=None)
    desired = replace(compile_devbox(seen, cloning), egress_problem=None)
    made = devbox_status(seen, desired, HasPod(1, failures, held, attached), cloning)
    assert made.phase == phase
    conditions = {one.type: one for one in made.conditions}
    assert conditions["Ready"].reason == reason
    assert conditions["Stalled"].status == stalled


def test_a_pod_that_was_made_before_runs_on(devbox: Any, pod: Any) -> None:
    view = devbox(spec=SPEC)
    found = mounted.finding(view.box.spec, pod(view), None)
    assert found is not None
    assert "mounted when it is restarted" in found.message
    assert not mounted.needed(view.box.spec, pod(view))
    assert mounted.finding(devbox().box.spec, pod(view), None) is None


def test_a_gateway_that_leads_elsewhere_keeps_the_pod_gated(snapshot: Any, devbox: Any, pod: Any, cloning: Settings) -> None:
    view = devbox(spec=SPEC)
    gated = pod(view, gates=(names.SCHEDULING_GATE,), mounts=MountView(GIT), **HELD)
    desired = compile_devbox(snapshot(view, pods=(gated,)), cloning)
    assert desired.mount_problem is not None
    assert desired.mount_problem.reason == Reason.REPOSITORY_MISMATCH
    assert (
        "the repository is at https://github.com, and the gateway leads to https://api.anthropic.com"
        in desired.mount_problem.message
    )
    assert not desired.complete
    found = mounted.finding(view.box.spec, gated, desired.mount_problem)
    assert found is not None
    assert found.reason == Reason.REPOSITORY_MISMATCH


def test_without_an_image_that_clones_it_is_not_accepted(snapshot: Any, devbox: Any, settings: Settings) -> None:
    desired = compile_devbox(snapshot(devbox(spec=SPEC)), settings)
    assert desired.refused is not None
    assert desired.refused.reason == Reason.IMAGE_MISSING
    assert "devboxes.gitImage" in desired.refused.message


@pytest.mark.parametrize(
    ("status", "seconds"),
    [
        ({}, None),
        (status_of(clone=RUNS), 3600 + 60),
        (status_of(clone=ENDED, setup=RUNS), 1800 + 60),
        (status_of(clone=ENDED, setup=ENDED), None),
    ],
)
def test_when_it_has_had_its_time(devbox: Any, pod: Any, status: Any, seconds: int | None) -> None:
    view = devbox(spec=SPEC)
    held = pod(view, mounts=MountView.of(INITS, status), **HELD)
    at = mounting.overdue(view.box.spec, held)
    assert at == (None if seconds is None else NOW - timedelta(hours=1) + timedelta(seconds=seconds))
    assert mounting.overdue(view.box.spec, replace(held, started=NOW)) is None


def test_the_image_of_the_agent_is_the_charts_default(devbox: Any, cloning: Settings) -> None:
    default = cloning.model_copy(update={"devboxes": Devboxes(git_image=GIT, default_image="img:2")})
    view = devbox(spec={**SPEC, "image": None})
    assert completed(view.box.spec, default).image == "img:2"
    assert made(view, default)["initContainers"][2]["image"] == "img:2"
