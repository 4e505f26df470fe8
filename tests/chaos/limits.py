"""Every limit of the settings, tripped once: the client sees the status or the close that is documented, and others notice nothing.

Goes in: gateways whose limits are small, so that this takes seconds. Comes out: rows. The time-outs towards APIs are in upstream_faults.py.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from time import monotonic as now
from typing import Any, Final

from tests.support.http_reading import responses
from tests.support.netns import GATEWAY
from tests.support.raw_client import RawClient

from . import memory_limit
from .api import Ask
from .report import Row, timed
from .world import World, eventually, world

SECONDS: Final = {"headSeconds": 2, "keepaliveSeconds": 3, "bodyMinRate": 64, "bodyWindowSeconds": 2, "writeStallSeconds": 3}
LOOK: Final = 0.5
"""The gateway looks at its deadlines twice a second."""
SLACK: Final = 1.5
"""Seconds, for a busy machine."""
HANDSHAKE: Final = 5.0
MOST_HANDSHAKES_SECONDS: Final = 30.0
MANY: Final = {"connectionsPerDevbox": 5, "requestsPerDevbox": 3, "handshakesPerDevbox": 5}
TOTAL: Final = {"connections": 8, "requests": 4}
SIZES: Final = {"targetBytes": 2048, "headerBytes": 2100, "headers": 20, "headBytes": 4096, "bodyBytes": 8192}
MAX_BODY: Final = 4096
NEIGHBOUR: Final = 100
"""The number of a devbox of no case."""
BEHIND: Final = 400
"""Requests, half a MiB of heads."""
CUT: Final[list[float]] = []
"""When endless answers of the API ended (monotonic seconds)."""


class Case:
    """One connection of a devbox, and how it ended."""

    def __init__(self, stage: World, number: int, **gateway: Any) -> None:
        self.stage, self.devbox = stage, stage.devbox(number, **gateway)

    async def send(self, *pieces: bytes, seconds: float = 8.0) -> tuple[int, str, float]:
        """Send, and wait for the end: status (0: no answer), how it ended, after how long."""
        async with await self.stage.raw(self.devbox) as client:
            started = now()
            for piece in pieces:
                await client.send(piece)
            await client.until(lambda client: client.ended is not None, seconds)
            return _status(client), client.ended or "open", now() - started

    def head(self, line: str = "GET / HTTP/1.1", *headers: str) -> bytes:
        """With the token."""
        return self.stage.request(self.devbox, line, *headers)


def _status(client: RawClient) -> int:
    found, _ = responses(bytes(client.received), [b"GET"], closed=True)
    return found[-1].status if found else 0


def _row(limit: str, demand: str, ok: bool, measured: str) -> Row:
    return Row(f"limit {limit}", demand, measured, ok)


def _timed(limit: str, demand: str, right: bool, in_time: bool, measured: str) -> Row:
    return timed(f"limit {limit}", demand, measured, in_time, right)


def _between(took: float, least: float) -> bool:
    return least <= took <= least + LOOK + SLACK


async def per_client(long: bool) -> list[Row]:
    """Limits that one client meets alone."""
    async with world(limits={**SECONDS, **MANY}) as stage:
        checks: tuple[Callable[[Case], Awaitable[list[Row]]], ...] = (
            _heads,
            _slow_head,
            _silent,
            _no_handshake,
            _idle,
            _slow_body,
            _pausing_body,
            _stuck,
            _connections,
            _handshakes,
            _requests,
        )
        cases = [Case(stage, number) for number in range(len(checks))]
        limited = Case(stage, len(cases), max_request_body=MAX_BODY, requires=["maxRequestBody"])
        stage.api.ways |= {"/slow": _slow, "/endless": _endless}
        await stage.warm(*(case.devbox for case in cases), limited.devbox)
        rows = await asyncio.gather(*(check(case) for check, case in zip(checks, cases, strict=True)), _body(limited))
    return [*(row for some in rows for row in some), *await _pipelined()]


async def _slow(ask: Ask) -> None:
    await asyncio.sleep(4)
    await ask.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


async def _endless(ask: Ask) -> None:
    try:
        await ask.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")
        for _ in range(1 << 14):
            await ask.send(bytes(1 << 16))
    finally:
        CUT.append(now())


async def _heads(case: Case) -> list[Row]:
    rows = []
    for name, expected, data in (
        ("header of 8 KiB", 431, case.head("GET / HTTP/1.1", f"x-large: {'h' * 8300}")),
        ("headers of 32 KiB", 431, case.head("GET / HTTP/1.1", *(f"x-{n}: {'h' * 4000}" for n in range(10)))),
        ("100 headers", 431, case.head("GET / HTTP/1.1", *(f"x-{n}: h" for n in range(110)))),
        ("path of 8 KiB", 414, case.head(f"GET /{'p' * 8300} HTTP/1.1")),
    ):
        status, ended, _ = await case.send(data)
        rows.append(_row(name, f"{expected} and close", (status, ended) == (expected, "fin"), f"{status}, {ended}"))
    return rows


async def _slow_head(case: Case) -> list[Row]:
    status, ended, took = await case.send(case.head()[:-4])
    right, in_time = (status, ended) == (408, "fin"), _between(took, SECONDS["headSeconds"])
    measured = f"{status}, {ended} after {took:.1f} s"
    return [_timed("headSeconds = 2, half a head", "408 and close after 2 s", right, in_time, measured)]


async def _silent(case: Case) -> list[Row]:
    status, ended, took = await case.send()
    right, in_time = status == 0 and ended != "open", _between(took, SECONDS["headSeconds"])
    return [_timed("headSeconds = 2, no byte", "closed after 2 s", right, in_time, f"{ended} after {took:.1f} s")]


async def _no_handshake(case: Case) -> list[Row]:
    async with await case.stage.raw(case.devbox, tls=False) as client:
        started = now()
        await client.until(lambda client: client.ended is not None, HANDSHAKE + LOOK + SLACK)
        took = now() - started
        right, in_time = client.ended is not None, _between(took, HANDSHAKE - LOOK)
        measured = f"{client.ended or 'open'} after {took:.1f} s"
        return [_timed("TLS handshake, 5 s", "closed after 5 s", right, in_time, measured)]


async def _idle(case: Case) -> list[Row]:
    status, ended, took = await case.send(case.head())
    right, in_time = (status, ended) == (200, "fin"), _between(took, SECONDS["keepaliveSeconds"])
    return [_timed("keepaliveSeconds = 3", "closed after 3 s at rest", right, in_time, f"{status}, {ended} after {took:.1f} s")]


async def _slow_body(case: Case) -> list[Row]:
    async with await case.stage.raw(case.devbox) as client:
        started = now()
        await client.send(case.head("POST /upload HTTP/1.1", "Content-Length: 100000"))
        while client.ended is None and now() - started < 8:
            await client.send(b"b" * 16)
            await client.until(lambda client: client.ended is not None, 0.5)
        took, status = now() - started, _status(client)
        right, in_time = (status, client.ended) == (408, "fin"), _between(took, SECONDS["bodyWindowSeconds"])
        measured = f"{status}, {client.ended or 'open'} after {took:.1f} s"
        return [_timed("bodyMinRate = 64, bodyWindowSeconds = 2; 32 B/s", "408 and close after 2 s", right, in_time, measured)]


async def _pausing_body(case: Case) -> list[Row]:
    """What pauses within the window has brought enough in it, and so has what follows."""
    piece = b"b" * 1000
    async with await case.stage.raw(case.devbox) as client:
        await client.send(case.head("POST /upload HTTP/1.1", "Content-Length: 3000", "Connection: close"))
        for _ in range(3):
            await client.send(piece)
            await client.until(lambda client: client.ended is not None, 1.5)
        await client.until(lambda client: client.ended is not None, 8)
        status = _status(client)
    return [_row("bodyWindowSeconds = 2; pauses of 1.5 s", "200", status == 200, str(status))]


async def _stuck(case: Case) -> list[Row]:
    async with await case.stage.raw(case.devbox, receive_buffer=4096) as client:
        await client.send(case.head("GET /endless HTTP/1.1"))
        await client.until(lambda client: b"\r\n\r\n" in client.received, 3)
        client.stop_reading()
        before, started = len(CUT), now()
        await eventually(lambda: len(CUT) > before, 8)
        took = CUT[-1] - started
        in_time = _between(took, SECONDS["writeStallSeconds"])
        measured = f"cut after {took:.1f} s"
        return [_timed("writeStallSeconds = 3", "cut after 3 s, the API's side too", True, in_time, measured)]


async def _many(case: Case, count: int) -> tuple[list[RawClient], int]:
    """Open so many connections: those that answer, and how many were closed instead."""
    kept, closed = [], 0
    for _ in range(count):
        try:
            client = await case.stage.raw(case.devbox)
        except OSError:
            closed += 1
        else:
            kept.append(client)
    return kept, closed


async def _answered(case: Case, count: int) -> list[RawClient]:
    """So many connections, less those that were not let in, each open after an answer: only strangers are silent."""
    clients = []
    for _ in range(count):
        with contextlib.suppress(OSError):
            client = await case.stage.raw(case.devbox)
            await client.send(case.head())
            await client.until(lambda client: b"\r\n\r\n" in client.received or client.ended is not None, 8)
            clients.append(client)
    return clients


async def _connections(case: Case) -> list[Row]:
    clients, closed = await _many(case, MANY["connectionsPerDevbox"] + 3)
    allowed = MANY["connectionsPerDevbox"]
    for client in clients:
        await client.close()
    await asyncio.sleep(0.5)
    status, _, _ = await case.send(case.head("GET / HTTP/1.1", "Connection: close"))
    ok = (len(clients), closed, status) == (allowed, 3, 200)
    measured = f"{len(clients)} open, {closed} closed; {status} once they are gone"
    return [_row(f"connectionsPerDevbox = {allowed}, 3 more", "5 open, 3 closed at once", ok, measured)]


async def _handshakes(case: Case) -> list[Row]:
    rate, count = MANY["handshakesPerDevbox"], 3 * MANY["handshakesPerDevbox"]
    neighbour = case.stage.devbox(NEIGHBOUR)

    async def connect() -> float:
        for _ in range(count):
            await (await case.stage.raw(case.devbox)).close()
        return now() - started

    started = now()
    many = asyncio.create_task(connect())
    waits = []
    while not many.done():
        before = now()
        await (await case.stage.raw(neighbour)).close()
        waits.append(now() - before)
        await asyncio.sleep(0.5)
    took, least = await many, (count - MANY["connectionsPerDevbox"]) / rate
    right, in_time = took >= least - 0.1, took <= least + SLACK and max(waits) < 1 / rate
    measured = f"all in {took:.1f} s; another's within {max(waits) * 1000:.0f} ms"
    name = f"handshakesPerDevbox = {rate}, {count} connections in turn"
    return [_timed(name, f"≥{least:g} s; others at once", right, in_time, measured)]


async def _requests(case: Case) -> list[Row]:
    clients, _ = await _many(case, MANY["requestsPerDevbox"] + 1)
    for client in clients:
        await client.send(case.head("GET /slow HTTP/1.1", "Connection: close"))
        await asyncio.sleep(0.1)
    await asyncio.gather(*(client.until(lambda client: client.ended is not None, 8) for client in clients))
    statuses = [_status(client) for client in clients]
    ok = statuses == [200, 200, 200, 429] and b"Retry-After: 15\r\n" in clients[-1].received
    for client in clients:
        await client.close()
    return [_row("requestsPerDevbox = 3, one more", "429 with Retry-After", ok, ", ".join(map(str, statuses)))]


async def _pipelined() -> list[Row]:
    """In clear: of TLS at most 16 KiB are read at a time, a dozen heads with their tokens, and nothing more while these wait."""
    async with world(listen={"host": GATEWAY, "tls": None}) as stage:
        stage.api.ways["/slow"] = _slow
        case = Case(stage, 0)
        await stage.known(1)
        async with await stage.raw(case.devbox, tls=False) as client:
            await client.send(case.head("GET /slow HTTP/1.1"))
            await asyncio.sleep(1)
            await client.send(case.head() * BEHIND)
            await client.until(lambda client: client.ended is not None, 10)
            found, _ = responses(bytes(client.received), [b"GET"] * (BEHIND + 2), closed=True)
        statuses = [response.status for response in found]
        # (How many of them one read brings, of which 64 may wait, is the kernel's.)
        ok = statuses[-1:] == [400] and set(statuses[:-1]) == {200} and len(statuses) < BEHIND
        measured = f"{len(statuses) - 1} x 200, then {statuses[-1] if statuses else 'nothing'}"
        return [_row(f"64 requests behind one another, {BEHIND} come", "400 and close", ok, measured)]


async def _body(case: Case) -> list[Row]:
    rows = []
    before = case.stage.api.asked.copy()
    chunk = b"400\r\n" + bytes(1024) + b"\r\n"
    for name, data in (
        ("length", case.head("POST /length HTTP/1.1", f"Content-Length: {MAX_BODY + 1}") + bytes(100)),
        ("chunked", case.head("POST /chunked HTTP/1.1", "Transfer-Encoding: chunked") + chunk * 6),
    ):
        status, ended, _ = await case.send(data)
        rows.append(
            _row(f"maxRequestBody = 4096, {name}", "413 and close", (status, ended) == (413, "fin"), f"{status}, {ended}")
        )
    status, _, _ = await case.send(
        case.head("POST /fits HTTP/1.1", f"Content-Length: {MAX_BODY}", "Connection: close") + bytes(MAX_BODY)
    )
    asked = case.stage.api.asked - before
    ok = status == 200 and asked["/length"] == 0
    measured = f"{status} for 4096 bytes; {asked['/length']} of the other went out"
    return [*rows, _row("maxRequestBody, as long as allowed", "200, and what is too long never goes out", ok, measured)]


async def sizes(long: bool) -> list[Row]:
    """Sizes that are set: what is larger is refused, what is as large passes."""
    rows = []
    async with world(limits=SIZES) as stage:
        case = Case(stage, 0)
        await stage.warm(case.devbox)
        fields = [f"x-{number}: h" for number in range(12)]
        for name, expected, data in (
            ("targetBytes = 2048, as many", 200, case.head(f"GET /{'p' * 2047} HTTP/1.1", "Connection: close")),
            ("targetBytes = 2048, one more", 414, case.head(f"GET /{'p' * 2048} HTTP/1.1")),
            ("headerBytes = 2100, as many", 200, case.head("GET / HTTP/1.1", f"x: {'h' * 2099}", "Connection: close")),
            ("headerBytes = 2100, one more", 431, case.head("GET / HTTP/1.1", f"x: {'h' * 2100}")),
            ("headers = 20, fewer", 200, case.head("GET / HTTP/1.1", *fields, "Connection: close")),
            ("headers = 20, more", 431, case.head("GET / HTTP/1.1", *fields, *fields)),
            ("headBytes = 4096, more", 431, case.head("GET / HTTP/1.1", *(f"x-{n}: {'h' * 1500}" for n in range(3)))),
            (
                "bodyBytes = 8192, as many",
                200,
                case.head("POST / HTTP/1.1", "Content-Length: 8192", "Connection: close") + bytes(8192),
            ),
            ("bodyBytes = 8192, one more", 413, case.head("POST / HTTP/1.1", "Content-Length: 8193") + bytes(100)),
        ):
            status, ended, _ = await case.send(data)
            rows.append(_row(name, f"{expected}", (status, ended) == (expected, "fin"), f"{status}, {ended}"))
    return rows


async def in_all(long: bool) -> list[Row]:
    """Limits of a gateway as a whole."""
    rows = []
    async with world(limits=TOTAL) as stage:
        cases = [Case(stage, number) for number in range(4)]
        stage.api.ways["/slow"] = _slow
        await stage.warm(*(case.devbox for case in cases))
        await asyncio.sleep(0.3)
        opened = [await _answered(case, 3) for case in cases]
        await asyncio.sleep(0.3)
        still = [sum(client.ended is None for client in clients) for clients in opened]
        share = TOTAL["connections"] // len(cases)
        rows.append(
            _row(
                "connections = 8, 4 more",
                "8 open: whoever has most of those at rest makes room",
                still == [share] * len(cases),
                f"{still} of the devboxes' are open",
            )
        )
        for client in (client for clients in opened for client in clients):
            await client.close()
        await asyncio.sleep(0.5)
        clients = []
        for number in range(TOTAL["requests"] + 1):
            clients.append(await stage.raw(cases[number % 4].devbox))
            await clients[-1].send(cases[number % 4].head("GET /slow HTTP/1.1", "Connection: close"))
            await asyncio.sleep(0.1)
        await asyncio.gather(*(client.until(lambda client: client.ended is not None, 8) for client in clients))
        statuses = [_status(client) for client in clients]
        ok = statuses == [200, 200, 200, 200, 503] and b"Retry-After: 1\r\n" in clients[-1].received
        rows.append(_row("requests = 4, one more", "503 with Retry-After", ok, ", ".join(map(str, statuses))))
        for client in clients:
            await client.close()
    async with world(prefix=memory_limit.prefix(256 << 20), limits={"memoryPercent": 1}) as stage:
        case = Case(stage, 0)
        await stage.known(1)
        await asyncio.sleep(2 * LOOK)
        status, ended, _ = await case.send(case.head())
        ok = (status, ended) == (503, "fin") and not stage.api.asked
        rows.append(_row("memoryPercent, passed from the start", "503", ok, f"{status}, {ended}"))
        group = memory_limit.group_of(stage.gateway.process.process.pid)
    memory_limit.remove(group)
    return rows
