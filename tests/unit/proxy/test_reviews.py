"""TokenReviews: what counts as a yes, and how often the cluster is asked."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from devbox_api.names import token_digest
from devbox_api.route import Route
from devbox_common.kube import ApiError, Object
from devbox_proxy import reviews
from devbox_proxy.reviews import IN_FLIGHT, PER_SECOND, RETURN_PER_SECOND, Reviewer, verdict
from devbox_proxy.view import Known, Pod

from .conftest import until
from .test_identity import BINDING, POD, ROUTE


def status(**change: Any) -> Object:
    extra = {"authentication.kubernetes.io/pod-uid": ["uid-1"], "authentication.kubernetes.io/credential-id": ["JTI=9"]}
    user = {"username": "system:serviceaccount:agents:devbox-agent", "extra": extra}
    return {"authenticated": True, "audiences": [BINDING.audience], "user": user} | change


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (status(), ""),
        ({}, "not authenticated"),
        (status(authenticated=False), "not authenticated"),
        (status(audiences=["https://kubernetes.default.svc"]), "another audience"),
        (status(audiences=None), "another audience"),
        (status(user={"username": "system:serviceaccount:agents:devbox-agent"}), "another pod"),
        (status(user=status()["user"] | {"extra": {"authentication.kubernetes.io/pod-uid": ["uid-2"]}}), "another pod"),
        (status(user=status()["user"] | {"username": "system:serviceaccount:agents:default"}), "another account"),
        (status(user=status()["user"] | {"username": "system:serviceaccount:other:devbox-agent"}), "another account"),
    ],
)
def test_what_counts_as_a_yes(answer: Object, why: str) -> None:
    assert verdict(answer, ROUTE, BINDING) == (not why, why)


class Api:
    """In place of KubeApi: answers after a moment, and counts."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.asked: list[str] = []
        self.at_once = self.most_at_once = 0
        self.away = False
        self.looks = 0
        self.look_error: ApiError | None = None
        """What a look at /livez ends with."""

    async def request(self, method: str, path: str, *, timeout: float, body: Object | None = None) -> Object:  # noqa: ASYNC109
        if body is None:
            self.looks += 1
            if self.look_error is not None:
                raise self.look_error
            return {}
        self.asked.append(body["spec"]["token"])
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(self.seconds)
        self.at_once -= 1
        if self.away:
            raise ApiError(0, "Unreachable", "no answer")
        return {"status": status()}


def of_pod(number: int) -> Route:
    pod = ROUTE.pod.model_copy(update={"uid": f"uid-{number}"})
    return ROUTE.model_copy(update={"pod": pod})


def world(count: int) -> Known:
    return Known(pods={f"uid-{n}": Pod(f"uid-{n}", *_rest(POD)) for n in range(1, count + 1)})


def _rest(pod: Pod) -> tuple[Any, ...]:
    return (pod.name, pod.namespace, pod.phase, pod.node, pod.ips, pod.deleting, pod.host_network, pod.seen_at)


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
    api, known = Api(0.3), world(40)
    reviewer = Reviewer(api, known)  # type: ignore[arg-type]
    started = time.monotonic()
    await asyncio.gather(*(reviewer.review(of_pod(n), BINDING) for n in range(1, 41)))
    assert time.monotonic() - started >= 40 / PER_SECOND - 0.02
    assert api.most_at_once == IN_FLIGHT
    assert len(api.asked) == 40


async def test_renewals_take_what_requests_that_wait_leave() -> None:
    api, known = Api(0.2), world(40)
    reviewer = Reviewer(api, known)  # type: ignore[arg-type]

    def subject(number: int) -> tuple[Route, Any]:
        return of_pod(number), BINDING.model_copy(update={"token": f"token-{number}"})

    waiting = [asyncio.create_task(reviewer.review(*subject(n))) for n in range(1, IN_FLIGHT + 1)]
    await until(lambda: api.at_once == IN_FLIGHT)
    for number in range(20, 30):
        reviewer.renew(*subject(number))
    await asyncio.sleep(0.02)
    waiting += [asyncio.create_task(reviewer.review(*subject(n))) for n in (29, *range(30, 40))]
    await asyncio.gather(*waiting)
    await until(lambda: len(known.reviews) == IN_FLIGHT + 20)
    order = [int(token.removeprefix("token-")) for token in api.asked[IN_FLIGHT:]]
    assert sorted(order[:11]) == [29, *range(30, 40)], "renewal 29 has become somebody's question"
    assert order[11:] == list(range(20, 29))
    assert api.most_at_once == IN_FLIGHT


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


async def test_it_asks_again_by_itself_until_the_api_server_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reviews, "AWAY_SECONDS", 0.05)
    api, known = Api(), world(1)
    api.away = True
    await Reviewer(api, known).review(ROUTE, BINDING)  # type: ignore[arg-type]
    since = known.api_away_since
    assert since is not None
    assert not known.reviews
    await until(lambda: len(api.asked) >= 3)
    assert known.api_away_since == since, "away since the first failure, not since the last"
    api.away = False
    await until(lambda: known.api_away_since is None)
    assert known.reviews["uid-1"].accepted


