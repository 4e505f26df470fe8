"""The clock that counts pauses, with clocks that the test moves."""

import asyncio
import subprocess
import sys
import time
from email.utils import formatdate

import pytest

from devbox_common import clock as module
from devbox_common.clock import LATELY_SECONDS, PAUSE_SECONDS, Clock


class World:
    """Three clocks, and one that watches them."""

    def __init__(self) -> None:
        self.boot, self.day, self.api = 1000.0, 1_800_000_000.0, 1_800_000_100.0
        self.clock = Clock(boot=lambda: self.boot, wall=lambda: self.day)
        self.told: list[float] = []
        self.look()
        self.answer()

    def run(self, seconds: float) -> None:
        """As it normally is, look by look."""
        for _ in range(round(seconds)):
            self.pass_by(1.0)
            self.look()
            self.answer()

    def pass_by(self, seconds: float, *, boot: bool = True, day: bool = True, api: bool = True) -> None:
        self.boot += seconds * boot
        self.day += seconds * day
        self.api += seconds * api

    def look(self) -> None:
        with self.clock.telling(self.told.append):
            self.clock.look()

    def answer(self, took: float = 0.0) -> None:
        with self.clock.telling(self.told.append):
            self.clock.heard(formatdate(self.api, usegmt=True), self.clock.now() - took)


@pytest.fixture
def world() -> World:
    return World()


def test_nothing_is_told_while_time_passes_as_it_does(world: World) -> None:
    began = world.clock.now()
    world.run(3000)
    assert world.told == []
    assert world.clock.now() == began + 3000


def test_a_machine_that_slept(world: World) -> None:
    before = world.clock.now()
    world.pass_by(60)
    assert world.clock.now() == before + 60, "at once, before anybody looks"
    world.look()
    assert world.told == [before]
    world.answer()
    world.run(10)
    assert world.told == [before], "once"
    assert world.clock.now() == before + 70


def test_a_guest_that_was_held_is_told_by_the_api_server(world: World) -> None:
    before = world.clock.now()
    world.pass_by(60, boot=False, day=False)
    world.look()
    assert world.told == [], "nothing in the guest tells"
    world.answer()
    assert world.told == [before]
    assert world.clock.now() == pytest.approx(before + 60, abs=1)
    world.day += 60  # somebody sets the time of day right
    world.run(10)
    assert world.told == [before], "that is known"


def test_a_guest_that_was_held_is_told_by_its_time_of_day_once_that_is_right(world: World) -> None:
    world.pass_by(60, boot=False, day=False, api=False)
    world.run(30)
    assert world.told == []
    before = world.clock.now()
    world.day += 60
    world.look()
    assert world.told == [before]
    assert world.clock.now() == before + 60
    world.api += 60
    world.run(10)
    assert world.told == [before]


@pytest.mark.parametrize("jump", [-3600.0, -PAUSE_SECONDS, PAUSE_SECONDS - 0.5, 0.5])
def test_a_time_of_day_that_is_set_back_or_a_little_ahead_changes_nothing(world: World, jump: float) -> None:
    began = world.clock.now()
    world.day += jump
    world.run(10)
    assert world.told == []
    assert world.clock.now() == began + 10


def test_a_time_of_day_that_is_set_to_and_fro_counts_once(world: World) -> None:
    for _ in range(20):
        world.day += 3600
        world.run(5)
        world.day -= 3600
        world.run(5)
    assert len(world.told) == 1


@pytest.mark.parametrize("back", [False, True])
def test_a_time_of_day_that_was_set_ahead_hides_no_pause_from_the_api_server(world: World, back: bool) -> None:
    world.day += 3600
    world.run(5)
    if back:
        world.day -= 3600
        world.run(5)
    assert len(world.told) == 1
    before = world.clock.now()
    world.pass_by(60, boot=False, day=False)
    world.look()
    world.answer()
    assert len(world.told) == 2
    assert world.clock.now() == pytest.approx(before + 60, abs=1)


def test_a_time_of_day_that_was_set_back_long_ago_tells_of_a_later_pause(world: World) -> None:
    world.day -= 3600
    world.run(2 * LATELY_SECONDS + 2)
    world.pass_by(60, boot=False, api=False)
    world.look()
    assert len(world.told) == 1


def test_api_servers_whose_clocks_differ_count_once(world: World) -> None:
    for _ in range(40):
        world.api += 30
        world.run(1)
        world.api -= 30
        world.run(1)
    assert len(world.told) == 1


def test_an_answer_that_was_long_under_way_tells_nothing(world: World) -> None:
    world.api += 60
    world.answer(took=1.5)
    assert world.told == []
    world.answer(took=0.5)
    assert len(world.told) == 1


@pytest.mark.parametrize(
    "date", [None, "", "yesterday", "Thu, 32 Jan 2026 00:00:00 GMT", "Thu, 01 Jan 99999 00:00:00 GMT", "\x00"]
)
def test_what_is_no_date_tells_nothing(world: World, date: str | None) -> None:
    world.clock.heard(date, world.clock.now())
    world.run(5)
    assert world.told == []


def test_clocks_that_are_slewed_tell_nothing(world: World) -> None:
    """As chrony does it where it does not step: up to a tenth of a second in each."""
    for _ in range(1500):
        world.day += 0.1
        world.run(1)
    assert world.told == []


def test_a_process_that_was_stopped_is_told_so_and_no_time_is_added(world: World) -> None:
    before = world.clock.now()
    world.pass_by(10)
    world.look()
    assert (world.told, world.clock.now()) == ([before], before + 10)


async def test_a_rest_ends_with_a_pause() -> None:
    world = World()
    resting = asyncio.create_task(world.clock.rest(60))
    await asyncio.sleep(0.01)
    assert not resting.done()
    world.pass_by(10)
    world.look()
    async with asyncio.timeout(1):
        await resting
    began = time.monotonic()
    await world.clock.rest(0.05)
    assert time.monotonic() - began >= 0.045


async def test_it_looks_by_itself() -> None:
    world = World()
    following = asyncio.create_task(world.clock.follow())
    with world.clock.telling(world.told.append):
        await asyncio.sleep(0)
        world.pass_by(10)
        async with asyncio.timeout(2):
            while not world.told:  # noqa: ASYNC110 (a condition, not an event)
                await asyncio.sleep(0.01)
    following.cancel()


def test_the_programs_clock_is_the_one_that_goes_on_while_the_machine_sleeps() -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert before <= module.CLOCK._boot() <= time.clock_gettime(time.CLOCK_BOOTTIME)


def test_a_kernel_without_such_a_clock_has_the_other() -> None:
    code = "import time; del time.CLOCK_BOOTTIME; from devbox_common.clock import now; assert abs(now() - time.monotonic()) < 1"
    subprocess.run([sys.executable, "-c", code], check=True)
