"""The claim of a workspace: what is posted, what is asked of it later, and what its state is called."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from devbox_api import names
from devbox_operator.attach import network
from devbox_operator.attach.wanted import Attachment
from devbox_operator.devbox import claim as claims
from devbox_operator.devbox.compile import compile_devbox
from devbox_operator.devbox.lifecycle import Create, Keep, Later, Replace
from devbox_operator.devbox.lingering import endings
from devbox_operator.devbox.outcome import HasPod, NoPod, PodPostponed
from devbox_operator.devbox.status import devbox_status
from devbox_operator.seen.claims import ClaimView, StorageClassView, claim_name
from devbox_operator.seen.initview import InitView
from devbox_operator.seen.namespaced import PolicyView
from devbox_operator.seen.resources import DevboxView
from devbox_operator.seen.snapshot import NOT_FOUND, Snapshot
from devbox_operator.settings import Settings

from .conftest import IMAGE, NOW, claim_of

pytestmark = pytest.mark.row("S23", "S29")
WORKSPACE = {"size": "10Gi"}
KNOWN = {"workspace": {"claimName": "c", "claimUID": "claim-1", "retain": "Delete", "size": "10Gi"}}
"""Of a status."""
FAST = StorageClassView("fast", waits=False, grows=True)


def view_of(devbox: Any, *, status: Mapping[str, Any] | None = None, **workspace: Any) -> DevboxView:
    """A Devbox with a workspace."""
    found: DevboxView = devbox(spec={"workspace": {**WORKSPACE, **workspace}}, status=status)
    return found


def told(shot: Snapshot, settings: Settings, pod: Any = None) -> dict[str, tuple[str, str, str]]:
    """The conditions."""
    outcome = HasPod(1, 0, pod=pod) if pod else NoPod(0, 0)
    found = devbox_status(shot, compile_devbox(shot, settings), outcome, settings).conditions
    return {one.type: (one.status, one.reason, one.message) for one in found}


def test_what_is_posted(devbox: Any) -> None:
    box = view_of(devbox, accessMode="ReadWriteOncePod", storageClassName="fast").box
    assert box.spec.workspace is not None
    body = claims.body(box, box.spec.workspace)
    owner = {"apiVersion": names.API_VERSION, "kind": "Devbox", "name": "agent", "uid": box.uid}
    assert body["metadata"]["name"] == claim_name(box)
    assert body["metadata"]["annotations"] == {"devbox-gateway.io/workspace-of": box.uid}
    assert body["metadata"]["ownerReferences"] == [owner]
    assert body["spec"] == {
        "accessModes": ["ReadWriteOncePod"],
        "resources": {"requests": {"storage": "10Gi"}},
        "storageClassName": "fast",
    }
    kept = view_of(devbox, retain="Retain").box
    assert kept.spec.workspace is not None
    body = claims.body(kept, kept.spec.workspace)
    assert "ownerReferences" not in body["metadata"]
    assert "storageClassName" not in body["spec"], "the cluster's default one"


def test_another_devbox_of_that_name_has_another_claim(devbox: Any) -> None:
    old = devbox().box
    assert claim_name(old) != claim_name(old.model_copy(update={"uid": "another"}))
    assert len(claim_name(devbox(name="a" * 52).box)) == 63


def test_there_is_none_without_a_workspace(devbox: Any, snapshot: Any, settings: Settings) -> None:
    shot = snapshot(devbox())
    assert not claims.wanted(shot)
    assert claims.problem(shot) is None
    assert devbox_status(shot, compile_devbox(shot, settings), NoPod(0, 0), settings).workspace is None


def test_it_is_made_once(devbox: Any, snapshot: Any) -> None:
    """One that was there and is not is lost."""
    view = view_of(devbox)
    assert claims.wanted(snapshot(view))
    assert not claims.wanted(snapshot(view, claim=claim_of(view)))
    assert not claims.wanted(snapshot(view_of(devbox, status=KNOWN)))


@pytest.mark.parametrize(
    ("retain", "owners", "expected"),
    [
        ("Delete", {"uid-team-a-agent"}, None),
        ("Retain", set(), None),
        ("Retain", {"other"}, None),
        ("Retain", {"uid-team-a-agent"}, [{"$patch": "delete", "uid": "uid-team-a-agent"}]),
        (
            "Delete",
            {"other"},
            [{"apiVersion": names.API_VERSION, "kind": "Devbox", "name": "agent", "uid": "uid-team-a-agent"}],
        ),
    ],
)
def test_it_goes_with_its_devbox_or_outlives_it(devbox: Any, retain: str, owners: set[str], expected: Any) -> None:
    view = view_of(devbox, retain=retain)
    patch = claims.ownership(view.box, claim_of(view, owners=frozenset(owners)))
    assert patch == (None if expected is None else {"metadata": {"uid": "claim-1", "ownerReferences": expected}})


@pytest.mark.parametrize(
    ("retain", "changes", "refused"),
    [
        ("Retain", {}, True),
        ("Retain", {"phase": "Lost"}, True),
        ("Retain", {"owners": frozenset({"another"})}, False),
        ("Retain", {"deleting": True}, False),
        ("Delete", {}, False),
    ],
    ids=str,
)
def test_one_that_is_to_outlive_its_devbox_does_not_go_with_it_when_that_ends(
    devbox: Any, snapshot: Any, *, retain: str, changes: Any, refused: bool
) -> None:
    view = view_of(devbox, retain=retain)
    found = claim_of(view, **{"owners": frozenset({view.box.uid}), **changes})
    problem = claims.taken_along(snapshot(view, claim=found))
    assert (problem is not None) == refused
    assert problem is None or (problem.reason, "is to stay" in problem.message) == ("DeletionRefused", True)
    assert claims.taken_along(snapshot(view)) is None
    assert claims.taken_along(snapshot(devbox())) is None


def test_its_marks_come_back(devbox: Any) -> None:
    view = view_of(devbox, retain="Retain")
    labels = {names.MANAGED_BY_LABEL: names.MANAGED_BY, names.DEVBOX_LABEL: "agent"}
    found = claim_of(view, owners=frozenset(), labelled=False)
    assert claims.ownership(view.box, found) == {"metadata": {"uid": "claim-1", "labels": labels}}
    unmarked = claims.ownership(view.box, claim_of(view, workspace_of=""))
    assert unmarked is not None
    assert unmarked["metadata"]["annotations"] == {names.WORKSPACE_OF_ANNOTATION: view.box.uid}, "or nobody would know it again"


GROWING = [
    ({}, FAST, None, None),
    ({"size": "10240Mi"}, FAST, None, None),
    ({"size": "20Gi"}, FAST, "20Gi", None),
    ({"size": "20Gi"}, None, "20Gi", None),
    ({"size": "20Gi"}, NOT_FOUND, None, "WorkspaceNotGrowing"),
    ({"size": "20Gi"}, StorageClassView("fast", waits=False, grows=False), None, "WorkspaceNotGrowing"),
    ({"size": "5Gi"}, FAST, None, None),
]


@pytest.mark.parametrize(("workspace", "known", "asked", "reason"), GROWING, ids=str)
def test_how_it_grows(
    devbox: Any, snapshot: Any, settings: Settings, *, workspace: Any, known: Any, asked: str | None, reason: str | None
) -> None:
    view = view_of(devbox, **workspace)
    shot = snapshot(view, claim=claim_of(view), storage_class=known)
    assert claims.growth(shot) == asked
    if asked is None:
        accepted = told(shot, settings)["Accepted"]
        assert (accepted[0], accepted[1]) == ("True", reason or "Accepted"), "a pod is made all the same"


@pytest.mark.parametrize(
    ("change", "size", "refused", "expected"),
    [
        ({"asked": "20Gi"}, "20Gi", "", ("WorkspaceGrowing", "has 10Gi of 20Gi")),
        (
            {"asked": "20Gi", "growth": "FileSystemResizePending: waiting for a pod"},
            "20Gi",
            "",
            ("WorkspaceGrowing", "waiting for a pod; if it stays so, restart the devbox"),
        ),
        ({"phase": "Pending", "capacity": ""}, "20Gi", "", ("WorkspaceGrowing", "as soon as it is bound")),
        ({}, "20Gi", "exceeded quota: storage", ("WorkspaceNotGrowing", "exceeded quota: storage")),
        ({}, "20Gi", "", ("WorkspaceNotGrowing", "StorageClass fast does not let its claims grow")),
        ({"capacity": "12Gi"}, "10Gi", "", ("Accepted", "")),
    ],
    ids=str,
)
def test_what_is_said_of_a_size_that_is_not_there_yet(
    devbox: Any, snapshot: Any, settings: Settings, *, change: Any, size: str, refused: str, expected: tuple[str, str]
) -> None:
    view = view_of(devbox, size=size)
    kind = StorageClassView("fast", waits=False, grows=False)
    shot = snapshot(view, claim=claim_of(view, **change), storage_class=kind, claim_refused=refused)
    status, reason, message = told(shot, settings)["Accepted"]
    assert (status, reason) == ("True", expected[0])
    assert expected[1] in message
    assert compile_devbox(shot, settings).refused is None


TAKEN = "annotate pvc NAME devbox-gateway.io/workspace-of=uid-team-a-agent"
NO_POD = [
    ({"workspace_of": "", "owners": frozenset()}, {}, "", "ClaimConflict", TAKEN),
    ({"workspace_of": "uid-9", "owners": frozenset({"uid-9"})}, {}, "", "ClaimConflict", TAKEN),
    (None, KNOWN, "", "ClaimLost", "with the annotation devbox-gateway.io/workspace-of: uid-team-a-agent"),
    ({"deleting": True}, KNOWN, "", "ClaimLost", "copy what is needed"),
    ({"phase": "Lost"}, KNOWN, "", "ClaimLost", "the volume of"),
    (None, {}, "exceeded quota: claims", "ClaimRefused", "can't be made: exceeded quota: claims"),
]


@pytest.mark.parametrize(("change", "status", "refused", "reason", "words"), NO_POD, ids=str)
def test_no_pod_is_made_with_a_claim_that_is(
    devbox: Any, snapshot: Any, pod: Any, settings: Settings, *, change: Any, status: Any, refused: str, reason: str, words: str
) -> None:  # fmt: skip
    view = view_of(devbox, status={**status, "incarnation": 1} if status else None)
    shot = snapshot(view, claim=None if change is None else claim_of(view, **change), claim_refused=refused)
    desired = compile_devbox(shot, settings)
    assert desired.refused is not None
    assert desired.refused.reason == reason
    found = told(shot, settings)
    assert found["Accepted"][:2] == found["Ready"][:2] == ("False", reason)
    assert found["Stalled"][:2] == ("True", reason)
    assert words.replace("NAME", claim_name(view.box)) in found["Accepted"][2]
    running = pod(view, 1, spec_hash=desired.spec_hash)
    assert compile_devbox(replace(shot, pods=(running,)), settings).step == Keep(running), "what runs goes on"
    known = devbox_status(shot, desired, NoPod(0, 0), settings).workspace
    assert (known is not None) == bool(status), "what was is not forgotten"


def test_one_that_is_put_back_counts(devbox: Any, snapshot: Any, settings: Settings) -> None:
    """Another claim, say bound to the volume that a backup was restored to."""
    view = view_of(devbox, status=KNOWN, retain="Retain")
    shot = snapshot(view, claim=claim_of(view, uid="claim-2", owners=frozenset()))
    desired = compile_devbox(shot, settings)
    assert desired.refused is None
    assert isinstance(desired.step, Create)
    found = devbox_status(shot, desired, NoPod(0, 0), settings).workspace
    assert found is not None
    assert found.model_dump(by_alias=True) == {
        "claimName": claim_name(view.box),
        "claimUID": "claim-2",
        "retain": "Retain",
        "size": "10Gi",
        "capacity": "10Gi",
    }


WAITS = StorageClassView("fast", waits=True, grows=True)
UNBOUND = "Unschedulable: 0/1 nodes are available: 1 node(s) didn't find available persistent volumes to bind"
PENDING = [
    ({}, FAST, "", "ClaimPending", "describe pvc"),
    ({}, None, "", "ClaimPending", "describe pvc"),
    ({}, NOT_FOUND, "", "StorageClassNotFound", "StorageClass fast of PersistentVolumeClaim"),
    ({"storage_class": ""}, None, "", "StorageClassNotFound", "no default one"),
    ({}, WAITS, "", "PodPending", "starts"),
    ({}, WAITS, "Unschedulable: 0/1 nodes are available: 1 Insufficient cpu", "PodPending", "Insufficient cpu"),
    ({}, WAITS, UNBOUND, "ClaimPending", "didn't find available persistent volumes"),
    ({"selected": True}, WAITS, "", "ClaimPending", "describe pvc"),
    ({"created": NOW - timedelta(seconds=9)}, FAST, "", "PodPending", "starts"),
    ({"phase": "Bound"}, FAST, "", "PodPending", "starts"),
]


@pytest.mark.parametrize(("change", "known", "trouble", "reason", "words"), PENDING, ids=str)
def test_what_keeps_a_pod_off_every_node(
    devbox: Any, snapshot: Any, pod: Any, settings: Settings, *, change: Any, known: Any, trouble: str, reason: str, words: str
) -> None:
    view = view_of(devbox)
    waits = pod(view, node="", phase="Pending", ready=False, started=None, trouble=trouble)
    shot = snapshot(
        view, pods=(waits,), claim=claim_of(view, **{"phase": "Pending", "capacity": "", **change}), storage_class=known
    )
    found = told(shot, settings, waits)
    assert found["PodReady"][:2] == ("False", reason)
    assert words in found["PodReady"][2]
    assert found["Stalled"][0] == ("True" if reason == "StorageClassNotFound" else "False")
    assert (claims.again(shot) is not None) == ("created" in change), "and it is looked at again when its time is over"


def test_a_gated_pod_waits_for_its_gate(devbox: Any, snapshot: Any, pod: Any, settings: Settings) -> None:
    view = view_of(devbox)
    waits = pod(view, node="", phase="Pending", ready=False, started=None, gates=(names.SCHEDULING_GATE,))
    shot = snapshot(view, pods=(waits,), claim=claim_of(view, phase="Pending"), storage_class=NOT_FOUND)
    assert told(shot, settings, waits)["PodReady"][1] == "Waiting"


def test_no_other_pod_writes_beside_one_on_a_lost_node(devbox: Any, snapshot: Any, pod: Any, settings: Settings) -> None:
    view = view_of(devbox)
    left = pod(view, node="node-1", claims=frozenset({claim_name(view.box)}))
    assert endings(snapshot(view), settings).shared(left) == {claim_name(view.box)}
    assert not endings(snapshot(devbox()), settings).shared(left)


def test_what_is_seen_of_a_claim() -> None:
    item = {
        "metadata": {
            "name": "agent-0123456789",
            "namespace": "team-a",
            "uid": "u",
            "resourceVersion": "1",
            "creationTimestamp": "2026-11-23T12:00:00Z",
            "deletionTimestamp": "2026-11-23T12:01:00Z",
            "labels": {names.MANAGED_BY_LABEL: names.MANAGED_BY, names.DEVBOX_LABEL: "agent"},
            "annotations": {names.WORKSPACE_OF_ANNOTATION: "box", "volume.kubernetes.io/selected-node": "n"},
            "ownerReferences": [{"uid": "box"}],
        },
        "spec": {"resources": {"requests": {"storage": "2Gi"}}, "storageClassName": "fast"},
        "status": {
            "phase": "Bound",
            "capacity": {"storage": "1Gi"},
            "conditions": [
                {"type": "Resizing", "status": "True", "message": ""},
                {"type": "NodeResizeError", "status": "True", "message": "no room"},
            ],
        },
    }
    found = ClaimView.of(item)
    assert (found.workspace_of, sorted(found.owners)) == ("box", ["box"])
    assert (found.labelled, found.selected, found.deleting) == (True, True, True)
    assert (found.phase, found.asked, found.capacity, found.storage_class) == ("Bound", "2Gi", "1Gi", "fast")
    assert found.growth == "NodeResizeError: no room"
    bare = ClaimView.of({"metadata": {"name": "a", "namespace": "b", "uid": "u"}})
    assert (bare.phase, bare.asked, bare.capacity, bare.storage_class, bare.labelled) == ("Pending", "", "", "", False)
    assert StorageClassView.of({"metadata": {"name": "a"}, "volumeBindingMode": "WaitForFirstConsumer"}) == StorageClassView(
        "a", waits=True, grows=False
    )


def init(code: int, message: str) -> InitView:
    """What devbox-init said when it ended."""
    state = {"terminated": {"exitCode": code, "message": message}}
    found = InitView.of(
        {"initContainers": [{"name": names.INIT_CONTAINER, "image": IMAGE}]},
        {"initContainerStatuses": [{"name": names.INIT_CONTAINER, "state": state}]},
    )
    assert found is not None
    return found


def test_a_workspace_that_can_not_be_written_to(devbox: Any, snapshot: Any, pod: Any, settings: Settings) -> None:
    view = view_of(devbox)
    said = init(4, "the workspace is not writable: Permission denied (it belongs to 0:0, mode 755)")
    waits = pod(view, node="n", phase="Pending", ready=False, started=None, trouble="CrashLoopBackOff", init=said)
    shot = snapshot(view, pods=(waits,), claim=claim_of(view))
    found = told(shot, settings, waits)
    assert found["PodReady"][:2] == found["Ready"][:2] == ("False", "WorkspaceNotWritable")
    assert "it belongs to 0:0, mode 755" in found["PodReady"][2]
    assert "spec.fsGroup" in found["PodReady"][2]
    assert found["Stalled"][0] == "True"
    assert found["EgressConfined"][1] == "Waiting"
    other = replace(shot, devbox=devbox(spec={"workspace": WORKSPACE, "fsGroup": 7}))
    assert isinstance(compile_devbox(other, settings).step, Replace), "another group is taken up at once: the agent never ran"


def test_so_it_is_said_of_a_pod_that_ended_with_it(devbox: Any, snapshot: Any, pod: Any, settings: Settings) -> None:
    """With restartPolicy Never nobody starts its containers again; another pod follows."""
    view = devbox(spec={"workspace": WORKSPACE, "restartPolicy": "Never"}, status={"incarnation": 1, "failures": 1})
    said = init(4, "the workspace is not writable: Permission denied")
    over = pod(view, node="n", phase="Failed", ready=False, started=None, finished=NOW, init=said)
    shot = snapshot(view, pods=(over,), claim=claim_of(view))
    desired = compile_devbox(shot, settings)
    assert isinstance(desired.step, Later)
    for outcome in (PodPostponed(1, 1, pod=over, why="ended"), HasPod(1, 0, pod=over)):
        found = devbox_status(shot, desired, outcome, settings).conditions
        assert next(one.reason for one in found if one.type == "PodReady") == "WorkspaceNotWritable"


def test_a_full_workspace_keeps_no_agent_from_starting(devbox: Any, snapshot: Any, pod: Any, settings: Settings) -> None:
    """Nobody but the agent can make room."""
    view = view_of(devbox)
    runs = pod(view, node="n", init=init(0, "confined: yes; the workspace is full: No space left on device"))
    policy = network.policy(runs, settings.release_namespace)
    shot = snapshot(view, pods=(runs,), claim=claim_of(view), policies=(PolicyView.of(policy),))
    done = Attachment(confined=True, issued=True, opened=True, expires={}, renew_at=None)
    status = devbox_status(shot, compile_devbox(shot, settings), HasPod(1, 0, pod=runs, attached=done), settings)
    found = {one.type: (one.status, one.reason) for one in status.conditions}
    assert (found["PodReady"], found["Ready"]) == (("True", "WorkspaceFull"), ("True", "Ready"))
