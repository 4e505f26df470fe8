"""Conditions: from what was found to `status.conditions`, and which changes are worth an Event.

Goes in: the old list and the new findings. Comes out: the new list (transition times move on transitions alone) and Events. Pure;
the closed set of types and reasons is devbox_api.conditions.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, NamedTuple

from devbox_api import names
from devbox_api.conditions import ConditionType, Reason
from devbox_api.judge.shown import lines, one_line
from devbox_api.shared import Condition
from devbox_common.kube import Object
from devbox_operator.kit.encoding import content_hash, format_time
from devbox_operator.report.problem import Problem

Status = Literal["True", "False", "Unknown"]
MOST: Final = 32768
"""Bytes of a message."""
NOTE: Final = 1024
"""Bytes of an Event's note."""
QUIET: Final = frozenset(
    {
        *(Reason.WAITING, Reason.PROGRESSING, Reason.POD_PENDING, Reason.CLONING, Reason.POD_NOT_READY, Reason.CLAIM_PENDING),
        *(Reason.SYSTEM_NOT_READY, Reason.UP_TO_DATE, Reason.IMAGE_PULL_FAILED),
    }
)
"""Reasons that pass by themselves, or of which the kubelet tells: no Event."""
SUMMARIES: Final = frozenset({ConditionType.READY, ConditionType.RECONCILING, ConditionType.STALLED, ConditionType.SUSPENDED})
"""Types that repeat what another one says."""
REMARKS: Final = frozenset({ConditionType.REACHABLE})
"""Types that tell of something outside, which comes and goes: no Event."""
RAISED: Final = frozenset({ConditionType.RESTART_REQUIRED, ConditionType.TRUST_ENDING, ConditionType.EXPIRING})
"""Types that ask for something when they are True."""
NORMAL: Final = frozenset({Reason.POD_SUCCEEDED, Reason.EXPIRES_SOON, Reason.IDLE_SOON, Reason.ACTIVITY_UNKNOWN})
"""Reasons of Events that warn of nothing."""
_CUT: Final = "… (too long to be shown whole)"


@dataclass(frozen=True)
class Finding:
    """One condition, as found."""

    status: Status
    reason: Reason
    message: str = ""


class Regarding(NamedTuple):
    """The object that an Event is about."""

    kind: str
    namespace: str
    name: str
    uid: str


Findings = Mapping[ConditionType, Finding]


def good(reason: Reason, message: str = "") -> Finding:
    """True. The message is one line: names and others' words in it can't begin one of their own."""
    return Finding("True", reason, one_line(message))


def bad(reason: Reason, message: str) -> Finding:
    """False. The message is one line, as in `good`."""
    return Finding("False", reason, one_line(message))


def unknown(reason: Reason, message: str) -> Finding:
    """Neither. The message is one line, as in `good`."""
    return Finding("Unknown", reason, one_line(message))


def from_problems(problems: Sequence[Problem], fine: Finding) -> Finding:
    """False with the first problem's reason and everybody's message, a line each, since one may end in a command; `fine` if there is
    none."""
    if not problems:
        return fine
    messages = dict.fromkeys(one_line(problem.message) for problem in problems)
    return Finding("False", problems[0].reason, "\n".join(messages))


def from_doubts(doubts: Sequence[str], fine: Finding) -> Finding:
    """True all the same, with a line for each credential that looks like a mistake; `fine` if there is none."""
    if not doubts:
        return fine
    return Finding("True", Reason.SECRET_DOUBTFUL, "\n".join(dict.fromkeys(map(one_line, doubts))))


def summarise(findings: dict[ConditionType, Finding], needed: Iterable[ConditionType], stalled: bool) -> None:
    """Add Ready, Reconciling and Stalled: Ready carries the reason and message of the first needed condition that is not True."""
    obstacles = [findings[kind] for kind in needed if findings[kind].status != "True"]
    # One that waits for another is no explanation.
    obstacle = next((o for o in obstacles if o.reason != Reason.WAITING), obstacles[0] if obstacles else None)
    done = Finding("False", Reason.READY)
    if obstacle is None:
        findings |= {ConditionType.READY: good(Reason.READY), ConditionType.RECONCILING: done, ConditionType.STALLED: done}
        return
    findings[ConditionType.READY] = Finding("False", obstacle.reason, obstacle.message)
    if stalled:
        findings[ConditionType.RECONCILING] = Finding("False", obstacle.reason)
        findings[ConditionType.STALLED] = Finding("True", obstacle.reason, obstacle.message)
    else:
        findings[ConditionType.RECONCILING] = Finding("True", Reason.PROGRESSING, obstacle.message)
        findings[ConditionType.STALLED] = Finding("False", Reason.PROGRESSING)


