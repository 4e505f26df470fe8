"""Devboxes that end by themselves: keep_alive, what `get_info` and `kubectl devbox` say, and charts that know of no such end.

With an operator: tests/chaos/operator/lifetimes.py.
"""

import asyncio
from datetime import datetime
from typing import Any

import click
import pytest

from devbox_gateway.cli import durations
from devbox_gateway.cli.devbox_options import arguments
from devbox_gateway.cli.output import left
from devbox_gateway.cli.verbs import execute
from devbox_gateway.errors import APIConnectionError, InvalidError, NotFoundError
from devbox_gateway.kube.session import Object
from devbox_gateway.naming import Reference
from devbox_gateway.objects.base import Cluster
from devbox_gateway.objects.devbox import AsyncDevbox
from devbox_gateway.objects.devboxes import devbox_error

pytestmark = pytest.mark.row("S23")
NOON = datetime.fromisoformat("2026-11-30T12:00:00+00:00")


def seen(ttl: str | None = "24h", **metadata: Any) -> Object:
    spec = {} if ttl is None else {"lifecycle": {"ttl": ttl}}
    made = {"name": "agent", "namespace": "team-a", "uid": "u", "creationTimestamp": "2026-11-30T11:00:00Z", **metadata}
    return {"metadata": made, "spec": spec, "status": {"expiresAt": "2026-12-01T11:00:00Z"} if ttl else {}}


class Session:
    """Has one devbox; notes what is written."""

    def __init__(self, devbox: Object, date: datetime | Exception | None = NOON) -> None:
        self.devbox, self.said, self.written = devbox, date, list[Object]()

    async def request(self, method: str, path: str, query: Any = (), body: Any = None, **_: Any) -> Object:
        if method == "PATCH":
            self.written.append(body)
        return self.devbox

    async def date(self) -> datetime | None:
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


def agent(session: Session) -> AsyncDevbox:
    return AsyncDevbox(Cluster(session, "team-a"), Reference("team-a", "agent"))  # type: ignore[arg-type]


async def test_its_time_begins_anew_by_the_api_servers_clock() -> None:
    session = Session(seen())
    await agent(session).keep_alive()
    assert session.written == [
        {"metadata": {"uid": "u", "annotations": {"devbox-gateway.io/kept-alive-at": "2026-11-30T12:00:00Z"}}}
    ]


@pytest.mark.parametrize("date", [None, APIConnectionError("away")])
async def test_or_by_ours_where_that_is_not_told(date: Any) -> None:
    session, before = Session(seen(), date), datetime.now(NOON.tzinfo).replace(microsecond=0)
    await agent(session).keep_alive()
    said = datetime.fromisoformat(
        session.written[0]["metadata"]["annotations"]["devbox-gateway.io/kept-alive-at"].replace("Z", "+00:00")
    )
    assert before <= said <= datetime.now(NOON.tzinfo)


async def test_nothing_is_written_to_one_without_an_end() -> None:
    session = Session(seen(ttl=None))
    await agent(session).keep_alive()
    assert session.written == []


async def test_one_that_is_being_deleted_can_not_be_kept_alive() -> None:
    session = Session(seen(deletionTimestamp="2026-11-30T12:00:00Z"))
    with pytest.raises(NotFoundError, match="is being deleted"):
        await agent(session).keep_alive()
    assert session.written == []


async def test_when_it_ends_is_told() -> None:
    assert (await agent(Session(seen())).get_info()).expires_time_ms == 1_796_122_800_000
    assert (await agent(Session(seen(ttl=None))).get_info()).expires_time_ms is None


@pytest.mark.parametrize(
    ("timestamp", "words"),
    [
        ("2026-11-30T12:25:00Z", "25m"),
        ("2026-12-01T11:00:00Z", "23h"),
        ("2026-11-30T11:00:00Z", "0s"),
        (None, ""),
        ("soon", ""),
    ],
)
def test_the_time_that_is_left(timestamp: str | None, words: str) -> None:
    assert left(timestamp, NOON) == words


@pytest.mark.parametrize(("text", "seconds"), [(None, None), ("60", 60), ("1m", 60), ("24h", 86_400), ("90d", 7_776_000)])
def test_a_time_to_live(text: str | None, seconds: int | None) -> None:
    assert durations.to_live(None, None, text) == seconds  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["59s", "91d", "", "1h30", "never"])
def test_a_time_that_is_none(text: str) -> None:
    with pytest.raises(click.BadParameter, match=r"write"):
        durations.to_live(None, None, text)  # type: ignore[arg-type]


