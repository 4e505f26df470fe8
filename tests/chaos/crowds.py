"""Many at a time: more than fits into memory (C13), stuck readers (C17), idle streams (C18), a devbox that asks for too much (C21).

Goes in: one gateway. Comes out: rows; times of others are shown, not judged, in the short forms.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from tests.support.gateway_process import FEW_TUNNELS, places
from tests.support.kube_api import Devbox
from tests.support.raw_client import RawClient

from . import memory_limit
from .api import Ask, until
from .client import Answer, Client, Tally, load
from .noise import Noise
from .report import Row, ms, p, timed
from .world import World, eventually, world

MIB: Final = 1 << 20
PER_DEVBOX: Final = 20
"""Streams."""


async def _endless(ask: Ask) -> None:
    await ask.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")
    for _ in range(1 << 14):
        await ask.send(bytes(1 << 16))


@asynccontextmanager
async def _stuck(stage: World, boxes: list[Devbox], count: int) -> AsyncIterator[list[RawClient]]:
    """Clients that ask for a GiB each and read its beginning alone; those that were given it."""
    clients: list[RawClient] = []

    async def one(number: int) -> None:
        box = boxes[number % len(boxes)]
        try:
            client = await stage.raw(box, receive_buffer=4096)
        except OSError:
            return  # closed before its handshake
        clients.append(client)
        await client.send(stage.request(box, "GET /endless HTTP/1.1"))
        await client.until(lambda client: b"\r\n\r\n" in client.received or client.ended is not None, 20)
        client.stop_reading()

    try:
        for start in range(0, count, 20):
            await asyncio.gather(*(one(number) for number in range(start, min(count, start + 20))))
        yield clients
    finally:
        await asyncio.gather(*(client.close() for client in clients))


async def readers(long: bool) -> list[Row]:
    """C17."""
    count, stall = 200, (60 if long else 5)
    async with world(limits={"writeStallSeconds": stall}) as stage:
        stage.api.ways["/endless"] = _endless
        boxes = [stage.devbox(number) for number in range(count // PER_DEVBOX)]
        control = stage.devbox(100)
        await stage.warm(control)
        others = [stage.client(control, stage.gateway) for _ in range(4)]
        quiet = await load(50, 10 if long else 2, others, Client.request)
        before = stage.gateway.process.rss
        async with _stuck(stage, boxes, count) as clients:
            served = sum(client.received.startswith(b"HTTP/1.1 200") for client in clients)
            busy = await load(50, 20 if long else 2, others, Client.request)
            grown = (stage.gateway.process.rss - before) / count / MIB
            started = asyncio.get_running_loop().time()
            await eventually(lambda: len(stage.api.open) <= len(others), stall * 2 + 5, every=0.1)
            took = asyncio.get_running_loop().time() - started
        ratio = busy.p99 / quiet.p99
        ok = grown <= 1.14 and served == count
        return [
            Row("C17 200 stuck readers of 1 GiB: memory", "≤1.2 MB each", f"{grown:.2f} MiB each, {served} served", ok),
            timed(
                f"C17 writeStallSeconds = {stall}", "all cut by then", f"all cut {took:.0f} s after the last", took <= stall + 3
            ),
            Row("C17 others meanwhile: errors", "0", busy.kinds, not busy.errors),
            timed("C17 others meanwhile: p99", "+≤20 %", f"{ms(quiet.p99)} → {ms(busy.p99)}", ratio <= 1.2 if long else None),
        ]


async def idle_streams(long: bool) -> list[Row]:
    """C18."""
    count, beat, seconds = (places(10_000), 30.0, 120.0) if long else (500, 2.0, 4.0)
    # (What rests on would be counted, too.)
    async with world(egress=FEW_TUNNELS, timeouts={"restSeconds": 4}) as stage:
        stage.api.ways["/stream"] = until(lambda: asyncio.sleep(beat), 1_000_000)
        boxes = [stage.devbox(number) for number in range(count // 50)]
        await stage.warm(*boxes)
        await eventually(lambda: not stage.api.open, 10)
        process = stage.gateway.process
        base, files_before = process.rss, process.open_files
        events, answers = Counter[int](), list[Answer]()

        async def read(number: int, client: Client) -> None:
            answer = Answer()
            answers.append(answer)
            async for _ in client.stream(answer, path="/stream"):
                events[number] += 1

        clients = [stage.client(boxes[number % len(boxes)], stage.gateway) for number in range(count)]
        opened_at = asyncio.get_running_loop().time()
        tasks = []
        for start in range(0, count, 50):
            tasks += [asyncio.create_task(read(number, clients[number])) for number in range(start, min(count, start + 50))]
            await eventually(lambda: len(events) >= len(tasks), 30)  # noqa: B023 (awaited here)
        rate = count / (asyncio.get_running_loop().time() - opened_at)
        cpu, beats = process.cpu_seconds, events.total()
        await asyncio.sleep(seconds)
        cpu, beats = (process.cpu_seconds - cpu) / seconds, events.total() - beats
        rss = process.rss
        dropped = sum(task.done() for task in tasks)
        for client in clients:
            client.close()
        await asyncio.gather(*tasks)
        with suppress(TimeoutError):
            await eventually(lambda: process.open_files <= files_before + 10, 30, every=0.2)
        left = process.open_files - files_before
    each = (rss - base) / count / 1024
    fits = base + each * 1024 * 10_000 <= 1536 * MIB
    least = count * int(seconds // beat) * 0.9
    name = f"C18 {count} idle streams, TLS on both sides"
    return [
        Row(f"{name}: memory", "10,000: ≤1.5 GiB", f"{rss / MIB:.0f} MiB in all, {each:.0f} KiB each", fits),
        timed(f"{name}: processor, an event each {beat:g} s", "≤0.5 core", f"{cpu:.2f} core", cpu <= 0.5 if long else None),
        Row(f"{name}: dropped", "0", str(dropped), dropped == 0),
        timed(f"{name}: events", f"≥{least:.0f} in {seconds:g} s", str(beats), beats >= least),
        timed(f"{name}: opened", "≥200/s", f"{rate:.0f}/s", rate >= 200 if long else None),
        Row(f"{name}: files once they are gone", "≤ before + 10", f"{left:+d}", left <= 10),
    ]


async def memory(long: bool) -> list[Row]:
    """C13: twice as many stuck readers as there is memory for."""
    limit, rounds = 160 * MIB, 6 if long else 1
    group = ""
    async with world(prefix=memory_limit.prefix(limit), limits={"writeStallSeconds": 20}) as stage:
        process = stage.gateway.process
        group = memory_limit.group_of(process.process.pid)
        stage.api.ways["/endless"] = _endless
        boxes = [stage.devbox(number) for number in range(50)]
        await stage.warm(*boxes)
        served = shed = closed = 0
        probes = Tally()
        client = stage.client(boxes[0], stage.gateway)
        for _ in range(rounds):
            count = 1000 if long else 300
            async with _stuck(stage, boxes, count) as clients:
                closed += count - len(clients)
                served += sum(client.received.startswith(b"HTTP/1.1 200") for client in clients)
                shed += sum(client.received.startswith(b"HTTP/1.1 503") for client in clients)
            probe = Answer()
            for _ in range(40):
                probe = await client.request()
                if probe.fine:
                    break
                await asyncio.sleep(0.5)
            probes.add(0.0, probe)
        alive, rss = process.alive, process.rss
        kills, most = memory_limit.kills(group), memory_limit.peak(group)
    how = {"": "no control group could be made: the limit is seen, not enforced"}.get(group, "enforced by a control group")
    memory_limit.remove(group)
    return [
        Row(
            "C13 twice what fits into 160 MiB: shed",
            "503 from 85 % on",
            f"{served} served, {shed} x 503, {closed} closed before their handshake",
            served > 0 and shed > 0,
        ),
        Row("C13 ended by the kernel", "0", f"{kills}; at most {most / MIB:.0f} MiB ({how})", alive and kills == 0),
        Row("C13 once they are gone", "serves again", f"{probes.kinds}; {rss / MIB:.0f} MiB resident", not probes.errors),
    ]


async def neighbour(long: bool) -> list[Row]:
    """C21."""
    rate, idle, seconds = (2000.0, 5000, 20.0) if long else (400.0, 600, 2.0)
    async with world() as stage:
        stage.api.ways["/work"] = _work
        noisy, boxes = stage.devbox(0), [stage.devbox(number) for number in range(1, 6)]
        await stage.warm(noisy, *boxes)
        others = [stage.client(box, stage.gateway) for box in boxes]
        quiet = await load(30, 10 if long else 2, others, Client.request)
        host, port = stage.gateway.address
        ca = (stage.folder / "ca.crt").read_text()
        noise = Noise(host, port, noisy.address, stage.token(noisy), ca, rate, seconds, 150, idle)
        busy, got = await asyncio.gather(load(30, seconds * 2, others, Client.request), noise.made())
    retry, closed = got.pop("retry_after"), got.pop("idle")
    ratio = busy.p99 / quiet.p99
    refused = got.get("429", 0)
    return [
        Row(
            "C21 noisy neighbour: others' errors",
            "0",
            f"{busy.kinds} in {len(busy.seconds)}",
            not busy.errors and bool(busy.seconds),
        ),
        Row(
            f"C21 the noisy one: {rate:.0f} rps",
            "429 with Retry-After",
            f"{got}, Retry-After {retry}",
            refused > 0 and retry == {"15": refused},
        ),
        Row(f"C21 the noisy one: {idle} connections", "closed beyond 256", f"{closed}", closed["closed"] >= idle - 256),
        timed(
            "C21 others' p99",
            "≤1.5x",
            f"{ms(quiet.p99)} → {ms(busy.p99)}; p50 {ms(p(50, quiet.seconds))} → {ms(p(50, busy.seconds))}",
            None if not long else ratio <= 1.5,
        ),
    ]


async def _work(ask: Ask) -> None:
    await asyncio.sleep(0.5)
    await ask.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
