"""The claim of a workspace is made, given away and made larger: by which writes, and what a refusal leaves."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from devbox_api import names
from devbox_common.kube import ApiError
from devbox_operator.devbox.claiming import Claims
from devbox_operator.report.statuses import StatusWriter
from devbox_operator.seen.claims import ClaimView, StorageClassView, claim_name
from devbox_operator.settings import Settings

from .conftest import claim_of

pytestmark = pytest.mark.row("S23")
FAST = StorageClassView("fast", waits=False, grows=True)


class World:
    """In place of writer and observer: takes writes, or refuses them."""

    def __init__(self, settings: Settings) -> None:
        self.writes: list[dict[str, Any]] = []
        self.errors: list[ApiError] = []
        self.ends = False
        self.index = SimpleNamespace(ending=set[str]())
        self.there: list[ClaimView] = []
        tools: Any = SimpleNamespace(
            observer=self, watches=SimpleNamespace(claims=self.mirrored), writer=self, index=self.index, settings=settings
        )
        self.claims = Claims(tools, StatusWriter(self))  # type: ignore[arg-type]
        self.posted: list[dict[str, Any]] = []

    async def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if body["kind"] == "Event":
            self.posted.append(body)
            return body
        assert path == "/api/v1/namespaces/team-a/persistentvolumeclaims"
        return self._taken(body)

    async def strategic(self, path: str, body: dict[str, Any], *, kind: str) -> dict[str, Any]:
        assert kind == "PersistentVolumeClaim"
        name = path.rpartition("/")[2]
        whole = {"name": name, "namespace": "team-a", **body["metadata"]}
        owners = [one for one in whole.get("ownerReferences", ()) if "$patch" not in one]
        return self._taken(body) | {"metadata": {**whole, "ownerReferences": owners}}

    def _taken(self, body: dict[str, Any]) -> dict[str, Any]:
        self.writes.append(body)
        if self.errors:
            raise self.errors.pop(0)
        return {**body, "metadata": {"uid": "claim-1", **body["metadata"]}}

    def mirrored(self, devbox: tuple[str, str]) -> list[ClaimView]:
        assert devbox == ("team-a", "agent")
        return self.there

    async def ending(self, _: str) -> bool:
        return self.ends


@pytest.fixture
def world(settings: Settings) -> World:
    return World(settings)


async def test_it_is_made_where_there_is_none(world: World, devbox: Any, snapshot: Any) -> None:
    view = devbox(spec={"workspace": {"size": "1Gi"}})
    kept = await world.claims.keep(snapshot(view))
    assert kept.claim is not None
    assert kept.claim.uid == "claim-1"
    (write,) = world.writes
    assert write["metadata"]["name"] == claim_name(view.box)


async def test_nothing_is_written_where_all_is_well(world: World, devbox: Any, snapshot: Any) -> None:
    view = devbox(spec={"workspace": {"size": "10Gi"}})
    shot = snapshot(view, claim=claim_of(view))
    assert await world.claims.keep(shot) is shot
    plain = snapshot(devbox())
    assert await world.claims.keep(plain) is plain
    assert not world.writes


@pytest.mark.parametrize(
    "change",
    [
        {"deleting": True},
        {"namespace": "kube-public"},
        {"namespace": "rel"},
        {"namespace": "ending"},
        {"status": {"workspace": {"claimName": "c", "claimUID": "u", "retain": "Delete", "size": "1Gi"}}},
    ],
    ids=str,
)
async def test_none_is_made(world: World, devbox: Any, snapshot: Any, change: dict[str, Any]) -> None:
    world.index.ending.add("ending")
    shot = snapshot(devbox(spec={"workspace": {"size": "1Gi"}}, **change))
    assert await world.claims.keep(shot) is shot
    assert not world.writes


async def test_somebody_elses_is_left_alone(world: World, devbox: Any, snapshot: Any) -> None:
    view = devbox(spec={"workspace": {"size": "20Gi", "retain": "Retain"}})
    for change in ({"workspace_of": "", "owners": frozenset()}, {"deleting": True}, {"phase": "Lost"}):
        shot = snapshot(view, claim=claim_of(view, **change), storage_class=FAST)
        assert await world.claims.keep(shot) is shot
    assert not world.writes


async def test_it_grows_and_is_kept_in_two_writes(world: World, devbox: Any, snapshot: Any) -> None:
    """What a quota says of the size does not decide about who owns it."""
    view = devbox(spec={"workspace": {"size": "20Gi", "retain": "Retain"}})
    world.errors = [ApiError(403, "Forbidden", "exceeded quota")]
    with pytest.raises(ApiError):
        await world.claims.keep(snapshot(view, claim=claim_of(view), storage_class=FAST))
    world.writes.clear()
    kept = await world.claims.keep(snapshot(view, claim=claim_of(view, owners=frozenset()), storage_class=FAST))
    assert world.writes == [{"metadata": {"uid": "claim-1"}, "spec": {"resources": {"requests": {"storage": "20Gi"}}}}]
    assert kept.claim is not None
    assert kept.claim.asked == "20Gi"


@pytest.mark.parametrize(("status", "raised"), [(403, False), (422, False), (409, True), (500, True), (404, True)])
async def test_a_refusal_is_told_and_what_passes_is_tried_again(
    world: World, devbox: Any, snapshot: Any, status: int, raised: bool
) -> None:
    grows = devbox(spec={"workspace": {"size": "20Gi"}})
    for shot in (
        snapshot(grows, claim=claim_of(grows), storage_class=FAST),
        *([snapshot(grows)] if status != 404 else []),
    ):
        world.errors = [ApiError(status, "Reason", "no")]
        if raised:
            with pytest.raises(ApiError):
                await world.claims.keep(shot)
        else:
            kept = await world.claims.keep(shot)
            assert (kept.claim, kept.claim_refused) == (shot.claim, "no")


async def test_a_namespace_that_ends_is_no_refusal(world: World, devbox: Any, snapshot: Any) -> None:
    world.errors, world.ends = [ApiError(403, "Forbidden", "because it is being terminated")], True
    with pytest.raises(ApiError):
        await world.claims.keep(snapshot(devbox(spec={"workspace": {"size": "1Gi"}})))


async def test_lost_labels_come_back_with_the_uid_as_a_condition(world: World, devbox: Any, snapshot: Any) -> None:
    view = devbox(spec={"workspace": {"size": "10Gi"}})
    await world.claims.keep(snapshot(view, claim=replace(claim_of(view), labelled=False)))
    (write,) = world.writes
    assert write["metadata"]["uid"] == "claim-1"
    assert write["metadata"]["labels"][names.DEVBOX_LABEL] == "agent"


async def test_where_the_files_are_is_said_when_the_devbox_is_gone(world: World, devbox: Any, snapshot: Any) -> None:
    """Once; and not of one whose claim goes with it, or that is deleted, or of another Devbox of that name."""
    view = devbox(spec={"workspace": {"size": "10Gi", "retain": "Retain"}})
    kept = claim_of(view, owners=frozenset())
    world.there = [kept, claim_of(view, uid="claim-0", name="agent-0000000000", workspace_of="uid-0", owners=frozenset())]
    await world.claims.keep(snapshot(view, claim=kept))
    going = devbox(spec={"workspace": {"size": "10Gi", "retain": "Retain"}}, deleting=True)
    await world.claims.keep(snapshot(going, claim=kept))
    for _ in range(2):
        await world.claims.gone(view.key)
    (event,) = world.posted
    assert (event["reason"], event["type"], event["regarding"]["uid"]) == ("WorkspaceRetained", "Normal", view.box.uid)
    assert f"team-a/{kept.name} (10Gi)" in event["note"]
    assert event["note"].endswith(f": kubectl -n team-a delete pvc {kept.name}")
    assert f": kubectl -n team-a label pvc {kept.name} devbox-gateway.io/mountable=true ;" in event["note"]
    assert "\n" not in event["note"], "kubectl get events would not show the rest"

    world.posted.clear()
    for change in ({"owners": frozenset({view.box.uid})}, {"deleting": True}):
        await world.claims.keep(snapshot(view, claim=kept))
        world.there = [replace(kept, **change)]
        await world.claims.gone(view.key)
    await world.claims.keep(snapshot(view, claim=kept))
    world.there, _ = [kept], world.index.ending.add("team-a")
    await world.claims.gone(view.key)
    assert not world.posted


async def test_it_is_said_though_another_devbox_has_the_name_already(world: World, devbox: Any, snapshot: Any) -> None:
    view = devbox(spec={"workspace": {"size": "10Gi", "retain": "Retain"}})
    kept = claim_of(view, owners=frozenset())
    world.there = [kept]
    await world.claims.keep(snapshot(view, claim=kept))
    other = replace(view, box=view.box.model_copy(update={"uid": "another", "spec": devbox().box.spec}))
    await world.claims.keep(snapshot(other))
    assert [event["regarding"]["uid"] for event in world.posted] == [view.box.uid]
