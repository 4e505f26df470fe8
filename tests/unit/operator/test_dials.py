"""What gateways say of their last dials: read, the newest one kept, and what becomes of it in the condition Reachable."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from devbox_api import names
from devbox_api.conditions import Reason
from devbox_operator.configs import reaching
from devbox_operator.report.conditions import events, merge
from devbox_operator.seen import dials
from devbox_operator.seen.dials import Answer, Dial, Dials, answer_of
from devbox_operator.seen.floor import Asked
from devbox_operator.watch import dials as watching
from devbox_operator.watch.asking import Unanswered
from devbox_operator.watch.dials import DialWatch
from devbox_proxy.upstreams.dial_failures import DialFailure

pytestmark = pytest.mark.row("S29")
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
KEY = ("team-a", "anthropic")
TARGET = "https://api.anthropic.com -"
GATEWAY = Asked("10.0.0.9", 8480)


def dial(found: Reason = Reason.REACHED, words: str = "", at: float = 100.0, **change: Any) -> Dial:
    return Dial("gw-1", TARGET, found, words, at, NOW)._replace(**change)


def said(found: str = "Reached", age: object = 1.5, **change: object) -> dict[str, object]:
    return {"gateway": "/".join(KEY), "uid": "gw-1", "dialled": TARGET, "found": found, "words": "", "age": age, **change}


def text(*told: object, **change: object) -> bytes:
    return json.dumps({"instance": "5f", "cursor": 12, "dials": told, **change}).encode()


def test_operator_and_gateway_have_the_same_words() -> None:
    assert {failure.value for failure in DialFailure} == {reason.value for reason in dials.FAILURES}


def test_an_answer_is_read() -> None:
    answer = answer_of(text(said(), said("NameNotFound", words="x" * 999, gateway="a/b")), 100.0, NOW)
    assert answer == Answer(
        "5f",
        12,
        (
            (KEY, dial(at=98.5)),
            (("a", "b"), dial(Reason.NAME_NOT_FOUND, "x" * dials.MOST_WORD, 98.5)),
        ),
    )


def test_words_of_a_newer_gateway_are_left_out() -> None:
    assert answer_of(text(said("Bewitched"), said("Accepted"), said(gateway="no-slash")), 0, NOW).dials == ()


@pytest.mark.parametrize(
    "bad",
    [
        *(b"", b"[]", b"{}", text(said(age="1")), text(said(age=True)), text(said(uid=7)), text("x")),
        *(text(instance=""), text(cursor="1"), text(instance="x" * 999), text(dials={})),
    ],
    ids=range(11),
)
def test_what_is_no_answer(bad: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (any of them)
        answer_of(bad, 0, NOW)


def test_the_newest_dial_counts_and_the_same_outcome_is_no_news() -> None:
    known = Dials()
    assert known.learn(KEY, dial(at=10))
    later = NOW + timedelta(minutes=5)
    assert not known.learn(KEY, dial(at=20, since=later))
    assert known.of(KEY, "gw-1", TARGET) == dial(at=20), "since when it is so does not change"
    assert not known.learn(KEY, dial(Reason.TLS_FAILED, "x", at=15)), "another gateway's, from before"
    assert known.learn(KEY, dial(Reason.TLS_FAILED, "x", at=30, since=later))
    assert known.learn(KEY, dial(Reason.TLS_FAILED, "y", at=40))
    assert known.of(KEY, "gw-2", TARGET) is None, "another object of that name"
    assert known.of(KEY, "gw-1", "https://other -") is None, "another endpoint"
    known.forget(KEY)
    assert known.of(KEY, "gw-1", TARGET) is None


def test_a_condition_is_another_one_where_the_outcome_is(gateway: Any) -> None:
    view = gateway()
    unknown = reaching.reachable(view, None, accepted=True)
    assert (unknown.status, unknown.reason) == ("Unknown", "NotTried")
    assert "kubectl devbox gateway probe NAME" in unknown.message
    first = reaching.reachable(view, dial(Reason.NAME_NOT_FOUND, "has no address in DNS"), accepted=True)
    assert (first.status, first.reason) == ("False", "NameNotFound")
    assert first.message == "https://api.anthropic.com has no address in DNS, as a gateway first found at 2026-11-23T12:00:00Z"
    condition = merge((), {"Reachable": first}, 1, NOW)[0]  # type: ignore[dict-item]
    seen = gateway(status={"conditions": [condition.model_dump(by_alias=True)]})
    later = NOW + timedelta(hours=1)
    again = dial(Reason.NAME_NOT_FOUND, "has no address in DNS", since=later)
    assert reaching.reachable(seen, again, accepted=True) == first, "of an operator that began anew, too"
    assert reaching.reachable(seen, None, accepted=True) == first
    edited = gateway(status={"conditions": [condition.model_dump(by_alias=True)]}, generation=2)
    assert reaching.reachable(edited, None, accepted=True).reason == "NotTried"
    well = reaching.reachable(seen, dial(since=later), accepted=True)
    assert (well.status, well.reason) == ("True", "Reached")
    assert well.message == "https://api.anthropic.com was reached, as a gateway first found at 2026-11-23T13:00:00Z"
    assert reaching.reachable(seen, dial(), accepted=False).reason == "NotTried"


def test_an_api_that_is_down_is_no_event(gateway: Any) -> None:
    found = reaching.reachable(gateway(), dial(Reason.CONNECTION_REFUSED, "refuses connections"), accepted=True)
    condition = merge((), {"Reachable": found}, 1, NOW)  # type: ignore[dict-item]
    assert events(None, (), condition, NOW) == []  # type: ignore[arg-type]


def test_what_a_dial_is_about(gateway: Any) -> None:
    spec = gateway(spec={"endpoint": "https://api.example:8443/v1"}).config.spec
    assert reaching.dialled_by(spec) == "https://api.example:8443 -"
    other = gateway(spec={"endpoint": "https://api.example:8443/v1", "tls": {"caBundle": "PEM"}}).config.spec
    assert reaching.dialled_by(other) not in ("", reaching.dialled_by(spec))


class Gateways:
    """In place of the questions: what they say, and what they were asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str], bytes | None]] = []
        self.told = [text(said("TlsFailed"))]
        self.away = False

    async def ask(self, gateway: Asked, path: str, query: dict[str, str], body: bytes | None = None) -> bytes:
        assert gateway == GATEWAY
        self.asked.append((path, query, body))
        if self.away:
            raise Unanswered("status 404")
        return self.told[0]


