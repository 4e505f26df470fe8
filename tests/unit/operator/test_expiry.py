"""A Devbox whose time is over: its deletion, and what becomes of one that is refused.

tests/chaos/operator/lifetimes.py asks a real API server.
"""

from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from devbox_api.conditions import Reason
from devbox_common.kube import ApiError
from devbox_operator.devbox import expiry
from devbox_operator.devbox.expiry import Expiry
from devbox_operator.devbox.lifetime import Lifetime, lifetime
from devbox_operator.kit.queue import LONGEST_PAUSE
from devbox_operator.report.conditions import NOTE
from devbox_operator.report.problem import Problem

pytestmark = pytest.mark.row("S23")
LATER = datetime(2026, 11, 24, 12, tzinfo=UTC)


class Writer:
    """Answers deletions as it is told."""

    def __init__(self) -> None:
        self.answer: ApiError | bool = True
        self.asked: list[dict[str, Any]] = []

    async def delete(self, path: str, **what: Any) -> bool:
        self.asked.append({"path": path, **what})
        if isinstance(self.answer, ApiError):
            raise self.answer
        return self.answer


class Statuses:
    def __init__(self) -> None:
        self.posted: list[Any] = []

    async def events(self, events: Any) -> None:
        self.posted += events


class World:
    """With a clock that the test moves."""

    def __init__(self, view: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.writer, self.statuses, self.clock, self.view = Writer(), Statuses(), 100.0, view
        self.expiry = Expiry(SimpleNamespace(writer=self.writer), self.statuses)  # type: ignore[arg-type]
        monkeypatch.setattr(expiry, "time", SimpleNamespace(monotonic=lambda: self.clock))
        life = lifetime(view, LATER)
        assert life is not None
        assert life.over
        self.life: Lifetime = life

    async def end(self) -> Lifetime | None:
        return await self.expiry.end(self.view, self.life)


@pytest.fixture
def world(devbox: Any, monkeypatch: pytest.MonkeyPatch) -> World:
    view = replace(devbox(spec={"lifecycle": {"ttl": "1h"}}), created=datetime(2026, 11, 23, 12, tzinfo=UTC))
    return World(view, monkeypatch)


async def test_that_very_object_is_deleted_as_it_was_and_it_is_said(world: World) -> None:
    assert await world.end() is None
    path = "/apis/devbox-gateway.io/v1alpha1/namespaces/team-a/devboxes/agent"
    assert world.writer.asked == [{"path": path, "uid": "uid-team-a-agent", "version": "7", "kind": "Devbox"}]
    (event,) = world.statuses.posted
    assert (event["reason"], event["type"], event["regarding"]["uid"]) == ("Expired", "Normal", "uid-team-a-agent")
    assert event["note"] == "deleted: its time was over at 2026-11-23T13:00:00Z (spec.lifecycle.ttl: 1h)"
    assert len(event["note"]) <= NOTE


async def test_one_that_changed_meanwhile_is_looked_at_anew(world: World) -> None:
    world.writer.answer = False
    with pytest.raises(ApiError) as raised:
        await world.end()
    assert raised.value.conflict
    assert not world.statuses.posted


async def test_a_refusal_is_said_at_once_and_tried_again_with_a_growing_pause(world: World) -> None:
    world.writer.answer = ApiError(403, "Forbidden", "ValidatingAdmissionPolicy 'freeze' denied request: not now")
    pauses = []
    for number in range(1, 13):
        life = await world.end()
        assert life is not None
        assert life.refused is not None
        assert life.again is not None
        assert (life.refused.reason, life.refused.message) == (
            "DeletionRefused",
            "ValidatingAdmissionPolicy 'freeze' denied request: not now",
        )
        assert len(world.writer.asked) == number
        again = await world.end()
        assert again is not None
        assert again.refused == life.refused
        assert len(world.writer.asked) == number, "whatever wakes it meanwhile"
        pauses.append(life.again)
        world.clock += life.again
    assert pauses[:4] == pytest.approx([1, 2, 4, 8])
    assert max(pauses) == pytest.approx(LONGEST_PAUSE)
    world.writer.answer = True
    assert await world.end() is None


@pytest.mark.parametrize(
    "error", [ApiError(500, "InternalError", "failed calling webhook"), ApiError(429, "TooManyRequests", "busy")]
)
async def test_what_may_pass_is_said_when_it_does_not(world: World, error: ApiError) -> None:
    world.writer.answer, said = error, []
    for _ in range(4):
        life = await world.end()
        assert life is not None
        assert life.again is not None
        said.append(life.refused is not None)
        world.clock += life.again
    assert said == [False, False, True, True]


async def test_one_that_has_time_again_begins_anew(world: World) -> None:
    world.writer.answer = ApiError(403, "Forbidden", "no")
    for _ in range(3):
        life = await world.end()
        assert life is not None
        assert life.again is not None
        world.clock += life.again
    world.expiry.forget(world.view.key)
    life = await world.end()
    assert life is not None
    assert life.again == pytest.approx(1)


async def test_what_must_come_first_is_not_asked_of_the_api_server(world: World) -> None:
    obstacle = Problem(Reason.DELETION_REFUSED, "its claim would go with it")
    life = await world.expiry.end(world.view, world.life, obstacle)
    assert life is not None
    assert life.refused == obstacle
    assert not world.writer.asked
