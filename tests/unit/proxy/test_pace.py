"""How often a peer may: at a rate after a burst, as everybody knows it from rate limiters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox_proxy.kit.pace import Pace


def test_a_burst_is_free_and_what_follows_waits_its_turn() -> None:
    pace = Pace(10, 3)
    assert [pace.wait("a", 100.0) for _ in range(5)] == pytest.approx([0, 0, 0, 0.1, 0.2])


def test_who_is_refused_in_place_of_waiting_does_not_wait_longer_for_it() -> None:
    pace = Pace(10, 3)
    assert [pace.may("a", 100.0) for _ in range(100)] == [True] * 3 + [False] * 97
    assert not pace.may("a", 100.05)
    assert pace.may("a", 100.101)
    assert pace.may("b", 100.0)


def test_peers_do_not_wait_for_one_another() -> None:
    pace = Pace(10, 1)
    assert [pace.wait("a", 100.0) for _ in range(3)] == pytest.approx([0, 0.1, 0.2])
    assert pace.wait("b", 100.0) == 0


def test_who_rested_is_as_new_and_is_forgotten() -> None:
    pace = Pace(10, 2)
    assert [pace.wait("a", 100.0) for _ in range(3)] == pytest.approx([0, 0, 0.1])
    pace.forget(100.2)
    assert len(pace) == 1
    pace.forget(100.3)
    assert len(pace) == 0
    assert [pace.wait("a", 100.3) for _ in range(3)] == pytest.approx([0, 0, 0.1])


@given(gaps=st.lists(st.floats(0, 0.5), max_size=200), rate=st.integers(1, 200), burst=st.integers(1, 50))
def test_in_no_second_are_there_more_than_burst_and_rate(gaps: list[float], rate: int, burst: int) -> None:
    pace, present, done = Pace(rate, burst), 1000.0, []
    for gap in gaps:
        present += gap
        done.append(present + pace.wait("a", present))
        pace.forget(present)
    for first in range(len(done)):
        assert sum(done[first] <= time < done[first] + 1 - 1e-6 for time in done) <= burst + rate
    assert done == sorted(done)
