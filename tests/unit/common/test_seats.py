"""Who gives way to whom: strangers to others, those who have many to those who have few."""

import pytest

from devbox_common.seats import Seat, Seats


class Room:
    """Seats, and who was cut, as `peer:number`."""

    def __init__(self, most: int, most_per_peer: int, strangers: int | None = None) -> None:
        self.seats = Seats(most, most_per_peer, strangers=strangers, grace=2.0)
        self.cut: list[str] = []
        self._count: dict[str, int] = {}

    def enter(self, peer: str, present: float = 0.0, *, known: bool = False, busy: bool = False) -> Seat | None:
        seat = self.seats.enter(peer, present)
        number = self._count[peer] = self._count.get(peer, 0) + 1
        if seat is not None:
            seat.cut = lambda: self.cut.append(f"{peer}:{number}")
            seat.busy = lambda: busy
            if known:
                seat.vouch()
        return seat

    def many(self, peer: str, count: int, present: float = 0.0, *, known: bool = False, busy: bool = False) -> list[bool]:
        return [self.enter(peer, present, known=known, busy=busy) is not None for _ in range(count)]


def test_an_address_has_so_many_and_no_more() -> None:
    room = Room(100, 3)
    assert room.many("a", 5) == [True, True, True, False, False]
    assert room.enter("b") is not None
    assert room.cut == []


def test_a_place_that_is_left_is_free_and_leaving_twice_counts_once() -> None:
    room = Room(100, 1)
    first = room.enter("a")
    assert first is not None
    first.leave()
    first.leave()
    assert len(room.seats) == 0
    assert room.enter("a") is not None


def test_what_is_silent_for_long_gives_way_to_its_own_address() -> None:
    room = Room(100, 2)
    room.many("a", 2, 0.0)
    assert room.enter("a", 1.9) is None
    assert room.enter("a", 2.0) is not None
    assert room.cut == ["a:1"]


def test_whoever_has_most_strangers_gives_way_with_what_came_last() -> None:
    room = Room(100, 100, strangers=10)
    room.many("a", 9)
    assert room.many("b", 3) == [True] * 3
    assert room.cut == ["a:9", "a:8"], "the first that came may be nearly done"
    assert room.enter("b", 3.0) is not None
    assert room.cut[-1] == "a:1", "unless it was silent for long"


def test_one_that_floods_displaces_nobody_who_has_fewer() -> None:
    room = Room(100, 100, strangers=10)
    room.enter("b")
    room.many("a", 9)
    assert sum(room.many("a", 50, 60.0)) == 9, "in place of its own, which were silent for long"
    assert all(name.startswith("a:") for name in room.cut)
    assert room.seats.held("b") == 1


def test_a_thousand_addresses_with_one_each_give_way_once_they_were_silent_for_long() -> None:
    room = Room(100, 100, strangers=10)
    for number in range(10):
        assert room.enter(f"a{number}", number / 10) is not None
    assert room.enter("b", 1.9) is None
    assert room.enter("b", 2.0) is not None
    assert room.cut == ["a0:1"]


def test_strangers_never_take_the_place_of_those_that_are_none() -> None:
    room = Room(10, 10, strangers=4)
    room.many("a", 6, known=True)
    assert room.many("b", 20) == [True] * 4 + [False] * 16
    assert room.many("c", 4) == [True, True, False, False]
    assert len(room.seats) == 10
    assert not any(name.startswith("a:") for name in room.cut)


def test_a_newcomer_takes_an_idle_place_of_whoever_has_many_more() -> None:
    room = Room(10, 10)
    room.many("a", 1, known=True, busy=True)
    room.many("a", 9, known=True)
    assert room.enter("b", known=True) is not None
    assert room.cut == ["a:2"], "nothing was under way on it"


def test_whoever_has_most_may_have_nothing_idle_and_then_others_do() -> None:
    room = Room(10, 10)
    room.many("a", 6, known=True, busy=True)
    room.many("b", 4, known=True)
    assert room.enter("c") is not None
    assert room.cut == ["b:1"]
    few = Room(10, 10)
    few.many("a", 8, known=True, busy=True)
    few.many("b", 1, known=True)
    few.many("c", 1, known=True)
    assert few.enter("d") is None
    assert few.cut == [], "nobody with one gives way to one"


def test_what_is_under_way_is_never_cut() -> None:
    room = Room(10, 10)
    room.many("a", 10, known=True, busy=True)
    assert room.enter("b") is None
    assert room.cut == []


@pytest.mark.parametrize("count", [1, 3, 20])
def test_where_files_run_out_strangers_give_some_back(count: int) -> None:
    room = Room(100, 100)
    room.many("a", 5)
    room.many("b", 2, known=True)
    assert room.seats.displace(count) == min(count, 5)
    assert len(room.cut) == min(count, 5)
    assert room.seats.held("b") == 2


def test_what_has_its_place_for_too_long_is_cut() -> None:
    room = Room(100, 100)
    room.many("a", 2, 0.0)
    room.many("b", 2, 5.0, known=True)
    room.seats.overdue(6.0, 5.0)
    assert room.cut == ["a:1", "a:2"]
    room.seats.clear()
    assert len(room.seats) == 0
