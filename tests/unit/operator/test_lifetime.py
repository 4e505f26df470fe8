"""How long a Devbox has to live: the table of its decisions."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from devbox_api import names
from devbox_api.conditions import REASONS, Reason
from devbox_api.lifecycle import seconds_of
from devbox_operator.devbox import pod
from devbox_operator.devbox.compile import compile_devbox
from devbox_operator.devbox.lifetime import Lifetime, lifetime
from devbox_operator.devbox.outcome import AtRest, HasPod
from devbox_operator.devbox.status import devbox_status
from devbox_operator.report.conditions import Regarding, events, urgent
from devbox_operator.report.problem import Problem
from devbox_operator.seen.resources import DevboxView
from devbox_operator.settings import Settings

pytestmark = pytest.mark.row("S23")
MADE = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
REGARDING = Regarding("Devbox", "team-a", "agent", "uid")


@pytest.fixture
def made(devbox: Any) -> Any:
    def make(ttl: str | None = "1h", kept: str | None = None, **more: Any) -> DevboxView:
        lifecycle = {} if ttl is None else {"lifecycle": {"ttl": ttl}}
        annotations = {} if kept is None else {names.KEPT_ALIVE_AT_ANNOTATION: kept}
        view: DevboxView = devbox(spec={**lifecycle, **more.pop("spec", {})}, annotations=annotations, **more)
        return replace(view, created=MADE)

    return make


def after(minutes: float = 0, seconds: float = 0) -> datetime:
    return MADE + timedelta(minutes=minutes, seconds=seconds)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("60s", 60),
        ("30m", 1800),
        ("24h", 86_400),
        ("1h30m", 5400),
        ("1h1m1s", 3661),
        ("2160h", 7_776_000),
        ("7776000s", 7_776_000),
    ],
)
def test_durations(text: str, seconds: int) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "1", "59s", "1d", "2160h1s", "1.5h", "-1h", "1h ", "1h\n", "30m1h", "1H", "\u0663h", "9" * 40 + "h"]
)
def test_what_is_none_ends_nothing(text: str, made: Any) -> None:
    """Were it ever stored."""
    assert seconds_of(text) is None
    if 1 <= len(text) <= 32:
        assert lifetime(made(ttl=text), after(1_000_000)) is None
    else:
        with pytest.raises(ValidationError):
            made(ttl=text)


def test_without_a_ttl_there_is_no_end(made: Any, devbox: Any) -> None:
    assert lifetime(made(ttl=None), after(1_000_000)) is None
    assert lifetime(made(ttl=None, spec={"lifecycle": {}}, kept="1"), after(1_000_000)) is None
    assert lifetime(devbox(spec={"lifecycle": {"ttl": "1h"}}), after(1_000_000)) is None, "nor without a beginning"


@pytest.mark.parametrize(
    ("ttl", "now", "is_so", "again"),
    [
        ("1h", after(0), (False, False), 55 * 60),
        ("1h", after(54, 59), (False, False), 1),
        ("1h", after(55), (True, False), 301),
        ("1h", after(60), (True, False), 1),
        ("1h", after(60, 0.9), (True, False), 0.1),
        ("1h", after(60, 1), (True, True), None),
        ("1h", after(6000), (True, True), None),
        ("60s", after(0, 29), (False, False), 1),
        ("60s", after(0, 30), (True, False), 31),
        ("60s", after(0, 61), (True, True), None),
        ("1h", after(-60), (False, False), 115 * 60),
    ],
)
def test_it_ends_then(made: Any, ttl: str, now: datetime, is_so: tuple[bool, bool], again: float | None) -> None:
    """The API server cuts its times to seconds: what it made at 12:00:00 may be of 12:00:00.9."""
    life = lifetime(made(ttl), now)
    assert life is not None
    assert (life.soon, life.over) == is_so
    assert life.again == (None if again is None else pytest.approx(again))


@pytest.mark.parametrize(
    ("kept", "ends"),
    [
        ("2026-11-23T12:20:00Z", after(80)),
        ("2026-11-23t12:20:00.5z", after(80, 0.5)),
        ("2026-11-23T13:20:00+01:00", after(80)),
        ("2026-11-23 12:20:00", after(80)),
        (str(int(after(20).timestamp())), after(80)),
        ("2026-11-23T12:30:04Z", after(90, 4)),
        ("2026-11-23T11:00:00Z", after(60)),
        ("0", after(60)),
        ("0001-01-01T00:00:00+14:00", after(60)),
        ("", after(60)),
    ],
    ids=[
        "UTC",
        "small letters",
        "another zone",
        "no zone",
        "date +%s",
        "just now",
        "before it was made",
        "long before",
        "at the beginning of time",
        "empty",
    ],
)
def test_it_counts_from_when_it_was_kept_alive(made: Any, kept: str, ends: datetime) -> None:
    life = lifetime(made(kept=kept), after(30))
    assert life is not None
    assert (life.ends, life.ahead, life.remark) == (ends, None, "")


@pytest.mark.parametrize(
    "kept",
    ["soon", "9" * 13, "-5", "1e9", "2026-13-01T12:00:00Z", "2026-11-23", "12:20", "2026-11-23\x1b12:20:00Z", "2026-11-23T12:20:00Z\n",
     "x" * 100_000, "\u0662026-11-23T12:20:00Z"],
)  # fmt: skip
def test_what_is_no_time_does_not_count_and_is_said(made: Any, kept: str) -> None:
    life = lifetime(made(kept=kept), after(30))
    assert life is not None
    assert life.ends == after(60)
    assert life.remark.startswith("the annotation devbox-gateway.io/kept-alive-at is no time, and does not count")


@pytest.mark.parametrize("kept", ["2026-11-23T12:31:00Z", "9999-12-31T23:59:59Z", "253402300799", "2126-01-01T00:00:00+14:00"])
def test_a_time_that_is_to_come_counts_as_the_one_when_it_was_seen(made: Any, kept: str) -> None:
    first = lifetime(made(kept=kept), after(30))
    assert first is not None
    assert first.ahead is not None
    assert (first.ends, first.ahead.said, first.ahead.seen_at) == (after(90), kept, "2026-11-23T12:30:00Z")
    assert "was ahead of the API server's time; 2026-11-23T12:30:00Z counts" in first.remark
    status = {"keptAlive": first.ahead.model_dump(by_alias=True)}
    later = lifetime(made(kept=kept, status=status), after(91))
    assert later is not None
    assert (later.ends, later.over, later.ahead) == (after(90), True, first.ahead), (
        "it is not looked at anew, or it would never end"
    )
    other = lifetime(made(kept="2026-11-23T12:50:00Z", status=status), after(51))
    assert other is not None
    assert (other.ends, other.ahead) == (after(110), None), "another one is"
    none = lifetime(made(status=status), after(51))
    assert none is not None
    assert (none.ends, none.ahead) == (after(60), None)


def test_a_status_that_somebody_made_up_shortens_nothing(made: Any) -> None:
    kept = "2026-11-23T12:20:00Z"
    for seen_at in ("nothing", "2026-11-23T12:25:00Z"):
        life = lifetime(made(kept=kept, status={"keptAlive": {"said": kept, "seenAt": seen_at}}), after(30))
        assert life is not None
        assert life.ends == after(80)
    last = "9999-12-31T23:59:59-14:00"
    life = lifetime(made(kept=last, status={"keptAlive": {"said": last, "seenAt": last}}), after(30))
    assert life is not None
    assert life.ends == after(90), "nor makes it endless"


def test_without_the_api_servers_time_nothing_ends_and_it_is_said(made: Any) -> None:
    life = lifetime(made(status={"expiresAt": "2026-11-23T13:00:00Z"}), None)
    assert life is not None
    assert (life.ends, life.soon, life.over, life.again) == (after(60), False, False, 60)
    assert "tell no time (Date)" in life.remark


def test_one_that_is_being_deleted_is_not_deleted_again(made: Any) -> None:
    life = lifetime(made(deleting=True), after(100))
    assert life is not None
    assert (life.ends, life.soon, life.over, life.again) == (after(60), False, False, None)


def judged(snapshot: Any, view: DevboxView, life: Lifetime | None, settings: Settings, outcome: Any = None) -> Any:
    shot = snapshot(view)
    return devbox_status(shot, compile_devbox(shot, settings), outcome or AtRest(1, 0), settings, life)


def test_its_end_is_in_the_status_from_the_beginning(snapshot: Any, made: Any, settings: Settings) -> None:
    view = made(kept="9999-12-31T23:59:59Z")
    status = judged(snapshot, view, lifetime(view, after(1)), settings)
    assert status.expires_at == "2026-11-23T13:01:00Z"
    assert status.kept_alive is not None
    assert not [one for one in status.conditions if one.type == "Expiring"]
    (accepted,) = [one for one in status.conditions if one.type == "Accepted"]
    assert (accepted.status, "was ahead of" in accepted.message) == ("True", True)


@pytest.mark.parametrize("suspended", [False, True])
def test_five_minutes_before_it_is_said(snapshot: Any, made: Any, pod: Any, settings: Settings, suspended: bool) -> None:
    view = made(spec={"suspend": True} if suspended else {})
    outcome = AtRest(1, 0) if suspended else HasPod(1, 0, pod(view))
    before = judged(snapshot, view, lifetime(view, after(54)), settings, outcome)
    status = judged(snapshot, view, lifetime(view, after(56)), settings, outcome)
    (found,) = [one for one in status.conditions if one.type == "Expiring"]
    assert (found.status, found.reason) == ("True", "ExpiresSoon")
    assert found.message.startswith("it is deleted at 2026-11-23T13:00:00Z (spec.lifecycle.ttl: 1h), with what is in it")
    assert found.message.endswith(
        "kubectl -n team-a annotate dbx agent devbox-gateway.io/kept-alive-at=$(date +%s) --overwrite"
    )
    assert found.type in REASONS[Reason(found.reason)].types
    assert urgent(before.conditions, status.conditions)
    (event,) = events(REGARDING, before.conditions, status.conditions, MADE)
    assert (event["type"], event["reason"]) == ("Normal", "ExpiresSoon")
    assert judged(snapshot, view, lifetime(view, after(57)), settings, outcome).conditions == status.conditions, "once"


def test_what_keeps_it_from_being_deleted_is_said(snapshot: Any, made: Any, settings: Settings) -> None:
    view = made()
    life = lifetime(view, after(70))
    assert life is not None
    refused = replace(life, refused=Problem(Reason.DELETION_REFUSED, "no: \x1b[31mfrozen\nuntil Monday"))
    soon, status = (judged(snapshot, view, one, settings) for one in (life, refused))
    (found,) = [one for one in status.conditions if one.type == "Expiring"]
    assert (found.status, found.reason) == ("True", "DeletionRefused")
    assert found.message.endswith("and it can't be deleted: no: \\x1b[31mfrozen until Monday")
    (event,) = events(REGARDING, soon.conditions, status.conditions, MADE)
    assert (event["type"], event["reason"]) == ("Warning", "DeletionRefused")


def test_no_pod_is_another_for_it(made: Any, settings: Settings) -> None:
    """Nor does a running one have to be restarted for a change of it."""
    assert pod.pod(made(), 1, settings, ("10.96.0.9",)) == pod.pod(made(ttl=None), 1, settings, ("10.96.0.9",))
