"""The keyed queue, with a clock that the test moves."""

import asyncio
from collections.abc import Callable

import pytest

from devbox_operator.kit.queue import FIRST_PAUSE, LONGEST_PAUSE, WorkQueue, pause


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Worker:
    """Records what it was given; answers or fails as told."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.answers: dict[str, list[float | Exception | None]] = {}
        self.errors: list[tuple[str, str, float]] = []
        self.during: Callable[[str], None] = lambda _: None

    async def __call__(self, key: str) -> float | None:
        self.done.append(key)
        self.during(key)
        answer = (self.answers.get(key) or [None]).pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def failed(self, key: str, error: Exception, seconds: float) -> None:
        self.errors.append((key, str(error), seconds))


def queue(worker: Worker, clock: Clock) -> WorkQueue[str]:
    return WorkQueue(worker, on_error=worker.failed, clock=clock, jitter=lambda: 1.0)


async def drain(work: WorkQueue[str]) -> None:
    while (key := work.take()) is not None:
        await work.step(key)


async def test_many_adds_are_one_piece_of_work() -> None:
    worker, clock = Worker(), Clock()
    work = queue(worker, clock)
    for key in ("a", "b", "a", "a"):
        work.add(key)
    assert len(work) == 2
    await drain(work)
    assert worker.done == ["a", "b"]


async def test_an_add_during_the_work_brings_the_key_again_and_never_twice_at_a_time() -> None:
    worker, clock = Worker(), Clock()
    work = queue(worker, clock)
    work.add("a")
    key = work.take()
    assert key == "a"
    work.add("a")
    work.add("a")
    assert work.take() is None, "the key is being worked on"
    await work.step("a")
    assert work.take() == "a"
    await work.step("a")
    assert work.take() is None


async def test_what_is_worked_on_is_known() -> None:
    made = queue(Worker(), Clock())
    made.add("a")
    made.add("b")
    key = made.take()
    assert made.working() == {"a"} == {key}
    await made.step("a")
    assert made.working() == frozenset()


async def test_failures_come_again_with_a_growing_pause_that_success_resets() -> None:
    worker, clock = Worker(), Clock()
    worker.answers["a"] = [ValueError("one"), ValueError("two"), None, ValueError("three")]
    work = queue(worker, clock)
    work.add("a")
    await drain(work)
    clock.now += FIRST_PAUSE * 0.99
    assert work.take() is None
    clock.now += FIRST_PAUSE * 0.02
    await drain(work)
    clock.now += FIRST_PAUSE * 2.01
    await drain(work)
    work.add("a")
    await drain(work)
    assert [(text, round(seconds, 3)) for _, text, seconds in worker.errors] == [("one", 0.2), ("two", 0.4), ("three", 0.2)]


def test_the_pause_doubles_up_to_five_minutes() -> None:
    assert [pause(n) for n in (0, 1, 2, 3)] == [0.0, 0.2, 0.4, 0.8]
    assert pause(60) == LONGEST_PAUSE == 300.0


async def test_a_delayed_key_comes_at_its_time_and_an_earlier_add_wins() -> None:
    worker, clock = Worker(), Clock()
    work = queue(worker, clock)
    work.add("a", after=10)
    work.add("a", after=5)
    work.add("a", after=20)
    clock.now += 4.9
    assert work.take() is None
    clock.now += 0.2
    await drain(work)
    clock.now += 60
    await drain(work)
    assert worker.done == ["a"]


async def test_work_that_says_when_it_is_due_again() -> None:
    worker, clock = Worker(), Clock()
    worker.answers["a"] = [30.0, None]
    work = queue(worker, clock)
    work.add("a")
    await drain(work)
    clock.now += 30.1
    await drain(work)
    assert worker.done == ["a", "a"]


async def test_forgotten_keys_have_no_delayed_work() -> None:
    worker, clock = Worker(), Clock()
    work = queue(worker, clock)
    work.add("a", after=1)
    work.forget("a")
    clock.now += 2
    assert work.take() is None


@pytest.mark.parametrize("workers", [1, 3])
async def test_run_works_on_as_many_keys_as_it_may(workers: int) -> None:
    running, most, done = 0, 0, asyncio.Event()
    seen: list[str] = []

    async def work(key: str) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        seen.append(key)
        if len(seen) == 6:
            done.set()

    work_queue: WorkQueue[str] = WorkQueue(work, on_error=lambda *_: None)
    task = asyncio.create_task(work_queue.run(workers))
    for number in range(6):
        work_queue.add(str(number))
    await asyncio.wait_for(done.wait(), 5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert most == workers


async def test_run_wakes_up_for_a_delayed_key() -> None:
    done = asyncio.Event()

    async def work(_: str) -> None:
        done.set()

    work_queue: WorkQueue[str] = WorkQueue(work, on_error=lambda *_: None)
    task = asyncio.create_task(work_queue.run(1))
    work_queue.add("a", after=0.02)
    await asyncio.wait_for(done.wait(), 5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
