"""What a request costs when few or many devboxes ask in turn, beside what as many connections alone cost here and in Envoy.

Goes in: how much. Comes out: figures. Everything is measured on one gateway and one Envoy that run side by side, in rounds that take turns,
and the medians count: on a shared machine a figure of one minute says little beside one of the next. What is served long after it was last
served is out of the processor's caches, the kernel's part of a connection first of all; Envoy shows how much of a rise that is.
"""

import contextlib
import json
import statistics
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.support.gateway_process import FEW_TUNNELS, places

from . import servers
from .__main__ import listening
from .memory_child import Child, child, process
from .memory_load import CONNECTIONS
from .memory_stage import ANSWER, AT_ONCE, OTHERS, OURS, Bench, Caller, Figure, Setting, cpu_seconds, setting, warm

ROUNDS: Final = 5
MOST_ALONE: Final = 5000
"""Connections of one devbox: with those of 10,000 others a process may have no more files where 20,000 is the limit."""
MANY, ALONE, ENVOY = _TITLES = ("devboxes", "one devbox, connections", "Envoy, connections")


@dataclass
class Side:
    """One load on one server."""

    title: str
    count: int
    """Devboxes or connections in turn."""
    load: Child
    cpu: Callable[[], float]
    """Seconds that the server has used."""
    costs: list[float] = field(default_factory=list)
    """Seconds of processor a request, by round."""

    @property
    def cost(self) -> float:
        """The median."""
        return statistics.median(self.costs)


async def devboxes(bench: Bench) -> list[Figure]:
    """The cost of a request by the number of devboxes. No review is renewed meanwhile: see memory_parts.reviews."""
    counts = (100, 1000) if bench.quick else (100, 1000, places(10_000))
    limits = {"connections": 4 * counts[-1], "connectionsPerDevbox": 4 * counts[-1]}
    async with (
        setting(bench, counts[-1], ANSWER, identity={"reviewSeconds": 3600}, limits=limits, egress=FEW_TUNNELS) as here,
        _envoy(here) as envoy,
        AsyncExitStack() as loads,
    ):
        sides: list[Side] = []
        for title, callers, count in _loads(here.callers, counts):
            path = here.gateway.folder / f"callers-{len(sides)}.json"
            path.write_text(json.dumps(callers))
            port = servers.PORTS["envoy"] if title == ENVOY else here.gateway.port
            arguments = [here.gateway.host, str(port), str(path)]
            load = await loads.enter_async_context(child("bench.memory_load", arguments, OTHERS, bench.say))
            sides.append(Side(title, count, load, envoy if title == ENVOY else (lambda: cpu_seconds(here.process.process))))
        for side in sides:
            await warm(here, side.load, side.count, side.count if side.title == MANY else 1)
        for number in range(2 if bench.quick else ROUNDS):
            bench.say(f"round {number + 1}")
            for side in sides:
                count = max(20_000, 3 * side.count)
                before = side.cpu()
                await side.load.order("run", count=count, at_once=AT_ONCE)
                side.costs.append((side.cpu() - before) / count)
    return _figures(sides)


def _loads(callers: list[Caller], counts: tuple[int, ...]) -> list[tuple[str, list[Caller], int]]:
    """Title, a caller for each connection, and how many are in turn. The largest first: its first requests are those of all."""
    one, result = callers[:1], []
    for count in reversed(counts):
        result.append((MANY, callers[:count], count))
        if count > CONNECTIONS * 10:
            alone = min(count, MOST_ALONE)
            result += [(ALONE, one * alone, alone), (ENVOY, callers[:count], count)]
    return [*result, (MANY, one, 1), (ENVOY, one, 1)]


def _figures(sides: list[Side]) -> list[Figure]:
    cost = {(side.title, side.count): side.cost for side in sides}
    figures = []
    for (title, count), seconds in sorted(cost.items(), key=lambda item: (item[0][1], _TITLES.index(item[0][0]))):
        times = seconds / cost[ENVOY if title == ENVOY else MANY, 1]
        text, bar, held = f"{seconds * 1e6:.0f} µs, {times:.2f} times that with 1", "", None
        if title == MANY and count > 1:
            alone = cost.get((ALONE, min(count, MOST_ALONE)))
            beside = times if alone is None else seconds / alone
            text += "" if alone is None else f", {beside:.2f} times that of the connections alone"
            bar, held = "≤ 1.25 times" + ("" if alone is None else " the connections"), beside <= 1.25
        figures.append(Figure(f"CPU of a request, {title} in turn: {count:,}", text, times, bar, held))
    return figures


@contextlib.asynccontextmanager
async def _envoy(here: Setting) -> AsyncIterator[Callable[[], float]]:
    """Envoy in front of the same API, on the gateway's core. Yields what tells its processor time so far."""
    folder = here.gateway.folder
    command = servers.commands(servers.Files(folder, *(Path() for _ in range(3))), tls=False)["envoy"]
    with (folder / "envoy.out").open("wb") as log:
        async with process([*OURS, *command], stdout=log, stderr=log) as running:
            await listening(servers.HOST, servers.PORTS["envoy"], folder / "envoy.out")
            yield lambda: cpu_seconds(running)
