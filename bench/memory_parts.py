"""The gateway under streams, long bodies, many requests and reviews: what it needs of memory and processor.

Goes in: how much of each. Comes out: figures. The load is made by memory_streams.py, memory_transfer.py and memory_load.py. Processor time
is that of the gateway's process, of user and system.
"""

import asyncio
import time
from typing import Final

from tests.support.gateway_process import FEW_TUNNELS, places

from devbox_proxy.kit.memory import TRIM_SECONDS

from .memory_child import Child
from .memory_stage import (
    ANSWER,
    AT_ONCE,
    MIB,
    Bench,
    Figure,
    Setting,
    cpu_seconds,
    forget_peak,
    mib,
    peak,
    setting,
    warm,
)

STREAMS: Final = 10_000
STREAM_DEVBOXES: Final = 250
"""So that none of them has more connections or requests than a devbox may have."""
GIB: Final = 1 << 30
STREAM: Final = "bench.memory_upstream"


async def streams(bench: Bench) -> list[Figure]:
    """Idle streams, TLS towards the API alone."""
    return await _streams(bench, tls_down=False, gib=1.0)


async def streams_tls(bench: Bench) -> list[Figure]:
    """Idle streams, TLS on both sides."""
    return await _streams(bench, tls_down=True, gib=1.5)


async def _streams(bench: Bench, *, tls_down: bool, gib: float) -> list[Figure]:
    count = places(1000 if bench.quick else STREAMS)
    title = f"{count:,} streams, {'TLS on both sides' if tls_down else 'TLS towards the API'}: "
    async with setting(bench, STREAM_DEVBOXES, STREAM, tls_down=tls_down, tls_up=True, egress=FEW_TUNNELS) as here:
        process = here.process
        await asyncio.sleep(2)
        files, rss = process.open_files, process.rss
        more = [str(here.gateway.folder / "ca.crt")] if tls_down else []
        async with here.load("bench.memory_streams", here.callers_file(), *more) as load:
            before = cpu_seconds(process.process)
            opened = await load.order("open", count=count)
            opening = cpu_seconds(process.process) - before
            await asyncio.sleep(2)
            held = 35 if bench.quick else 60
            bench.say(f"holding {count:,} streams for {held} s")
            forget_peak(process)
            before = cpu_seconds(process.process)
            kept = await load.order("hold", seconds=held)
            cores, most = (cpu_seconds(process.process) - before) / held, peak(process)
            await load.order("close")
            left = await _closed(here, files)
            after = process.rss
            bench.say("once more: what is left of streams must not add up")
            await load.order("open", count=count)
            once_more = process.rss
            await load.order("close")
            await _closed(here, files)
            again = process.rss
    each = (most - rss) / count
    whole = rss + each * STREAMS
    rate = count / opened["seconds"]
    expected = STREAMS / count * cores
    note = "" if count == STREAMS else f" ({mib(most)} with {count:,}; extrapolated)"
    return [
        Figure(f"{title}memory with {STREAMS:,}", mib(whole) + note, whole / MIB, f"≤ {gib:g} GiB", whole <= gib * GIB),
        Figure(f"{title}memory for each", f"{each / 1024:.1f} KiB", each / 1024),
        Figure(f"{title}opened", f"{rate:.0f}/s, {opening / count * 1e3:.2f} ms of CPU each", rate, "≥ 200/s", rate >= 200),
        Figure(f"{title}cores with {STREAMS:,}, a heartbeat every 30 s", f"{expected:.2f}", expected, "≤ 0.5", expected <= 0.5),
        Figure(f"{title}heartbeats that the slowest had", f"{kept['least']}", kept["least"], "≥ 1", kept["least"] >= 1),
        Figure(f"{title}lost in {held} s", f"{kept['lost']}", kept["lost"], "0", kept["lost"] == 0),
        Figure(f"{title}files after they closed", f"{left} ({files} before)", left, "≤ before + 10", left <= files + 10),
        Figure(f"{title}memory after they closed", mib(after), after / MIB),
        Figure(
            f"{title}memory with as many once more", mib(once_more), once_more / most, "≤ 1.1 times", once_more <= 1.1 * most
        ),
        Figure(f"{title}memory after those closed", mib(again), again / after, "≤ 1.25 times", again <= 1.25 * after),
    ]


async def _closed(here: Setting, files: int) -> int:
    """Open files, once they are as few as before or half a minute has passed; and the gateway has given memory back."""
    for _ in range(60):
        await asyncio.sleep(0.5)
        if here.process.open_files <= files:
            break
    await asyncio.sleep(TRIM_SECONDS + 1)
    return here.process.open_files


