"""Where tunnels lead: the checked addresses in turn, within the time, and what is said where there is none."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from devbox_api.judge.refusals import Refusal
from devbox_api.judge.targets import Target
from devbox_proxy.decide.admission import Refuse
from devbox_proxy.decide.connect_decision import Grant
from devbox_proxy.kit.turns import Turns
from devbox_proxy.known.facts import ReviewTimes
from devbox_proxy.settings import EgressSettings, Limits
from devbox_proxy.tunnels.far_side import FarSide
from devbox_proxy.tunnels.forwarder import Forwarder
from devbox_proxy.upstreams.dial_check import AddressRefused, Unready, WayOut

from .egress_world import ask, world


class Resolver:
    """In place of the dial check: answers as the test says."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[tuple[Target, WayOut, str]] = []

    async def target(self, target: Target, way_out: WayOut, owner: str) -> list[tuple[str, int]]:
        self.asked.append((target, way_out, owner))
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer is None:
            await asyncio.sleep(60)
        return cast(list[tuple[str, int]], self.answer)


def forwarder(answer: Any, seconds: float = 5.0) -> Forwarder:
    return Forwarder(
        cast(Any, None),
        cast(Any, None),
        cast(Any, None),
        cast(Any, None),
        cast(Any, Resolver(answer)),
        times=ReviewTimes(),
        settings=EgressSettings(connect_seconds=seconds),
        limits=Limits(),
        way_out=WayOut(),
    )


def grant() -> Grant:
    decision = ask(world())
    assert isinstance(decision, Grant)
    return decision


@contextlib.asynccontextmanager
async def listening() -> AsyncIterator[int]:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def test_the_first_address_that_answers_is_the_one() -> None:
    async with listening() as port:
        one = forwarder([("127.0.0.1", 1), ("127.0.0.1", port)])
        granted = grant()
        outcome = await one.dial(granted, FarSide)
        assert not isinstance(outcome, Refuse)
        far, address = outcome
        assert address == f"127.0.0.1:{port}"
        assert isinstance(far, FarSide)
        far.abort_connection()
        ((target, way_out, owner),) = cast(Any, one._resolver).asked
        assert target == granted.target
        assert way_out.policy is granted.policy
        assert owner == granted.caller.pod_uid


@pytest.mark.parametrize(
    ("answer", "refusal"),
    [
        (Unready("no floor"), Refusal.NOT_READY),
        (AddressRefused("it has the private address 10.0.0.1"), Refusal.ADDRESS_NOT_ALLOWED),
        (OSError("NXDOMAIN"), Refusal.UPSTREAM_UNREACHABLE),
        ([("127.0.0.1", 1)], Refusal.UPSTREAM_UNREACHABLE),
        ([], Refusal.UPSTREAM_UNREACHABLE),
        (None, Refusal.UPSTREAM_CONNECT_TIMEOUT),
    ],
)
async def test_where_there_is_none_it_is_told_without_addresses(answer: Any, refusal: Refusal) -> None:
    outcome = await forwarder(answer, 0.2).dial(grant(), FarSide)
    assert isinstance(outcome, Refuse)
    assert outcome.refusal is refusal
    assert "10.0.0.1" not in outcome.said
    assert "127.0.0.1" not in outcome.said


async def test_so_many_at_a_time_for_each_and_the_others_wait() -> None:
    turns, there, most = Turns(2), dict.fromkeys("ab", 0), dict.fromkeys("ab", 0)

    async def one(key: str) -> None:
        async with turns.turn(key):
            there[key] += 1
            most[key] = max(most[key], there[key])
            await asyncio.sleep(0.01)
            there[key] -= 1

    await asyncio.gather(*(one(key) for key in "aaaaabbbbb"))
    assert most == {"a": 2, "b": 2}
    assert not turns._of
