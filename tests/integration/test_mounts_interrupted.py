"""Code mounts that are interrupted on the real cluster: what is finished is left alone, what is half made goes, what nobody has
committed stays. And a command that leaves no room."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.standins import hosts
from tests.support.volumes import MakeVolume
from tests.support.workspace import Workspace

from devbox_api import names
from devbox_stage.kubectl import Object
from devbox_stage.waiting import NotYet, wait_for

pytestmark = pytest.mark.row("S23")
SECONDS = 90.0
APP = {"name": "app", "repository": f"https://{hosts.GIT}/{hosts.PACKAGE}.git"}
HELD = {"name": "held", "repository": f"https://{hosts.GIT}/{hosts.HELD}/{hosts.PACKAGE}.git", "path": "lib/held"}
WAITS = 'echo began >> installing; while [ ! -e go ]; do sleep 0.2; done; test -z "$(git status --porcelain README)" || echo so > changed'


@pytest.fixture
def home(workspace: Workspace, registries: str) -> Workspace:
    """With a policy for the git host."""
    spec = {"allowedHostnames": [hosts.GIT]}
    workspace.apply({"apiVersion": names.API_VERSION, "kind": "EgressPolicy", "metadata": {"name": "web"}, "spec": spec})
    return workspace


def given(home: Workspace, storage_class: str, *mounts: Object, **more: Any) -> None:
    """A Devbox with these mounts, on a claim of that class."""
    workspace = {"size": "1Gi", "storageClassName": storage_class}
    home.devbox(gateways=[], egressPolicyRef={"name": "web"}, workspace=workspace, codeMounts=list(mounts), **more)


def processes(uid: str, words: str) -> Iterator[int]:
    """Of a pod, on this machine: process 1 of containers whose command holds the words."""
    for place in Path("/proc").glob("[0-9]*"):
        try:
            inner = next(line for line in (place / "status").read_text().splitlines() if line.startswith("NSpid:")).split()[-1]
            mine = uid.replace("-", "_") in (found := (place / "cgroup").read_text()) or uid in found
            if mine and inner == "1" and words in (place / "cmdline").read_text().replace("\0", " "):
                yield int(place.name)
        except (OSError, StopIteration):
            continue  # (it has ended)


def killed(home: Workspace, container: str, words: str) -> None:
    """The container's process 1, as the kernel does it that has no memory left."""
    (pod,) = home.pods()
    (number,) = processes(pod["metadata"]["uid"], words)
    os.kill(number, signal.SIGKILL)

    def again() -> None:
        now = home.get("pod", pod["metadata"]["name"]) or {}
        states = {one["name"]: one for one in now["status"]["initContainerStatuses"]}
        if not states[container]["restartCount"] or "running" not in states[container]["state"]:
            raise NotYet(f"{container} is {states[container]['state']}")

    wait_for(f"{container} runs again", again, seconds=SECONDS)


def cloning(home: Workspace, folder: Path, but: str = "") -> str:
    """The pod, once it clones what has no end. `but`: not this one."""

    def attempt() -> str:
        pods = [pod for pod in home.pods() if pod["metadata"]["name"] != but]
        if len(pods) != 1 or not list(processes(pods[0]["metadata"]["uid"], "devbox-clone")):
            raise NotYet(f"{len(pods)} pods")
        if not (folder / "app/README").exists() or not list((folder / ".devbox-gateway/cloning").glob("*/.git")):
            raise NotYet("nothing is half made")
        return str(pods[0]["metadata"]["name"])

    return wait_for("half a clone", attempt, seconds=SECONDS)


def test_killed_deleted_and_gone_on_with(home: Workspace, storage_class: str, volume: MakeVolume) -> None:
    folder = volume()
    given(home, storage_class, APP, HELD)
    first = cloning(home, folder)
    (folder / "app/README").write_text("not committed\n")
    before = {path: path.read_bytes() for path in (folder / "app").rglob("*") if path.is_file()}

    killed(home, "devbox-clone", "devbox-clone")
    assert "exit code 137" in home.condition("dbx", "agent", "CodeMounted", "CloneFailed")
    assert cloning(home, folder) == first, "it goes on in the same pod"
    home.kubectl("-n", home.name, "delete", "pod", first)
    cloning(home, folder, first)
    assert len(list((folder / ".devbox-gateway/cloning").iterdir())) == 1
    assert {path: path.read_bytes() for path in (folder / "app").rglob("*") if path.is_file()} == before

    given(home, storage_class, {**APP, "installCommand": WAITS})
    installing = folder / "app/installing"

    def begun(times: int) -> None:
        if not installing.exists() or installing.read_text() != "began\n" * times:
            raise NotYet("no install command runs")

    wait_for("the install command", lambda: begun(1), seconds=SECONDS)
    assert not (folder / "lib/held").exists()
    assert not (folder / ".devbox-gateway/cloning").exists(), "of what nobody asks for any more, too"
    killed(home, "devbox-setup", names.SETUP_CONTAINER)
    wait_for("it begins anew", lambda: begun(2), seconds=SECONDS)
    (folder / "app/go").touch()
    pod = home.ready()
    assert home.sh(pod, "cat /workspace/app/README /workspace/app/changed") == "not committed\nso"


def test_an_install_command_that_fills_the_disk(home: Workspace, storage_class: str, volume: MakeVolume) -> None:
    """It says so, and a correction of the spec is enough. (A clone that does: unit test_hostile.py, with a real disk.)"""
    volume(megabytes=8)
    given(home, storage_class, {**APP, "installCommand": "cat /dev/zero > zeros"})
    said = home.condition("dbx", "agent", "CodeMounted", "InstallFailed")
    assert "a disk was full: give the workspace more room (spec.workspace.size), or let installCommand remove first" in said
    assert "> cat: write error: No space left on device" in said
    given(home, storage_class, {**APP, "installCommand": "rm -f zeros && echo done > installed"})
    pod = home.ready()
    assert home.sh(pod, "cat /workspace/app/installed") == "done"
