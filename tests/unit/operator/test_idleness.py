"""When nobody works in a devbox, and what becomes of it: the table of its decisions. (What gateways tell: test_known_activity.py.)"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from devbox_api import names
from devbox_api.conditions import Reason
from devbox_common.kube import ApiError
from devbox_operator.devbox import idleness
from devbox_operator.devbox.compile import compile_devbox
from devbox_operator.devbox.expiry import Expiry
from devbox_operator.devbox.idleness import Idleness, Use
from devbox_operator.devbox.idling import Idling
from devbox_operator.devbox.outcome import AtRest, HasPod
from devbox_operator.devbox.status import devbox_status
from devbox_operator.report.problem import Problem
from devbox_operator.seen.resources import DevboxView
from devbox_operator.settings import Settings

pytestmark = pytest.mark.row("S23")
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
TEXT = "2026-11-23T12:00:00Z"


def after(minutes: float = 0, seconds: float = 0) -> datetime:
    return NOON + timedelta(minutes=minutes, seconds=seconds)


@pytest.fixture
def made(devbox: Any) -> Any:
    def make(time: str = "30m", action: str = "Suspend", notes: dict[str, str] | None = None, **more: Any) -> DevboxView:
        lifecycle = {"idle": {"after": time, "action": action}}
        view: DevboxView = devbox(spec={"lifecycle": lifecycle, **more.pop("spec", {})}, annotations=notes or {}, **more)
        return replace(view, created=NOON)

    return make


def use(last: datetime = NOON, since: datetime | None = None, doubt: tuple[str, ...] = ()) -> Use:
    return Use(last, since or last, doubt)


@pytest.mark.parametrize(
    ("time", "now", "is_so", "again"),
    [
        ("30m", after(0), (False, False), 25 * 60),
        ("30m", after(24, 59), (False, False), 1),
        ("30m", after(25), (True, False), 301),
        ("30m", after(30, 0.9), (True, False), 0.1),
        ("30m", after(30, 1), (True, True), None),
        ("60s", after(0, 29), (False, False), 1),
        ("60s", after(0, 30), (True, False), 31),
        ("60s", after(0, 61), (True, True), None),
        ("2160h", after(60 * 24 * 89), (False, False), 86_400 - 300),
    ],
)
def test_it_is_idle_then(made: Any, time: str, now: datetime, is_so: tuple[bool, bool], again: float | None) -> None:
    found = idleness.idleness(made(time), use(), now)
    assert (found.soon, found.over) == is_so
    assert found.again == (None if again is None else pytest.approx(again))


def stamp(moment: datetime) -> str:
    return str(int(moment.timestamp()))


@pytest.mark.parametrize(
    ("notes", "since", "remark"),
    [
        ({}, NOON, ""),
        ({names.KEPT_ALIVE_AT_ANNOTATION: stamp(after(10))}, after(10), ""),
        ({names.KEPT_ALIVE_AT_ANNOTATION: stamp(after(-10))}, NOON, ""),
        ({names.KEPT_ALIVE_AT_ANNOTATION: "9999-12-31T23:59:59Z"}, after(20), "was ahead of the API server's time"),
        ({names.KEPT_ALIVE_AT_ANNOTATION: "soon"}, NOON, "is no time"),
        ({names.ACTIVE_UNTIL_ANNOTATION: stamp(after(120))}, after(120), ""),
        ({names.ACTIVE_UNTIL_ANNOTATION: "2026-11-24T12:19:59Z"}, after(24 * 60 + 19, 59), ""),
        ({names.ACTIVE_UNTIL_ANNOTATION: "2026-11-24T12:21:00Z"}, NOON, "more than a day ahead"),
        ({names.ACTIVE_UNTIL_ANNOTATION: "9" * 11}, NOON, "more than a day ahead"),
        ({names.ACTIVE_UNTIL_ANNOTATION: "tomorrow"}, NOON, "is no time"),
        ({names.ACTIVE_UNTIL_ANNOTATION: stamp(after(-10))}, NOON, ""),
    ],
)
def test_what_people_write_counts(made: Any, notes: dict[str, str], since: datetime, remark: str) -> None:
    found = idleness.idleness(made(notes=notes), use(), after(20))
    assert found.since == since
    assert remark in "; ".join(found.remarks)
    assert found.ends == since + timedelta(minutes=30)


def test_a_gateway_that_was_missed_counts_as_use(made: Any) -> None:
    """Of which nobody knows when it was."""
    found = idleness.idleness(made(), use(since=after(10)), after(20))
    assert (found.since, found.use.last) == (after(10), NOON)


def test_what_is_watched(made: Any, pod: Any, devbox: Any) -> None:
    view = made()
    runs = pod(view)
    assert idleness.watched(view, runs)
    assert not idleness.watched(view, None)
    assert not idleness.watched(devbox(), runs)
    assert not idleness.watched(made(deleting=True), runs)
    assert not idleness.watched(made(spec={"suspend": True}), runs)
    assert not idleness.watched(view, replace(runs, deleting=True))
    ended = replace(runs, phase="Succeeded", ready=False)
    assert not idleness.watched(view, ended), "there is nothing to suspend"
    assert idleness.watched(made(action="Delete"), ended)


def test_who_is_suspended_by_it_and_who_is_no_more(made: Any) -> None:
    status = {"suspendedBy": "Idle"}
    for resumed, note, by in (
        (None, None, "Idle"),
        ("1", "1", "Idle"),
        (None, "1", None),
        ("1", "2", None),
        ("1", None, None),
    ):
        notes = {names.RESUMED_AT_ANNOTATION: note} if note else {}
        view = made(notes=notes, status={**status, **({"resumedAt": resumed} if resumed else {})})
        assert view.suspended_by == by, (resumed, note)
    assert made(status={"suspendedBy": "Spec"}).suspended_by is None
    assert made(status=status, spec={"suspend": True}).suspended_by == "Spec"


def state(view: DevboxView, snapshot: Any, settings: Settings, outcome: Any, idle: Idleness | None = None) -> Any:
    shot = snapshot(view)
    return devbox_status(shot, compile_devbox(shot, settings), outcome, settings, idle=idle)


def test_what_is_said_before_and_after(made: Any, pod: Any, snapshot: Any, settings: Settings) -> None:
    view = made()
    runs = pod(view)
    for now, said in ((after(20), None), (after(26), Reason.IDLE_SOON)):
        idle = idleness.idleness(view, use(), now)
        status = state(view, snapshot, settings, HasPod(1, 0, runs), idle)
        found = {condition.type: condition for condition in status.conditions}
        assert (found["Expiring"].reason if said else found.get("Expiring")) == said
        assert status.last_activity == TEXT
    assert "since 2026-11-23T12:00:00Z" in found["Expiring"].message
    assert "it is suspended at 2026-11-23T12:30:00Z" in found["Expiring"].message
    waits = replace(idle, refused=idleness.unknown(("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5")))
    found = {one.type: one for one in state(view, snapshot, settings, HasPod(1, 0, runs), waits).conditions}
    assert found["Expiring"].reason == Reason.ACTIVITY_UNKNOWN
    assert "and 1 more" in found["Expiring"].message

    rests = made(
        status={"suspendedBy": "Idle", "resumedAt": "7", "lastActivity": TEXT}, notes={names.RESUMED_AT_ANNOTATION: "7"}
    )
    status = state(rests, snapshot, settings, AtRest(1, 0))
    assert (status.phase, status.suspended_by, status.resumed_at, status.last_activity) == ("Suspended", "Idle", "7", TEXT)
    found = {one.type: one for one in status.conditions}
    assert found["Suspended"].reason == Reason.SUSPENDED_IDLE
    assert "devbox-gateway.io/resumed-at=$(date +%s) --overwrite" in found["Suspended"].message
    assert "Ready" not in found

    ends = AtRest(1, 0, replace(pod(rests), deleting=True))
    assert state(rests, snapshot, settings, ends).last_activity == TEXT, "while its pod ends"

    again = made(status={"suspendedBy": "Idle", "lastActivity": TEXT}, notes={names.RESUMED_AT_ANNOTATION: "8"})
    status = state(again, snapshot, settings, HasPod(2, 0, pod(again, 2)))
    assert (status.suspended_by, status.resumed_at, status.last_activity) == (None, None, None)


def test_the_last_activity_is_written_seldom(made: Any, pod: Any) -> None:
    view = made()
    runs = pod(view)
    known = made(status={"podUID": runs.uid, "lastActivity": TEXT})
    for moment, said in ((after(3, 59), TEXT), (after(4), "2026-11-23T12:04:00Z")):
        idle = idleness.idleness(known, use(moment), after(6))
        assert idleness.last_activity(known, runs, idle) == said
        assert idleness.news_at(known, runs, idle) == after(4)
    other = made(status={"podUID": "another", "lastActivity": TEXT})
    idle = idleness.idleness(other, use(after(1)), after(6))
    assert idleness.last_activity(other, runs, idle) == "2026-11-23T12:01:00Z", "that was another pod"
    assert idleness.last_activity(known, runs, None) is None, "nothing becomes of it any more"


class Activity:
    """In place of the rounds of questions."""

    def __init__(self) -> None:
        self.followed: dict[Any, Any] = {}
        self.last, self.doubt = NOON, tuple[str, ...]()
        self.rounds = 0
        self.asked: float | None = 0.0
        self.woken: list[datetime] = []

    def follows(self, key: Any, uid: str) -> bool:
        return bool(self.followed.get(key) and self.followed[key][0] == uid)

    def follow(self, key: Any, uid: str, last: datetime, _: datetime) -> None:
        self.followed[key] = (uid, last)

    def forget(self, key: Any) -> None:
        self.followed.pop(key, None)

    def use(self, _: str, __: datetime, asked: float | None = None) -> Any:
        return self.last, self.last, self.doubt if asked is not None else ()

    def wake(self, _: str, moment: datetime, __: datetime) -> None:
        self.woken.append(moment)

    async def fresh(self) -> float:
        self.rounds += 1
        return float(self.rounds)


class Here:
    """Idling, and what it writes."""

    def __init__(self, now: datetime | None) -> None:
        self.now, self.activity = now, Activity()
        self.patched: list[Any] = []
        self.deleted: list[Any] = []
        self.error: ApiError | None = None
        tools: Any = SimpleNamespace(observer=self, activity=self.activity, writer=self)
        self.idling = Idling(tools, self, Expiry(tools, self))  # type: ignore[arg-type]

    def server_time(self) -> datetime | None:
        return self.now

    async def patch(self, view: DevboxView, status: Any) -> None:
        if self.error:
            raise self.error
        self.patched.append((view.version, status))

    async def delete(self, path: str, **how: Any) -> bool:
        self.deleted.append((path, how))
        return True

    async def events(self, events: Any) -> None:
        self.told = events[0]["note"]


def test_one_is_followed_once_it_is_ready(made: Any, pod: Any) -> None:
    here, view = Here(after(1)), made()
    starts = replace(pod(view), ready=False)
    assert here.idling.look(view, [starts]) is None
    assert not here.activity.followed
    assert here.idling.look(view, [pod(view)]) is not None
    assert here.activity.followed[view.key] == (pod(view).uid, after(1)), "it was in use until then, for all that is known"
    assert here.idling.look(view, [starts]) is not None, "and stays so"
    known = made(status={"podUID": pod(view).uid, "lastActivity": TEXT})
    for now, last in ((after(31), after(5)), (after(4), after(4))):
        here = Here(now)
        here.idling.look(known, [pod(view)])
        assert here.activity.followed[view.key] == (pod(view).uid, last), "what the one before knew may be five minutes newer"
    assert here.idling.look(made(spec={"suspend": True}), [pod(view)]) is None
    assert not here.activity.followed


def test_without_the_time_nothing_is_idle(made: Any, pod: Any) -> None:
    view = made()
    assert Here(None).idling.look(view, [pod(view)]) is None


async def test_it_is_suspended_as_it_was_read(made: Any, pod: Any) -> None:
    here, view = Here(after(31)), made(notes={names.RESUMED_AT_ANNOTATION: "3"})
    assert await here.idling.act(view, [pod(view)], None) is None
    assert here.activity.rounds == 1
    assert here.patched == [(view.version, {"suspendedBy": "Idle", "resumedAt": "3", "lastActivity": TEXT})]
    here.error = ApiError(409, "Conflict", "it changed")
    with pytest.raises(ApiError):
        await here.idling.act(view, [pod(view)], None)


async def test_what_was_used_meanwhile_is_left(made: Any, pod: Any) -> None:
    here, view = Here(after(31)), made()
    here.activity.last = after(30, 59)
    found = await here.idling.act(view, [pod(view)], None)
    assert found is not None
    assert not found.over
    assert not here.patched


async def test_a_gateway_without_a_word_is_waited_for(made: Any, pod: Any) -> None:
    here, view = Here(after(31)), made()
    here.activity.doubt = ("10.0.0.1",)
    found = await here.idling.act(view, [pod(view)], None)
    assert found is not None
    assert found.refused is not None
    assert "10.0.0.1" in found.refused.message
    assert found.again
    assert not here.patched
    assert here.activity.rounds == 0, "nobody waits for one that just gave no answer"
    here.activity.asked = None
    assert await here.idling.act(view, [pod(view)], None) is not None
    assert here.activity.rounds == 1, "unless nobody was asked yet"


async def test_it_is_deleted(made: Any, pod: Any) -> None:
    here, view = Here(after(31)), made(action="Delete")
    obstacle = Problem(Reason.DELETION_REFUSED, "its claim")
    found = await here.idling.act(view, [pod(view)], obstacle)
    assert found is not None
    assert found.refused == obstacle
    assert await here.idling.act(view, [pod(view)], None) is None
    ((path, how),) = here.deleted
    assert path.endswith("/devboxes/agent")
    assert (how["uid"], how["version"]) == (view.box.uid, view.version)
    assert here.told == "deleted: nobody worked in it since 2026-11-23T12:00:00Z (spec.lifecycle.idle.after: 30m)"
