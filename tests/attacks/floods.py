"""Generators that take a case's client side over: many connections, slow ones, and ends at a certain moment.

Each writes into the run what the keys of `expect` need: `run.facts`, answers, requests. They run once, as they are: to send a thousand idle
connections byte by byte would be the same.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from tests.support.http_reading import responses
from tests.support.raw_client import RawClient
from tests.support.recorder import Peer, Recorded

from .corpus import Generator, steps
from .floods_streams import revoke_during_stream, slow_reader, ws_abuse
from .generators import get, post
from .lab import REAL, Slot
from .run import Run

PER_DEVBOX: Final = 256
"""Connections; limits.connectionsPerDevbox."""
BEING_CLOSED: Final = 512
"""Sockets that were accepted only to be closed again."""
PATIENCE: Final = 45.0
"""Seconds after which a connection counts as open for ever."""
LIMIT: Final = 4 << 20
"""Bytes of a body, where a case speaks of a limit."""


async def _watch(client: RawClient, since: float) -> float | None:
    """Seconds until the gateway ends the connection, or None."""
    if not await client.until(lambda client: client.ended is not None, PATIENCE):
        return None
    return client.ended_at - since


def _note(run: Run, times: list[float | None], refused: int) -> None:
    ended = [time for time in times if time is not None]
    run.facts["closed after"] = ended
    run.facts["still open"] = len(times) - len(ended)
    run.facts["capped"] = True if len(times) <= PER_DEVBOX else len(times)
    run.facts["refused"] = refused
    run.facts["many"] = True


async def slowloris_headers(slot: Slot, run: Run, generator: Generator) -> None:
    """So many connections of one devbox, each sending its head at 4 bytes a second."""
    loop = asyncio.get_running_loop()
    times: list[float | None] = []
    refused = 0
    head = get(run.values)

    async def one() -> None:
        nonlocal refused
        started = loop.time()
        try:
            client = await slot.client()
        except OSError:
            refused += 1
            return
        async with client:
            since = loop.time()
            watching = asyncio.create_task(_watch(client, since))
            for start in range(0, len(head), 4):
                if client.ended or loop.time() - started > PATIENCE:
                    break
                await client.send(head[start : start + 4])
                await asyncio.sleep(1)
            times.append(await watching)

    await _paced(one, generator.number("conns", 1000))
    _note(run, times, refused)


async def idle_connect(slot: Slot, run: Run, generator: Generator) -> None:
    """Sockets that never say a word, not even in TLS: half from one devbox, half from a hundred addresses."""
    loop = asyncio.get_running_loop()
    total = generator.number("conns", 5000)
    process = slot.lab.stage.process
    before, peak = process.open_files, 0
    own: list[float | None] = []
    others: list[float | None] = []
    refused = 0

    async def one(number: int) -> None:
        nonlocal refused, peak
        mine = number % 2 == 0
        try:
            client = await slot.client(None if mine else f"10.203.0.{100 + number // 2 % 100}", tls=False)
        except OSError:
            refused += 1
            return
        async with client:
            took = await _watch(client, loop.time())
            if took is not None and took < 1:
                refused += 1
            else:
                (own if mine else others).append(took)

    async def measure() -> None:
        nonlocal peak
        while True:
            peak = max(peak, process.open_files)
            await asyncio.sleep(0.5)

    measuring = asyncio.create_task(measure())
    numbers = iter(range(total))
    await _paced(lambda: one(next(numbers)), total)
    measuring.cancel()
    _note(run, own, refused)
    run.facts["closed after"] += [time for time in others if time is not None]
    run.facts["still open"] += others.count(None)
    allowed = before + PER_DEVBOX + total // 2 + BEING_CLOSED
    run.facts["files capped"] = True if peak <= allowed else peak


async def _paced(one: Callable[[], Awaitable[None]], count: int) -> None:
    """Start them a hundred at a time, as fast as they get connected."""
    tasks = []
    for number in range(count):
        tasks.append(asyncio.ensure_future(one()))
        if number % 100 == 99:
            await asyncio.sleep(0.05)
    await asyncio.gather(*tasks)


async def slow_body(slot: Slot, run: Run, generator: Generator) -> None:
    """A body of 1 byte a second."""
    loop = asyncio.get_running_loop()
    run.sent = post(run.values, "Content-Length: 100000")
    async with await slot.client() as client:
        started = loop.time()
        await client.send(run.sent)
        while not client.ended and loop.time() - started < 65:
            await client.send(b"b")
            await client.until(lambda client: client.ended is not None, 1)
        run.ended, run.ended_after = client.ended, loop.time() - started
        run.received = bytes(client.received)
        run.responses, run.left_over = responses(run.received, [b"POST"], closed=True)


async def pipeline(slot: Slot, run: Run, generator: Generator) -> None:
    """So many requests on one connection, all at once."""
    count = generator.number("n", 10_000)
    run.facts["many"] = True
    at_once = most = 0

    async def counting(request: Recorded, peer: Peer) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        at_once -= 1

    slot.api.answer = counting
    run.sent = get(run.values)
    async with await slot.client() as client:
        sending = asyncio.create_task(client.send(run.sent * count))
        await client.until(lambda client: client.ended is not None, 15)
        sending.cancel()
        run.ended, run.received = client.ended, bytes(client.received)
    run.responses, run.left_over = responses(run.received, [b"GET"] * count, closed=True)
    answered = sum(response.status == 200 for response in run.responses)
    seen = sum(request.complete for request in slot.api.requests)
    run.facts["bounded"] = True if most <= 1 and answered <= seen <= answered + 1 else most


async def oversize_body(slot: Slot, run: Run, generator: Generator) -> None:
    """10 MiB where 4 MiB are allowed, with a length and in chunks."""
    size = generator.number("bytes", 10 << 20)
    limit = generator.number("limit", LIMIT)
    token = slot.bind(
        f"L{len(slot.devbox.bindings)}",
        f"https://{slot.endpoint_host}",
        REAL,
        max_request_body=limit,
        requires=["maxRequestBody"],
    )
    run.values = slot.values(token)
    await slot.known(token)
    slot.api.requests.clear()
    async with await slot.client() as client:
        run.sent = post(run.values, f"Content-Length: {size}")
        await client.send(run.sent + bytes(1024))
        await client.until(lambda client: client.ended is not None, 5)
        run.ended, run.received = client.ended, bytes(client.received)
    run.responses, run.left_over = responses(run.received, [b"POST"], closed=True)
    seen = len(slot.api.requests)
    run.facts["length refused"] = True if seen == 0 else seen
    async with await slot.client() as client:
        await client.send(post(run.values, "Transfer-Encoding: chunked"))
        for _ in range(size >> 16):
            await client.send(b"10000\r\n" + bytes(1 << 16) + b"\r\n")
        await client.send(b"0\r\n\r\n")
        await client.until(lambda client: client.ended is not None, 5)
        refused = client.received.startswith(b"HTTP/1.1 413") or (client.ended == "reset" and not client.received)
    run.facts["chunked refused"] = True if refused else bytes(client.received[:12])
    if not refused or any(request.complete for request in slot.api.requests):
        run.problems.append("10 MiB in chunks passed a limit of 4 MiB")


async def cluster_grep(slot: Slot, run: Run, generator: Generator) -> None:
    """All that this gateway ever printed or counts. (Devboxes, events and statuses: tests/integration/test_main_job.py.)"""
    text = "".join(slot.lab.stage.process.output) + await slot.lab.stage.metrics()
    tokens = [f"{binding['token']}" for each in slot.lab.slots for binding in each.devbox.bindings]
    run.facts["hits"] = text.count(REAL) + sum(text.count(token) for token in tokens)


FLOODS: Final[dict[str, Callable[[Slot, Run, Generator], Awaitable[None]]]] = {
    "slowloris_headers": slowloris_headers,
    "idle_connect": idle_connect,
    "slow_body": slow_body,
    "slow_reader": slow_reader,
    "pipeline": pipeline,
    "oversize_body": oversize_body,
    "ws_abuse": ws_abuse,
    "revoke_during_stream": revoke_during_stream,
    "cluster_grep": cluster_grep,
}
SLOW: Final = frozenset({"slowloris_headers", "idle_connect", "slow_body", "revoke_during_stream"})
"""Those that mostly wait."""


async def flood(slot: Slot, run: Run) -> None:
    """The case's generator."""
    for step in steps(run.case.send, run.values):
        if isinstance(step, Generator) and step.name in FLOODS:
            await FLOODS[step.name](slot, run, step)
