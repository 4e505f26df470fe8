"""What a case of tests/chaos may miss once, and what never."""

import json
from collections.abc import Iterator

import pytest
from tests.chaos.report import Kind, Row, judged, timed

HELD = Row("a", "0 accepted", "0", held=True)
SHOWN = timed("b", "≤20 %", "+30 %", None)
LATE = timed("c", "≤1 s", "2 s", in_time=False)
WRONG = timed("d", "refused ≤1 s", "accepted", in_time=False, right=False)
ACCEPTED = Row("e", "0 accepted", "1", held=False)


class Runs:
    """A case with these outcomes, one after the other."""

    def __init__(self, *outcomes: list[Row]) -> None:
        self._outcomes: Iterator[list[Row]] = iter(outcomes)
        self.said: list[str] = []
        self.count = 0

    def __call__(self) -> list[Row]:
        self.count += 1
        return next(self._outcomes)

    def judged(self) -> list[str]:
        return judged(self, self.said.append)


def test_what_holds_is_run_once() -> None:
    runs = Runs([HELD, SHOWN])
    assert runs.judged() == []
    assert (runs.count, runs.said) == (1, [])


@pytest.mark.parametrize("first", [[ACCEPTED], [HELD, LATE, ACCEPTED], [WRONG], [LATE, WRONG]])
def test_what_must_never_be_is_not_tried_again(first: list[Row]) -> None:
    runs = Runs(first, [HELD])
    assert len(runs.judged()) == sum(row.held is False for row in first)
    assert (runs.count, runs.said) == (1, [])


def test_what_was_late_is_tried_once_more_and_that_is_said() -> None:
    runs = Runs([HELD, LATE], [HELD, timed("c", "≤1 s", "0.5 s", in_time=True)])
    assert runs.judged() == []
    assert runs.said == ["second try, for c: 2 s, where it is to be ≤1 s"]


@pytest.mark.parametrize("second", [[LATE], [ACCEPTED], [WRONG], [HELD, timed("z", "≤1 s", "3 s", in_time=False)]])
def test_the_second_try_is_the_last_and_judged_whole(second: list[Row]) -> None:
    runs = Runs([LATE], second)
    assert len(runs.judged()) == 1
    assert runs.count == 2


def test_a_case_without_demands_fails() -> None:
    with pytest.raises(AssertionError):
        Runs([]).judged()


def test_a_time_that_is_only_shown_is_judged_where_something_was_wrong() -> None:
    assert timed("a", "+≤20 %", "no answer", None, right=False).held is False
    assert Row("a", "b", "c", held=False).kind is Kind.SAFETY, "what says nothing of its kind may not fail at all"


def test_rows_come_whole_out_of_a_process() -> None:
    for row in (LATE, ACCEPTED):
        sent = json.loads(json.dumps([row]))[0]
        assert Row._make([*sent[:-1], Kind(sent[-1])]) == row
