"""Doors over real sockets: what there is no place for is closed, running out of files stops nothing, the admin port always answers."""

import asyncio
import contextlib
import errno
import resource
import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from devbox_common import adminport
from devbox_common.adminport import AdminPort, Metrics
from devbox_common.door import BriefDoor, Door
from devbox_common.seats import Seat, Seats


@contextlib.asynccontextmanager
async def admin_port() -> AsyncIterator[int]:
    async def healthz() -> web.Response:
        return web.Response(text="ok\n")

    port = AdminPort({"/healthz": healthz}, "127.0.0.1", 0)
    try:
        yield await port.start()
    finally:
        await port.stop()


async def health(port: int) -> str:
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/healthz") as response:
        assert response.headers["Connection"] == "close"
        return await response.text()


@contextlib.asynccontextmanager
async def silent(port: int, count: int, source: str = "127.0.0.2") -> AsyncIterator[list[Any]]:
    pairs = [await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0)) for _ in range(count)]
    try:
        yield pairs
    finally:
        for _, writer in pairs:
            writer.transport.abort()


async def test_silent_connections_to_the_admin_port_are_few_and_hold_nobody_up() -> None:
    async with admin_port() as port, silent(port, 300) as pairs:
        async with asyncio.timeout(5):
            assert await health(port) == "ok\n"
            ended = [reader for reader, _ in pairs[: -adminport.PER_ADDRESS]]
            with contextlib.suppress(ConnectionError):
                await asyncio.gather(*(reader.read() for reader in ended))
        assert sum(not reader.at_eof() for reader, _ in pairs) <= adminport.PER_ADDRESS


async def test_who_shares_its_address_with_them_is_answered_too() -> None:
    async with admin_port() as port, silent(port, 100, "127.0.0.1"):
        assert await health(port) == "ok\n"


async def test_a_connection_to_the_admin_port_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adminport, "SECONDS", 0.2)
    async with admin_port() as port, silent(port, 1) as ((reader, writer),):
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: a\r\nx: ")
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""


@pytest.mark.parametrize("line", ["GET /nowhere HTTP/1.1", "POST /healthz HTTP/1.1", "GET /healthz HTTP/1.1"])
async def test_every_answer_of_the_admin_port_ends_its_connection(line: str) -> None:
    async with admin_port() as port, silent(port, 1) as ((reader, writer),):
        writer.write(f"{line}\r\nHost: a\r\n\r\n".encode())
        async with asyncio.timeout(5):
            assert (await reader.read()).startswith(b"HTTP/1.1 ")


async def test_metrics_take_a_fifth_of_the_time_at_most() -> None:
    written = 0

    def write() -> bytes:
        nonlocal written
        written += 1
        until = asyncio.get_running_loop().time() + 0.02
        while asyncio.get_running_loop().time() < until:
            pass
        return b"metrics"

    text, loop = Metrics(write), asyncio.get_running_loop()
    until = loop.time() + 0.5
    while loop.time() < until:
        assert text.text() == b"metrics"
        await asyncio.sleep(0)
    assert 1 < written <= 0.5 / 0.1 + 1


async def test_without_files_strangers_give_some_back_and_it_goes_on() -> None:
    cut: list[Seat] = []

    def take(accepted: socket.socket, seat: Seat) -> None:
        def close() -> None:
            cut.append(seat)
            accepted.close()

        seat.cut = close

    door = Door("test", ("127.0.0.1", 0), Seats(1000, 1000), take)
    port = await door.open()
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    clients: list[socket.socket] = []
    loop = asyncio.get_running_loop()
    try:
        clients += [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
        async with asyncio.timeout(5):
            while len(door.seats) < 20:  # noqa: ASYNC110 (what the kernel has for it)
                await asyncio.sleep(0.01)
        clients += [socket.socket() for _ in range(3)]
        highest = max(one.fileno() for one in clients)
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, limit[1]))
        holes = [socket.socket() for _ in range(_free(highest))]
        with pytest.raises(OSError, match=str(errno.EMFILE)):
            socket.socket()
        clients[-1].setblocking(False)
        await loop.sock_connect(clients[-1], ("127.0.0.1", port))
        async with asyncio.timeout(5):
            while not cut or len(door.seats) == 0:  # noqa: ASYNC110 (the door's own pace)
                await asyncio.sleep(0.01)
        for hole in holes:
            hole.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
        await door.close()
        door.seats.clear()
        for one in clients:
            one.close()


def _free(highest: int) -> int:
    """Descriptors below the highest that are not in use."""
    count = 0
    for number in range(highest + 1):
        try:
            socket.socket(fileno=number).detach()
        except OSError as error:
            count += error.errno == errno.EBADF
    return count


async def test_a_brief_door_cuts_what_is_open_when_it_closes() -> None:
    door = BriefDoor("test", ("127.0.0.1", 0), Seats(10, 10), asyncio.Protocol, seconds=60)
    port = await door.open()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.sleep(0)
    await door.close()
    async with asyncio.timeout(5):
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
    writer.close()


async def test_a_door_is_crowded_from_half_a_queue_on_and_while_it_is_not_open(monkeypatch: pytest.MonkeyPatch) -> None:
    def take(accepted: socket.socket, seat: Seat) -> None:
        accepted.close()
        seat.leave()

    def crowded() -> bool:
        return door.crowded

    monkeypatch.setattr("devbox_common.door.BACKLOG", 64)
    door = Door("d", ("127.0.0.1", 0), Seats(200, 200, strangers=200), take)
    assert crowded(), "it takes nobody"
    port = await door.open()
    assert not crowded()
    with contextlib.ExitStack() as stack:
        for number in range(64):
            # (Nothing is taken meanwhile: the loop has no turn.)
            assert crowded() is (number >= 32), number
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        async with asyncio.timeout(5):
            while crowded():  # noqa: ASYNC110 (the kernel's queue)
                await asyncio.sleep(0.01)
    await door.close()
    assert crowded()
