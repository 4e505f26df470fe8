"""The rounds of questions, to activity ports of real gateways' code, with real TLS."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from devbox_api import names
from devbox_operator.release import certificates
from devbox_operator.seen.floor import Asked
from devbox_operator.watch import activity
from devbox_operator.watch.activity import ActivityWatch
from devbox_operator.watch.asking import Asker
from devbox_proxy.accounting.activity import Activity
from devbox_proxy.ports import activity as port
from devbox_proxy.ports.activity import ActivityPort
from devbox_proxy.reviews.operator_tokens import Word
from devbox_proxy.settings import Listen
from devbox_proxy.upstreams.dials import Dials

pytestmark = pytest.mark.row("S23")
BOX = ("team-a", "agent")
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
LONG_AGO = NOW - timedelta(hours=1)


class Tokens:
    """Knows one."""

    user = "operator"

    async def judge(self, token: str, _: str) -> Word:
        return Word.YES if token == "good" else Word.NO


async def nothing(_: bytes) -> bool:
    return False


class Stage:
    """Gateways, and one operator."""

    def __init__(self, folder: Path) -> None:
        ca = certificates.make_ca("rel", datetime.now(UTC))
        leaf = certificates.make_leaf(ca, "rel", 7, datetime.now(UTC))
        self.authority = ca.certificate.decode()
        (folder / "cert").write_bytes(leaf.certificate)
        (folder / "key").write_bytes(leaf.key)
        self.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.tls.load_cert_chain(folder / "cert", folder / "key")
        self.token = folder / "token"
        self.token.write_text("good\n")
        self.books: dict[str, Activity] = {}
        self.ports: dict[str, tuple[ActivityPort, int]] = {}
        self.news: list[Any] = []
        self.record = ""

    async def start(self, address: str) -> None:
        book = self.books[address] = Activity()
        made = ActivityPort(book, Tokens(), Listen(host=address, activity=0), self.tls, dials=Dials(), probe=nothing)  # type: ignore[arg-type]
        self.ports[address] = (made, await made.start())

    async def stop(self, address: str) -> None:
        await self.ports.pop(address)[0].stop()

    def note(self, text: str) -> None:
        self.record = text

    def operator(self, host: str = names.gateway_host("rel")) -> ActivityWatch:
        return ActivityWatch(
            lambda: [Asked(address, number) for address, (_, number) in self.ports.items()],
            Asker(host, self.token, lambda: self.authority),
            server_time=lambda: NOW,
            news=self.news.append,
            noted=lambda: self.record,
            note=self.note,
        )


@pytest.fixture
async def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    monkeypatch.setattr(activity, "PACE_SECONDS", 0.0)
    made = Stage(tmp_path)
    for address in ("127.0.0.1", "127.0.0.2"):
        await made.start(address)
    yield made
    monkeypatch.setattr(port, "ASKED_SECONDS", 0.0)  # (nobody asks any more)
    for address in list(made.ports):
        await made.stop(address)


@asynccontextmanager
async def working(watch: ActivityWatch) -> AsyncIterator[None]:
    task = asyncio.create_task(watch.run())
    try:
        async with asyncio.timeout(30):
            yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def ago(watch: ActivityWatch, asked: float | None = None) -> tuple[float, float, tuple[str, ...]]:
    """Seconds since its last use, since it is idle for certain, and doubt."""
    last, since, doubt = watch.use("pod-1", NOW, asked)
    return (NOW - last).total_seconds(), (NOW - since).total_seconds(), doubt


async def test_use_at_any_gateway_counts(stage: Stage) -> None:
    watch = stage.operator()
    stage.record = '{"at":"2026-11-23T11:59:50Z","missed":null,"gateways":[]}'
    watch.follow(BOX, "pod-1", LONG_AGO, NOW)
    async with working(watch):
        asked = await watch.fresh()
        last, since, doubt = ago(watch, asked)
        assert last == pytest.approx(3600, abs=20)
        assert since == pytest.approx(last, abs=1)
        assert doubt == ()
        request = stage.books["127.0.0.2"].of("pod-1")
        request.begin()
        await watch.fresh()
        assert ago(watch)[0] == pytest.approx(0, abs=20)
        request.end(monotonic())
        watch.wake("pod-1", NOW, NOW)
        stage.books["127.0.0.1"].of("pod-1").begin()
        await watch.fresh()
        assert stage.news == [BOX]


async def test_nobody_knows_what_was_before_the_first_word(stage: Stage) -> None:
    """No record: every pod may have been in use until now."""
    watch = stage.operator()
    watch.follow(BOX, "pod-1", LONG_AGO, NOW)
    last, since, _ = ago(watch)
    assert last == pytest.approx(3600, abs=20)
    assert since == pytest.approx(0, abs=20)


async def test_a_gateway_that_does_not_answer_leaves_doubt(stage: Stage) -> None:
    watch = stage.operator()
    watch.follow(BOX, "pod-1", LONG_AGO, NOW)
    async with working(watch):
        assert ago(watch, await watch.fresh())[2] == ()
        port, number = stage.ports["127.0.0.2"]
        stage.ports["127.0.0.2"] = (port, 9)
        assert ago(watch, await watch.fresh())[2] == ("127.0.0.2",)
        stage.ports["127.0.0.2"] = (port, number)
        assert ago(watch, await watch.fresh())[2] == ()


@pytest.mark.parametrize("how", ["another token", "no token", "another name", "another authority"])
async def test_who_is_not_known_is_told_nothing_and_believes_nothing(stage: Stage, how: str, tmp_path: Path) -> None:
    watch = stage.operator("gateway.other.svc") if how == "another name" else stage.operator()
    if how == "another token":
        stage.token.write_text("bad")
    if how == "no token":
        stage.token.unlink()
    if how == "another authority":
        stage.authority = certificates.make_ca("rel", datetime.now(UTC)).certificate.decode()
    watch.follow(BOX, "pod-1", LONG_AGO, NOW)
    async with working(watch):
        assert ago(watch, await watch.fresh())[2] == ("127.0.0.1", "127.0.0.2")


async def test_a_gateway_that_vanished_may_have_seen_anything_and_one_that_ended_well_has_not(stage: Stage) -> None:
    watch = stage.operator()
    stage.record = '{"at":"2026-11-23T11:59:50Z","missed":null,"gateways":[]}'
    watch.follow(BOX, "pod-1", LONG_AGO, NOW)
    async with working(watch):
        await watch.fresh()
        ending = asyncio.create_task(stage.ports["127.0.0.1"][0].stop())  # it waits for the last question
        await watch.fresh()
        await ending
        del stage.ports["127.0.0.1"]
        await watch.fresh()
        assert ago(watch)[1] > 1000, "it said that all had ended"
        del stage.ports["127.0.0.2"]
        await watch.fresh()
        assert ago(watch)[1] == pytest.approx(0, abs=20)


async def test_who_works_next_knows_which_gateways_there_were(stage: Stage) -> None:
    watch = stage.operator()
    stage.record = '{"at":"2026-11-23T11:59:50Z","missed":null,"gateways":[]}'
    watch.follow(BOX, "pod-1", LONG_AGO, NOW)
    async with working(watch):
        await watch.fresh()
    following = stage.operator()
    following.follow(BOX, "pod-1", LONG_AGO, NOW)
    async with working(following):
        await following.fresh()
        assert ago(following)[1] > 1000
    del stage.ports["127.0.0.2"]
    third = stage.operator()
    third.follow(BOX, "pod-1", LONG_AGO, NOW)
    async with working(third):
        await third.fresh()
        assert ago(third)[1] == pytest.approx(0, abs=20), "one was there, and is gone"


async def test_a_pause_of_this_machine_leaves_nothing_certain(stage: Stage) -> None:
    watch = stage.operator()
    stage.record = '{"at":"2026-11-23T11:59:50Z","missed":null,"gateways":[]}'
    watch.follow(BOX, "pod-1", LONG_AGO, NOW)
    assert ago(watch)[1] > 1000
    watch.paused()
    assert ago(watch)[1] == pytest.approx(0, abs=20)


async def test_where_nobody_asks_no_gateway_is_asked(stage: Stage) -> None:
    watch = stage.operator()
    async with working(watch):
        watch.follow(BOX, "pod-1", LONG_AGO, NOW)
        await watch.fresh()
        watch.forget(BOX)
        await watch.fresh()
        assert not watch.follows(BOX, "pod-1")
        watch.follow(BOX, "pod-1", LONG_AGO, NOW)
        await watch.fresh()
        assert watch.follows(BOX, "pod-1")
