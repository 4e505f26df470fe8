"""How long a connection may rest and be used again: what is learned of an API, and that nothing is ever tried with a request."""

import random
from math import inf

import pytest

from devbox_proxy.upstreams.rest_times import ENDPOINTS, FIRST_SECONDS, FORGET_SECONDS, LEAST_SECONDS, RestTimes, less_margin

API, OTHER = "https://api.example:443", "https://other.example:443"


def limit(times: RestTimes, present: float = 0.0, announced: float | None = None) -> float:
    return times.limit(API, announced, present)


def test_it_begins_with_less_than_any_common_server_keeps() -> None:
    assert limit(RestTimes(180)) == FIRST_SECONDS == 4


def test_what_was_survived_may_be_relied_on_less_a_margin() -> None:
    times = RestTimes(180)
    times.survived(API, 3)
    assert limit(times) == FIRST_SECONDS
    times.survived(API, 20)
    assert limit(times) == pytest.approx(17.5)
    times.survived(API, 10)
    assert limit(times) == pytest.approx(17.5)
    times.survived(API, 1000)
    assert limit(times) == 180, "the setting"
    assert times.limit(OTHER, None, 0) == FIRST_SECONDS


@pytest.mark.parametrize(
    ("closed", "left"), [(60, 53.5), (15, 13), (5, 4), (2, 1.3), (1, LEAST_SECONDS), (0.01, LEAST_SECONDS)]
)
def test_a_close_counts_at_once(closed: float, left: float) -> None:
    times = RestTimes(180)
    times.survived(API, 100)
    times.closed(API, closed, 0)
    assert limit(times) == pytest.approx(left)
    times.closed(API, closed + 30, 0)
    assert limit(times) == pytest.approx(left), "the youngest counts"


def test_an_api_that_closes_late_gives_no_more_than_what_was_survived() -> None:
    times = RestTimes(180)
    times.closed(API, 60, 0)
    assert limit(times) == FIRST_SECONDS


def test_a_close_is_remembered_whatever_others_survive_and_what_was_given_up_comes_back_by_being_seen() -> None:
    times = RestTimes(180)
    times.survived(API, 100)
    times.closed(API, 2, 1000)
    times.survived(API, 90)
    assert limit(times, 1000 + FORGET_SECONDS - 1) == pytest.approx(1.3)
    times.closed(API, 30, 1000 + FORGET_SECONDS - 1)
    assert limit(times, 1000 + FORGET_SECONDS + 1) == pytest.approx(1.3), "of the spell before"
    assert limit(times, 1000 + 2 * FORGET_SECONDS + 2) == pytest.approx(less_margin(30)), "30 s were survived since"
    quiet = RestTimes(180)
    quiet.closed(API, 2, 0)
    assert limit(quiet, 10 * FORGET_SECONDS) == pytest.approx(1.3), "nobody saw one rest for longer"
    quiet.survived(API, 40)
    assert limit(quiet, 10 * FORGET_SECONDS) == pytest.approx(35.5)


def test_one_that_vanished_takes_all_back_that_was_learned() -> None:
    times = RestTimes(180)
    times.survived(API, 100)
    times.vanished(API, 0)
    assert limit(times) == pytest.approx(FIRST_SECONDS)


def test_what_the_api_says_counts_for_its_connection_and_never_more_than_closes_allow() -> None:
    times = RestTimes(180)
    assert limit(times, announced=119) == 119
    assert limit(times, announced=1) == 1
    assert limit(times, announced=10_000) == 180
    times.closed(API, 30, 0)
    assert limit(times, announced=119) == pytest.approx(26.5)
    assert limit(times, announced=1) == 1


@pytest.mark.parametrize("most", [4.0, 1.0])
def test_where_nothing_is_learned_it_is_as_it_always_was(most: float) -> None:
    times = RestTimes(most)
    times.survived(API, 100)
    assert limit(times) == most
    times.closed(API, 1.2, 0)
    assert limit(times) == most
    assert limit(times, announced=100) == 60
    assert not times.worth(API, 5, 0)
    assert len(times) == 0


