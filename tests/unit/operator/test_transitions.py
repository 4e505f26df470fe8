"""The table in lifecycle.py's docstring is what the code does: every row is reached, and nothing else comes of it."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from devbox_api import names
from devbox_operator.devbox import lifecycle
from devbox_operator.devbox.lifecycle import Create, Step
from devbox_operator.devbox.lingering import Endings
from devbox_operator.kit.encoding import format_time
from devbox_operator.seen.initview import InitView
from devbox_operator.seen.mountview import MountView

N = 3
"""The number that was last announced."""
RESTART = {"devbox-gateway.io/restarted-at": "1"}
ROWS = [tuple(row) for row in re.findall(r"^\| (.+) \| ((?:[A-Z].*)) \|$", lifecycle.__doc__ or "", re.MULTILINE)]
Situation = dict[str, Any]


def situations(devbox: Any, pod: Any, now: Any) -> dict[str, list[Situation]]:
    """For each row, all that it stands for: arguments of plan()."""

    def ready(status: str, reason: str, age: float = 0.0) -> list[dict[str, str]]:
        at = format_time(now - timedelta(seconds=age))
        return [{"type": "PodReady", "status": status, "reason": reason, "message": "m", "lastTransitionTime": at}]

    def box(conditions: Any = (), **more: Any) -> Any:
        spec = {"restartPolicy": more.pop("policy", "Always"), "suspend": more.pop("suspend", None)}
        annotations, deleting = more.pop("annotations", {}), more.pop("deleting", False)
        status = {"incarnation": N, "conditions": list(conditions), **more}
        return devbox(status=status, spec=spec, annotations=annotations, deleting=deleting)

    def having(view: Any = None, others: Any = (), endings: Any = None, possible: bool = True, **changes: Any) -> Situation:
        view = view or box()
        pods = [pod(view, N, **changes), *(pod(view, number, **other) for number, other in others)]
        return {"view": view, "pods": pods, "endings": endings or Endings(), "possible": possible}

    def without(view: Any, others: Any = ()) -> Situation:
        return {"view": view, "pods": [pod(view, number, **other) for number, other in others]}

    def misnumbered(number: int) -> Situation:
        found = having()
        return {**found, "pods": [replace(one, incarnation=number) for one in found["pods"]]}

    gated: Situation = {"gates": (names.SCHEDULING_GATE,), "started": None}
    claims = Endings(claims=frozenset({"c"}))
    writes: Situation = {"deleting": True, "node": "a", "claims": frozenset({"c"})}
    failed: Situation = {"phase": "Failed", "finished": now}
    return {
        "the Devbox is being deleted": [having(box(deleting=True)), without(box(deleting=True))],
        "suspended, and its command has not ended as restartPolicy asks": [
            without(devbox(spec={"suspend": True})),
            without(box(suspend=True)),
            without(box(ready("False", "PodRefused"), suspend=True)),
            without(box(ready("Unknown", "PodFailed", 5), failures=2, suspend=True)),
            without(box(suspend=True), [(N - 1, writes)]),
            having(box(suspend=True)),
            having(box(suspend=True), **gated),
            having(box(suspend=True), deleting=True),
            having(box(suspend=True, annotations=RESTART, policy="Never"), phase="Succeeded"),
            having(box(suspend=True, policy="Never"), deleting=True, **failed),
            having(box(suspend=True, failures=2), **failed),
            having(box(suspend=True, annotations=RESTART), possible=False),
        ],
        "no pod, and none was ever announced": [without(devbox())],
        "no pod: it was announced, and nothing is known of it": [
            without(box()),
            without(box(ready("False", "Waiting"))),
            without(box(), [(N - 1, {})]),
            without(box(phase="Suspended", suspendedAt="2026-11-23T12:00:00Z")),
        ],
        "no pod: the API server refused it": [without(box(ready("False", "PodRefused")))],
        "no pod: it ended as restartPolicy asks": [
            without(box(ready("False", "PodSucceeded"), phase=phase, policy=policy, podUID="u", suspend=suspend))
            for phase, policy in (("Succeeded", "Never"), ("Succeeded", "OnFailure"), ("Failed", "Never"))
            for suspend in (None, True)
        ],
        "no pod: its end was seen, and the pause began": [
            without(box(ready("Unknown", "PodFailed", age), failures=2)) for age in (5, 20)
        ],
        "no pod: it had not started, or was taken away": [
            without(box(ready("False", reason), podUID="u")) for reason in ("Waiting", "NodeLost", "PodStuck")
        ],
        "no pod: it ran": [
            without(box(ready("True", "Ready", age), podUID="u", failures=failures))
            for age, failures in ((5, 2), (601, 2), (5, 0))
        ],
        "a pod that is being deleted": [having(deleting=True), having(box(annotations=RESTART), deleting=True)],
        "a pod that is being deleted, on a node that is lost for too long": [
            having(deleting=True, node="a", ends=now - timedelta(hours=1), endings=Endings(silent={"a": now}))
        ],
        "a pod whose number is not its name's": [misnumbered(N + 5), misnumbered(0)],
        "a pod that ended, and a restart is asked for": [having(box(annotations=RESTART, policy="Never"), phase="Succeeded")],
        "a pod that ended as restartPolicy asks": [
            having(box(policy="Never", suspend=suspend), **failed) for suspend in (None, True)
        ],
        "a pod that ended": [having(**failed), having(box(failures=2), **failed)],
        "a pod that runs, and a restart is asked for": [
            having(box(annotations=RESTART)),
            having(box(annotations=RESTART), **gated),
        ],
        "a pod whose agent never ran, made for another spec": [
            having(**gated, spec_hash="another"),
            having(started=None, spec_hash="another"),
            having(started=None, spec_hash="another", mounts=MountView("i", cloned=True, done=True)),
        ],
        "a pod on which a container of another release is at work before the agent": [
            having(**gated, init_hash="another"),
            having(started=None, init=InitView(), init_hash="another"),
            having(started=None, init_hash="another", mounts=MountView("i")),
        ],
        "a pod that mounts code, and has had its time for that": [
            having(started=None, mounts=MountView("i", at_work=names.CLONE_CONTAINER, since=now - timedelta(hours=2))),
        ],
        "a pod": [
            having(),
            having(spec_hash="another"),
            having(**gated),
            having(started=None, init_hash="another"),
            having(started=None, init_hash="another", mounts=MountView("i", cloned=True)),
            having(started=None, mounts=MountView("i", at_work=names.CLONE_CONTAINER, since=now)),
        ],
        "Create, and an older pod may write to what the next one mounts": [
            having(others=[(N - 1, writes)], endings=claims, **failed),
        ],
        "Replace of one that runs, and no pod can be made of the spec": [having(box(annotations=RESTART), possible=False)],
    }


def said(step: Step) -> str:
    """As the table says it."""
    if not isinstance(step, Create):
        return type(step).__name__
    return f"Create { ({1: '1', N: 'n', N + 1: 'n+1'}[step.incarnation]) }"


def steps(rows: list[Situation], now: Any) -> Iterator[str]:
    for row in rows:
        yield said(lifecycle.plan(row.pop("view"), row.pop("pods"), "hash", now, **row))


@pytest.mark.parametrize(("what", "then"), ROWS, ids=[what for what, _ in ROWS])
def test_a_row(devbox: Any, pod: Any, now: Any, what: str, then: str) -> None:
    assert set(steps(situations(devbox, pod, now)[what], now)) == set(then.split(", "))


def test_no_row_is_missing(devbox: Any, pod: Any, now: Any) -> None:
    assert [what for what, _ in ROWS] == list(situations(devbox, pod, now))
