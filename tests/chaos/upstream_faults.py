"""APIs that are slow (C14), that reset (C15), that close what is at rest (C16), and clients that vanish (C19).

Goes in: a gateway and an API that goes wrong in one way at a time. Comes out: rows.
"""

import asyncio
import contextlib
import random
import socket
from collections.abc import AsyncIterator
from time import monotonic as now
from typing import Final

from tests.support.kube_api import Devbox
from tests.support.silent import silent

from .api import BODY, EVENT, Ask, Way, early, reset, until
from .client import Answer, Client, Tally, Target, load
from .report import Row, p, timed
from .world import API_ADDRESS, World, eventually, world

DEAF, MUTE, SHUT, RUDE = "deaf.chaos.test", "mute.chaos.test", "shut.chaos.test", "rude.chaos.test"
"""Takes no connection; takes it and says nothing in TLS; refuses it; resets it in TLS."""


async def _silent(ask: Ask) -> None:
    await ask.reader.read(1)  # its end


async def _stalls(ask: Ask) -> None:
    await ask.sse()
    await ask.event()
    await ask.reader.read(1)


async def _crawls(ask: Ask) -> None:
    await ask.send(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n")
    for _ in range(8):
        await ask.send(b"x")
        await asyncio.sleep(1)


@contextlib.asynccontextmanager
async def _bad_addresses() -> AsyncIterator[dict[str, Target]]:
    """Where the names above lead."""

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while await reader.read(1 << 16):
                pass
        writer.close()

    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        reset(writer)

    with silent(API_ADDRESS) as deaf, socket.socket() as shut:
        shut.bind((API_ADDRESS, 0))  # nobody listens
        servers = [await asyncio.start_server(each, API_ADDRESS, 0) for each in (mute, rude)]
        muted, ruder = (server.sockets[0].getsockname() for server in servers)
        try:
            yield {DEAF: deaf, MUTE: muted, SHUT: shut.getsockname(), RUDE: ruder}
        finally:
            for server in servers:
                server.close()


def _at(stage: World, number: int, host: str) -> Client:
    """A client whose API is at `host`."""
    devbox = stage.devbox(number)
    return stage.client(devbox, stage.gateway, stage.bind(devbox, "BAD", f"https://{host}"))


POOLED: Final = 4.0
"""Seconds for which the gateway keeps a connection of an API that announces nothing."""


async def slow(long: bool) -> list[Row]:
    """C14."""
    connect, first, idle, slack = (5, 30, 20, 1) if long else (2, 4, 3, 3)  # beside other tests the machine may be slow
    timeouts = {"connectSeconds": connect, "firstByteSeconds": first, "idleSeconds": idle}
    async with _bad_addresses() as bad, world(timeouts=timeouts, overrides=bad) as stage:
        stage.api.ways |= {"/silent": _silent, "/stalls": _stalls, "/crawls": _crawls}
        devbox = stage.devbox()
        clients = [stage.client(devbox, stage.gateway) for _ in range(3)]
        dialling = [_at(stage, number, host) for number, host in enumerate((DEAF, MUTE), 1)]
        control = stage.devbox(9)
        await stage.warm(devbox, control)
        await stage.known(4)
        # Every 0.2 s on one connection: less than the pool's 4 s.
        watching = asyncio.create_task(load(5, max(first, 8), [stage.client(control, stage.gateway)], _control))
        deaf, mute, silent, stalls, crawls = await asyncio.gather(
            *(client.request() for client in dialling),
            *(
                client.request("POST", path, b"{}")
                for client, path in zip(clients, ("/silent", "/stalls", "/crawls"), strict=True)
            ),
        )
        others = await watching
        rows = [
            _timed("C14 API takes no connection", connect, deaf, "504", slack),
            _timed("C14 API says nothing in TLS", connect, mute, "504", slack),
            _timed("C14 no first byte", first, silent, "504", slack),
            _timed("C14 answer stops in the middle", idle, stalls, "cut", slack),
            Row("C14 answer at 1 B/s", "whole", f"{crawls.kind}, {len(crawls.body)} B in {crawls.seconds:.1f} s", crawls.fine),
        ]
        connections = stage.api.first["/control"]
        ok = not others.errors and connections <= 1
        measured = f"{others.kinds} in {len(others.seconds)} requests on {connections or 1} connection"
        return [*rows, Row("C14 meanwhile, others", "0 errors, their pooled connection stays", measured, ok)]


async def _control(client: Client) -> Answer:
    return await client.request(path="/control")


def _timed(fault: str, seconds: float, answer: Answer, expected: str, slack: float) -> Row:
    measured, in_time = f"{answer.kind} after {answer.seconds:.1f} s", abs(answer.seconds - seconds) <= slack
    return timed(fault, f"{expected} after {seconds:g} s ± {slack:g} s", measured, in_time, answer.kind == expected)


async def _before_answer(ask: Ask) -> None:
    ask.reset()


async def _after_head(ask: Ask) -> None:
    await ask.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1024\r\n\r\n")
    await asyncio.sleep(0.05)
    ask.reset()


async def _in_body(ask: Ask) -> None:
    await ask.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1024\r\n\r\n" + BODY[:500])
    await asyncio.sleep(0.05)
    ask.reset()


async def _in_chunks(ask: Ask) -> None:
    await ask.sse()
    await ask.event()
    await asyncio.sleep(0.05)
    ask.reset()


async def _without_length(ask: Ask) -> None:
    """An answer that ends with its connection: only the reset says that it is not whole."""
    await ask.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + EVENT)
    await asyncio.sleep(0.05)
    ask.reset()