async def news(watch: DialWatch, gateways: Gateways, queue: "asyncio.Queue[Any]", work: Any) -> Any:
    task = asyncio.create_task(watch.run())
    try:
        async with asyncio.timeout(20):
            return await work()
    finally:
        task.cancel()


async def test_gateways_are_asked_for_what_is_new_and_a_change_is_news(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "PERIOD_SECONDS", 0.0)
    gateways, queue = Gateways(), asyncio.Queue[Any]()
    watch = DialWatch(lambda: [GATEWAY], gateways, queue.put_nowait)  # type: ignore[arg-type]

    async def work() -> None:
        assert await queue.get() == KEY
        gateways.told = [text(said("Reached", age=0))]
        assert await queue.get() == KEY
        assert queue.empty()

    await news(watch, gateways, queue, work)
    found = watch.of(KEY, "gw-1", TARGET)
    assert found is not None
    assert found.found == Reason.REACHED
    assert gateways.asked[0] == (names.DIALS_PATH, {}, None)
    assert gateways.asked[1] == (names.DIALS_PATH, {"instance": "5f", "since": "12"}, None)


@pytest.mark.parametrize("away", [False, True])
async def test_a_probe_is_asked_for_once_and_answered_whether_gateways_answer_or_not(
    monkeypatch: pytest.MonkeyPatch, *, away: bool
) -> None:
    monkeypatch.setattr(watching, "PAUSE_SECONDS", 0.0)
    gateways, queue = Gateways(), asyncio.Queue[Any]()
    watch = DialWatch(lambda: [GATEWAY] if gateways.asked else [], gateways, queue.put_nowait)  # type: ignore[arg-type]
    gateways.asked.append(("", {}, None))
    gateways.away = away

    async def work() -> None:
        watch.probe(KEY, "1", b"document")
        while watch.answered(KEY) != "1":
            assert await queue.get() == KEY
        watch.probe(KEY, "1", b"document")
        watch.probe(KEY, "2", b"document")
        while watch.answered(KEY) != "2":
            assert await queue.get() == KEY

    await news(watch, gateways, queue, work)
    assert [body for path, _, body in gateways.asked if path == names.PROBE_PATH] == [b"document", b"document"]
    assert (watch.of(KEY, "gw-1", TARGET) is None) == away


def test_which_probe_is_to_be_answered(gateway: Any) -> None:
    def view(requested: str, done: str | None) -> Any:
        made = gateway(status={} if done is None else {"probeRequestedAt": done})
        return type(made)(made.config, False, requested)

    assert not reaching.unanswered(view("", None), None)
    assert reaching.unanswered(view("1", None), None)
    assert not reaching.unanswered(view("1", "1"), None)
    assert not reaching.unanswered(view("1", None), "1")
    assert reaching.unanswered(view("2", "1"), "1")
