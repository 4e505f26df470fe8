"""The demo can fail: what counts as wrong is noticed."""

import time

import pytest

from devbox_demo.calls import lumped
from devbox_demo.outcome import Outcome
from devbox_demo.report import failures
from devbox_stage.upstream import PACE_SECONDS, Received
from devbox_stage.waiting import NotYet, TimedOut, wait_for


def test_events_that_come_one_by_one_pass() -> None:
    assert lumped([PACE_SECONDS * number for number in range(8)]) is None


@pytest.mark.parametrize("arrivals", [[], [0.1], [1.0] * 8, [0.0, 0.001, 0.002, 1.0, 1.001, 1.002]])
def test_events_that_come_together_fail(arrivals: list[float]) -> None:
    assert lumped(arrivals) is not None


def test_a_request_knows_what_it_holds() -> None:
    one = Received(1, "h", "GET", "/a?b=gws_x", [("X-Api-Key", "k"), ("x-api-key", "l")], "", 200, None)
    assert one.header("x-API-key") == ["k", "l"]
    assert one.holds("gws_")
    assert not one.holds("sk-ant")


def test_a_problem_is_a_failure_and_none_is_none() -> None:
    good = Outcome("a", (), [], [])
    assert failures([good]) is None
    assert failures([good, Outcome("b", (), [], [], "why")]) is not None


def test_waiting_ends_with_what_was_missing() -> None:
    heard: list[str] = []

    def never() -> None:
        raise NotYet("the pod is Pending")

    with pytest.raises(TimedOut, match=r"thing: not within 0 s: the pod is Pending"):
        wait_for("thing", never, seconds=0.05, interval=0.01, progress=heard.append, every=0.0)
    assert heard
    assert heard[0].startswith("thing: the pod is Pending")


def test_what_was_asked_before_the_deadline_is_asked_again_after_it() -> None:
    """A slow question says how it was when it began."""
    began: list[float] = []

    def slow() -> None:
        began.append(time.monotonic())
        if len(began) == 1:
            time.sleep(0.1)
            raise NotYet("it is old")

    wait_for("thing", slow, seconds=0.05, interval=0.01)
    assert len(began) == 2