async def test_while_the_api_server_is_away_one_question_a_second_stands_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reviews, "AWAY_SECONDS", 0.05)
    api, known = Api(0.01), world(60)
    reviewer = Reviewer(api, known)  # type: ignore[arg-type]
    api.away = True
    await asyncio.gather(*(reviewer.review(of_pod(n), BINDING) for n in range(1, 61)))
    first = len(api.asked)
    assert first <= IN_FLIGHT, "whoever waited for a turn is put off with the others"
    api.most_at_once = 0
    await until(lambda: len(api.asked) >= first + 4)
    assert api.most_at_once == 1
    await asyncio.gather(*(reviewer.review(of_pod(n), BINDING) for n in range(1, 61)))
    assert len(api.asked) <= first + 6
    api.away = False
    await until(lambda: known.api_away_since is None)
    first = len(api.asked)
    await asyncio.sleep(0.5)
    assert len(api.asked) - first <= RETURN_PER_SECOND / 2 + 1
    await until(lambda: len(known.reviews) == 60)


async def test_a_pod_that_went_while_the_api_server_was_away_is_not_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reviews, "AWAY_SECONDS", 0.05)
    api, known = Api(), world(2)
    reviewer = Reviewer(api, known)  # type: ignore[arg-type]
    api.away = True
    await asyncio.gather(reviewer.review(of_pod(1), BINDING), reviewer.review(of_pod(2), BINDING))
    known.pods.clear()
    api.away = False
    asked = len(api.asked)
    await until(lambda: known.api_away_since is None)
    await asyncio.sleep(0.1)
    assert len(api.asked) == asked + 1, "the probe alone"
    assert not known.reviews


SILENT = ApiError(0, "Unreachable", "no answer")


@pytest.fixture
async def looked_at(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Api, Known, Reviewer]]:
    """A Reviewer that follows its API server, quickly."""
    monkeypatch.setattr(reviews, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(reviews, "AWAY_SECONDS", 0.05)
    api, known = Api(), world(2)
    reviewer = Reviewer(api, known)  # type: ignore[arg-type]
    following = asyncio.create_task(reviewer.follow())
    yield api, known, reviewer
    following.cancel()


async def test_a_silent_api_server_is_noticed_before_anybody_asks(looked_at: tuple[Api, Known, Reviewer]) -> None:
    api, known, _ = looked_at
    await until(lambda: api.looks)
    assert known.api_away_since is None
    api.look_error = SILENT
    await until(lambda: known.api_away_since is not None)
    since, looks = known.api_away_since, api.looks
    await until(lambda: api.looks >= looks + 3)
    assert known.api_away_since == since
    assert not api.asked
    api.look_error = None
    await until(lambda: known.api_away_since is None)


async def test_one_look_in_vain_is_nothing(looked_at: tuple[Api, Known, Reviewer]) -> None:
    api, known, reviewer = looked_at
    for _ in range(3):
        api.look_error = SILENT
        await reviewer._look()
        assert known.api_away_since is None
        api.look_error = None
        await reviewer._look()


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
async def test_a_no_is_a_sign_of_life(looked_at: tuple[Api, Known, Reviewer], status: int) -> None:
    api, known, _ = looked_at
    api.look_error = ApiError(status, "Error", "no")
    await until(lambda: api.looks >= 5)
    assert known.api_away_since is None


async def test_who_waits_for_an_answer_when_it_goes_waits_no_longer(looked_at: tuple[Api, Known, Reviewer]) -> None:
    api, known, reviewer = looked_at
    api.seconds, api.away, api.look_error = 3.0, True, SILENT
    async with asyncio.timeout(1):
        await reviewer.review(ROUTE, BINDING)
    assert known.api_away_since is not None
    assert not known.reviews


async def test_nobody_is_asked_while_looks_are_in_vain(looked_at: tuple[Api, Known, Reviewer]) -> None:
    api, known, reviewer = looked_at
    api.look_error = SILENT
    await until(lambda: known.api_away_since is not None)
    await asyncio.gather(reviewer.review(of_pod(1), BINDING), reviewer.review(of_pod(2), BINDING))
    await asyncio.sleep(0.2)
    assert not api.asked
    api.look_error = None
    await until(lambda: len(known.reviews) == 2)
    assert known.api_away_since is None


async def test_what_answers_looks_and_no_questions_stays_away(looked_at: tuple[Api, Known, Reviewer]) -> None:
    api, known, reviewer = looked_at
    api.away = True
    await reviewer.review(ROUTE, BINDING)
    since, looks = known.api_away_since, api.looks
    assert since is not None
    await until(lambda: api.looks >= looks + 5 and len(api.asked) >= 3)
    assert known.api_away_since == since, "else what was verified would live on for longer and longer"
    api.away = False
    await until(lambda: known.api_away_since is None)
