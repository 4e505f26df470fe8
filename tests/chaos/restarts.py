"""Gateways that are replaced one after the other (C7), and one that is killed (C8), under load and with open streams.

Goes in: three replicas behind a forwarder that follows their readiness. Comes out: rows.
"""

import asyncio
import signal
from collections.abc import Callable
from time import monotonic as now
from typing import Final

from .api import Ask, until
from .client import Answer, Client, load
from .report import Row, ms, timed
from .world import Replica, world

DRAIN: Final = 3
"""Seconds of preparation: two probes and one more."""
NOTICED: Final = 3.0
"""Seconds after which nobody may be led to a replica that is gone: two failed probes, and the way."""


class Streams:
    """Open streams, and how each ended."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self._tasks: list[asyncio.Task[None]] = []

    def open(self, client: Client, path: str) -> None:
        """One more."""
        self._tasks.append(asyncio.create_task(self._read(client, path)))

    async def _read(self, client: Client, path: str) -> None:
        answer = Answer()
        self.answers.append(answer)
        async for piece in client.stream(answer, path=path):
            answer.body += piece[:1]
        client.close()

    async def ended(self) -> None:
        """All of them."""
        await asyncio.gather(*self._tasks)

    def row(self, fault: str, demand: str, right: Callable[[Answer], bool]) -> Row:
        """How many ended as they were to."""
        fine = sum(map(right, self.answers))
        return Row(fault, demand, f"{fine} of {len(self.answers)}", fine == len(self.answers) > 0)


async def rolling(long: bool) -> list[Row]:
    """C7."""
    rate, streams, grace, pause = (200, 500, 30, 10) if long else (60, 50, 5, 1)
    async with world(3, drainSeconds=DRAIN, shutdownSeconds=grace) as stage:
        length = pause + DRAIN + grace - 2  # beyond the end of new requests, and within the time that is left then
        stage.api.ways |= {
            "/within": until(_tick, length * 2),
            "/beyond": until(_tick, 1_000_000),
        }
        boxes = [stage.devbox(number) for number in range(20)]
        await stage.warm(*boxes)
        clients = [stage.client(box) for box in boxes for _ in range(3)]
        within, beyond = Streams(), Streams()
        running = asyncio.create_task(load(rate, 3 * (DRAIN + pause) + 2, clients, Client.request))
        for old in list(stage.replicas):
            for number in range(streams // 3):
                path, kind = ("/within", within) if number % 5 else ("/beyond", beyond)
                kind.open(stage.client(boxes[number % 20], old), path)
            await asyncio.sleep(pause)
            old.signal(signal.SIGTERM)
            await stage.start()
            await asyncio.sleep(DRAIN)
        tally = await running
        await asyncio.gather(within.ended(), beyond.ended())
        count = len(tally.seconds) + len(tally.errors)
        statuses = [await old.process.end() for old in stage.replicas[:3]]
    rate_measured = f"{tally.kinds} in {count} at {rate}/s; p99 {ms(tally.p99)}"
    return [
        Row("C7 rolling restart of 3: new requests", "0 failed", rate_measured, not tally.errors and count > 0),
        within.row(f"C7 streams that end within {grace} s", "100 % whole", lambda answer: answer.fine),
        beyond.row("C7 longer streams", "ended by an abort, never a clean end", lambda answer: answer.error == "cut"),
        Row("C7 replaced gateways", "end by themselves, status 0", str(statuses), statuses == [0, 0, 0]),
    ]


async def _tick() -> None:
    await asyncio.sleep(0.5)


async def killed(long: bool) -> list[Row]:
    """C8."""
    rate, seconds = (200, 30) if long else (60, 8)
    async with world(3) as stage:
        stage.api.ways["/work"] = _work
        boxes = [stage.devbox(number) for number in range(20)]
        await stage.warm(*boxes)
        clients = [stage.client(box) for box in boxes for _ in range(3)]
        running = asyncio.create_task(load(rate, seconds, clients, _ask))
        await asyncio.sleep(seconds / 3)
        victim: Replica = stage.replicas[0]
        under_way = int(await victim.metric("devbox_gateway_requests_in_flight"))
        links = sum(link.backend is victim.backend for link in stage.service.links) // 2
        victim.signal(signal.SIGKILL)
        killed_at = now()
        tally = await running
    cut = [kind for began, kind in tally.errors if kind in ("no answer", "cut") and began <= killed_at]
    refused = [began - killed_at for began, kind in tally.errors if began > killed_at]
    late = [after for after in refused if after > NOTICED]
    count = len(tally.errors) + len(tally.seconds)
    return [
        Row(
            "C8 SIGKILL of 1 of 3: requests under way",
            "errors ≤ those of that replica",
            f"{len(cut)} of {count} failed; it had {under_way} under way on {links} connections",
            len(cut) <= max(under_way, links),
        ),
        timed(
            "C8 new connections",
            "no error 3 s later",
            f"{len(refused)} failed, the last after {max(refused, default=0):.1f} s; later: {len(late)}",
            not late,
            count > 0,
        ),
    ]


async def _ask(client: Client) -> Answer:
    return await client.request("POST", "/work", b"{}")


async def _work(ask: Ask) -> None:
    await asyncio.sleep(0.1)
    await ask.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
