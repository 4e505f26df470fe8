"""What is written of who uses a GatewayConfig, and when."""

from datetime import UTC, datetime
from typing import Any

import pytest

from devbox_api.gatewayconfig import GatewayConfigStatus
from devbox_operator.report.conditions import Regarding
from devbox_operator.report.statuses import COUNT_SECONDS, StatusWriter

PATH = "/apis/devbox-gateway.io/v1alpha1/namespaces/team-a/gatewayconfigs/anthropic"


class Api:
    """In place of the writer: what a merge patch makes of the status."""

    def __init__(self) -> None:
        self.status = GatewayConfigStatus()
        self.patches: list[dict[str, Any]] = []

    async def merge(self, path: str, body: dict[str, Any], *, kind: str) -> dict[str, Any]:
        assert (path, kind) == (f"{PATH}/status", "GatewayConfigStatus")
        self.patches.append(body["status"])
        merged = self.status.model_dump(mode="json", by_alias=True, exclude_none=True) | body["status"]
        self.status = GatewayConfigStatus.model_validate(merged)
        return {"metadata": {}}


class Counter:
    """A StatusWriter at a time that the test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.api = Api()
        self.time = 1000.0
        self._writer = StatusWriter(self.api)  # type: ignore[arg-type]
        monkeypatch.setattr("devbox_operator.report.statuses.time.monotonic", lambda: self.time)

    async def count(self, *users: str, generation: int = 1) -> float | None:
        """Returns what the queue is told."""
        new = GatewayConfigStatus(observed_generation=generation, used_by=users, devboxes=len(users))
        regarding = Regarding("GatewayConfig", "team-a", "anthropic", "uid-1")
        return await self._writer.counted(regarding, PATH, self.api.status, new, datetime.now(UTC))

    def forget(self) -> None:
        self._writer.forget_users(PATH)


@pytest.fixture
def counter(monkeypatch: pytest.MonkeyPatch) -> Counter:
    return Counter(monkeypatch)


async def test_the_first_and_the_last_user_are_written_at_once_and_those_between_together(counter: Counter) -> None:
    assert await counter.count("team-a/x") is None
    assert counter.api.status.devboxes == 1
    counter.time += 0.5
    assert await counter.count("team-a/x", "team-a/y") == pytest.approx(COUNT_SECONDS - 0.5)
    assert counter.api.status.devboxes == 1
    assert len(counter.api.patches) == 1
    counter.time += COUNT_SECONDS
    assert await counter.count("team-a/x", "team-a/y", "team-a/z") is None
    assert counter.api.status.devboxes == 3
    counter.time += 0.1
    assert await counter.count() is None
    assert counter.api.status.devboxes == 0, "it may be deleted now"
    counter.time += 0.1
    assert await counter.count("team-a/x") is None
    assert counter.api.status.devboxes == 1, "it may not be deleted any more"


async def test_whatever_else_changes_is_written_at_once(counter: Counter) -> None:
    await counter.count("team-a/x")
    assert await counter.count("team-a/x", "team-a/y", generation=2) is None
    assert counter.api.status.devboxes == 2
    assert await counter.count("team-a/x", "team-a/y", generation=2) is None
    assert len(counter.api.patches) == 2, "nothing differs"


async def test_one_that_is_made_anew_does_not_wait(counter: Counter) -> None:
    await counter.count("team-a/x")
    counter.forget()
    assert await counter.count("team-a/x", "team-a/y") is None
