"""How long a Devbox has to live (spec.lifecycle.ttl), and what is said of it. Pure.

Goes in: the Devbox; the API server's time, which is what its own times are by. Comes out: a `Lifetime`. It counts from the later of the
Devbox's creation and its annotation kept-alive-at. Nothing is over before its time: what is not known, or can't be read, makes it no
shorter.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from devbox_api.conditions import ConditionType, Reason
from devbox_api.devbox import DevboxKeptAlive
from devbox_api.judge.shown import command
from devbox_api.lifecycle import seconds_of
from devbox_api.names import KEPT_ALIVE_AT_ANNOTATION
from devbox_operator.kit.encoding import format_time, parse_time
from devbox_operator.report.conditions import Finding, good
from devbox_operator.report.problem import Problem
from devbox_operator.seen.resources import DevboxView

SOON: Final = timedelta(minutes=5)
"""So long before its end is said; or half of its time, so that who keeps one alive in good time is never warned."""
ROUNDED: Final = timedelta(seconds=1)
"""Less than this is cut off from the times that the API server writes."""
NOT_AHEAD: Final = timedelta(seconds=5)
"""A time that somebody has just had of the API server may be ahead of ours by a little."""
TIMELESS_SECONDS: Final = 60.0
"""Until it is looked whether the API server's time is known."""
_SECONDS: Final = re.compile(r"\d{1,12}", re.ASCII)
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)?", re.ASCII)


@dataclass(frozen=True)
class Lifetime:
    """Of one Devbox at one moment."""

    ttl: str
    ends: datetime | None
    """None: it is not known."""
    soon: bool = False
    over: bool = False
    again: float | None = None
    """Seconds until something of this changes by itself."""
    ahead: DevboxKeptAlive | None = None
    """For the status."""
    remark: str = ""
    """What is wrong with what somebody wrote."""
    refused: Problem | None = None
    """Why it is still there, though its time is over."""

    @property
    def why(self) -> str:
        """Of its deletion."""
        return f"its time was over at {self.ends_at} (spec.lifecycle.ttl: {self.ttl})"

    @property
    def ends_at(self) -> str | None:
        """As the API server writes it."""
        return format_time(self.ends) if self.ends else None


def lifetime(view: DevboxView, now: datetime | None) -> Lifetime | None:
    """None: it has no end, or none that could be read. `now`: the API server's time, or a moment before it; None: it is not known."""
    ttl = view.box.spec.lifecycle.ttl if view.box.spec.lifecycle else None
    seconds = seconds_of(ttl) if ttl else None
    if ttl is None or seconds is None or view.created is None:
        return None
    if now is None:
        what = "nothing is deleted by spec.lifecycle.ttl: the API server's answers, or what stands between, tell no time (Date)"
        return Lifetime(ttl, moment_of(view.box.status.expires_at or ""), again=TIMELESS_SECONDS, remark=what)
    kept, ahead, remark = kept_alive(view, now)
    length = timedelta(seconds=seconds)
    ends = max(view.created, kept or view.created) + length
    warned, over = ends - min(SOON, length / 2), ends + ROUNDED
    if view.deleting:
        return Lifetime(ttl, ends, ahead=ahead, remark=remark)
    soon, due = now >= warned, now >= over
    left = ((over if soon else warned) - now) / timedelta(seconds=1)
    return Lifetime(ttl, ends, soon, due, None if due else left, ahead, remark)


def findings(view: DevboxView, life: Lifetime | None) -> Mapping[ConditionType, Finding]:
    """The condition Expiring, where its time is nearly over; nothing before."""
    if life is None or not life.soon:
        return {}
    namespace, name, end = view.box.namespace, view.box.name, life.ends_at
    if life.refused is not None:
        said = f"{life.why}, and it can't be deleted: {life.refused.message}"
        return {ConditionType.EXPIRING: good(life.refused.reason, said)}
    keep = command("kubectl", "-n", namespace, "annotate", "dbx", name) + f" {KEPT_ALIVE_AT_ANNOTATION}=$(date +%s) --overwrite"
    said = f"it is deleted at {end} (spec.lifecycle.ttl: {life.ttl}), with what is in it; to have its time begin anew: {keep}"
    return {ConditionType.EXPIRING: good(Reason.EXPIRES_SOON, said)}


def kept_alive(view: DevboxView, now: datetime) -> tuple[datetime | None, DevboxKeptAlive | None, str]:
    """What counts of the annotation kept-alive-at; what of it the status has to hold; and what is wrong with it."""
    said = view.kept_alive_at
    if not said:
        return None, None, ""
    moment = moment_of(said)
    if moment is None:
        return None, None, f"the annotation {KEPT_ALIVE_AT_ANNOTATION} is no time, and does not count; write e.g. $(date +%s)"
    known = view.box.status.kept_alive
    seen = moment_of(known.seen_at) if known is not None and known.said == said else None
    if known is not None and seen is not None and seen <= now + NOT_AHEAD:
        return min(moment, seen), known, _ahead(said, known)
    if moment <= now + NOT_AHEAD:
        return moment, None, ""
    # Now, for good: were it looked at anew each time, it would never end.
    first = DevboxKeptAlive(said=said, seen_at=format_time(now))
    return now, first, _ahead(said, first)


def _ahead(said: str, first: DevboxKeptAlive) -> str:
    return f"the annotation {KEPT_ALIVE_AT_ANNOTATION} ({said}) was ahead of the API server's time; {first.seen_at} counts in its place"


def moment_of(said: str) -> datetime | None:
    """Of what somebody wrote: RFC 3339, or seconds since 1970. None: it is no time."""
    try:
        if _SECONDS.fullmatch(said):
            return datetime.fromtimestamp(int(said), UTC)
        return parse_time(said.upper()) if _TIME.fullmatch(said) else None
    except (ValueError, OverflowError, OSError):
        return None
