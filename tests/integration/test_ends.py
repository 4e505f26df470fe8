"""How soon a devbox ends that is restarted or deleted, under a real kubelet: what hears no signal, and says nothing of a time, is not
waited for."""

import time

import pytest
from tests.support.workspace import IMAGE, Workspace

from devbox_api import names
from devbox_stage.waiting import NotYet, wait_for

pytestmark = pytest.mark.row("S23")
COMMANDS = {
    "sleeps": ["sleep", "infinity"],
    "tails": ["tail", "-f", "/dev/null"],
    "python": ["python3", "-c", "import time; time.sleep(100000)"],
    "heeds": list(names.STAY),
}
AT_LEAST = 30.0
"""Seconds that each of the first three took when every pod had Kubernetes' own default."""


def devbox(name: str, command: list[str]) -> dict[str, object]:
    spec = {"image": IMAGE, "command": command}
    return {"apiVersion": names.API_VERSION, "kind": "Devbox", "metadata": {"name": name}, "spec": spec}


def test_a_restart_and_a_deletion_take_seconds(workspace: Workspace) -> None:
    for name, command in COMMANDS.items():
        workspace.apply(devbox(name, command))
    old = {name: workspace.ready(name) for name in COMMANDS}
    began = time.monotonic()
    workspace.kubectl("-n", workspace.name, "annotate", "dbx", *COMMANDS, f"{names.RESTARTED_AT_ANNOTATION}=now")
    gone: dict[str, float] = {}
    back: dict[str, float] = {}
    phases: set[str] = set()

    def look() -> None:
        pods = {pod["metadata"]["name"] for pod in workspace.pods()}
        for name in COMMANDS:
            box = workspace.get("devboxes", name) or {}
            status = box.get("status", {})
            phases.add(str(status.get("phase")))
            if old[name] not in pods:
                gone.setdefault(name, time.monotonic() - began)
            ready = {one["type"]: one["status"] for one in status.get("conditions", ())}.get("Ready")
            if status.get("podName") not in (None, old[name]) and ready == "True":
                back.setdefault(name, time.monotonic() - began)
        if len(back) < len(COMMANDS):
            raise NotYet(f"restarted: {back}")

    wait_for("all to be restarted", look, seconds=120)
    print(f"gone after {gone}, Ready again after {back}")  # noqa: T201 (figures, for docs/life.md)
    assert max(gone.values()) < AT_LEAST, gone
    assert "Restarting" in phases
    assert "Terminating" not in phases
    began = time.monotonic()
    workspace.kubectl("-n", workspace.name, "delete", "dbx", *COMMANDS, "--wait=false")

    def nothing() -> None:
        if left := workspace.pods():
            raise NotYet(f"{len(left)} pods")

    wait_for("all to be gone", nothing, seconds=120)
    print(f"deleted after {time.monotonic() - began:.1f} s")  # noqa: T201
    assert time.monotonic() - began < AT_LEAST
