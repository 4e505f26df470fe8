"""TokenReviews: how often the cluster is asked, in which order, and what becomes of a question that fails."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from devbox_api.names import token_digest
from devbox_api.route import Route
from devbox_common import clock
from devbox_common.kube import ApiError, Object
from devbox_proxy.kit.limiter import GENTLE_PER_SECOND, MOST, START
from devbox_proxy.known.facts import Known
from devbox_proxy.reviews import presence
from devbox_proxy.reviews import reviewer as reviews
from devbox_proxy.reviews.presence import HURRIED_SECONDS
from devbox_proxy.reviews.reviewer import TRIES, Reviewer

from .conftest import until
from .identities import BINDING, ROUTE
from .review_answers import answer
from .review_world import Api, of_pod, world


async def test_one_question_at_a_time_for_a_pod() -> None:
    api, known = Api(0.05), world(1)
    reviewer = Reviewer(api, known)  # type: ignore[arg-type]
    await asyncio.gather(*(reviewer.review(ROUTE, BINDING) for _ in range(50)))
    assert len(api.asked) == 1
    assert known.reviews["uid-1"].accepted
    assert known.reviews["uid-1"].digest == token_digest(BINDING.token)
    await reviewer.review(ROUTE, BINDING)
    assert len(api.asked) == 2


async def test_many_pods_are_asked_about_at_a_bounded_rate() -> None:
    api, known = Api(0.03), world(100)
    reviewer = Reviewer(api, known, per_second=200)  # type: ignore[arg-type]
    started = time.monotonic()
    await asyncio.gather(*(reviewer.review(of_pod(n), BINDING) for n in range(1, 101)))
    assert time.monotonic() - started >= 80 / 200
    assert api.most_at_once <= MOST
    assert len(api.asked) == 100


async def test_requests_come_before_renewals_and_these_before_what_nobody_asked_for() -> None:
    api, known = Api(0.2), world(60)
    reviewer = Reviewer(api, known)  # type: ignore[arg-type]

    def subject(number: int) -> tuple[Route, Any]:
        return of_pod(number), BINDING.model_copy(update={"token": f"token-{number}"})

    waiting = [asyncio.create_task(reviewer.review(*subject(n))) for n in range(1, START + 1)]
    await until(lambda: api.at_once == START)
    for number in range(40, 50):
        reviewer.spare(*subject(number))
    for number in (*range(20, 30), 49):
        reviewer.renew(*subject(number))
    await asyncio.sleep(0.02)
    waiting += [asyncio.create_task(reviewer.review(*subject(n))) for n in (29, 48, *range(30, 40))]
    await asyncio.gather(*waiting)
    await until(lambda: len(known.reviews) == START + 30)
    order = [int(token.removeprefix("token-")) for token in api.asked[START:]]
    first = [number for number in order if number in (29, 48) or 30 <= number < 40]
    assert first == [29, 48, *range(30, 40)], "what was renewed, or spare, has become somebody's question"
    rest = [number for number in order if number not in first]
    assert rest == [*range(20, 29), 49, *range(40, 48)]
    assert order.index(40) > order.index(49) > order.index(39)


async def test_ten_renewals_a_second_there_always_are() -> None:
    api, known = Api(), world(200)
    reviewer = Reviewer(api, known, per_second=50)  # type: ignore[arg-type]
    waiting = [asyncio.create_task(reviewer.review(of_pod(n), BINDING)) for n in range(1, 101)]
    await asyncio.sleep(0)
    for number in range(101, 151):
        reviewer.renew(of_pod(number), BINDING)
    await asyncio.sleep(1.0)
    renewed = sum(f"uid-{number}" in known.reviews for number in range(101, 151))
    assert 7 <= renewed <= 11
    await asyncio.gather(*waiting)


async def test_whoever_stops_waiting_does_not_stop_the_question() -> None:
    api, known = Api(0.05), world(1)
    reviewer = Reviewer(api, known)  # type: ignore[arg-type]
    waiting = asyncio.create_task(reviewer.review(ROUTE, BINDING))
    await asyncio.sleep(0.01)
    waiting.cancel()
    await reviewer.review(ROUTE, BINDING)
    assert len(api.asked) == 1


async def test_an_answer_about_a_pod_that_is_gone_is_not_kept() -> None:
    api, known = Api(0.02), world(1)
    question = asyncio.create_task(Reviewer(api, known).review(ROUTE, BINDING))  # type: ignore[arg-type]
    await asyncio.sleep(0.01)
    known.pods.clear()
    await question
    assert not known.reviews


async def test_a_token_that_was_renewed_meanwhile_is_the_one_that_is_asked_about() -> None:
    api, known = Api(), world(1)
    newer = BINDING.model_copy(update={"token": "newer"})
    known.routes["uid-1"] = ROUTE.model_copy(update={"bindings": (newer,)})
    await Reviewer(api, known).review(ROUTE, BINDING)  # type: ignore[arg-type]
    assert api.asked == ["newer"]
    assert known.reviews["uid-1"].digest == token_digest("newer")


async def test_what_was_refused_of_a_pod_is_known_of_each_of_its_tokens_until_there_is_a_yes() -> None:
    api, known = Api(), world(1)
    two = BINDING.model_copy(update={"name": "TWO", "audience": "two", "token": "second"})
    known.routes["uid-1"] = ROUTE.model_copy(update={"bindings": (BINDING, two)})
    reviewer = Reviewer(api, known)  # type: ignore[arg-type]
    api.errors = [answer({}) for _ in range(3)]
    await reviewer.review(ROUTE, BINDING)
    assert known.reviews["uid-1"].others == frozenset()
    await reviewer.review(ROUTE, two)
    last = known.reviews["uid-1"]
    assert (last.digest, last.others) == (token_digest("second"), frozenset({token_digest(BINDING.token)}))
    known.routes["uid-1"] = ROUTE.model_copy(update={"bindings": (BINDING.model_copy(update={"token": "newer"}), two)})
    await reviewer.review(ROUTE, BINDING)
    assert known.reviews["uid-1"].others == {token_digest("second")}, "what is no token of its any more is forgotten"
    await reviewer.review(ROUTE, BINDING)
    assert (known.reviews["uid-1"].accepted, known.reviews["uid-1"].others) == (True, frozenset())


# questions that fail

FAILURES: dict[str, ApiError | Object] = {
    "429": ApiError(429, "Error", "no message", 0.0),
    "500": ApiError(500, "InternalError", "no"),
    "403": ApiError(403, "Forbidden", "no"),
    "no answer": ApiError(0, "Unreachable", "no answer"),
    "no TokenReview": {"kind": "Status"},
    "no status": {"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1"},
    "a status of another shape": answer([]),
    "an empty object": {},
}


@pytest.mark.parametrize("kind", FAILURES)
async def test_a_question_that_failed_is_asked_again_alone(kind: str) -> None:
    api, known = Api(), world(3)
    reviewer = Reviewer(api, known)  # type: ignore[arg-type]
    api.errors = [FAILURES[kind]]
    await asyncio.gather(*(reviewer.review(of_pod(n), BINDING) for n in range(1, 4)))
    assert known.api_away_since is None, "one that fails says nothing about the API server"
    assert len(api.asked) == 4
    assert len(known.reviews) == 3


async def test_it_waits_as_long_as_the_api_server_says() -> None:
    api, known = Api(), world(2)
    reviewer = Reviewer(api, known)  # type: ignore[arg-type]
    api.errors = [ApiError(429, "Error", "no message", 0.6)]
    began = time.monotonic()
    first = asyncio.create_task(reviewer.review(of_pod(1), BINDING))
    await asyncio.sleep(0)
    await reviewer.review(of_pod(2), BINDING)
    assert time.monotonic() - began < 0.3, "others do not wait"
    await first
    assert time.monotonic() - began >= 0.6


async def test_nobody_is_asked_about_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reviews, "AGAIN_SECONDS", (0.001,))
    api, known = Api(), world(1)
    reviewer = Reviewer(api, known)  # type: ignore[arg-type]
    api.errors = [ApiError(500, "InternalError", "no")] * 50
    reviewer.renew(ROUTE, BINDING)
    await until(lambda: not reviewer.open("uid-1"))
    assert len(api.asked) == TRIES
    api.errors = [ApiError(500, "InternalError", "no")] * (2 * TRIES)
    await reviewer.review(ROUTE, BINDING)
    assert len(api.asked) == 3 * TRIES + 1, "unless somebody waits for it"


async def test_where_none_is_answered_it_is_away_though_it_answers_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else what is verified would end, in place of living on."""
    monkeypatch.setattr(reviews, "AGAIN_SECONDS", (0.02,))
    monkeypatch.setattr(reviews, "AWAY_SECONDS", 0.05)
    monkeypatch.setattr(presence, "UNANSWERED_SECONDS", 0.3)
    api, known = Api(), world(1)
    api.away = True
    began = clock.now()
    await Reviewer(api, known).review(ROUTE, BINDING)  # type: ignore[arg-type]
    assert 0.3 <= clock.now() - began < 1
    since = known.api_away_since
    assert since is not None
    assert since == pytest.approx(began, abs=0.05), "from the first that failed"
    assert not known.reviews
    asked = len(api.asked)
    await until(lambda: len(api.asked) >= asked + 3)
    assert known.api_away_since == since, "and not from the last"
    api.away = False
    await until(lambda: known.api_away_since is None)
    assert known.reviews["uid-1"].accepted


