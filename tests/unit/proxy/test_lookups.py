"""Names are looked up beside each other (reliability §4, C20), and nobody's silent servers take the threads of all."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from devbox_proxy.kit import lookups
from devbox_proxy.kit.lookups import THREADS, Lookups


class Names:
    """In place of getaddrinfo: a name that begins with "silent" answers when it is let."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.let = threading.Event()
        self.let_one = dict[str, threading.Event]()

    def __call__(self, host: str, port: None, *, type: int) -> list[Any]:  # noqa: A002
        self.asked.append(host)
        if host.startswith("silent"):
            self.let_one.get(host, self.let).wait(10)
        if host == "none.example":
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [(socket.AF_INET, type, 6, "", (address, 0)) for address in ("192.0.2.1", "192.0.2.2", "192.0.2.1")]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    stand_in = Names()
    monkeypatch.setattr(socket, "getaddrinfo", stand_in)
    yield stand_in
    stand_in.let.set()
    for event in stand_in.let_one.values():
        event.set()


async def until(condition: Callable[[], bool]) -> None:
    """Within a time that is long."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 (threads)
            await asyncio.sleep(0.005)


class Asking:
    """Lookups under way, all of which are given up in the end."""

    def __init__(self) -> None:
        self.subject = Lookups()
        self.tasks: list[asyncio.Task[list[str]]] = []

    def ask(self, host: str, owner: str) -> asyncio.Task[list[str]]:
        task = asyncio.create_task(self.subject.addresses(host, owner))
        self.tasks.append(task)
        return task

    def silent(self, owner: str, count: int) -> list[asyncio.Task[list[str]]]:
        """So many names of the owner's own."""
        return [self.ask(f"silent-{owner}-{n}.example", owner) for n in range(count)]

    async def give_up(self, tasks: list[asyncio.Task[list[str]]] | None = None) -> None:
        """Nobody waits any more."""
        left = self.tasks if tasks is None else tasks
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    @property
    def busy(self) -> dict[str, int]:
        """Threads, by owner."""
        return dict(self.subject._busy)


@pytest.fixture
async def asking(names: Names) -> AsyncIterator[Asking]:
    there = Asking()
    yield there
    await there.give_up()
    there.subject.close()


async def test_each_address_once_and_in_order(names: Names) -> None:
    assert await Lookups().addresses("a.example", "a") == ["192.0.2.1", "192.0.2.2"]


async def test_one_lookup_at_a_time_for_a_name(names: Names) -> None:
    subject = Lookups()
    waiting = [asyncio.create_task(subject.addresses("silent.example", "a")) for _ in range(50)]
    await asyncio.sleep(0.05)
    waiting[0].cancel()
    names.let.set()
    assert await waiting[1] == ["192.0.2.1", "192.0.2.2"]
    assert names.asked == ["silent.example"]
    await subject.addresses("silent.example", "a")
    assert len(names.asked) == 2, "an answer is for those who waited for it"


async def test_silent_names_of_one_hold_up_no_other_and_few_of_its_own(names: Names, asking: Asking) -> None:
    asking.silent("bad", 1000)
    await until(lambda: len(names.asked) == 15)
    assert await asyncio.wait_for(asking.ask("a.example", "good"), 2)
    assert asking.busy == {"bad": 15}
    assert len(names.asked) == 16


async def test_a_thread_counts_until_it_has_ended_and_not_until_its_caller_gives_up(names: Names, asking: Asking) -> None:
    for n in range(5):
        tasks = [asking.ask(f"silent-{n}-{m}.example", "bad") for m in range(100)]
        await until(lambda: asking.busy == {"bad": 15})
        await asking.give_up(tasks)
        assert asking.busy == {"bad": 15}
    assert len(names.asked) == 15
    names.let.set()
    await until(lambda: not asking.busy)
    assert await asyncio.wait_for(asking.ask("a.example", "bad"), 2)


