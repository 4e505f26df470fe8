"""Which pod a Devbox should have: one row per situation."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from devbox_operator.devbox import lifecycle
from devbox_operator.devbox.incarnation import strays
from devbox_operator.devbox.lifecycle import Create, Keep, Later, Leave, Replace
from devbox_operator.seen.initview import InitView
from devbox_operator.seen.pods import PodView

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def condition(status: str, reason: str, age: float = 0.0) -> list[dict[str, str]]:
    time = (NOW - timedelta(seconds=age)).isoformat()
    return [{"type": "PodReady", "status": status, "reason": reason, "message": "m", "lastTransitionTime": time}]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({}, Create(1, 0)),
        # Announced, and the operator was interrupted before (or while) it was posted: that name is not used again.
        ({"incarnation": 4}, Create(5, 0)),
        ({"incarnation": 4, "conditions": condition("False", "Waiting")}, Create(5, 0)),
        # Refused by the API server: the pod never was, the name is free.
        ({"incarnation": 4, "conditions": condition("False", "PodRefused")}, Create(4, 0)),
        ({"incarnation": 4, "failures": 2, "conditions": condition("False", "PodRefused")}, Create(4, 2)),
        # Gone after a long life, after a short one, and after several short ones.
        ({"incarnation": 4, "podUID": "u", "failures": 3, "conditions": condition("True", "Ready", 601)}, Create(5, 0)),
        ({"incarnation": 4, "podUID": "u", "conditions": condition("True", "Ready", 5)}, Create(5, 1)),
        (
            {"incarnation": 4, "podUID": "u", "podName": "p", "failures": 2, "conditions": condition("True", "Ready", 5)},
            Later(NOW + timedelta(seconds=20), 3, "pod p is gone"),
        ),
        # Noticed before: the pause counts from then.
        (
            {"incarnation": 4, "failures": 3, "conditions": condition("Unknown", "PodFailed", 5)},
            Later(NOW + timedelta(seconds=15), 3, "m"),
        ),
        ({"incarnation": 4, "failures": 3, "conditions": condition("Unknown", "PodFailed", 20)}, Create(5, 3)),
        # We took it away ourselves (a restart), or it had not started: no failure.
        ({"incarnation": 4, "podUID": "u", "failures": 2, "conditions": condition("False", "Waiting")}, Create(5, 2)),
    ],
)
def test_without_a_pod(devbox: Any, status: dict[str, Any], expected: object) -> None:
    assert lifecycle.plan(devbox(status=status), [], "hash", NOW) == expected


def test_a_finished_command_is_not_run_again_because_its_pod_was_cleaned_up(devbox: Any) -> None:
    status = {"incarnation": 1, "podName": "p", "phase": "Succeeded", "conditions": condition("False", "PodSucceeded")}
    assert isinstance(lifecycle.plan(devbox(status=status, spec={"restartPolicy": "Never"}), [], "hash", NOW), Leave)
    assert isinstance(lifecycle.plan(devbox(status=status, spec={"restartPolicy": "Always"}), [], "hash", NOW), Create)


def test_the_newest_incarnation_counts_even_if_the_status_was_lost(devbox: Any, pod: Any) -> None:
    view = devbox()
    old, new = pod(view, 2), pod(view, 5)
    assert lifecycle.plan(view, [old, new], "hash", NOW) == Keep(new)


def test_an_announced_pod_that_is_not_there_is_not_replaced_by_an_older_one(devbox: Any, pod: Any) -> None:
    view = devbox(status={"incarnation": 3})
    assert lifecycle.plan(view, [pod(view, 2)], "hash", NOW) == Create(4, 0)


@pytest.mark.parametrize("number", [0, 2, 999_999])
def test_a_number_that_is_not_the_names_is_not_believed(devbox: Any, pod: Any, number: int) -> None:
    """An annotation can be edited where admission is not in force; the name is made of the number."""
    view = devbox(status={"incarnation": 3})
    edited = replace(pod(view, 3), incarnation=number)
    step = lifecycle.plan(view, [edited], "hash", NOW)
    assert isinstance(step, Replace)
    assert step.pod.name == edited.name
    assert lifecycle.plan(devbox(), [edited], "hash", NOW) == step, "also where the status is lost"
    assert isinstance(lifecycle.plan(view, [replace(edited, deleting=True)], "hash", NOW), Keep), (
        "the next one comes when it is gone"
    )
    assert lifecycle.plan(view, [edited, pod(view, 4)], "hash", NOW) == Keep(pod(view, 4))


def test_somebody_elses_pods_do_not_count(devbox: Any, pod: Any) -> None:
    view = devbox()
    assert lifecycle.plan(view, [pod(view, 1, owner="an older Devbox of that name")], "hash", NOW) == Create(1, 0)


@pytest.mark.parametrize(
    ("changes", "annotations", "replaced"),
    [
        ({}, {}, False),
        ({"spec_hash": "other"}, {}, False),
        ({"spec_hash": "other", "gates": ("devbox-gateway.io/tokens",)}, {}, True),
        ({"spec_hash": "other", "gates": ("devbox-gateway.io/tokens",), "deleting": True}, {}, False),
        ({}, {"devbox-gateway.io/restarted-at": "1"}, True),
        ({"restarted_at": "1"}, {"devbox-gateway.io/restarted-at": "1"}, False),
        ({"restarted_at": "1"}, {"devbox-gateway.io/restarted-at": "2"}, True),
        ({"restarted_at": "1"}, {}, False),
        ({"deleting": True}, {"devbox-gateway.io/restarted-at": "1"}, False),
    ],
)
def test_replacing(devbox: Any, pod: Any, changes: Any, annotations: Any, replaced: bool) -> None:
    view = devbox(annotations=annotations)
    step = lifecycle.plan(view, [pod(view, **changes)], "hash", NOW)
    assert isinstance(step, Replace if replaced else Keep)
    step = lifecycle.plan(view, [pod(view, **changes)], "hash", NOW, possible=False)
    assert isinstance(step, Replace if replaced and "gates" in changes else Keep), (
        "one that runs is kept where none could follow"
    )


@pytest.mark.parametrize(
    ("policy", "phase", "again"),
    [
        ("Always", "Failed", True),
        ("Always", "Succeeded", True),
        ("OnFailure", "Failed", True),
        ("OnFailure", "Succeeded", False),
        ("Never", "Failed", False),
        ("Never", "Succeeded", False),
    ],
)
def test_restart_policy(devbox: Any, pod: Any, policy: str, phase: str, again: bool) -> None:
    view = devbox(spec={"restartPolicy": policy}, status={"incarnation": 1})
    step = lifecycle.plan(view, [pod(view, phase=phase)], "hash", NOW)
    assert step == (Create(2, 1) if again else Keep(pod(view, phase=phase)))


@pytest.mark.parametrize(("failures", "seconds"), [(0, 0), (1, 10), (2, 20), (3, 40), (6, 300), (50, 300)])
def test_the_pause_after_failed_pods_grows(devbox: Any, pod: Any, failures: int, seconds: int) -> None:
    view = devbox(status={"incarnation": 1, "failures": failures})
    failed = pod(view, phase="Failed", finished=NOW)
    step = lifecycle.plan(view, [failed], "hash", NOW)
    if seconds == 0:
        assert step == Create(2, 1)
    else:
        assert isinstance(step, Later)
        assert step.at == NOW + timedelta(seconds=seconds)
        assert lifecycle.plan(view, [failed], "hash", step.at) == Create(2, failures + 1)


def test_a_pod_that_lived_long_begins_the_pauses_anew(devbox: Any, pod: Any) -> None:
    view = devbox(status={"incarnation": 1, "failures": 5})
    failed = pod(view, phase="Failed", created=NOW - timedelta(hours=1), finished=NOW - timedelta(minutes=6))
    assert lifecycle.plan(view, [failed], "hash", NOW) == Create(2, 0)


def test_a_devbox_that_is_being_deleted_gets_no_pod(devbox: Any) -> None:
    assert isinstance(lifecycle.plan(devbox(deleting=True), [], "hash", NOW), Leave)


def test_a_restart_starts_a_finished_command_again(devbox: Any, pod: Any) -> None:
    view = devbox(spec={"restartPolicy": "Never"}, annotations={"devbox-gateway.io/restarted-at": "1"})
    assert lifecycle.plan(view, [pod(view, phase="Succeeded")], "hash", NOW) == Create(2, 0)


HELD = InitView()


@pytest.mark.parametrize(
    ("changes", "wanted", "replaced"),
    [
        ({"init": HELD, "started": None}, ("hash", "init"), False),
        ({"init": HELD, "started": None}, ("another", "init"), True),
        ({"init": HELD, "started": None}, ("hash", "another"), True),
        ({"gates": ("devbox-gateway.io/tokens",), "started": None}, ("hash", "another"), True),
        ({}, ("another", "another"), False),
        ({"init": HELD}, ("another", "another"), False),
    ],
    ids=["as it should be", "another spec", "another release", "gated", "it runs", "it ran, and its sandbox was made anew"],
)
def test_a_pod_whose_agent_never_ran_takes_up_anything(
    devbox: Any, pod: Any, *, changes: Any, wanted: tuple[str, str], replaced: bool
) -> None:
    view = devbox(status={"incarnation": 1})
    current = pod(view, init_hash="init", **changes)
    step = lifecycle.plan(view, [current], wanted[0], NOW, wanted[1])
    assert isinstance(step, Replace if replaced else Keep)


@pytest.mark.parametrize("policy", ["Always", "OnFailure", "Never"])
def test_an_agent_that_never_ran_has_not_ended(devbox: Any, pod: Any, policy: str) -> None:
    """devbox-init failed, and restartPolicy made that the pod's end: another pod tries again."""
    view = devbox(spec={"restartPolicy": policy}, status={"incarnation": 1, "failures": 1})
    current = pod(view, phase="Failed", ready=False, started=None, init=InitView(refused=True))
    assert not lifecycle.final(view, current)
    assert isinstance(lifecycle.plan(view, [current], "hash", NOW), Later)
    assert lifecycle.plan(view, [current], "hash", NOW + timedelta(minutes=1)) == Create(2, 2)


