"""The elector, with a Lease in memory and a clock that the test moves."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from devbox_common.guarded import NotSentError
from devbox_common.kube import ApiError
from devbox_operator.apply import NotLeadingError, Writer
from devbox_operator.lease import MARGIN, Elector


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Leases:
    """The API server, as far as one Lease goes: resourceVersions and conflicts included."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.lease: dict[str, Any] | None = None
        self.version = 0
        self.down = False
        self.slow = 0.0

    async def request(self, method: str, _: str, *, body: Any = None, timeout: float = 0.0) -> dict[str, Any]:  # noqa: ASYNC109
        if self.down:
            raise ApiError(0, "Unreachable", "down")
        self.clock.now += self.slow
        if method == "GET":
            if self.lease is None:
                raise ApiError(404, "NotFound", "no lease")
            return self.lease
        if method == "POST" and self.lease is not None:
            raise ApiError(409, "AlreadyExists", "there")
        if method == "PUT" and body["metadata"]["resourceVersion"] != str(self.version):
            raise ApiError(409, "Conflict", "changed")
        self.version += 1
        self.lease = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}
        return self.lease


def elector(leases: Leases, who: str, clock: Clock) -> Elector:
    return Elector(leases, "rel", "devbox-operator", who, duration=15, renew=5, clock=clock)  # type: ignore[arg-type]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def leases(clock: Clock) -> Leases:
    return Leases(clock)


async def test_the_first_takes_it_and_the_second_waits(leases: Leases, clock: Clock) -> None:
    first, second = elector(leases, "a", clock), elector(leases, "b", clock)
    await first.acquire()
    assert first.held()
    assert not await second._try()
    assert not second.held()


async def test_a_silent_holder_is_replaced_after_the_duration_on_our_own_clock(leases: Leases, clock: Clock) -> None:
    first, second = elector(leases, "a", clock), elector(leases, "b", clock)
    await first.acquire()
    assert not await second._try()
    clock.now += 14.9
    assert not await second._try()
    assert not first.held(), "it stopped before anybody else may start"
    clock.now += 0.2
    assert await second._try()
    assert leases.lease is not None
    assert leases.lease["spec"]["leaseTransitions"] == 1
    assert not await first._try()


async def test_the_deadline_counts_from_before_the_request(leases: Leases, clock: Clock) -> None:
    first = elector(leases, "a", clock)
    leases.slow = 2.0
    started = clock.now
    await first.acquire()
    clock.now = started + 15 * MARGIN - 0.1
    assert first.held()
    clock.now = started + 15 * MARGIN + 0.1
    assert not first.held()


async def test_renewals_keep_it_and_an_outage_loses_it(leases: Leases, clock: Clock) -> None:
    first = elector(leases, "a", clock)
    await first.acquire()
    for _ in range(5):
        clock.now += 5
        assert await first._try()
    leases.down = True
    clock.now += 5
    assert not await first._try()
    assert first.held(), "one missed renewal is no loss"
    clock.now += 10
    assert not first.held()


async def test_release_lets_the_next_one_start_at_once(leases: Leases, clock: Clock) -> None:
    first, second = elector(leases, "a", clock), elector(leases, "b", clock)
    await first.acquire()
    await first.release()
    assert not first.held()
    assert await second._try()


async def test_what_is_not_held_is_not_released(leases: Leases, clock: Clock) -> None:
    first, second = elector(leases, "a", clock), elector(leases, "b", clock)
    await first.acquire()
    await second.release()
    assert leases.lease is not None
    assert leases.lease["spec"]["holderIdentity"] == "a"


async def test_two_that_take_an_expired_lease_collide(leases: Leases, clock: Clock) -> None:
    old, first, second = (elector(leases, who, clock) for who in "xab")
    await old.acquire()
    assert not await first._try()
    assert not await second._try()
    clock.now += 16
    seen = await first._read()
    assert await second._try()
    with pytest.raises(ApiError) as caught:
        await first._write({**(seen or {}), "metadata": {**(seen or {})["metadata"]}})
    assert caught.value.conflict


async def test_no_write_starts_after_the_deadline(leases: Leases, clock: Clock) -> None:
    first = elector(leases, "a", clock)
    await first.acquire()
    writer = Writer(leases, first.held)  # type: ignore[arg-type]
    clock.now += 13
    for call in (
        writer.apply("/x", {}),
        writer.create("/x", {}),
        writer.delete("/x"),
        writer.merge("/x", {}, kind="X"),
        writer.patch("/x", [], kind="X"),
        writer.strategic("/x", {}, kind="X"),
    ):
        with pytest.raises(NotLeadingError):
            await call


async def test_a_write_does_not_outlive_the_lease() -> None:
    class Silent:
        async def request(self, *_: Any, **__: Any) -> dict[str, Any]:
            await asyncio.sleep(60)
            return {}

    writer = Writer(Silent(), lambda: True, lambda: 0.05)  # type: ignore[arg-type]
    with pytest.raises(NotLeadingError):
        await writer.create("/api/v1/pods", {})


async def test_a_write_whose_turn_comes_too_late_is_not_sent(leases: Leases, clock: Clock) -> None:
    """As when the process was stopped in between."""

    class Late:
        async def request(self, *_: Any, may_send: Callable[[], bool], **__: Any) -> dict[str, Any]:
            assert may_send()
            clock.now += 13
            if not may_send():
                raise NotSentError
            return {}

    first = elector(leases, "a", clock)
    await first.acquire()
    with pytest.raises(NotLeadingError):
        await Writer(Late(), first.held).create("/api/v1/pods", {})  # type: ignore[arg-type]


async def test_what_is_left_ends_when_another_may_start(leases: Leases, clock: Clock) -> None:
    mine = elector(leases, "a", clock)
    await mine.acquire()
    clock.now += 15 * MARGIN
    assert not mine.held()
    assert 0 < mine.left() <= 15 * (1 - MARGIN) + 0.001
    clock.now += 15
    assert mine.left() < 0
