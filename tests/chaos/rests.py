"""Connections that rest: calls that come just when an API closes them, and an agent that calls now and then.

Goes in: gateways that learn how long an API leaves a connection open, and one that does not (`restSeconds: 4`); APIs that close after 1, 5,
15 and 60 s and at random. Comes out: rows: how many calls were lost, and how many handshakes the API saw.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from time import monotonic as now
from typing import Final, NamedTuple

from .api import Api, api
from .client import Tally
from .report import Row
from .world import API_ADDRESS, World, world

AS_BEFORE: Final = 4.0
"""Seconds of `restSeconds` with which nothing is learned."""
JITTER: Final = 0.05
RANDOM_SECONDS: Final = 10.0
LEARNED, FIXED = "learned", "4 s"


class Kind(NamedTuple):
    """An API, and who calls it."""

    name: str
    keeps: float | None
    """Seconds; None: at random, up to RANDOM_SECONDS, each time anew."""
    agents: int
    """In the long form."""
    agents_short: int

    @property
    def host(self) -> str:
        return f"rests-{self.name}.chaos.test"

    def pause(self) -> float:
        """Before a call: about as long as the API keeps a connection, as the gateway may rely on, or as it relies on at first."""
        if self.keeps is None:
            return _some_seconds()
        about = random.choice((self.keeps, max(0.5, 0.9 * self.keeps - 0.5), min(self.keeps, AS_BEFORE)))  # noqa: S311
        return about + random.uniform(-JITTER, JITTER)  # noqa: S311


KINDS: Final = (
    Kind("1", 1.0, 66, 24),
    Kind("5", 5.0, 230, 40),
    Kind("15", 15.0, 230, 0),
    Kind("60", 60.0, 300, 0),
    Kind("random", None, 100, 40),
)


@dataclass
class Calls:
    """To one API, through one gateway."""

    kind: Kind
    api: Api
    tally: Tally = field(default_factory=Tally)

    @property
    def count(self) -> int:
        return len(self.tally.seconds) + len(self.tally.errors)


def _some_seconds() -> float:
    return random.uniform(0, RANDOM_SECONDS)  # noqa: S311 (no secret)


async def race(long: bool) -> list[Row]:
    """Side by side, for as long: through a gateway that learns, and through one that does not."""
    seconds = 600.0 if long else 25.0
    learned, fixed = await asyncio.gather(_race(long, seconds, {}), _race(long, seconds, {"restSeconds": AS_BEFORE}))
    rows = [_compared(one, other) for one, other in zip(learned, fixed, strict=True)]
    calls, lost, before = (
        sum(each) for each in zip(*(_figures(*pair) for pair in zip(learned, fixed, strict=True)), strict=True)
    )
    measured = f"{lost} lost of {calls} calls; {before} with {FIXED}"
    return [*rows, Row("all these APIs together", "no more calls lost than with 4 s", measured, lost <= before and calls > 0)]


async def _race(long: bool, seconds: float, timeouts: dict[str, float]) -> list[Calls]:
    kinds = [kind for kind in KINDS if long or kind.agents_short]
    async with (
        _apis(kinds) as apis,
        world(overrides={kind.host: apis[kind].address for kind in kinds}, timeouts=timeouts) as stage,
    ):
        found = [Calls(kind, apis[kind]) for kind in kinds]
        agents = [calls for calls in found for _ in range(calls.kind.agents if long else calls.kind.agents_short)]
        async with asyncio.TaskGroup() as tasks:
            until = now() + seconds
            for number, calls in enumerate(agents):
                tasks.create_task(_agent(stage, number, calls, until))
        return found


@contextlib.asynccontextmanager
async def _apis(kinds: list[Kind]) -> AsyncIterator[dict[Kind, Api]]:
    """In clear: it is the same race, and there are many of them."""
    async with contextlib.AsyncExitStack() as stack:
        found = {}
        for kind in kinds:
            found[kind] = await stack.enter_async_context(api(API_ADDRESS, None))
            found[kind].idle_seconds = _some_seconds if kind.keeps is None else kind.keeps
        yield found


async def _agent(stage: World, number: int, calls: Calls, until: float) -> None:
    """GET and POST in turn; every agent is a devbox with a credential, and so a pool, of its own."""
    box = stage.devbox(number)
    client = stage.client(box, stage.gateway, stage.bind(box, "RESTS", f"http://{calls.kind.host}"))
    await asyncio.sleep(random.uniform(0, 2))  # noqa: S311 (not all at once)
    await client.request()  # it meets no connection that is at rest
    method = "GET"
    while (pause := calls.kind.pause()) + now() < until:
        await asyncio.sleep(max(0.0, pause))
        method = "POST" if method == "GET" else "GET"
        began = now()
        calls.tally.add(began, await client.request(method, "/", b"{}" if method == "POST" else b""))


def _figures(learned: Calls, fixed: Calls) -> tuple[int, int, int]:
    return learned.count, len(learned.tally.errors), len(fixed.tally.errors)


def _compared(learned: Calls, fixed: Calls) -> Row:
    kind = learned.kind
    closes = "at random" if kind.keeps is None else f"after {kind.keeps:g} s"
    told = [
        f"{name}: {calls.tally.kinds} in {calls.count} calls, {calls.api.connections} connections"
        for name, calls in ((LEARNED, learned), (FIXED, fixed))
    ]
    # What is lost by a hair is a matter of chance: of few losses one more or less says nothing, their sum is judged.
    slack = 2 if kind.keeps is None or kind.keeps < AS_BEFORE else 0
    ok = learned.count > 0 and len(learned.tally.errors) <= len(fixed.tally.errors) + slack
    return Row(f"an API closes what rests {closes}", "no more calls lost than with 4 s", "; ".join(told), ok)


async def agent(long: bool) -> list[Row]:
    """Calls with pauses that are longer than 4 s, to an API that keeps connections for a minute."""
    calls, pause = (100, 10.0) if long else (8, 6.0)
    learned, fixed = await asyncio.gather(
        _agent_calls(calls, pause, {}), _agent_calls(calls, pause, {"restSeconds": AS_BEFORE})
    )
    what = f"{calls} calls, one every {pause:g} s, to an API that keeps connections for 60 s"
    return [
        Row(what, "≤3 connections, no call lost", _told(*learned), learned[0] <= 3 and not learned[1].errors),
        Row(f"{what}: restSeconds 4", "one for each call", _told(*fixed), fixed[0] == calls and not fixed[1].errors),
    ]


def _told(connections: int, tally: Tally) -> str:
    return f"{connections}; {tally.kinds}"


async def _agent_calls(calls: int, pause: float, timeouts: dict[str, float]) -> tuple[int, Tally]:
    """Connections that the API saw, over TLS, the one on which the devbox became known among them; and what became of the calls."""
    async with world(timeouts=timeouts) as stage:
        stage.api.idle_seconds = 60.0
        box, tally = stage.devbox(), Tally()
        await stage.warm(box)
        client = stage.client(box, stage.gateway)
        begins = now()
        for number in range(calls):
            await asyncio.sleep(max(0.0, begins + number * pause - now()))
            began = now()
            tally.add(began, await client.request())
        return stage.api.connections, tally