def merge(old: Iterable[Condition], findings: Findings, generation: int, now: datetime) -> tuple[Condition, ...]:
    """The new list. A time changes only where the status (True, False, Unknown) does."""
    before = {condition.type: condition for condition in old}
    result = []
    for kind, finding in findings.items():
        previous = before.get(kind)
        same = previous is not None and previous.status == finding.status
        result.append(
            Condition(
                type=kind,
                status=finding.status,
                reason=finding.reason,
                message=cut(lines(finding.message), MOST),
                last_transition_time=previous.last_transition_time if previous and same else format_time(now),
                observed_generation=generation,
            )
        )
    return tuple(result)


def cut(message: str, most: int) -> str:
    """The message, at most so many bytes of it, and never a part of a command: half of one is another one."""
    raw = message.encode()
    if len(raw) <= most:
        return message
    kept = raw[: most - len(_CUT.encode())].decode(errors="ignore")
    command = kept.find("kubectl ", kept.rfind("\n") + 1)
    return (kept if command < 0 else kept[:command]) + _CUT


def urgent(old: Iterable[Condition], new: Iterable[Condition]) -> bool:
    """A change that somebody waits for, or has to act on: the Devbox became Ready or ceased to be, or is suspended or no more, or something
    is wrong."""
    before = {condition.type: condition for condition in old}
    for condition in new:
        previous = before.get(condition.type)
        if previous and (previous.status, previous.reason, previous.message) == (
            condition.status,
            condition.reason,
            condition.message,
        ):
            continue
        if condition.type == ConditionType.READY and "True" in (condition.status, previous and previous.status):
            return True
        if condition.type == ConditionType.SUSPENDED:
            return True
        if condition.type in RAISED and condition.status == "True":
            return True
        if condition.status == "Unknown" or _trouble(condition):
            return True
    return False


def _trouble(condition: Condition) -> bool:
    return condition.status == "False" and condition.type not in SUMMARIES | REMARKS and condition.reason not in QUIET


def troubles(conditions: Iterable[Condition]) -> frozenset[str]:
    """Reasons for which something is wrong, and does not pass by itself."""
    return frozenset(condition.reason for condition in conditions if _trouble(condition))


def events(regarding: Regarding, old: Iterable[Condition], new: Iterable[Condition], now: datetime) -> list[Object]:
    """An Event for each condition that became False for a reason that does not pass by itself, and one when that is over: a start
    without trouble is no event (the kubelet's own are there for the pod)."""
    before = {condition.type: _what(condition) for condition in old}
    troubled = any(_trouble(condition) for condition in old)
    result = []
    for condition in new:
        if before.get(condition.type) == _what(condition):
            continue
        ready = condition.type == ConditionType.READY and condition.status == "True" and troubled
        trouble = _trouble(condition)
        restart = condition.type == ConditionType.RESTART_REQUIRED
        wanted = ready or (condition.status == "True" if condition.type in RAISED else trouble)
        if wanted:
            note = cut(condition.message or f"{regarding.kind} {regarding.name} is ready", NOTE)
            normal = ready or restart or condition.reason in NORMAL
            result.append(_event(regarding, condition, "Normal" if normal else "Warning", note, now))
    return result


def _what(condition: Condition) -> tuple[str, str, str]:
    """What an Event is about. An end that has come nearer is another one."""
    nearer = condition.message if condition.type == ConditionType.TRUST_ENDING else ""
    return condition.status, condition.reason, nearer


def _event(regarding: Regarding, condition: Condition, severity: str, note: str, now: datetime) -> Object:
    what = (condition.type, condition.reason, condition.last_transition_time, note)
    return event(regarding, (condition.reason, severity, note), now, what)


def event(regarding: Regarding, said: tuple[str, str, str], now: datetime, what: Sequence[str]) -> Object:
    """An Event. `said`: reason, type (Normal, Warning) and note. Its name is made of `what` happened, so that a repetition after an
    interruption is refused as a duplicate."""
    reason, severity, note = said
    moment = now.isoformat(timespec="microseconds").replace("+00:00", "Z")
    suffix = content_hash([regarding.uid, *what])[:16]
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": f"{regarding.name[:200]}.{suffix}", "namespace": regarding.namespace},
        "eventTime": moment,
        "reportingController": "devbox-gateway.io/operator",
        "reportingInstance": names.LEASE,
        "action": "Reconcile",
        "type": severity,
        "reason": reason,
        "note": note,
        "regarding": {"apiVersion": names.API_VERSION, **regarding._asdict()},
    }
