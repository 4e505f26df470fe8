"""What is said of a Devbox that is suspended, that is about to be, or that was. Pure.

Goes in: the Devbox, what came of it, how far a pod's end is. Comes out: the condition Suspended; and, while no pod is wanted, Ready,
Reconciling and Stalled. A suspended Devbox is what its spec asks for, though nothing of it is ready: it has no condition Ready (kstatus:
Current), and none that would speak of a pod.
"""

from typing import Final

from devbox_api.conditions import ConditionType, Reason
from devbox_api.judge.shown import command
from devbox_api.names import RESUMED_AT_ANNOTATION
from devbox_operator.devbox.lingering import Ending
from devbox_operator.devbox.outcome import AtRest
from devbox_operator.report.conditions import Finding, bad, good, summarise
from devbox_operator.seen.resources import DevboxView

NONE_FOLLOWS: Final = "none follows while it is suspended"
_RESUME: Final = '{"spec":{"suspend":null}}'
_C = ConditionType
_OF_NO_POD: Final = (_C.ACCEPTED, _C.CREDENTIALS_RESOLVED)
"""Conditions that say something where there is no pod: what a resumed one would meet."""


def judge(findings: dict[_C, Finding], view: DevboxView, outcome: AtRest, end: Ending | None) -> None:
    """Of one that is to have no pod: all that is said beyond `findings`, less what would speak of a pod once there is none."""
    if not outcome.done:
        ends = end.message if end else outcome.why
        findings[_C.SUSPENDED] = bad(end.reason if end and end.stuck else Reason.SUSPENDING, ends)
        summarise(findings, (_C.SUSPENDED,), stalled=end is not None and end.stuck)
        return
    for kind in [kind for kind in findings if kind not in _OF_NO_POD]:
        del findings[kind]
    findings[_C.SUSPENDED] = suspended = _suspended(view)
    findings |= {kind: Finding("False", suspended.reason) for kind in (_C.RECONCILING, _C.STALLED)}


def _suspended(view: DevboxView) -> Finding:
    kubectl, name = ("kubectl", "-n", view.box.namespace), view.box.name
    if view.suspended_by == "Idle":
        resume = command(*kubectl, "annotate", "dbx", name) + f" {RESUMED_AT_ANNOTATION}=$(date +%s) --overwrite"
        last = view.box.status.last_activity or "long ago"
        return good(Reason.SUSPENDED_IDLE, f"nobody worked in it since {last} (spec.lifecycle.idle); to go on: {resume}")
    resume = command(*kubectl, "patch", "dbx", name, "--type=merge", "-p", _RESUME)
    return good(Reason.SUSPENDED_BY_SPEC, f"spec.suspend is true; to go on: {resume}")


def remark(findings: dict[_C, Finding], view: DevboxView) -> None:
    """Of one that is not at rest: that it is not suspended, where anybody ever asked for that."""
    if view.suspended_by is not None and not view.deleting:
        ended = "its command ended, and restartPolicy says that this is the end: there is nothing to suspend"
        findings[_C.SUSPENDED] = bad(Reason.NOT_SUSPENDED, ended)
    elif any(condition.type == _C.SUSPENDED for condition in view.box.status.conditions):
        findings[_C.SUSPENDED] = bad(Reason.NOT_SUSPENDED, "")
