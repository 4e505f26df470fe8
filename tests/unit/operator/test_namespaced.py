"""What a namespace's devboxes share: one owner reference each, and few writes."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from devbox_common.kube import ApiError
from devbox_operator.devbox.namespaced import SharedObjects
from devbox_operator.release.certificates import make_ca
from devbox_operator.seen.namespaced import SharedView, bundle_hash
from devbox_operator.seen.resources import DevboxView

Make = Callable[..., Any]


class World:
    """A mirror that sees at once what is written, and a writer that counts; writes wait for `go`."""

    def __init__(self) -> None:
        self.seen: dict[str, SharedView] = {}
        self.hidden: dict[str, SharedView] = {}
        """There, but not mirrored yet."""
        self.writes: list[tuple[str, dict[str, Any]]] = []
        self.go = asyncio.Event()
        self.go.set()

    def shared(self, kind: str, _: str, __: str) -> SharedView | None:
        return self.seen.get(kind)

    async def create(self, _: str, body: dict[str, Any]) -> dict[str, Any]:
        await self.go.wait()
        self.writes.append(("create", body))
        if body["kind"] in self.hidden or body["kind"] in self.seen:
            raise ApiError(409, "AlreadyExists", "there")
        return self._store(body["kind"], body, frozenset())

    async def strategic(self, _: str, body: dict[str, Any], *, kind: str) -> dict[str, Any]:
        await self.go.wait()
        self.writes.append(("patch", body))
        found = self.seen.get(kind) or self.hidden[kind]
        return self._store(kind, body, found.owners)

    def _store(self, kind: str, body: dict[str, Any], owners: frozenset[str]) -> dict[str, Any]:
        new = {owner["uid"] for owner in body["metadata"]["ownerReferences"]}
        content = bundle_hash(body.get("data") or {}, body.get("binaryData") or {})
        self.seen[kind] = SharedView(f"{kind}-1", owners | new, content)
        return {"metadata": {"uid": f"{kind}-1"}}

    def owners(self, kind: str) -> frozenset[str]:
        return self.seen[kind].owners


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def shared(world: World) -> SharedObjects:
    return SharedObjects(world, world)  # type: ignore[arg-type]


async def test_many_devboxes_that_come_together_share_writes(world: World, shared: SharedObjects, devbox: Make) -> None:
    first, *others = (devbox(name=f"box-{number}") for number in range(50))
    await shared.ensure(first, "")
    world.go.clear()
    tasks = [asyncio.create_task(shared.ensure(box, "")) for box in others]
    await asyncio.sleep(0.01)
    world.go.set()
    assert set(await asyncio.gather(*tasks)) == {"ServiceAccount-1"}
    assert len(world.owners("ServiceAccount")) == 50
    # The one that was under way, and one for all who came meanwhile.
    assert len(world.writes) <= 3


async def test_the_bundle_goes_with_the_service_account(world: World, shared: SharedObjects, devbox: Make) -> None:
    bundle = make_ca("rel", datetime(2026, 12, 1, tzinfo=UTC)).certificate.decode()
    await shared.ensure(devbox(), bundle)
    assert world.owners("ConfigMap") == {"ServiceAccount-1"}
    (_, made) = world.writes[-1]
    assert set(made["binaryData"]) == {"truststore.p12", "java-options", "wgetrc", "devbox-gateway.ini"}
    written = len(world.writes)
    for another in (shared, SharedObjects(world, world)):  # type: ignore[arg-type]
        await another.ensure(devbox(), bundle)
    assert len(world.writes) == written, "one that starts anew writes nothing"


async def test_a_bundle_of_a_version_that_had_no_other_forms_gets_them(
    world: World, shared: SharedObjects, devbox: Make
) -> None:
    bundle = make_ca("rel", datetime(2026, 12, 1, tzinfo=UTC)).certificate.decode()
    await shared.ensure(devbox(), bundle)
    world.seen["ConfigMap"] = SharedView(
        "ConfigMap-1", frozenset({"ServiceAccount-1"}), bundle_hash({"ca-bundle.crt": bundle}, {})
    )
    await shared.ensure(devbox(), bundle)
    assert world.writes[-1][0] == "patch"
    assert "truststore.p12" in world.writes[-1][1]["binaryData"]


def test_what_stands_beside_the_bundle_does_not_count() -> None:
    """Else what an administrator put there would be written over, in vain, at every look."""
    assert bundle_hash({"ca-bundle.crt": "x", "other": "y"}, {"z": ""}) == bundle_hash({"ca-bundle.crt": "x"}, {})


async def test_one_that_was_made_without_our_label_becomes_ours(world: World, shared: SharedObjects, devbox: Make) -> None:
    world.hidden["ServiceAccount"] = SharedView("ServiceAccount-1", frozenset({"other"}), "")
    box: DevboxView = devbox()
    assert await shared.ensure(box, "") == "ServiceAccount-1"
    assert world.owners("ServiceAccount") == {"other", box.box.uid}


async def test_a_write_that_fails_is_done_by_the_next(world: World, shared: SharedObjects, devbox: Make) -> None:
    async def refuse(_: str, __: dict[str, Any]) -> dict[str, Any]:
        raise ApiError(500, "InternalError", "no")

    make, world.create = world.create, refuse  # type: ignore[method-assign, assignment]
    with pytest.raises(ApiError):
        await shared.ensure(devbox(name="one"), "")
    world.create = make  # type: ignore[method-assign]
    two: DevboxView = devbox(name="two")
    await shared.ensure(two, "")
    assert world.owners("ServiceAccount") == {two.box.uid}
