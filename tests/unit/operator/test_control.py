"""The operator's looks at gateways, with real sockets: ports that answer, that reset, and that say nothing."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from tests.support.silent import silent

from devbox_operator.kit import metrics
from devbox_operator.release import control
from devbox_operator.release.control import Control
from devbox_operator.seen.floor import Place
from devbox_operator.seen.visibility import SEEN, Sight, Visibility

HERE = "127.0.0.1"


class World:
    """Gateways, and what was told of them."""

    def __init__(self) -> None:
        self.gateways: dict[str, Place] = {}
        self.told: list[Visibility] = []
        self.news = asyncio.Event()
        self.control = Control(lambda: self.gateways, self._tell, patience=0.2)

    def _tell(self, visibility: Visibility) -> None:
        self.told.append(visibility)
        self.news.set()

    async def heard(self, visibility: Visibility) -> None:
        """Until that is the last that was told."""
        while self.told[-1:] != [visibility]:
            self.news.clear()
            await self.news.wait()

    def add(self, name: str, data: int, canary: int) -> None:
        self.gateways[name] = Place(HERE, data, canary)

    async def looks(self, number: int) -> Sight:
        for _ in range(number):
            await self.control.look()
        return self.control.visibility.sight


@pytest.fixture
async def world() -> World:
    return World()


@contextlib.contextmanager
def listening() -> Iterator[tuple[socket.socket, int]]:
    with socket.create_server((HERE, 0), backlog=128) as one:
        yield one, int(one.getsockname()[1])


@pytest.fixture
def port() -> Iterator[int]:
    with listening() as (_, number):
        yield number


@pytest.fixture
def nobody() -> int:
    with listening() as (_, number):
        return number


async def test_a_canary_that_answers_is_open(world: World, port: int) -> None:
    world.add("a", port, port)
    assert await world.looks(2) is Sight.SEEN
    assert world.told == [SEEN], "once"


async def test_one_that_resets_beside_a_data_port_that_answers_is_closed(world: World, port: int, nobody: int) -> None:
    world.add("a", port, nobody)
    assert await world.looks(1) is Sight.NOT_YET
    assert await world.looks(1) is Sight.CLOSED
    assert world.told == [Visibility(Sight.CLOSED, ("a",))]
    assert metrics.CANARIES.labels("closed")._value.get() == 1
    world.add("a", port, port)
    assert await world.looks(1) is Sight.SEEN
    assert metrics.CANARIES.labels("closed")._value.get() == 0


async def test_so_is_one_that_is_silent(world: World, port: int) -> None:
    with silent(HERE) as (_, number):
        world.add("a", port, number)
        assert await world.looks(2) is Sight.CLOSED


async def test_a_gateway_that_is_gone_says_nothing(world: World, port: int, nobody: int) -> None:
    world.add("a", nobody, nobody)
    assert await world.looks(3) is Sight.NOT_YET
    world.add("b", port, port)
    assert await world.looks(3) is Sight.SEEN
    assert metrics.CANARIES.labels("silent")._value.get() == 1


async def test_nor_does_one_that_dies_meanwhile(world: World, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its data port answers, its canary does not, and then its data port does not either."""
    said, real = iter([True, False, False, False, False]), asyncio.open_connection

    async def call(host: str, _: int, **more: Any) -> Any:
        if not next(said):
            raise ConnectionRefusedError
        return await real(host, port, **more)

    monkeypatch.setattr(asyncio, "open_connection", call)
    world.add("a", 1, 2)
    await world.control.look()
    assert next(said, None) is None, "all of it was asked"
    assert not world.control._looks.doubtful


async def test_an_error_of_its_own_says_nothing_of_the_canary(world: World, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    real = asyncio.open_connection

    async def call(host: str, number: int, **more: Any) -> Any:
        if number == 2:
            raise OSError(errno.EMFILE, "too many open files")
        return await real(host, number, **more)

    monkeypatch.setattr(asyncio, "open_connection", call)
    world.add("a", port, 2)
    assert await world.looks(3) is Sight.NOT_YET


@contextlib.asynccontextmanager
async def running(one: Control) -> AsyncIterator[None]:
    task = asyncio.create_task(one.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_gateway_that_comes_is_looked_at_at_once(world: World, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "SOON_SECONDS", 60.0)
    async with running(world.control), asyncio.timeout(5):
        world.add("a", port, port)
        world.control.look_again()
        await world.heard(SEEN)


async def test_doubt_is_resolved_soon_and_not_in_half_a_minute(
    world: World, port: int, nobody: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "SOON_SECONDS", 0.05)
    world.add("a", port, port)
    async with running(world.control), asyncio.timeout(5):
        await world.heard(SEEN)
        world.add("a", port, nobody)
        world.control.look_again()
        await world.heard(Visibility(Sight.CLOSED, ("a",)))
