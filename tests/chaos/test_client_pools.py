"""Clients that ask again just when the gateway closes what is at rest: who heeds what it announces loses nothing.

A real gateway, with TLS; `limits.keepaliveSeconds` is 3, of which it announces 2.
"""

import asyncio
import random
from typing import Final

import pytest
import uvloop

from .client import Client, Tally
from .world import World, world

pytestmark = pytest.mark.row("S16")
KEPT: Final = 3
ANNOUNCED: Final = 2
DEVBOXES, CLIENTS, TRIES = 10, 25, 2
EDGE: Final = 0.4
"""Seconds before and behind it."""


async def _pool(client: Client, *, heeds: bool, edge: float, tally: Tally) -> None:
    """One connection, used again around the edge; if the client `heeds` what is announced, while it may be."""
    answer = await client.request()
    assert answer.fine
    loop = asyncio.get_running_loop()
    for number in range(TRIES):
        rested = loop.time()
        await asyncio.sleep(edge + random.uniform(-EDGE, EDGE))  # noqa: S311 (no secret)
        announced = float(answer.headers["keep-alive"].removeprefix("timeout="))
        if heeds and loop.time() - rested >= announced:
            client.close()
        began = loop.time()
        answer = await client.request("POST" if number % 2 else "GET")
        tally.add(began, answer)
        if not answer.fine:
            return


async def _edge(stage: World, *, heeds: bool, edge: float) -> Tally:
    tally = Tally()
    boxes = [stage.devbox(number) for number in range(DEVBOXES)]
    clients = [stage.client(box, stage.gateway) for box in boxes for _ in range(CLIENTS)]
    await stage.known(DEVBOXES)
    await stage.warm(*boxes)
    await asyncio.gather(*(_pool(client, heeds=heeds, edge=edge, tally=tally) for client in clients))
    return tally


async def _heeded() -> None:
    async with world(limits={"keepaliveSeconds": KEPT}) as stage:
        tally = await _edge(stage, heeds=True, edge=ANNOUNCED)
        assert not tally.errors, tally.kinds
        assert len(tally.seconds) == DEVBOXES * CLIENTS * TRIES


def test_500_tries_around_the_edge_lose_nothing() -> None:
    uvloop.run(_heeded())
