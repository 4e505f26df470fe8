"""The elector, with a Lease in memory and a clock that the test moves."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from devbox_common.clock import Clock as RealClock
from devbox_common.guarded import NotSentError
from devbox_common.kube import ApiError
from devbox_operator.kit.lease import MARGIN, Elector
from devbox_operator.kit.writer import NotLeadingError, Writer


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0
        self.shown = RealClock(boot=self, wall=lambda: 0.0)
        """What a replica has."""

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
        self.asked: list[str] = []

    async def request(self, method: str, _: str, *, body: Any = None, timeout: float = 0.0) -> dict[str, Any]:  # noqa: ASYNC109
        self.asked.append(method)
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
    return Elector(leases, "rel", "devbox-operator", who, duration=15, renew=5, clock=clock.shown)  # type: ignore[arg-type]


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


async def test_a_renewal_is_one_request_while_nobody_changed_it(leases: Leases, clock: Clock) -> None:
    """Where every answer of the API server takes seconds, two in a row would come too late."""
    first = elector(leases, "a", clock)
    await first.acquire()
    leases.asked.clear()
    clock.now += 5
    assert await first._try()
    assert leases.asked == ["PUT"]
    assert leases.lease is not None
    leases.version += 1
    leases.lease = {**leases.lease, "metadata": {"resourceVersion": str(leases.version), "labels": {"a": "b"}}}
    clock.now += 5
    assert await first._try()
    assert leases.asked == ["PUT", "PUT", "GET", "PUT"]
    assert leases.lease["metadata"]["labels"] == {"a": "b"}, "what somebody wrote there stays"
    leases.version += 1
    other = {**leases.lease["spec"], "holderIdentity": "b"}
    leases.lease = {"metadata": {"resourceVersion": str(leases.version)}, "spec": other}
    assert not await first._try()
    assert not first.held(), "it is another's"


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


async def test_after_a_pause_nothing_is_written_before_the_lease_was_renewed(leases: Leases, clock: Clock) -> None:
    """However short it was by the clocks that tell of it: they may tell too little."""
    mine = elector(leases, "a", clock)
    await mine.acquire()
    keeping = asyncio.create_task(mine.keep())
    try:
        await asyncio.sleep(0)
        clock.now += 4  # of the 12 in which a write may start
        assert mine.held()
        clock.shown.look()
        assert not mine.held()
        async with asyncio.timeout(1):  # not at the next renewal's time
            while not mine.held():  # noqa: ASYNC110 (a condition, not an event)
                await asyncio.sleep(0)
        assert not keeping.done(), "nobody else has it"
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


async def test_after_a_pause_a_lease_that_another_has_is_lost(leases: Leases, clock: Clock) -> None:
    mine, other = elector(leases, "a", clock), elector(leases, "b", clock)
    await mine.acquire()
    keeping = asyncio.create_task(mine.keep())
    await asyncio.sleep(0)
    assert not await other._try()
    clock.now += 16
    assert await other._try()
    assert not mine.held()
    clock.shown.look()
    async with asyncio.timeout(1):
        await keeping
    assert not mine.held()


async def test_a_renewal_that_a_pause_cut_off_loses_nothing(leases: Leases, clock: Clock) -> None:
    mine = elector(leases, "a", clock)
    await mine.acquire()
    request, tries = leases.request, 0

    async def cut(*arguments: Any, **options: Any) -> dict[str, Any]:
        nonlocal tries
        tries += 1
        if tries == 1:
            clock.now += 20
            clock.shown.look()
            raise ApiError(0, "Unreachable", "the connection was cut")
        return await request(*arguments, **options)

    leases.request = cut  # type: ignore[method-assign]
    keeping = asyncio.create_task(mine.keep())
    try:
        clock.now += 4
        await asyncio.sleep(0)
        clock.shown.look()
        async with asyncio.timeout(1):
            while not (tries > 1 and mine.held()):  # noqa: ASYNC110 (a condition, not an event)
                await asyncio.sleep(0)
        assert not keeping.done()
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


@pytest.mark.parametrize(("away", "lost"), [(6.0, False), (16.0, True)])
async def test_after_a_pause_the_api_server_may_be_away_for_a_moment(
    leases: Leases, clock: Clock, away: float, lost: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that has just woken has no network yet. Nothing is written meanwhile, and it is not asked without a pause."""
    monkeypatch.setattr("devbox_operator.kit.lease.POLL", 0.01)
    mine = elector(leases, "a", clock)
    await mine.acquire()
    leases.down = True
    tries = 0
    request = leases.request

    async def counted(*arguments: Any, **options: Any) -> dict[str, Any]:
        nonlocal tries
        tries += 1
        return await request(*arguments, **options)

    leases.request = counted  # type: ignore[method-assign]
    keeping = asyncio.create_task(mine.keep())
    try:
        await asyncio.sleep(0)
        clock.now += 4
        clock.shown.look()
        for _ in range(4):
            await asyncio.sleep(0.05)
            assert not mine.held()
            clock.now += away / 4
        await asyncio.sleep(0.05)
        assert 4 <= tries <= 40
        assert keeping.done() is lost
        leases.down = False
        async with asyncio.timeout(1):
            while not lost and not mine.held():  # noqa: ASYNC110 (a condition, not an event)
                await asyncio.sleep(0)
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


async def test_a_lease_that_is_seen_to_be_anothers_is_not_held_whatever_our_clock_says(leases: Leases, clock: Clock) -> None:
    """No clock of ours moved while a hypervisor held us."""
    mine, held = elector(leases, "a", clock), Clock()
    await mine.acquire()
    other = elector(leases, "b", held)
    assert not await other._try()
    held.now += 16
    assert await other._try()
    assert mine.held()
    assert not await mine._try()
    assert not mine.held()


async def test_a_standby_that_paused_takes_nothing_it_has_not_watched_anew(leases: Leases, clock: Clock) -> None:
    """Where its clock alone was wrong, the holder is at work."""
    wrong = Clock()
    first, second = elector(leases, "a", clock), elector(leases, "b", wrong)
    await first.acquire()
    waiting = asyncio.create_task(second.acquire())
    try:
        while second._seen is None:  # noqa: ASYNC110 (a condition, not an event)
            await asyncio.sleep(0)
        wrong.now += 3600
        wrong.shown.look()
        assert not await second._try()
        assert leases.lease is not None
        assert leases.lease["spec"]["holderIdentity"] == "a"
    finally:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def test_what_is_noted_goes_to_whoever_works_next(leases: Leases, clock: Clock) -> None:
    """With the renewals, in one request each, and what others wrote on the Lease stays."""
    first, second = elector(leases, "a", clock), elector(leases, "b", clock)
    assert first.noted() == ""
    await first.acquire()
    assert leases.lease is not None
    leases.lease["metadata"]["annotations"] = {"theirs": "1"}
    assert await first._try()
    first.note("known")
    assert first.noted() == "known"
    asked = len(leases.asked)
    assert await first._try()
    assert leases.asked[asked:] == ["PUT"]
    await first.release()
    await second.acquire()
    assert second.noted() == "known"
    assert leases.lease["metadata"]["annotations"]["theirs"] == "1"
