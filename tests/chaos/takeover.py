"""A replica that knows nobody takes over: from one that is killed, from one that is replaced, and where one TokenReview in ten fails.

Goes in: devboxes of which each is served, and so reviewed, by one replica alone, and an API server whose answers take a while. Comes out:
rows: who was refused, how long the first request took on the other replica, and what the API server was asked.
"""

import asyncio
import contextlib
import resource
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from time import monotonic as now
from typing import Any, Final

from tests.support.kube_api import Devbox
from tests.support.token_reviews import Fault

from devbox_proxy.kit.limiter import BURST

from .client import Client, Tally
from .report import Row, ms
from .world import Replica, World, world

OVER_SECONDS: Final = 1.5
"""Within which all clients of the one that has gone come to the other."""
FIRST_SECONDS: Final = 3.0
"""The 99th percentile of their first requests, with a TokenReview of 30 ms."""
PER_SECOND: Final = 400
"""TokenReviews, at most: the setting's default."""
OTHERS_PER_SECOND: Final = 40
"""Spare ones, of two other replicas."""
CONNECTED: Final = 2000
"""Clients that have a connection ahead of their first request."""
AT_A_TIME: Final = 50
"""Handshakes."""
NEW: Final = 60
NEW_PER_SECOND: Final = 20
Takeover = Callable[[World, Sequence[Devbox]], Coroutine[Any, Any, tuple[Tally, str]]]
"""The clients' first requests to another replica, and what else there is to say."""


@contextlib.asynccontextmanager
async def _known_to_one(count: int, seconds: float) -> AsyncIterator[tuple[World, list[Devbox]]]:
    """Two replicas that were started before there was any devbox; all call the first one."""
    # (What is connected ahead of its first request is given more time for that than usual.)
    async with world(2, drainSeconds=1, shutdownSeconds=5, limits={"headSeconds": 120}) as stage:
        stage.cluster.tokenreviews.seconds = (seconds, seconds)
        boxes = [stage.devbox(number) for number in range(count)]
        await stage.known(count)
        while (await _first_requests(await _clients(stage, boxes, stage.gateway), 0.0)).errors:
            pass
        yield stage, boxes


async def _clients(stage: World, boxes: Sequence[Devbox], replica: Replica) -> list[Client]:
    """One for each devbox, with a connection to the replica, so that handshakes do not spread the requests; of many thousands, without."""
    clients = [stage.client(box, replica) for box in boxes]
    for start in range(0, len(clients) if len(clients) <= CONNECTED else 0, AT_A_TIME):
        await asyncio.gather(*(client.connect() for client in clients[start : start + AT_A_TIME]))
    return clients


async def _first_requests(clients: Sequence[Client], over: float) -> Tally:
    """Everybody's, spread over some seconds."""
    tally, began, handshakes = Tally(), now(), asyncio.Semaphore(AT_A_TIME)

    async def one(number: int, client: Client) -> None:
        await asyncio.sleep(began + over * number / len(clients) - now())
        async with handshakes:
            await client.connect()
        asked = now()
        tally.add(asked, await client.request())
        client.close()

    await asyncio.gather(*(one(number, client) for number, client in enumerate(clients)))
    return tally


async def _after_a_kill(stage: World, boxes: Sequence[Devbox]) -> tuple[Tally, str]:
    clients = await _clients(stage, boxes, stage.replicas[1])
    stage.gateway.signal(signal.SIGKILL)
    began = now()
    tally = await _first_requests(clients, OVER_SECONDS)
    return tally, f"all served in {now() - began:.1f} s"


async def _after_a_roll(stage: World, boxes: Sequence[Devbox]) -> tuple[Tally, str]:
    """As a Deployment does it: a new one starts and is ready, then the old one drains."""
    began = now()
    fresh = await stage.start()
    ready = now() - began
    clients = await _clients(stage, boxes, fresh)
    stage.gateway.signal(signal.SIGTERM)
    return await _first_requests(clients, OVER_SECONDS), f"ready after {ready:.1f} s"


async def _case(what: str, takeover: Takeover, count: int, seconds: float) -> list[Row]:
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    async with _known_to_one(count, seconds) as (stage, boxes):
        reviews = stage.cluster.tokenreviews
        asked = len(reviews.times)
        tally, said = await takeover(stage, boxes)
        times = reviews.times[asked:]
        busiest = max((sum(since <= at < since + 1 for at in times) for since in times[:: max(1, len(times) // 50)]), default=0)
    title = f"{what}: {count} devboxes, {seconds * 1000:g} ms a review"
    slowest = max(tally.seconds, default=0.0)
    measured = f"{tally.kinds} in {len(tally.seconds) + len(tally.errors)}, the slowest after {ms(slowest)}; {said}"
    judged = tally.p99 <= FIRST_SECONDS if seconds <= 0.03 and count <= 1000 else None
    return [
        Row(f"{title}: refused", "0", measured, not tally.errors and len(tally.seconds) == count),
        Row(f"{title}: first requests", f"p99 ≤{FIRST_SECONDS:g} s", f"p99 {ms(tally.p99)}", judged),
        Row(
            f"{title}: asked of the API server",
            f"≤{PER_SECOND}/s and the others' {OTHERS_PER_SECOND}",
            f"{len(times)}, {busiest} in the busiest second, {reviews.most_at_once} at a time",
            busiest <= PER_SECOND * (1 + BURST) + OTHERS_PER_SECOND,
        ),
    ]


async def killed(long: bool) -> list[Row]:
    """The replica that served all of them is killed."""
    sizes = [(1000, 0.0), (1000, 0.03), (1000, 0.1), (10_000, 0.03)] if long else [(300, 0.03), (300, 0.5)]
    return [row for count, seconds in sizes for row in await _case("replica killed", _after_a_kill, count, seconds)]


async def rolled(long: bool) -> list[Row]:
    """It is replaced by a new one."""
    sizes = [(1000, 0.0), (1000, 0.03), (1000, 0.1), (10_000, 0.03)] if long else [(300, 0.03), (300, 0.5)]
    return [row for count, seconds in sizes for row in await _case("replica replaced", _after_a_roll, count, seconds)]


async def faults(long: bool) -> list[Row]:
    """One TokenReview in ten goes wrong, while new devboxes come."""
    kinds = Fault if long else (Fault.TOO_MANY, Fault.ERROR, Fault.CUT, Fault.NO_JSON, Fault.NO_STATUS)
    return [row for fault in kinds for row in await _fault(fault)]


async def _fault(fault: Fault) -> list[Row]:
    async with world(identity={"spareReviewsPerSecond": 0}) as stage:
        stage.cluster.tokenreviews.fault = fault
        boxes = [stage.devbox(number) for number in range(NEW)]
        await stage.known(NEW)
        clients = [stage.client(box, stage.gateway) for box in boxes]
        tally = await _first_requests(clients, NEW / NEW_PER_SECOND)
        alive, hit = stage.gateway.process.alive, stage.cluster.tokenreviews.faults
    measured = (
        f"{tally.kinds} in {len(tally.seconds) + len(tally.errors)}, {hit} had it; the slowest after {ms(max(tally.seconds))}"
    )
    held = not tally.errors and alive and hit > 0
    return [Row(f"one TokenReview in ten: {fault.value}; {NEW} new devboxes, {NEW_PER_SECOND}/s", "0 refused", measured, held)]
