"""What is so for good, as the cases of tests/chaos see it."""

from collections.abc import Sequence
from time import monotonic as now

import pytest
from tests.chaos.client import AGAIN, for_good


class Answers:
    """One after the other; the last one for ever."""

    def __init__(self, answers: Sequence[bool]) -> None:
        self._answers = list(answers)
        self.times: list[float] = []

    @property
    def asked(self) -> int:
        return len(self.times)

    async def __call__(self) -> bool:
        self.times.append(now())
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


async def test_what_is_so_from_the_start_is_asked_again() -> None:
    answers = Answers([True])
    began = now()
    took = await for_good(answers, 60, every=0.01)
    assert answers.asked == AGAIN
    assert took is not None
    assert took <= answers.times[1] - began, "the first answer's time"


@pytest.mark.parametrize("answers", [[False], [True, False], [*[True] * (AGAIN - 1), False]])
async def test_what_was_so_once_is_not_so(answers: list[bool]) -> None:
    assert await for_good(Answers(answers), 0.05, every=0.001) is None


async def test_the_time_is_that_of_the_last_change() -> None:
    answers = Answers([True, *[False] * 20, True])
    began = now()
    took = await for_good(answers, 60, every=0.01)
    assert took is not None
    assert answers.times[21] - answers.times[0] <= took, "not the first answer's"
    assert took <= answers.times[22] - began, "not the last one's"


async def test_what_began_in_time_may_end_later() -> None:
    assert await for_good(Answers([True]), 0.001, every=0.01) is not None