def test_one_rests_on_unused_until_there_is_nothing_more_to_learn() -> None:
    times = RestTimes(180)
    assert times.worth(API, 5, 0)
    assert times.worth(API, 200, 0)
    assert not times.worth(API, 201, 0)
    times.survived(API, 300)
    assert not times.worth(API, 190, 0), "all that may be used is known"
    times.closed(API, 60, 0)
    assert times.worth(API, 55, 0)


def test_endpoints_are_bounded_and_the_one_that_is_used_stays() -> None:
    times = RestTimes(180)
    times.survived(API, 20)
    for number in range(2 * ENDPOINTS):
        times.closed(f"https://api-{number}.example", 1, 0)
        assert limit(times) == pytest.approx(17.5)
    assert len(times) == ENDPOINTS
    times.limit("https://never.example", None, 0)
    assert len(times) == ENDPOINTS


class Calls:
    """Calls to an API that closes what has rested for `keeps()` seconds. A call that comes within `race` seconds of that is lost."""

    def __init__(self, keeps: "random.Random | float", race: float = 0.05, most: float = 180.0) -> None:
        self.times, self._keeps, self._race = RestTimes(most), keeps, race
        self._random = random.Random(1)  # noqa: S311 (no secret)
        self.lost = self.dialled = 0
        self._resting: list[tuple[float, float]] = []
        """Since when, and until when the API keeps it."""

    def keeps(self) -> float:
        return self._keeps if isinstance(self._keeps, float) else self._keeps.uniform(0, 30)

    def call(self, present: float) -> None:
        self._look(present)
        since, until = self._resting[-1] if self._resting else (-inf, -inf)
        if present - since <= self.times.limit(API, None, present):
            self._resting.pop()
            if until - present < self._race:
                self.lost += 1
                self.times.closed(API, present - since, present)
                return
        else:
            self.dialled += 1
        self._resting.append((present, present + self.keeps()))

    def _look(self, present: float) -> None:
        left = []
        for since, until in self._resting:
            if until <= present:
                self.times.closed(API, until - since, until)
            elif present - since <= self.times.limit(API, None, present) or self.times.worth(API, present - since, present):
                left.append((since, until))
        self._resting = left[:1] + left[-1:] if len(left) > 2 else left
        if left:
            self.times.survived(API, present - left[0][0])

    def run(self, count: int, pause: "tuple[float, float]") -> "Calls":
        present = 0.0
        for _ in range(count):
            present += self._random.uniform(*pause)
            self.call(present)
        return self


def test_an_agent_that_calls_every_ten_seconds_dials_no_more_than_thrice_in_a_hundred_calls() -> None:
    calls = Calls(60.0).run(100, (10.0, 10.0))
    assert (calls.lost, calls.dialled <= 3) == (0, True)


@pytest.mark.parametrize("keeps", [5.0, 15.0, 60.0])
def test_an_api_with_a_timer_loses_no_call_whenever_it_comes(keeps: float) -> None:
    for pause in ((keeps - 0.2, keeps + 0.2), (keeps / 2, keeps * 1.5), (0.0, 2 * keeps)):
        assert Calls(keeps).run(3000, pause).lost == 0


@pytest.mark.parametrize("pause", [(0.0, 30.0), (2.0, 6.0), (10.0, 10.0), (0.0, 2.0)])
def test_an_api_that_closes_at_random_loses_no_more_calls_than_with_four_seconds(pause: tuple[float, float]) -> None:
    learned, fixed = (Calls(random.Random(2), most=most).run(50_000, pause) for most in (180.0, 4.0))  # noqa: S311 (no secret)
    assert learned.lost <= fixed.lost
    assert fixed.lost > 0 or pause[0] > FIRST_SECONDS
    if pause[0] > FIRST_SECONDS:
        assert learned.lost <= 1, "it may take one to be told"