RESETS: Final = {
    "/before": (_before_answer, "502"),
    "/head": (_after_head, "cut"),
    "/body": (_in_body, "cut"),
    "/chunks": (_in_chunks, "cut"),
    "/close": (_without_length, "cut"),
}


async def resets(long: bool) -> list[Row]:
    """C15."""
    times = 50 if long else 5
    rows = []
    async with _bad_addresses() as bad, world(overrides=bad) as stage:
        devbox = stage.devbox()
        dialling = {"connect": _at(stage, 1, SHUT), "TLS": _at(stage, 2, RUDE)}
        await stage.warm(devbox)
        await stage.known(3)
        for name, client in dialling.items():
            answers = [await client.request("POST", "/", b"{}") for _ in range(times)]
            kinds = {answer.kind for answer in answers}
            slowest = max(answer.seconds for answer in answers)
            rows.append(Row(f"C15 reset at {name}", "502", f"{times} x {', '.join(kinds)}, ≤{slowest:.2f} s", kinds == {"502"}))
        client = stage.client(devbox, stage.gateway)
        for path, (way, expected) in RESETS.items():
            stage.api.ways[path] = way
            kinds = {(await client.request("POST", path, b"{}")).kind for _ in range(times)}
            asked = stage.api.asked[path]
            measured = f"{times} x {', '.join(kinds)}; the API saw {asked}"
            demand = f"{expected}, sent once, never a clean end"
            rows.append(Row(f"C15 reset {_WHERE[path]}", demand, measured, kinds == {expected} and asked == times))
    return rows


_WHERE: Final = {
    "/before": "before the answer",
    "/head": "after its headers",
    "/body": "mid-body",
    "/chunks": "between chunks",
    "/close": "of an answer without a length",
}


async def keepalive_race(long: bool) -> list[Row]:
    """C16: every devbox has a pool of its own, and asks just about when the API closes what is at rest."""
    devboxes, rounds = (200, 24) if long else (40, 1)
    unannounced = _race("closes after 5 s, unannounced", 5.0, devboxes, rounds)
    announced = _race("closes after 2 s, announced", 2.0, devboxes, rounds)
    rows = await asyncio.gather(unannounced, announced)
    return [*rows[0], *rows[1]]


