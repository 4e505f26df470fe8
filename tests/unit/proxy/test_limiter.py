"""How many questions at a time, and a second: against API servers of several kinds, on a clock of the test's own."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

import pytest

from devbox_proxy.kit.limiter import BURST, FEWEST, GENTLE_PER_SECOND, MOST, START, TOO_MANY, Limiter

Latency = Callable[[int], float]


@dataclass
class Run:
    """Somebody who always has one more question."""

    limiter: Limiter
    latency: Latency
    """Seconds that an answer takes, with so many under way."""
    places: float = inf
    """More than these at a time get 429."""
    now: float = 1000.0
    asked: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    under_way: list[tuple[float, float, bool]] = field(default_factory=list)

    def go(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            pause = self.limiter.wait(len(self.under_way), self.now)
            if pause > 0:
                self._pass(min(until, self.now + pause))
                continue
            fine = len(self.under_way) < self.places
            takes = self.latency(len(self.under_way) + 1) if fine else 0.002
            heapq.heappush(self.under_way, (self.now + takes, self.now, fine))
            self.asked.append(self.now)
            self.limiter.asked(self.now)

    def _pass(self, until: float) -> None:
        """To the next answer, or to that time."""
        if not self.under_way or self.under_way[0][0] > until:
            self.now = until
            return
        self.now, asked, fine = heapq.heappop(self.under_way)
        if fine:
            self.answered.append(self.now)
            self.limiter.answered(asked, self.now)
        else:
            self.refused.append(self.now)
            self.limiter.too_many(asked, self.now, 1.0)

    def rate(self, times: list[float], seconds: float) -> float:
        """A second, of late."""
        return sum(at > self.now - seconds for at in times) / seconds


@pytest.mark.parametrize("seconds", [0.0, 0.001, 0.01, 0.03, 0.1])
def test_the_pace_is_reached_and_not_passed(seconds: float) -> None:
    run = Run(Limiter(400), lambda _: seconds)
    run.go(10)
    assert 380 <= run.rate(run.answered, 5) <= 400 * 1.02
    spans = [sum(since <= at < since + 1 for at in run.asked) for since in run.asked[::97]]
    assert max(spans) <= 400 * (1 + BURST) + 1


@pytest.mark.parametrize(("seconds", "ten_thousand"), [(0.0, 26.0), (0.03, 26.0), (0.1, 28.0)])
def test_ten_thousand_at_once_are_asked_within_the_patience_of_their_requests(seconds: float, ten_thousand: float) -> None:
    run = Run(Limiter(400), lambda _: seconds)
    while len(run.answered) < 10_000:
        run.go(0.1)
    assert run.now - 1000.0 <= ten_thousand


def test_a_slow_one_gets_as_many_at_a_time_as_there_may_be() -> None:
    run = Run(Limiter(400), lambda _: 1.0)
    run.go(80)
    assert run.limiter.at_once == MOST
    assert len(run.under_way) <= MOST


def test_one_that_slows_down_under_load_is_not_pushed_beyond_that() -> None:
    """Ten at a time take 20 ms, and each more takes as much longer as it adds."""
    run = Run(Limiter(10_000), lambda many: 0.02 * max(1.0, many / 20))
    run.go(60)
    assert run.limiter.at_once < MOST
    assert run.rate(run.answered, 5) >= 900


def test_by_its_latency_alone_it_never_goes_below_what_it_began_with() -> None:
    """A gateway that has handshakes to make measures the API server as slow."""
    run = Run(Limiter(400), lambda _: 0.02)
    run.go(3)
    run.latency = lambda _: 0.5
    run.go(30)
    assert run.limiter.at_once == START


@pytest.mark.parametrize("places", [6, 12, 30])
def test_one_with_few_places_is_asked_about_as_many(places: int) -> None:
    run = Run(Limiter(10_000), lambda _: 0.03, places=places)
    run.go(30)
    assert len(run.refused) < len(run.answered) / 4
    assert run.rate(run.answered, 10) >= 0.5 * places / 0.03
    assert FEWEST <= run.limiter.at_once <= places + 2


def test_where_every_answer_is_429_everybody_waits() -> None:
    run = Run(Limiter(400), lambda _: 0.01, places=0)
    run.go(20)
    assert run.rate(run.asked, 10) <= FEWEST + 1
    run.places = inf
    run.go(10)
    assert run.rate(run.answered, 3) >= 380, "and it comes back"


def test_one_in_ten_that_fails_leaves_enough() -> None:
    limiter = Limiter(400)
    now, failed = 0.0, 0
    for number in range(5000):
        while (pause := limiter.wait(0, now)) > 0:
            now += pause
        limiter.asked(now)
        asked, now = now, now + 0.02 / limiter.at_once
        if number % 10:
            limiter.answered(asked, now)
        else:
            failed += 1
            limiter.burdened(asked, now)
        assert limiter.at_once >= FEWEST
    assert failed == 500


def test_what_was_asked_before_it_shrank_does_not_shrink_it_again() -> None:
    limiter = Limiter(400)
    for _ in range(10):
        limiter.burdened(1.0, 2.0)
    assert limiter.at_once == int(START * 0.75)
    limiter.burdened(3.0, 4.0)
    assert limiter.at_once == int(START * 0.75 * 0.75)


def test_it_does_not_grow_where_fewer_would_do() -> None:
    limiter = Limiter(400)
    for number in range(1000):
        assert limiter.wait(1, float(number)) == 0
        limiter.asked(float(number))
        limiter.answered(float(number), number + 0.01)
    assert limiter.at_once == START


def test_an_api_server_that_is_back_is_asked_gently() -> None:
    run = Run(Limiter(400), lambda _: 0.001)
    run.go(5)
    run.limiter.returned(run.now)
    back, run.asked = run.now, []
    run.go(3)
    first = sum(at < back + 1 for at in run.asked)
    assert first <= GENTLE_PER_SECOND + 1
    assert sum(back + 1 <= at < back + 2 for at in run.asked) >= 380


def test_a_retry_after_of_an_hour_is_no_hour() -> None:
    limiter = Limiter(400)
    for number in range(TOO_MANY):
        limiter.too_many(float(number), float(number), 3600.0)
    assert 0 < limiter.wait(0, float(TOO_MANY)) <= 30
    limiter.returned(5.0)
    assert limiter.wait(0, 5.0) == 0


def test_a_setting_below_everything_holds() -> None:
    run = Run(Limiter(2, most=2), lambda _: 0.01)
    run.go(10)
    assert len(run.asked) <= 21
    assert run.limiter.at_once == 2
