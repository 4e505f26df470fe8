"""What the working replica does before all else, and whom it wakes."""

import asyncio
from typing import Any, cast

import pytest

from devbox_common.kube import ApiError
from devbox_operator import leader
from devbox_operator.kit.lease import Elector
from devbox_operator.leader import Leader, insist
from devbox_operator.seen.keys import FLOOR, Kind, WorkKey
from devbox_operator.seen.visibility import SEEN
from devbox_operator.settings import Settings


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leader, "LONGEST_SECONDS", 0.001)


@pytest.mark.parametrize(
    "error",
    [ApiError(504, "Timeout", "Too large resource version"), ApiError(0, "Unreachable", "no"), ApiError(409, "Conflict", "no")],
    ids=["behind", "unreachable", "somebody was first"],
)
async def test_a_first_look_that_fails_is_no_end(error: ApiError) -> None:
    left = [error] * 7

    async def look() -> None:
        if left:
            raise left.pop()

    async with asyncio.timeout(1):
        await insist(look)
    assert not left


@pytest.mark.parametrize("error", [ApiError(403, "Forbidden", "no"), ApiError(422, "Invalid", "no"), ValueError()])
async def test_one_that_another_try_would_not_change_is(error: Exception) -> None:
    tries = 0

    async def look() -> None:
        nonlocal tries
        tries += 1
        raise error

    with pytest.raises(type(error)):
        await insist(look)
    assert tries == 1


class Api:
    base = "https://api.test"


@pytest.fixture
def made(settings: Settings) -> Leader:
    api = cast(Any, Api())
    elector = Elector(api, "rel", "devbox-operator", "me", duration=15, renew=5)
    return Leader(api, settings, elector=elector, take_signals=lambda: None, owner=None)


async def test_whoever_is_looked_at_while_a_canary_is_seen_is_looked_at_again(made: Leader) -> None:
    """It is decided about by what was known before, and its pod may not have been made yet: nothing else would wake it."""
    box = WorkKey(Kind.DEVBOX, "team-a", "agent")

    async def reconcile(_: Any) -> None:
        made._visibility_changed(SEEN)

    made._devboxes.reconcile = reconcile  # type: ignore[method-assign, assignment]
    made.queue.add(box)
    assert made.queue.take() == box
    await made.queue.step(box)
    assert made.queue.take() == box
    assert made.queue.take() is None


async def test_what_is_no_devbox_is_not(made: Leader) -> None:
    made.queue.add(FLOOR)
    assert made.queue.take() == FLOOR
    made._visibility_changed(SEEN)
    made.queue._done(FLOOR, None)
    assert made.queue.take() is None
