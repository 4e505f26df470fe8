"""A devbox in which something runs is said to be in use: at once, again while it lasts, seldom. (At a cluster: tests/integration.)"""

import asyncio
from typing import Any

import pytest

from devbox_gateway.errors import APIConnectionError, DevboxGatewayError, PermissionDeniedError
from devbox_gateway.exec import activity
from devbox_gateway.exec.activity import InUse
from devbox_gateway.kube.access import Access
from devbox_gateway.kube.credentials import Static
from devbox_gateway.kube.session import Session

pytestmark = pytest.mark.row("S23")


class Said:
    """A devbox that counts what is said of it."""

    def __init__(self, error: DevboxGatewayError | None = None) -> None:
        self.session = Session(Access(url="http://127.0.0.1:9", source=Static({})), "test")
        self.paces: dict[str, float] = {}
        self.words, self.error, self.changed = 0, error, asyncio.Event()

    def handle(self) -> InUse:
        return InUse(self.session, "/devboxes/agent", self.paces, self.say)

    async def say(self) -> None:
        self.words += 1
        self.changed.set()
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error


async def test_it_is_said_once_however_often_something_runs() -> None:
    said = Said()
    for _ in range(20):
        with said.handle().while_open():
            await asyncio.sleep(0)
    await said.session.close()
    assert said.words == 1


async def test_what_ends_at_once_is_told_of_all_the_same() -> None:
    """A command of a moment, and the client is closed."""
    said = Said()
    with said.handle().while_open():
        pass
    await said.session.close()
    assert said.words == 1
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize("error", [None, APIConnectionError("away")], ids=["heard", "an API server that is away"])
async def test_it_is_said_again_while_it_lasts(error: DevboxGatewayError | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activity, "PACE_SECONDS", 0.02)
    said = Said(error)
    with said.handle().while_open():
        async with asyncio.timeout(10):
            while said.words < 3:
                said.changed.clear()
                await said.changed.wait()
    await said.session.close()
    words = said.words
    await asyncio.sleep(0.1)
    assert said.words == words, "it is over"


async def test_whoever_may_not_say_it_does_not_try_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activity, "PACE_SECONDS", 0.0)
    said = Said(PermissionDeniedError("no"))
    for _ in range(3):
        with said.handle().while_open():
            await asyncio.sleep(0.02)
    await said.session.close()
    assert said.words == 1


async def test_what_hangs_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the command nor, for long, the end of the client."""
    monkeypatch.setattr("devbox_gateway.kube.session.LAST_SECONDS", 0.05)
    said = Said()

    async def hang() -> Any:
        await asyncio.Event().wait()

    said.say = hang  # type: ignore[method-assign]
    async with asyncio.timeout(10):
        with said.handle().while_open():
            pass
        await said.session.close()
