"""The number of the next pod: who may use it, and who waits."""

from typing import Any

import pytest

from devbox_common.kube import ApiError
from devbox_operator.devbox.announce import POSTED_SECONDS, Announcements
from devbox_operator.devbox.incarnation import pod_name
from devbox_operator.report.statuses import StatusWriter


class Api:
    """In place of the writer: takes patches, or has a conflict."""

    def __init__(self) -> None:
        self.patches: list[dict[str, Any]] = []
        self.error: ApiError | None = None

    async def merge(self, _: str, body: dict[str, Any], *, kind: str) -> dict[str, Any]:
        assert kind == "DevboxStatus"
        self.patches.append(body)
        if self.error is not None:
            raise self.error
        return {"metadata": {"resourceVersion": "8"}}


class Clocked:
    """Two replicas that share no Lease, at a time that the test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.api, self.time = Api(), 1000.0
        self.ours, self.other = (Announcements(StatusWriter(self.api)) for _ in range(2))  # type: ignore[arg-type]
        monkeypatch.setattr("devbox_operator.devbox.announce.time.monotonic", lambda: self.time)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Clocked:
    return Clocked(monkeypatch)


async def test_the_devbox_is_seen_as_its_announcement_left_it(world: Clocked, devbox: Any) -> None:
    view = devbox(status={"incarnation": 3, "podUID": "u", "podIPs": ["10.0.0.7"], "failures": 1})
    after = await world.ours.announce(view, 4, 2)
    (patch,) = world.api.patches
    name = pod_name(view.box, 4)
    assert patch["metadata"] == {"resourceVersion": "7", "uid": view.box.uid}
    gone = dict.fromkeys(("podUID", "podIPs", "suspendedAt"))
    assert patch["status"] == {"incarnation": 4, "failures": 2, "podName": name, **gone}
    assert after.version == "8"
    status = after.box.status
    assert (status.incarnation, status.failures, status.pod_name, status.pod_uid, status.pod_ips) == (4, 2, name, None, ())
    assert await world.ours.announce(after, 4, 2) is after
    assert len(world.api.patches) == 1, "what is written is not written again"


async def test_what_another_replica_announced_has_a_moment_to_be_posted(world: Clocked, devbox: Any) -> None:
    announced = await world.ours.announce(devbox(), 1, 0)
    assert world.ours.on_its_way(announced, 2) < 0, "our own is not on its way: we would know"
    assert world.other.on_its_way(announced, 2) == POSTED_SECONDS
    world.time += 1.0
    assert world.other.on_its_way(announced, 2) == POSTED_SECONDS - 1.0
    world.time += POSTED_SECONDS
    assert world.other.on_its_way(announced, 2) < 0


@pytest.mark.parametrize(
    "status",
    [{}, {"incarnation": 2}, {"incarnation": 1, "podUID": "u"}, {"incarnation": 1, "suspendedAt": "2026-11-23T12:00:00Z"}],
    ids=["none", "that one", "posted", "suspended"],
)
def test_where_nothing_is_on_its_way(world: Clocked, devbox: Any, status: dict[str, Any]) -> None:
    assert world.other.on_its_way(devbox(status=status), 2) == 0.0


async def test_one_that_is_resumed_has_its_pod_on_its_way_again(world: Clocked, devbox: Any) -> None:
    """However soon another replica looks."""
    resumed = devbox(status={"incarnation": 1, "suspendedAt": "2026-11-23T12:00:00Z"})
    announced = await world.ours.announce(resumed, 2, 0)
    assert announced.box.status.suspended_at is None
    assert world.api.patches[-1]["status"]["suspendedAt"] is None, "and so it is written"
    assert world.other.on_its_way(announced, 3) == POSTED_SECONDS


@pytest.mark.parametrize(("error", "waits"), [(409, True), (500, False)], ids=["somebody was first", "the answer is lost"])
async def test_an_announcement_that_fails(world: Clocked, devbox: Any, error: int, waits: bool) -> None:
    world.api.error = ApiError(error, "Conflict" if error == 409 else "InternalError", "no")
    with pytest.raises(ApiError):
        await world.ours.announce(devbox(), 1, 0)
    assert (world.ours.on_its_way(devbox(status={"incarnation": 1}), 2) > 0) is waits
    world.ours.forget(devbox().key)
    assert world.ours.on_its_way(devbox(status={"incarnation": 1}), 2) > 0
