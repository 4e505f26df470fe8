"""Who waits, for how long, and how many."""

import asyncio
from pathlib import Path
from typing import Any, cast

from devbox_api.judge.refusals import Refusal
from devbox_proxy.decide.admission import For, Refuse, Wait
from devbox_proxy.known.facts import ReviewTimes
from devbox_proxy.requests.decider import TokenDecider
from devbox_proxy.reviews.waiting import Waiting
from devbox_proxy.settings import EgressSettings, Limits
from devbox_proxy.tunnels.forwarder import Forwarder
from devbox_proxy.upstreams.dial_check import WayOut

from .conftest import until
from .identities import BINDING, ROUTE
from .playbook import Play, scarce

UNAVAILABLE = Refuse(Refusal.REVIEW_UNAVAILABLE)
REVIEW: Wait = Wait(For.REVIEW, UNAVAILABLE, (ROUTE, BINDING))
MIRROR: Wait = Wait(For.MIRROR, Refuse(Refusal.TOKEN_UNKNOWN))


class World:
    """In place of ClusterState and Reviewer: waits until it is told."""

    def __init__(self) -> None:
        self.told = asyncio.Event()

    async def review(self, *_: object) -> None:
        await self.told.wait()

    async def changed(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self.told.wait()
        except TimeoutError:
            pass


def waiting(world: World, **change: Any) -> Waiting:
    return Waiting(cast(Any, world), cast(Any, world), **{"seconds": 0.1, "review_seconds": 1.0, **change})


async def test_a_review_is_waited_for_longer_than_the_mirror() -> None:
    world = World()
    subject = waiting(world)
    began = asyncio.get_running_loop().time()
    assert await subject.wait("a", MIRROR, lambda: MIRROR) is MIRROR.otherwise
    assert asyncio.get_running_loop().time() - began < 0.5
    asking = asyncio.create_task(subject.wait("a", REVIEW, lambda: "yes"))
    assert await subject.wait("a", MIRROR, lambda: MIRROR) is MIRROR.otherwise
    assert not asking.done(), "though it began before"
    world.told.set()
    assert await asking == "yes"


async def test_but_not_for_ever() -> None:
    subject = waiting(World(), review_seconds=0.1)
    assert await subject.wait("a", REVIEW, lambda: REVIEW) is UNAVAILABLE
    assert subject.count == 0


async def test_what_goes_away_is_refused_at_once() -> None:
    world = World()
    asking = asyncio.create_task(waiting(world, review_seconds=60.0).wait("a", REVIEW, lambda: UNAVAILABLE))
    await asyncio.sleep(0.01)
    world.told.set()
    assert await asking is UNAVAILABLE


async def test_no_more_wait_than_there_is_room_for() -> None:
    world = World()
    subject = waiting(world, most=3)
    tasks = [asyncio.create_task(subject.wait(f"peer-{number}", REVIEW, lambda: "yes")) for number in range(3)]
    await until(lambda: subject.count == 3)
    refused = await subject.wait("another", REVIEW, lambda: "yes")
    assert isinstance(refused, Refuse)
    assert refused.refusal is Refusal.OVERLOADED
    assert await subject.wait("another", "known already", lambda: "yes") == "known already"
    world.told.set()
    assert await asyncio.gather(*tasks) == ["yes"] * 3
    assert subject.count == 0


async def test_while_memory_is_scarce_nobody_waits(tmp_path: Path) -> None:
    load = Play().load
    decider = TokenDecider(cast(Any, None), cast(Any, None), load, ReviewTimes())
    forwarder = Forwarder(
        load,
        cast(Any, None),
        cast(Any, None),
        cast(Any, None),
        cast(Any, None),
        times=ReviewTimes(),
        settings=EgressSettings(),
        limits=Limits(),
        way_out=WayOut(),
    )
    load.memory = scarce(tmp_path)
    for port in (decider, forwarder):
        refused = await port.wait(cast(Any, None), REVIEW)
        assert isinstance(refused, Refuse)
        assert refused.refusal is Refusal.OVERLOADED
