"""A canary that is closed for everybody, or no gateway at all: no gate is opened, and those that are open stay as they are.

A real API server; in the gateway's place are two ports, of which one is closed.
"""

from collections.abc import Iterator

import pytest
import uvloop
from tests.support.release import Release

from devbox_operator.kit import paths

from .operator.stage import Stage, stage
from .world import eventually

pytestmark = pytest.mark.xdist_group("canary")
SECONDS = 60.0
"""It looks every 30 s, and again 3 s after a look that found a canary closed."""


@pytest.fixture
def release(release: Release) -> Iterator[Release]:
    """Its gateway's ports are open afterwards, whatever came of the test."""
    yield release
    for name in ("canary", "data"):
        release.gateway.open(name)


async def confined(on: Stage, space: str) -> tuple[str, str]:
    """Status and reason of EgressConfined."""
    box = await on.get(paths.devboxes(space, "agent")) or {}
    found = {one["type"]: (one["status"], one["reason"]) for one in box.get("status", {}).get("conditions", ())}
    return found.get("EgressConfined", ("", ""))


async def gated(on: Stage, space: str) -> bool:
    (pod,) = await on.pods(space)
    return bool(pod["spec"].get("schedulingGates"))


def test_no_gate_opens_while_the_canary_is_closed_for_everybody(release: Release) -> None:
    async def run() -> None:
        async with stage(release) as on:
            replica = await on.alone()
            before, space = await on.namespace(), await on.namespace()
            await on.create(before)
            assert await on.converged(before) is not None, await on.problems(before)

            async def told() -> bool:
                return await confined(on, before) == ("False", "Waiting")

            await eventually(told, SECONDS)
            release.gateway.close("canary")

            async def closed() -> bool:
                """It has said so: one look is not enough for it."""
                return replica.operator.said("canaries_looked_at") == 2

            await eventually(closed, SECONDS)
            await on.create(space)

            async def said() -> bool:
                return await confined(on, space) == ("Unknown", "CannotBeSeen")

            await eventually(said, SECONDS)
            assert (await replica.operator.metrics())['devbox_operator_canaries{answer="closed"}'] == 1
            assert await gated(on, space)
            assert not await gated(on, before), "what is open stays so"
            assert await told()

            another = await on.alone()  # which has never seen it open
            assert await gated(on, space)
            release.gateway.open("canary")
            assert await on.converged(space) is not None, await on.problems(space)
            assert (await another.operator.metrics())['devbox_operator_canaries{answer="open"}'] == 1

    uvloop.run(run())


def test_nor_before_a_canary_was_seen_at_all(release: Release) -> None:
    async def run() -> None:
        async with stage(release) as on:
            for name in ("data", "canary"):
                release.gateway.close(name)
            await on.alone()
            space = await on.namespace()
            await on.create(space)

            async def issued() -> bool:
                return bool(await on.pods(space)) and await confined(on, space) == ("False", "Waiting")

            await eventually(issued, SECONDS)
            assert await gated(on, space)
            for name in ("canary", "data"):
                release.gateway.open(name)
            assert await on.converged(space) is not None, await on.problems(space)

    uvloop.run(run())