def test_pods_that_are_no_longer_the_devboxs_own(devbox: Any, pod: Any) -> None:
    view = devbox()
    mine, orphan, other = pod(view, 1), pod(view, 2, owner=""), pod(view, 3, owner="another-uid")
    ending = pod(view, 4, owner="", deleting=True)
    pods = [mine, orphan, other, ending]
    assert strays(pods, view.box.uid) == [orphan, other]
    assert strays(pods, None) == [orphan], "the garbage collector has the others"


@pytest.mark.parametrize(
    ("owner", "found"),
    [
        ({"apiVersion": "devbox-gateway.io/v1alpha1", "kind": "Devbox", "uid": "d", "controller": True}, "d"),
        ({"apiVersion": "devbox-gateway.io/v1alpha1", "kind": "Devbox", "uid": "d", "controller": False}, ""),
        ({"apiVersion": "devbox-gateway.io/v1alpha1", "kind": "Devbox", "uid": "d"}, ""),
        ({"apiVersion": "v1", "kind": "Secret", "uid": "s", "controller": True}, ""),
        ({"apiVersion": "example.com/v1", "kind": "Devbox", "uid": "s", "controller": True}, ""),
        (None, ""),
    ],
)
def test_a_pod_is_owned_by_the_devbox_that_controls_it_and_by_nobody_else(owner: dict[str, Any] | None, found: str) -> None:
    metadata = {"namespace": "team-a", "name": "p", "uid": "u", "ownerReferences": [owner] if owner else None}
    assert PodView.of({"metadata": metadata}).owner == found


@pytest.mark.parametrize(
    ("asked", "counts"), [({}, 30), ({"terminationGracePeriodSeconds": 0}, 1), ({"terminationGracePeriodSeconds": 7}, 7)]
)
def test_no_pod_is_deleted_at_once(asked: dict[str, int], counts: int) -> None:
    """(An older version made pods with 0.)"""
    assert PodView.of({"metadata": {"namespace": "team-a", "name": "p", "uid": "u"}, "spec": asked}).grace == counts
