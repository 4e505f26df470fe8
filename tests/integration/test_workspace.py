"""Workspaces on the real cluster: what a kubelet mounts, and what it is like when storage does not do what is expected.

The cluster has no provisioner. The volumes are directories of this machine, made by hand, of a StorageClass without one: the scheduler
chooses among them, and the control plane binds (WaitForFirstConsumer).
"""

import uuid
from typing import Any

import pytest
from tests.support.volumes import MakeVolume
from tests.support.workspace import Workspace

from devbox_api import names
from devbox_stage.kubectl import Kubectl, Object
from devbox_stage.waiting import NotYet, wait_for

pytestmark = pytest.mark.row("S23", "S29")
SECONDS = 90.0


def given(workspace: Workspace, storage_class: str, **fields: Any) -> None:
    """A Devbox with a workspace, and no gateways."""
    workspace.devbox(gateways=[], workspace={"size": "1Gi", "storageClassName": storage_class, **fields})


def restarted(workspace: Workspace, old: str) -> str:
    """Another pod, once it is Ready."""
    stamp = f"{names.RESTARTED_AT_ANNOTATION}={uuid.uuid4().hex}"
    workspace.kubectl("-n", workspace.name, "annotate", "dbx", "agent", stamp, "--overwrite")
    return another(workspace, old)


def another(workspace: Workspace, old: str) -> str:
    """Once it is Ready."""

    def attempt() -> str:
        found = workspace.ready()
        if found == old:
            raise NotYet("it is the same pod")
        return found

    return wait_for("another pod", attempt, seconds=SECONDS)


def claim_of(workspace: Workspace) -> Object:
    """The workspace's."""
    (claim,) = workspace.kubectl.all("pvc", workspace.name, names.DEVBOX_LABEL)
    return claim


def test_files_survive_pods_and_with_retain_the_devbox(
    cluster: Kubectl, workspace: Workspace, storage_class: str, volume: MakeVolume
) -> None:
    folder = volume()
    given(workspace, storage_class, home=True)
    first = workspace.ready()
    assert workspace.sh(first, 'cd && echo kept > file && pwd && id -u && echo "$HOME"') == "/workspace\n1000\n/workspace"
    assert (folder / "file").read_text() == "kept\n"
    second = restarted(workspace, first)
    assert workspace.sh(second, "cat /workspace/file && echo more >> /workspace/file") == "kept"
    cluster("-n", workspace.name, "delete", "pod", second)
    third = another(workspace, second)
    assert workspace.sh(third, "cat /workspace/file") == "kept\nmore"
    assert not [one for one in folder.iterdir() if one.name.startswith(".devbox-gateway")], "what tried it left nothing"
    box = workspace.get("dbx", "agent")
    assert box is not None
    assert box["status"]["workspace"] == {
        "claimName": claim_of(workspace)["metadata"]["name"],
        "claimUID": claim_of(workspace)["metadata"]["uid"],
        "retain": "Delete",
        "size": "1Gi",
        "capacity": "1Gi",
    }

    cluster("-n", workspace.name, "patch", "dbx", "agent", "--type=merge", "-p", '{"spec":{"workspace":{"retain":"Retain"}}}')

    def kept() -> None:
        if (workspace.get("dbx", "agent") or {})["status"]["workspace"]["retain"] != "Retain":
            raise NotYet("it would still go with the Devbox")

    wait_for("the claim is to stay", kept, seconds=SECONDS)
    cluster("-n", workspace.name, "delete", "dbx", "agent", "--timeout=60s", timeout=90)

    def alone() -> None:
        if left := workspace.pods():
            raise NotYet(f"{len(left)} pods")

    wait_for("the pod is gone", alone, seconds=SECONDS)

    def told() -> str:
        found = [
            one["note"] for one in cluster.all("events.events.k8s.io", workspace.name) if one["reason"] == "WorkspaceRetained"
        ]
        if not found:
            raise NotYet("no Event says where the files are")
        return str(found[0])

    assert claim_of(workspace)["metadata"]["name"] in wait_for("the Event", told, seconds=SECONDS)
    assert claim_of(workspace)["status"]["phase"] == "Bound"
    assert (folder / "file").read_text() == "kept\nmore\n"


def test_a_driver_that_gives_the_group_nothing(workspace: Workspace, storage_class: str, volume: MakeVolume) -> None:
    """As NFS and hostPath do; the agent is not started, until it can write."""
    folder = volume("hostPath")
    given(workspace, storage_class)
    message = workspace.condition("dbx", "agent", "PodReady", "WorkspaceNotWritable")
    assert "Permission denied (it belongs to 0:0, mode 755; the devbox is 1000:1000" in message
    folder.chmod(0o777)
    pod = workspace.ready()
    assert workspace.sh(pod, "echo x > /workspace/file && cat /workspace/file") == "x"


def test_a_full_one(workspace: Workspace, storage_class: str, volume: MakeVolume) -> None:
    """Its agent runs all the same: nobody else could make room."""
    volume(megabytes=4)
    given(workspace, storage_class)
    first = workspace.ready()
    fill = workspace.exec(first, ["sh", "-c", "cat /dev/zero > /workspace/zeros"], check=False)
    assert "No space left on device" in fill.err
    second = restarted(workspace, first)
    message = workspace.condition("dbx", "agent", "PodReady", "WorkspaceFull", "True")
    assert second in message
    assert workspace.conditions("dbx", "agent")["Ready"]["status"] == "True"
    workspace.sh(second, "rm /workspace/zeros && echo x > /workspace/file")
    restarted(workspace, second)
    workspace.condition("dbx", "agent", "PodReady", "Ready", "True")


def test_no_volume_of_the_class(workspace: Workspace, storage_class: str, volume: MakeVolume) -> None:
    given(workspace, storage_class)
    message = workspace.condition("dbx", "agent", "PodReady", "ClaimPending")
    assert "didn't find available persistent volumes to bind" in message
    assert workspace.conditions("dbx", "agent")["Stalled"]["status"] == "False"
    volume()
    workspace.ready()
    assert claim_of(workspace)["status"]["phase"] == "Bound"