async def _race(name: str, rest: float, devboxes: int, rounds: int) -> list[Row]:
    async with world() as stage:
        stage.api.idle_seconds = rest
        if rest < POOLED:
            stage.api.ways["/"] = _announcing(rest)
        boxes = [stage.devbox(number) for number in range(devboxes)]
        await stage.known(devboxes)
        tallies = {"GET": Tally(), "POST": Tally()}
        await asyncio.gather(
            *(_every(stage, box, rest, tallies, rounds=rounds, first=number % 2) for number, box in enumerate(boxes))
        )
        rows = []
        for method, limit in (("GET", 0.0), ("POST", 0.001)):
            tally = tallies[method]
            count = len(tally.errors) + len(tally.seconds)
            measured = f"{tally.kinds} in {count} requests, {stage.api.connections} connections"
            ok = count > 0 and len(tally.errors) <= limit * count
            rows.append(Row(f"C16 API {name}: {method}", f"≤{limit:.1%} failed", measured, ok))
        return rows


def _announcing(seconds: float) -> Way:
    async def answer(ask: Ask) -> None:
        await ask.send(b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=%d\r\nContent-Length: 0\r\n\r\n" % seconds)

    return answer


async def _every(stage: World, box: Devbox, rest: float, tallies: dict[str, Tally], *, rounds: int, first: int) -> None:
    """GET and POST in turn, at the moment at which the API closes, give or take 50 ms."""
    client = stage.client(box, stage.gateway)
    await client.request()  # it meets no connection that is at rest
    for number in range(rounds):
        await asyncio.sleep(rest + random.uniform(-0.05, 0.05))  # noqa: S311 (no secret)
        method = ("GET", "POST")[(number + first) % 2]
        began = now()
        tallies[method].add(began, await client.request(method, "/", b"{}" if method == "POST" else b""))


async def vanishing(long: bool) -> list[Row]:
    """C19."""
    times = 50 if long else 8
    rows = []
    async with world(timeouts={"restSeconds": 4}) as stage:  # what rests on would be counted, too
        stage.api.ways |= {
            "/stream": until(lambda: asyncio.sleep(0.05), 1000),
            "/silent": _silent,
            "/upload": early(_silent_upload),
        }
        devbox = stage.devbox()
        await stage.warm(devbox)
        for where, line, headers in (
            ("mid-stream", "GET /stream HTTP/1.1", ()),
            ("before the answer", "POST /silent HTTP/1.1", ("Content-Length: 0",)),
            ("mid-upload", "POST /upload HTTP/1.1", ("Content-Length: 100000",)),
        ):
            for how in ("RST", "FIN"):
                took = [await _vanish(stage, devbox, stage.request(devbox, line, *headers), how) for _ in range(times)]
                measured = f"p50 {p(50, took) * 1000:.0f} ms, worst {max(took) * 1000:.0f} ms of {times}"
                rows.append(
                    timed(
                        f"C19 client vanishes {where}: {how}", "API's side closed ≤1 s", measured, max(took) <= 1, max(took) < 5
                    )
                )
        await eventually(lambda: not stage.api.open, 5)
        left = await stage.gateway.metric("devbox_gateway_requests_in_flight")
        rows.append(Row("C19 afterwards", "0 requests under way", f"{left:g}", left == 0))
    return rows


async def _silent_upload(ask: Ask) -> None:
    while await ask.reader.read(1 << 16):
        pass
    raise ConnectionResetError


async def _vanish(stage: World, devbox: Devbox, request: bytes, how: str) -> float:
    """Seconds until the API's connection has ended."""
    await eventually(lambda: not stage.api.open, 5)
    async with await stage.raw(devbox) as client:
        await client.send(request)
        await eventually(lambda: stage.api.open, 5)
        await asyncio.sleep(0.1)
        left = now()
        await (client.reset() if how == "RST" else client.fin())
        with contextlib.suppress(TimeoutError):
            await eventually(lambda: not stage.api.open, 5, every=0.005)
        return now() - left