async def test_what_nobody_waits_for_any_more_leaves_the_queue(names: Names, asking: Asking) -> None:
    tasks = asking.silent("bad", 100)
    again = asking.ask("silent-bad-99.example", "bad")
    await until(lambda: len(names.asked) == 15)
    await asking.give_up(tasks)
    assert set(asking.subject._lookups) == {*names.asked, "silent-bad-99.example"}
    assert [lookup.host for lookup in asking.subject._waiting["bad"]] == ["silent-bad-99.example"]
    names.let.set()
    assert await asyncio.wait_for(again, 2)
    await until(lambda: not asking.subject._lookups)
    assert len(names.asked) == 16
    assert not asking.subject._waiting
    assert asking.subject._free == THREADS


async def test_a_caller_that_waits_for_its_turn_gives_up_in_time(
    names: Names, asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookups, "SECONDS", 0.05)
    for outcome in await asyncio.gather(*asking.silent("bad", 20), return_exceptions=True):
        assert isinstance(outcome, OSError)
    assert len(names.asked) == 15
    assert not asking.subject._waiting


async def test_many_owners_leave_threads_for_who_has_none(names: Names, asking: Asking) -> None:
    """Eight at once take half; 27 of them, in the order that takes most, not all."""
    for n in range(8 * 8):
        asking.silent(f"bad-{n % 8}", n // 8 + 1)
        await asyncio.sleep(0)
    assert asking.busy == {f"bad-{n}": 8 for n in range(8)}
    for n in range(8, 27):
        asking.silent(f"bad-{n}", 100)
        await asyncio.sleep(0)
    assert sum(asking.busy.values()) < THREADS
    assert await asyncio.wait_for(asking.ask("a.example", "good"), 2)


async def test_a_thread_that_ends_goes_to_who_has_the_fewest_and_those_who_have_none_take_turns(
    names: Names, asking: Asking
) -> None:
    """128 hold all threads with a name each and wait for more; then come two more."""
    for n in range(THREADS):
        names.let_one[f"silent-bad-{n}-0.example"] = threading.Event()
        asking.silent(f"bad-{n}", 1)
    await until(lambda: len(names.asked) == THREADS)
    for n in range(THREADS):
        asking.silent(f"bad-{n}", 3)
    one, other = asking.silent("one", 2), asking.silent("other", 1)
    await asyncio.sleep(0)
    for n, host in enumerate(("silent-one-0.example", "silent-other-0.example", "silent-bad-0-1.example")):
        names.let_one[f"silent-bad-{n}-0.example"].set()
        await until(lambda n=n: len(names.asked) == THREADS + n + 1)  # type: ignore[misc]
        assert names.asked[-1] == host
    names.let.set()
    assert await asyncio.wait_for(asyncio.gather(*one, *other), 5)


async def test_a_name_that_waits_for_several_is_begun_by_the_first_who_may(names: Names, asking: Asking) -> None:
    asking.silent("bad", 15)
    held = asking.ask("silent-shared.example", "bad")
    await until(lambda: len(names.asked) == 15)
    joined = asking.ask("silent-shared.example", "good")
    await until(lambda: names.asked[-1] == "silent-shared.example")
    assert asking.busy == {"bad": 15, "good": 1}
    assert not asking.subject._waiting
    third = asking.ask("silent-shared.example", "third")
    await asking.give_up([joined])
    assert asking.busy == {"bad": 15, "good": 1}
    names.let.set()
    assert await held == await third == ["192.0.2.1", "192.0.2.2"]
    assert names.asked.count("silent-shared.example") == 1


async def test_no_name_and_no_answer(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = Lookups()
    with pytest.raises(socket.gaierror):
        await subject.addresses("none.example", "a")
    monkeypatch.setattr(lookups, "SECONDS", 0.05)
    with pytest.raises(OSError, match=r"no answer from DNS in 0\.05 s"):
        await subject.addresses("silent.example", "a")


async def test_a_name_that_no_server_could_know() -> None:
    with pytest.raises(OSError, match="not a name"):
        await Lookups().addresses("a" * 64 + ".example", "a")
