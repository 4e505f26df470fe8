"""Whether anybody works in a devbox (spec.lifecycle.idle), and what is said of it. Pure.

Goes in: the Devbox; when its pod was last in use, as gateways tell it; the API server's time. Comes out: an `Idleness`. Nothing is idle
before its time: what is not known, or can't be read, makes it no earlier.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, NamedTuple

from devbox_api.conditions import ConditionType, Reason
from devbox_api.devbox import DevboxKeptAlive
from devbox_api.judge.shown import command
from devbox_api.lifecycle import seconds_of
from devbox_api.names import ACTIVE_UNTIL_ANNOTATION, KEPT_ALIVE_AT_ANNOTATION
from devbox_operator.devbox.lifetime import NOT_AHEAD, ROUNDED, SOON, kept_alive, moment_of
from devbox_operator.kit.encoding import format_time, parse_time
from devbox_operator.report.conditions import Finding, good
from devbox_operator.report.problem import Problem
from devbox_operator.seen.pods import PodView
from devbox_operator.seen.resources import DevboxView

MOST_AHEAD: Final = timedelta(hours=24)
"""Of the annotation active-until."""
WRITTEN: Final = timedelta(minutes=4)
"""The status' lastActivity may be so old, and for as long as a write of it may have to wait."""
MARGIN: Final = timedelta(minutes=5)
"""So much later than the status says a pod may have been in use, for all that another operator knew and had not written."""


class Use(NamedTuple):
    """Of a pod, by the API server's clock."""

    last: datetime
    """When it was last seen in use."""
    since: datetime
    """Since when it is idle for certain, if the gateways are to be believed."""
    doubt: tuple[str, ...] = ()
    """Addresses of gateways whose word is missing."""


@dataclass(frozen=True)
class Idleness:
    """Of one Devbox at one moment."""

    after: str
    action: Literal["Suspend", "Delete"]
    use: Use
    since: datetime
    """Since when nobody works in it."""
    ends: datetime
    """When something becomes of it."""
    soon: bool
    over: bool
    again: float | None
    """Seconds until something of this changes by itself."""
    ahead: DevboxKeptAlive | None = None
    """For the status."""
    remarks: tuple[str, ...] = ()
    """What is wrong with what somebody wrote."""
    refused: Problem | None = None
    """Why nothing has become of it, though its time is over."""

    @property
    def why(self) -> str:
        """Of what was done about it."""
        return f"nobody worked in it since {format_time(self.since)} (spec.lifecycle.idle.after: {self.after})"


def watched(view: DevboxView, pod: PodView | None) -> bool:
    """Whether anything becomes of it when nobody works in it: it has a pod that is, or was, at work. (One whose command ended has nothing
    to suspend.)"""
    idle = view.box.spec.lifecycle.idle if view.box.spec.lifecycle else None
    if idle is None or seconds_of(idle.after) is None or view.deleting or view.suspended_by is not None:
        return False
    return pod is not None and not pod.deleting and (not pod.ended or idle.action == "Delete")


def before(view: DevboxView, pod: PodView) -> datetime | None:
    """When that pod was in use, as the status remembers it; None: it is new to us."""
    return parse_time(view.box.status.last_activity) if view.box.status.pod_uid == pod.uid else None


def begins(view: DevboxView, pod: PodView, now: datetime) -> datetime:
    """When a pod that is not followed yet may last have been in use, beside what gateways will tell: now, where it is new. (What a gateway
    told before it ended, well, nobody knows any more but the status.)"""
    known = before(view, pod)
    return now if known is None else min(now, known + MARGIN)


def idleness(view: DevboxView, use: Use, now: datetime) -> Idleness:
    """Of one that is `watched`. `now`: the API server's time, or a moment before it."""
    lifecycle = view.box.spec.lifecycle
    assert lifecycle is not None and lifecycle.idle is not None  # noqa: S101, PT018 (watched)
    idle = lifecycle.idle
    length = timedelta(seconds=seconds_of(idle.after) or 0)
    kept, ahead, remark = kept_alive(view, now)
    until, wrong = _active_until(view, now)
    since = max(filter(None, (use.since, kept, until)))
    ends = since + length
    warned, over = ends - min(SOON, length / 2), ends + ROUNDED
    soon, due = now >= warned, now >= over
    left = ((over if soon else warned) - now) / timedelta(seconds=1)
    return Idleness(idle.after, idle.action, use, since, ends, soon, due, None if due else left, ahead, (remark, wrong))


def last_activity(view: DevboxView, pod: PodView | None, idle: Idleness | None) -> str | None:
    """For the status: as it is there, unless that is too old."""
    written = view.box.status.last_activity
    if idle is None or pod is None:
        return written if view.suspended_by is not None else None
    known = before(view, pod)
    return written if known is not None and idle.use.last - known < WRITTEN else format_time(idle.use.last)


def news_at(view: DevboxView, pod: PodView, idle: Idleness) -> datetime:
    """Use of it from then on is to be looked at: it takes back what was said of it, or is to be written down."""
    known = before(view, pod)
    return idle.use.last + ROUNDED if idle.soon or known is None else known + WRITTEN


def findings(view: DevboxView, idle: Idleness | None) -> Mapping[ConditionType, Finding]:
    """The condition Expiring, where its time is nearly over; nothing before."""
    if idle is None or not idle.soon:
        return {}
    becomes = "suspended" if idle.action == "Suspend" else "deleted, with what is in it,"
    if idle.refused is not None:
        return {
            ConditionType.EXPIRING: good(
                idle.refused.reason, f"{idle.why}, and it is not {becomes} yet: {idle.refused.message}"
            )
        }
    keep = command("kubectl", "-n", view.box.namespace, "annotate", "dbx", view.box.name)
    keep += f" {KEPT_ALIVE_AT_ANNOTATION}=$(date +%s) --overwrite"
    said = f"{idle.why}: it is {becomes} at {format_time(idle.ends)}; any call through the gateway keeps it, or: {keep}"
    return {ConditionType.EXPIRING: good(Reason.IDLE_SOON, said)}


def unknown(doubt: tuple[str, ...]) -> Problem:
    """Why nothing becomes of it yet."""
    which = ", ".join(doubt[:4]) + (f" and {len(doubt) - 4} more" if len(doubt) > 4 else "")
    return Problem(
        Reason.ACTIVITY_UNKNOWN,
        f"the gateway at {which} has not said whether it was in use; it is believed to be idle five minutes later",
    )


def _active_until(view: DevboxView, now: datetime) -> tuple[datetime | None, str]:
    said = view.active_until
    if not said:
        return None, ""
    moment = moment_of(said)
    if moment is None:
        return (
            None,
            f"the annotation {ACTIVE_UNTIL_ANNOTATION} is no time, and does not count; write e.g. $(date -d '2 hours' +%s)",
        )
    if moment > now + MOST_AHEAD + NOT_AHEAD:
        return None, f"the annotation {ACTIVE_UNTIL_ANNOTATION} ({said}) is more than a day ahead, and does not count"
    return moment, ""