def test_an_older_chart_is_said_so() -> None:
    error = devbox_error(InvalidError("spec.lifecycle", "unknown field"))
    assert error.field == "launch_parameters.keep_alive_time_seconds"
    assert "needs a newer chart" in str(error)
    launch = devbox_error(InvalidError("spec.launchCommands", "unknown field"))
    assert launch.field == "launch_parameters.launch_commands"
    assert "needs a newer chart" in str(launch)
    idle = devbox_error(InvalidError("spec.lifecycle.idle", "unknown field"))
    assert idle.field == "launch_parameters.after_idle"


class Here:
    """What `run` makes devboxes with: a chart that is older, or not."""

    def __init__(self, error: InvalidError | None) -> None:
        self.client = self.devboxes = self
        self.error, self.asked = error, list[Any]()

    async def create(self, *, launch_parameters: Any, spec: Any = None, **_: Any) -> str:
        lifecycle = spec["lifecycle"] if spec else {}
        asked = {"ttl": launch_parameters.get("keep_alive_time_seconds"), **lifecycle}
        self.asked.append({name: value for name, value in asked.items() if value})
        if self.error is not None and ("idle" in asked or (self.error is OLDER and asked["ttl"])):
            raise self.error
        return "devbox"


NOTHING: Any = {"image": None, "gateways": (), "environment": (), "secrets": (), "policy": None, "metadata": ()}
NO_TIMES: Any = {"ttl": None, "idle": None, "on_idle": None}
OLDER = InvalidError("launch_parameters.keep_alive_time_seconds", "needs a newer chart")
OLD = InvalidError("launch_parameters.after_idle", "needs a newer chart")


HOUR = {"after": "1h", "action": "Delete"}


@pytest.mark.parametrize(
    ("given", "error", "asked"),
    [
        ({}, None, [{"ttl": "24h", "idle": HOUR}]),
        ({"ttl": 60}, None, [{"ttl": "1m", "idle": HOUR}]),
        ({"idle": 90, "on_idle": "suspend"}, None, [{"ttl": "24h", "idle": {"after": "90s", "action": "Suspend"}}]),
        ({}, OLD, [{"ttl": "24h", "idle": HOUR}, {"ttl": 86_400}]),
        ({"ttl": 60}, OLD, [{"ttl": "1m", "idle": HOUR}, {"ttl": 60}]),
        ({}, OLDER, [{"ttl": "24h", "idle": HOUR}, {}]),
    ],
    ids=["by itself", "a ttl", "an idle time", "an older chart", "an older chart and a ttl", "a chart older than that"],
)
async def test_run_leaves_no_devbox_for_ever(given: dict[str, Any], error: InvalidError | None, asked: list[Any]) -> None:
    here = Here(error)
    _, seconds = await execute._made(here, {**NOTHING, **NO_TIMES, **given})  # type: ignore[arg-type]
    assert (seconds, here.asked) == (given.get("ttl", 86_400), asked)


@pytest.mark.parametrize(
    ("given", "error"), [({"ttl": 60}, OLDER), ({"idle": 60}, OLD), ({"idle": 60}, OLDER), ({}, InvalidError("image", "no"))]
)
async def test_what_was_asked_for_is_refused_by_name(given: dict[str, Any], error: InvalidError) -> None:
    with pytest.raises(InvalidError, match=error.field):
        await execute._made(Here(error), {**NOTHING, **NO_TIMES, **given})  # type: ignore[arg-type]


def test_what_is_done_about_one_that_is_idle_needs_a_time() -> None:
    with pytest.raises(InvalidError, match="--idle 30m"):
        arguments(**{**NOTHING, **NO_TIMES, "on_idle": "delete"})
    made = arguments(**{**NOTHING, **NO_TIMES, "idle": 1800})
    assert made["spec"] == {"lifecycle": {"idle": {"after": "30m", "action": "Suspend"}}}
    assert arguments(**{**NOTHING, **NO_TIMES})["spec"] is None


async def test_one_that_is_at_work_is_kept_alive_whatever_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = asyncio.Queue[int]()

    class Devbox:
        async def keep_alive(self) -> None:
            calls.put_nowait(1)
            raise APIConnectionError("away")

    monkeypatch.setattr(asyncio, "sleep", _yields(asyncio.sleep))
    keeping = asyncio.create_task(execute._kept_alive(Devbox(), 60))  # type: ignore[arg-type]
    for _ in range(3):
        await asyncio.wait_for(calls.get(), 10)
    keeping.cancel()


def _yields(sleep: Any) -> Any:
    async def yields(seconds: float) -> None:
        assert seconds == 15.0
        await sleep(0)

    return yields