async def test_where_all_that_were_under_way_are_cut_at_once_it_is_not_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a pause, however long that was: connections are given up then."""
    monkeypatch.setattr(presence, "UNANSWERED_SECONDS", 0.1)
    api, known = Api(0.3), world(START)
    reviewer = Reviewer(api, known)  # type: ignore[arg-type]
    api.errors = [ApiError(0, "Unreachable", "no answer")] * START
    await asyncio.gather(*(reviewer.review(of_pod(n), BINDING) for n in range(1, START + 1)))
    assert known.api_away_since is None
    assert len(known.reviews) == START


# while the API server is away

SILENT = ApiError(0, "Unreachable", "no answer")


@pytest.fixture
async def looked_at(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Api, Known, Reviewer]]:
    """A Reviewer that follows its API server, quickly."""
    monkeypatch.setattr(presence, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(reviews, "AWAY_SECONDS", 0.05)
    api, known = Api(), world(60)
    reviewer = Reviewer(api, known)  # type: ignore[arg-type]
    following = asyncio.create_task(reviewer.presence.follow())
    yield api, known, reviewer
    following.cancel()


async def gone(api: Api, known: Known) -> None:
    api.away, api.look_error = True, SILENT
    await until(lambda: known.api_away_since is not None)


async def test_one_question_a_second_stands_for_all(looked_at: tuple[Api, Known, Reviewer]) -> None:
    api, known, reviewer = looked_at
    await gone(api, known)
    await asyncio.gather(*(reviewer.review(of_pod(n), BINDING) for n in range(1, 61)))
    assert not api.asked
    api.look_error = None
    await until(lambda: len(api.asked) >= 4)
    assert api.most_at_once == 1
    assert len(set(api.asked)) == 1, "(all have the same here)"
    api.away = False
    await until(lambda: known.api_away_since is None)
    first = len(api.asked)
    await asyncio.sleep(0.5)
    assert len(api.asked) - first <= GENTLE_PER_SECOND / 2 + 1
    await until(lambda: len(known.reviews) == 60)


async def test_a_pod_that_went_meanwhile_is_not_asked_about(looked_at: tuple[Api, Known, Reviewer]) -> None:
    api, known, reviewer = looked_at
    await gone(api, known)
    await asyncio.gather(reviewer.review(of_pod(1), BINDING), reviewer.review(of_pod(2), BINDING))
    known.pods.clear()
    api.away, api.look_error = False, None
    await until(lambda: known.api_away_since is None)
    await asyncio.sleep(0.1)
    assert not api.asked
    assert not known.reviews


async def test_a_silent_api_server_is_noticed_before_anybody_asks(looked_at: tuple[Api, Known, Reviewer]) -> None:
    api, known, _ = looked_at
    await until(lambda: api.looks)
    assert known.api_away_since is None
    before = clock.now()
    await gone(api, known)
    since, looks = known.api_away_since, api.looks
    assert since is not None
    assert since >= before - 0.03, "since the first look in vain"
    await until(lambda: api.looks >= looks + 3)
    assert known.api_away_since == since
    assert not api.asked
    api.look_error = None
    await until(lambda: known.api_away_since is None)


async def test_one_look_in_vain_is_nothing(looked_at: tuple[Api, Known, Reviewer]) -> None:
    api, known, reviewer = looked_at
    for _ in range(3):
        api.look_error = SILENT
        await reviewer.presence.look()
        assert known.api_away_since is None
        api.look_error = None
        await reviewer.presence.look()


@pytest.mark.parametrize("status", [200, 401, 403, 404, 429, 500, 503])
async def test_a_no_is_a_sign_of_life(looked_at: tuple[Api, Known, Reviewer], status: int) -> None:
    api, known, _ = looked_at
    api.look_error = ApiError(status, "Error", "no")
    await until(lambda: api.looks >= 5)
    assert known.api_away_since is None


async def test_a_question_that_is_cut_off_makes_the_next_look_happen_at_once() -> None:
    api, known = Api(), world(1)
    reviewer = Reviewer(api, known)  # type: ignore[arg-type]
    following = asyncio.create_task(reviewer.presence.follow())
    await until(lambda: api.looks == 1)
    api.away, api.look_error = True, SILENT
    began = time.monotonic()
    await reviewer.review(ROUTE, BINDING)
    assert known.api_away_since is not None
    assert time.monotonic() - began < 2 * HURRIED_SECONDS + 0.4, "and not after two whole seconds"
    following.cancel()


async def test_who_waits_for_an_answer_when_it_goes_waits_no_longer(looked_at: tuple[Api, Known, Reviewer]) -> None:
    api, known, reviewer = looked_at
    api.seconds, api.away, api.look_error = 3.0, True, SILENT
    async with asyncio.timeout(1):
        await reviewer.review(ROUTE, BINDING)
    assert known.api_away_since is not None
    assert not known.reviews


async def test_nobody_is_asked_while_looks_are_in_vain(looked_at: tuple[Api, Known, Reviewer]) -> None:
    api, known, reviewer = looked_at
    await gone(api, known)
    api.away = False
    await asyncio.gather(reviewer.review(of_pod(1), BINDING), reviewer.review(of_pod(2), BINDING))
    looks = api.looks
    await until(lambda: api.looks >= looks + 3)
    assert not api.asked
    api.look_error = None
    await until(lambda: len(known.reviews) == 2)
    assert known.api_away_since is None


async def test_what_answers_looks_and_no_questions_stays_away(looked_at: tuple[Api, Known, Reviewer]) -> None:
    api, known, reviewer = looked_at
    await gone(api, known)
    await reviewer.review(ROUTE, BINDING)
    since, looks = known.api_away_since, api.looks
    api.look_error = None
    await until(lambda: api.looks >= looks + 5 and len(api.asked) >= 3)
    assert known.api_away_since == since, "else what was verified would live on for longer and longer"
    api.away = False
    await until(lambda: known.api_away_since is None)
