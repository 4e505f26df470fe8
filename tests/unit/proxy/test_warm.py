"""Reviews that no request has asked for."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from devbox_api.names import audience
from devbox_api.route import EgressBinding, Route
from devbox_proxy.known.facts import Known, Review
from devbox_proxy.reviews import warm
from devbox_proxy.reviews.reviewer import Reviewer
from devbox_proxy.reviews.warm import Warmth, oldest, subjects
from devbox_proxy.settings import Identity

from .conftest import until
from .identities import BINDING, POD
from .review_world import Api, of_pod, world


def known(count: int) -> Known:
    result = world(count)
    result.routes = {f"uid-{number}": of_pod(number) for number in range(1, count + 1)}
    return result


def uids(found: Any) -> list[str]:
    return [route.pod.uid for route, _ in found]


def test_every_pod_that_may_call_and_no_other() -> None:
    view = known(9)
    change: dict[str, dict[str, Any]] = {
        "uid-1": {"deleting": True},
        "uid-2": {"phase": "Succeeded"},
        "uid-3": {"phase": "Failed"},
        "uid-4": {"host_network": True},
        "uid-5": {"phase": "Pending", "ips": ()},
    }
    for uid, fields in change.items():
        view.pods[uid] = replace(view.pods[uid], **fields)
    view.routes["uid-6"] = view.routes["uid-6"].model_copy(update={"confined": False})
    view.unsupported = frozenset({"uid-7"})
    del view.pods["uid-8"]
    assert uids(subjects(view, view.routes)) == ["uid-5", "uid-9"]


def test_the_forward_proxys_token_will_do() -> None:
    way_out = EgressBinding(token="t", digests=())
    route = of_pod(1).model_copy(update={"bindings": (), "egress": way_out})
    assert list(subjects(Known(pods={"uid-1": POD}, routes={"uid-1": route}), ["uid-1"])) == [(route, way_out)]
    nothing: Route = route.model_copy(update={"egress": None})
    assert not list(subjects(Known(pods={"uid-1": POD}, routes={"uid-1": nothing}), ["uid-1"]))
    assert BINDING.audience == audience("ANTHROPIC")


def test_the_oldest_come_first_and_those_that_nobody_asked_about_before_them() -> None:
    view = known(5)
    view.reviews = {f"uid-{number}": Review(at, True, "") for number, at in ((1, 50.0), (2, 10.0), (3, 99.0), (4, 30.0))}
    assert uids(oldest(view, 60.0, 10)) == ["uid-5", "uid-2", "uid-4", "uid-1"]
    assert uids(oldest(view, 60.0, 2)) == ["uid-5", "uid-2"]


def test_pods_that_have_finished_are_in_nobodys_way() -> None:
    view = known(200)
    view.pods |= {f"uid-{number}": replace(view.pods["uid-1"], phase="Succeeded") for number in range(1, 200)}
    assert uids(oldest(view, 60.0, 2)) == ["uid-200"]


@pytest.fixture
async def started(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Api, Known, Warmth]]:
    """A gateway's start, with the settings of the test's parameter."""
    monkeypatch.setattr(warm, "TURN_SECONDS", 0.1)
    count, seconds, settings = request.param
    api, view = Api(seconds), known(count)
    warmth = Warmth(cast(Any, SimpleNamespace(known=view)), Reviewer(cast(Any, api), view), Identity(**settings))
    following = asyncio.create_task(warmth.follow())
    yield api, view, warmth
    following.cancel()


@pytest.mark.parametrize("started", [(50, 0.01, {})], indirect=True)
async def test_a_start_is_over_when_every_pod_is_reviewed(started: tuple[Api, Known, Warmth]) -> None:
    api, view, warmth = started
    await asyncio.sleep(0.1)
    assert not api.asked, "not before the first lists are in"
    view.synced = True
    await until(lambda: api.asked)
    assert not warmth.started
    assert "devboxes" in warmth.said()
    await until(lambda: warmth.started)
    assert len(view.reviews) == 50


@pytest.mark.parametrize("started", [(10, 0.8, {"warmSeconds": 0.2})], indirect=True)
async def test_a_start_does_not_wait_for_ever(started: tuple[Api, Known, Warmth]) -> None:
    _, view, warmth = started
    view.synced = True
    await until(lambda: warmth.started, 2.0)
    assert not view.reviews
    await until(lambda: len(view.reviews) == 10)


@pytest.mark.parametrize("started", [(50, 0.0, {"warmSeconds": 0})], indirect=True)
async def test_without_time_for_it_there_is_none(started: tuple[Api, Known, Warmth]) -> None:
    assert started[2].started


@pytest.mark.parametrize("started", [(3, 0.0, {"reviewSeconds": 1.0, "spareReviewsPerSecond": 50})], indirect=True)
async def test_what_grew_old_and_what_is_new_is_reviewed_at_leisure(started: tuple[Api, Known, Warmth]) -> None:
    api, view, warmth = started
    view.synced = True
    await until(lambda: warmth.started)
    view.pods["uid-4"], view.routes["uid-4"] = replace(POD, uid="uid-4"), of_pod(4)
    await until(lambda: "uid-4" in view.reviews)
    assert len(api.asked) == 4
    await until(lambda: len(api.asked) >= 7, 3.0)
    assert len(view.reviews) == 4


@pytest.mark.parametrize("started", [(400, 0.0, {"warmSeconds": 0, "spareReviewsPerSecond": 100})], indirect=True)
async def test_there_is_a_budget(started: tuple[Api, Known, Warmth]) -> None:
    api, view, _ = started
    view.synced = True
    await until(lambda: api.asked)
    await asyncio.sleep(1.0)
    assert 50 <= len(api.asked) <= 130


@pytest.mark.parametrize("started", [(5, 0.0, {"warmSeconds": 0, "spareReviewsPerSecond": 0})], indirect=True)
async def test_a_budget_of_nothing_is_nothing(started: tuple[Api, Known, Warmth]) -> None:
    api, view, _ = started
    view.synced = True
    await asyncio.sleep(0.5)
    assert not api.asked