async def bodies(bench: Bench) -> list[Figure]:
    """Long bodies, TLS on both sides: memory must not grow with them."""
    figures, size = [], int(bench.gib * GIB)
    async with setting(bench, 1, STREAM, tls_down=True, tls_up=True) as here:
        process, caller = here.process, here.callers[0]
        trust = str(here.gateway.folder / "ca.crt")
        async with here.load("bench.memory_transfer", caller.address, caller.token, trust) as load:
            await load.order("upload", bytes=700, chunked=False)
            rss = process.rss
            for what, order in (
                ("up, Content-Length", {"do": "upload", "chunked": False}),
                ("up, chunked", {"do": "upload", "chunked": True}),
                ("down", {"do": "download", "kind": "octet-stream"}),
                ("down as text, searched for the credential", {"do": "download", "kind": "plain"}),
            ):
                bench.say(f"{bench.gib:g} GiB {what}")
                forget_peak(process)
                before = cpu_seconds(process.process)
                done = await load.order(bytes=size, **order)
                cpu, growth = cpu_seconds(process.process) - before, peak(process) - rss
                speed = f"{size / MIB / done['seconds']:,.0f} MiB/s, {cpu / bench.gib:.2f} s of CPU a GiB"
                title = f"{bench.gib:g} GiB {what}, every byte compared: memory above one request's"
                figures.append(Figure(title, f"{mib(growth)} ({speed})", growth / MIB, "≤ 8 MiB", growth <= 8 * MIB))
    return figures


async def requests(bench: Bench) -> list[Figure]:
    """Cost of a request, and memory, by the number of requests before it."""
    figures, done, first = [], 0, 0.0
    memory: dict[int, int] = {}
    async with (
        setting(bench, 1, ANSWER) as here,
        here.load("bench.memory_load", here.callers_file()) as load,
    ):
        await warm(here, load, len(here.callers), len(here.callers))
        for count in (1000, 10_000) if bench.quick else (1000, 10_000, 100_000):
            cost, _ = await _cost(here, load, count - done)
            first, memory[count] = first or cost, here.process.rss
            text = f"{cost * 1e6:.0f} µs, {cost / first:.2f} times the first; {mib(memory[count])}"
            bar, held = ("", None) if count == 1000 else ("≤ 1.1 times", cost <= 1.1 * first)
            figures.append(Figure(f"CPU of a request, number {done + 1:,} to {count:,}", text, cost / first, bar, held))
            done = count
    if 100_000 in memory:
        growth = memory[100_000] - memory[10_000]
        title = "memory from the 10,000th to the 100,000th request"
        figures.append(Figure(title, f"{growth / MIB:+.2f} MiB", growth / MIB, "≤ 2 MiB", growth <= 2 * MIB))
    return figures


async def reviews(bench: Bench) -> list[Figure]:
    """TokenReviews, as the API server counts them, while every devbox asks something every 30 s, at no fixed moment."""
    count = 1000 if bench.quick else 10_000
    async with (
        setting(bench, count, ANSWER) as here,
        here.load("bench.memory_load", here.callers_file()) as load,
    ):
        started = time.monotonic()
        await warm(here, load, len(here.callers), len(here.callers))
        warmed = time.monotonic() - started
        rate = count / 30
        # Renewals begin when the oldest review has nine tenths of its age: what comes before says nothing.
        idle = max(0.0, 105 - warmed)
        if idle:
            bench.say(f"{idle:.0f} s until the first reviews grow old")
            await load.order("run", count=int(rate * idle), rate=rate, may_be_refused=True)
        seconds = 60 if bench.quick else 125
        bench.say(f"counting for {seconds} s")
        counting = asyncio.create_task(_each_second(here, seconds))
        before, asked = cpu_seconds(here.process.process), len(here.cluster.reviews)
        done = await load.order("run", count=int(rate * seconds), rate=rate, may_be_refused=True)
        cores = (cpu_seconds(here.process.process) - before) / done["seconds"]
        average = (len(here.cluster.reviews) - asked) / done["seconds"]
        most = max(await counting)
    title = f"TokenReviews with {count:,} active devboxes, over {seconds} s: "
    cold = f"{count / warmed:.0f}/s"
    held = average <= 100
    answers = f"p50 {done['p50'] * 1e3:.1f} ms, p99 {done['p99'] * 1e3:.0f} ms, at most {done['most'] * 1e3:.0f} ms"
    return [
        Figure(f"{title}average", f"{average:.1f}/s ({most} in the busiest second)", average, "≤ 100/s", held),
        Figure(f"{title}requests meanwhile, {rate:.0f}/s", f"{answers}; {cores:.2f} cores", done["p99"]),
        Figure(f"{title}requests refused", f"{done['refused']:,}", done["refused"], "0", done["refused"] == 0),
        Figure(f"first requests of {count:,} devboxes", cold, count / warmed),
    ]


async def _each_second(here: Setting, seconds: int) -> list[int]:
    counts, last = [], len(here.cluster.reviews)
    due = time.monotonic()
    for _ in range(seconds):
        due += 1
        await asyncio.sleep(due - time.monotonic())
        counts.append(len(here.cluster.reviews) - last)
        last += counts[-1]
    return counts


async def _cost(here: Setting, load: Child, count: int) -> tuple[float, float]:
    """Seconds of CPU for each of `count` requests, and how many were done in a second."""
    here.process.output.clear()
    before = cpu_seconds(here.process.process)
    done = await load.order("run", count=count, at_once=AT_ONCE)
    return (cpu_seconds(here.process.process) - before) / count, count / done["seconds"]
