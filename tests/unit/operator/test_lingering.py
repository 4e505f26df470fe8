"""How a pod's end goes, one row per situation: what is said of it, until when, and when the next one is made beside it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from devbox_api.conditions import ConditionType
from devbox_operator.devbox import lifecycle
from devbox_operator.devbox.compile import compile_devbox
from devbox_operator.devbox.lifecycle import Create, Keep, Leave
from devbox_operator.devbox.lingering import Endings
from devbox_operator.devbox.outcome import HasPod, PodLeft
from devbox_operator.devbox.status import devbox_status
from devbox_operator.seen.bounds import MOST_VOLUMES
from devbox_operator.seen.nodes import node
from devbox_operator.seen.pods import PodView
from devbox_operator.settings import Settings

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SINCE = NOW - timedelta(minutes=5)
SILENT = {"node-1": SINCE}
GONE = {"node-1": None}
WORK = frozenset({"work"})
CLAIMED = {
    "volumes": [{"name": "work", "mountPath": "/work", "persistentVolumeClaim": {"claimName": "work"}}],
}


def ending(pod: Any, view: Any, *, over: float, **changes: Any) -> PodView:
    """A pod whose time is over since so many seconds."""
    made: PodView = pod(view, 4, deleting=True, node="node-1", ends=NOW - timedelta(seconds=over), **changes)
    return made


@pytest.mark.parametrize(
    ("over", "silent", "claims", "changes", "again", "follows"),
    [
        # Its own time is not over: whatever its node does.
        (-10, {}, frozenset(), {}, 10, False),
        (-10, SILENT, frozenset(), {}, 10, False),
        (-3600, SILENT, frozenset(), {}, 3600, False),
        # Its node answers: as long as it takes.
        (0, {}, frozenset(), {}, 60, False),
        (59, {}, frozenset(), {}, 1, False),
        (60, {}, frozenset(), {}, None, False),
        (86400, {}, frozenset(), {}, None, False),
        (86400, {"node-2": SINCE}, frozenset(), {}, None, False),
        # Its node is lost.
        (0, SILENT, frozenset(), {}, 60, False),
        (59.9, SILENT, frozenset(), {}, 0.1, False),
        (60, SILENT, frozenset(), {}, None, True),
        (60, GONE, frozenset(), {}, None, True),
        # Two that would write to one claim.
        (60, SILENT, WORK, {"claims": WORK}, None, False),
        (86400, SILENT, WORK, {"claims": WORK}, None, False),
        (60, GONE, WORK, {"claims": WORK}, None, False),
        (60, SILENT, WORK, {"claims": None}, None, False),
        (60, SILENT, WORK, {"claims": frozenset({"other"})}, None, True),
        (60, SILENT, frozenset(), {"claims": WORK}, None, True),
        (60, SILENT, frozenset(), {"claims": None}, None, True),
        # No process is left, or never was, and something keeps the object.
        (0, SILENT, WORK, {"claims": WORK, "phase": "Failed"}, 60, False),
        (60, SILENT, WORK, {"claims": WORK, "phase": "Failed"}, None, True),
        (60, {}, WORK, {"claims": WORK, "phase": "Succeeded"}, None, True),
        (59, {}, frozenset(), {"node": ""}, 1, False),
        (60, {}, WORK, {"claims": WORK, "node": ""}, None, True),
    ],
)
def test_when_the_next_pod_is_made(
    devbox: Any, pod: Any, *, over: float, silent: Any, claims: Any, changes: Any, again: float | None, follows: bool
) -> None:
    view = devbox(status={"incarnation": 4})
    current = replace(ending(pod, view, over=over), **changes)
    endings = Endings(silent=silent, claims=claims, bound=timedelta(seconds=60))
    found = endings.of(current, NOW)
    assert found.follows is follows
    assert found.again == (None if again is None else NOW + timedelta(seconds=again))
    step = lifecycle.plan(view, [current], "hash", NOW, endings=endings)
    assert step == (Create(5, 0) if follows else Keep(current))
    assert "a new one follows" not in found.message or "at the latest" in found.message or "until 2026" in found.message
    deleted = devbox(status={"incarnation": 4}, deleting=True)
    assert isinstance(lifecycle.plan(deleted, [current], "hash", NOW, endings=endings), Leave)


@pytest.mark.parametrize(
    ("over", "silent", "claims", "phase", "reason", "stalled", "words"),
    [
        (-10, {}, (), "Running", "Waiting", "False", "pod NAME ends, at 2026-11-23T12:00:10Z at the latest; a new one follows"),
        (
            10,
            {},
            (),
            "Running",
            "Waiting",
            "False",
            "pod NAME was to end by 2026-11-23T11:59:50Z; node node-1 is given until 2026-11-23T12:00:50Z; a new one follows",
        ),
        (
            70,
            {},
            (),
            "Running",
            "PodStuck",
            "True",
            "pod NAME was to end by 2026-11-23T11:58:50Z, and node node-1, which answers, has not ended it; what keeps it (a finalizer, "
            "a volume, a process that can't be ended) may be found by: kubectl -n team-a describe pod NAME",
        ),
        (
            10,
            SILENT,
            (),
            "Running",
            "NodeLost",
            "False",
            "node node-1 is not Ready since 2026-11-23T11:55:00Z, and nobody else can end pod NAME; a new one follows, at "
            "2026-11-23T12:00:50Z at the latest",
        ),
        (
            10,
            SILENT,
            WORK,
            "Running",
            "NodeLost",
            "True",
            "node node-1 is not Ready since 2026-11-23T11:55:00Z, and nobody else can end pod NAME, which may still write to "
            "PersistentVolumeClaim work; bring the node back, or give it the taint node.kubernetes.io/out-of-service; or, once it is "
            "certain that it is off: kubectl delete node node-1",
        ),
        (
            10,
            {},
            (),
            "Failed",
            "Waiting",
            "False",
            "pod NAME has ended, and its object is still there; a new one follows, at 2026-11-23T12:00:50Z at the latest",
        ),
    ],
)
def test_what_the_status_says(
    devbox: Any, pod: Any, snapshot: Any, settings: Settings, *, over: float, silent: Any, claims: Any, phase: str, reason: str,
    stalled: str, words: str,
) -> None:  # fmt: skip
    view = devbox(status={"incarnation": 4}, spec=CLAIMED if claims else {})
    current = ending(pod, view, over=over, phase=phase, claims=frozenset(claims))
    seen = snapshot(view, pods=(current,), silent=silent, volumes={("PersistentVolumeClaim", "work"): True})
    desired = compile_devbox(seen, settings)
    assert desired.step == Keep(current)
    status = devbox_status(seen, desired, HasPod(incarnation=4, failures=0, pod=current), settings)
    found = {one.type: one for one in status.conditions}
    ready = found[ConditionType.POD_READY]
    assert (ready.status, ready.reason, ready.message) == ("False", reason, words.replace("NAME", current.name))
    assert found[ConditionType.STALLED].status == stalled
    assert status.phase == "Restarting"


@pytest.mark.parametrize("silent", [{}, SILENT])
def test_a_devbox_that_is_being_deleted_says_what_that_waits_for(
    devbox: Any, pod: Any, snapshot: Any, settings: Settings, silent: Any
) -> None:
    view = devbox(status={"incarnation": 4}, deleting=True)
    current = ending(pod, view, over=70)
    seen = snapshot(view, pods=(current,), silent=silent)
    desired = compile_devbox(seen, settings)
    assert isinstance(desired.step, Leave)
    outcome = PodLeft(incarnation=4, failures=0, pod=current, why=desired.step.message)
    message = next(one.message for one in devbox_status(seen, desired, outcome, settings).conditions if one.type == "PodReady")
    assert "a new one follows" not in message
    assert ("kubectl delete node node-1" if silent else f"describe pod {current.name}") in message


def test_a_lost_node_is_named_before_its_pods_are_given_up(devbox: Any, pod: Any, snapshot: Any, settings: Settings) -> None:
    view = devbox(status={"incarnation": 4})
    current = pod(view, 4, node="node-1", ready=False)
    for silent, reason, words in (
        (SILENT, "NodeLost", "is not Ready since 2026-11-23T11:55:00Z"),
        (GONE, "NodeLost", "does not exist any more"),
        ({}, "PodNotReady", "not ready"),
    ):
        seen = snapshot(view, pods=(current,), silent=silent)
        desired = compile_devbox(seen, settings)
        assert desired.step == Keep(current)
        conditions = devbox_status(seen, desired, HasPod(4, 0, pod=current), settings).conditions
        found = next(one for one in conditions if one.type == "PodReady")
        assert (found.reason, words in found.message) == (reason, True)


def test_a_restart_waits_for_the_same(devbox: Any, pod: Any) -> None:
    """The pod is deleted, as on any node; then the bound holds."""
    view = devbox(status={"incarnation": 4}, annotations={"devbox-gateway.io/restarted-at": "1"})
    endings = Endings(silent=SILENT)
    running = pod(view, 4, node="node-1")
    assert isinstance(lifecycle.plan(view, [running], "hash", NOW, endings=endings), lifecycle.Replace)
    for over, step in ((59, Keep), (60, Create)):
        assert isinstance(lifecycle.plan(view, [ending(pod, view, over=over)], "hash", NOW, endings=endings), step)


def test_the_next_pod_counts_and_the_one_that_is_left_behind_does_not(devbox: Any, pod: Any) -> None:
    """Also when the next one is deleted, or goes: a pod that holds what the one after it would mount is waited for, no other."""
    view = devbox(status={"incarnation": 5, "podUID": "pod-5", "conditions": []})
    left, current = ending(pod, view, over=600), pod(view, 5, node="node-2")
    endings = Endings(silent=SILENT)
    assert lifecycle.plan(view, [left, current], "hash", NOW, endings=endings) == Keep(current)
    deleted = replace(current, deleting=True, ends=NOW + timedelta(seconds=30))
    assert lifecycle.plan(view, [left, deleted], "hash", NOW, endings=endings) == Keep(deleted)
    assert lifecycle.plan(view, [left], "hash", NOW, endings=endings) == Create(6, 0)
    holding = replace(left, claims=WORK)
    assert lifecycle.plan(view, [holding], "hash", NOW, endings=replace(endings, claims=WORK)) == Keep(holding)


@pytest.mark.parametrize(
    "end",
    [
        {"phase": "Failed"},  # its command ended
        {"deleting": True, "ends": NOW - timedelta(seconds=60)},  # its node was lost, too
        {
            "deleting": True,
            "ends": NOW - timedelta(seconds=60),
            "phase": "Succeeded",
        },  # it ended, and something keeps its object
    ],
)
def test_a_pod_that_was_left_behind_is_not_forgotten_once_there_is_a_newer_one(devbox: Any, pod: Any, end: Any) -> None:
    """Somebody takes the claim out of the Devbox, so that a pod follows, and puts it in again: the pod after that would write to it
    beside the first, whose node is still lost."""
    view = devbox(status={"incarnation": 5, "podUID": "pod-5", "conditions": []})
    left, newer = ending(pod, view, over=600, claims=WORK), replace(pod(view, 5, node="node-2"), **end)
    lost = Endings(silent={"node-1": SINCE, "node-2": SINCE})
    assert lifecycle.plan(view, [left, newer], "hash", NOW, endings=lost) == Create(6, int(newer.ended and not newer.deleting))
    waits = replace(lost, claims=WORK)
    assert lifecycle.plan(view, [left, newer], "hash", NOW, endings=waits) == Keep(left)
    assert isinstance(lifecycle.plan(view, [replace(left, phase="Failed"), newer], "hash", NOW, endings=waits), Create)


@pytest.mark.parametrize("number", [0, 999_999])
def test_a_pod_with_a_wrong_number_is_no_exception(devbox: Any, pod: Any, number: int) -> None:
    view = devbox(status={"incarnation": 4})
    edited = replace(ending(pod, view, over=60), incarnation=number)
    assert lifecycle.plan(view, [edited], "hash", NOW, endings=Endings(silent=SILENT)) == Create(5, 0)
    assert isinstance(lifecycle.plan(view, [edited], "hash", NOW), Keep)


@pytest.mark.parametrize(
    ("conditions", "silent"),
    [
        ([{"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-23T11:55:00Z"}], None),
        ([{"type": "Ready", "status": "Unknown", "lastTransitionTime": "2026-11-23T11:55:00Z"}], SINCE),
        ([{"type": "Ready", "status": "False", "lastTransitionTime": "2026-11-23T11:55:00Z"}], SINCE),
        ([{"type": "Ready", "status": "Unknown"}], NOW),
        ([{"type": "DiskPressure", "status": "Unknown"}], None),
        (None, None),
    ],
)
def test_a_node_is_silent_where_its_condition_says_so(conditions: Any, silent: datetime | None) -> None:
    item = {"metadata": {"name": "n", "creationTimestamp": "2026-11-23T12:00:00Z"}, "status": {"conditions": conditions}}
    assert node(item).silent_since == silent


def test_what_of_a_pod_counts_here() -> None:
    claims = [{"name": n, "persistentVolumeClaim": {"claimName": n}} for n in ("a", "b")]
    item: Any = {
        "metadata": {"namespace": "team-a", "name": "p", "uid": "u", "deletionTimestamp": "2026-11-23T12:00:30Z"},
        "spec": {"nodeName": "node-1", "volumes": [{"name": "tmp", "emptyDir": {}}, *claims]},
    }
    view = PodView.of(item)
    assert (view.node, view.ends, view.claims) == ("node-1", NOW + timedelta(seconds=30), frozenset({"a", "b"}))
    item["spec"]["volumes"] *= MOST_VOLUMES
    assert PodView.of(item).claims is None
