"""The API server's time, at the least."""

from datetime import UTC, datetime, timedelta
from email.utils import formatdate

import pytest

from devbox_common.clock import Clock
from devbox_common.servertime import LATELY_SECONDS, ServerTime

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


class World:
    """This machine's clock, and what has passed."""

    def __init__(self) -> None:
        self.boot = 1000.0
        self.server = ServerTime(lambda: self.boot)

    def at(self, second: float) -> datetime:
        return NOON + timedelta(seconds=second)

    def answer(self, second: float) -> None:
        """Dated so, as HTTP has it: in whole seconds."""
        self.server.heard(float(int(self.at(second).timestamp())))


@pytest.fixture
def world() -> World:
    return World()


def test_it_is_not_known_before_an_answer(world: World) -> None:
    assert world.server.now() is None


def test_it_goes_on_between_answers(world: World) -> None:
    world.answer(0.9)
    world.boot += 7.25
    assert world.server.now() == world.at(7.25), "behind by what a Date cuts off"


@pytest.mark.parametrize("late", [0.0, 0.4, 30.0])
def test_it_is_never_ahead_of_the_true_time(world: World, late: float) -> None:
    """However long an answer is on its way, and whichever part of a second it was dated in."""
    true, started = 0.0, world.boot
    for number in range(200):
        true = number * 1.37
        world.boot = started + true
        world.answer(true - late)
        assert (now := world.server.now()) is not None
        assert now <= world.at(true)
        assert now >= world.at(true - late - 1), "and behind by no more than that"


def test_of_several_servers_the_last_one_counts(world: World) -> None:
    for second in range(600):
        world.boot += 1
        world.answer(second + (60 if second % 2 else 0))
        if second > 1:
            assert world.server.now() == world.at(second - second % 2 + second % 2)


def test_a_server_whose_clock_is_put_right_is_believed_after_a_while(world: World) -> None:
    world.answer(0)
    for second in range(int(LATELY_SECONDS) + 10):
        world.boot += 1
        world.answer(second + 1 + 3600)
    assert world.server.now() == world.at(LATELY_SECONDS + 10 + 3600)
    world.answer(LATELY_SECONDS + 10)
    assert world.server.now() == world.at(LATELY_SECONDS + 10), "and one that is put back, at once"


def test_what_was_heard_long_ago_is_nothing_to_go_by(world: World) -> None:
    world.answer(0)
    world.boot += 100_000.0
    assert world.server.now() == world.at(100_000.0), "still a moment that has passed"
    world.answer(200_000.0)  # (a machine that stood still in between)
    assert world.server.now() == world.at(200_000.0)


def test_the_clock_hears_of_it_however_long_an_answer_took() -> None:
    boot = 50.0
    clock = Clock(boot=lambda: boot, wall=lambda: 0.0)
    clock.heard("no date", boot)
    clock.heard(None, boot)
    assert clock.server.now() is None
    clock.heard(formatdate(NOON.timestamp(), usegmt=True), boot - 40)
    assert clock.server.now() == NOON
