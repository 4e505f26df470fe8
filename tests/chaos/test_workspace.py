"""Workspaces on a real API server, whose own controllers bind, protect and collect claims: made, grown, kept, lost, and somebody else's."""

import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

import pytest
from tests.support.fake_kubelet import FakeKubelet
from tests.support.release import Release

from devbox_api import names
from devbox_api.devbox import Devbox
from devbox_common.kube import ApiError, Object
from devbox_operator.kit import paths
from devbox_operator.seen.claims import claim_name

from .clients import said
from .operator.stage import Stage, stage
from .storage import grown, provisioned, storage_class
from .world import eventually

pytestmark = [pytest.mark.xdist_group("workspace"), pytest.mark.row("S23", "S29")]
EVENTS = "/apis/events.k8s.io/v1"


class Look:
    """A Devbox `agent` with a workspace, in a namespace of its own."""

    def __init__(self, on: Stage, space: str) -> None:
        self.on, self.space = on, space
        self.path = paths.devboxes(space, "agent")

    async def box(self) -> Object:
        """The Devbox."""
        return await self.on.api.request("GET", self.path)

    async def claims(self) -> list[Object]:
        """Those of workspaces, also of Devboxes that are gone."""
        path = paths.core("persistentvolumeclaims", self.space)
        return (await self.on.api.list(path, {"labelSelector": names.DEVBOX_LABEL}))[0]

    async def claim(self) -> Object:
        """The only one, once it is there."""

        async def one() -> Object | None:
            found = await self.claims()
            assert len(found) < 2
            return found[0] if found else None

        return await until(one)

    async def bound(self) -> Object:
        """The claim, bound as by a provisioner."""
        await provisioned(self.on, await self.claim())

        async def bound() -> Object | None:
            claim = await self.claim()
            return claim if claim.get("status", {}).get("phase") == "Bound" else None

        return await until(bound)

    async def says(self, kind: str, status: str, reason: str) -> str:
        """The message of a condition, once it is so."""
        last = ("", "", "")

        async def so() -> str | None:
            nonlocal last
            last = said(await self.box(), kind)
            return last[2] or "-" if last[:2] == (status, reason) else None

        try:
            return await until(so)
        except TimeoutError:
            raise AssertionError(f"{kind} is {last}") from None

    async def shows(self, **fields: Any) -> None:
        """status.workspace, once it is so."""

        async def so() -> bool | None:
            found = (await self.box())["status"].get("workspace") or {}
            return True if {key: found.get(key) for key in fields} == fields else None

        await until(so)

    async def refused(self, **workspace: Any) -> str:
        """What the API server says to a change of the workspace that it does not take."""
        with pytest.raises(ApiError) as caught:
            await self.change(**workspace)
        return caught.value.message

    async def change(self, **workspace: Any) -> None:
        """Of the workspace."""
        await self.on.patch(self.path, {"spec": {"workspace": workspace}})

    async def pod(self) -> Object:
        """The only one that is not being deleted, once its gate is open."""

        async def one() -> Object | None:
            found = [pod for pod in await self.on.pods(self.space) if "deletionTimestamp" not in pod["metadata"]]
            assert len(found) < 2
            return found[0] if found and not found[0]["spec"].get("schedulingGates") else None

        return await until(one)


T = TypeVar("T")


async def until(attempt: Callable[[], Coroutine[Any, Any, T | None]], seconds: float = 30) -> T:
    """What is asked for, once it is there."""
    found: list[T] = []

    async def there() -> bool:
        found[:] = [one for one in [await attempt()] if one is not None]
        return bool(found)

    await eventually(there, seconds, every=0.1)
    return found[0]


@contextlib.asynccontextmanager
async def at_work(release: Release, **workspace: Any) -> AsyncIterator[Look]:
    """An operator, a kubelet that says that pods run, and a Devbox with a workspace of 1Gi."""
    async with stage(release) as on, FakeKubelet(on.api, on.node).working():
        await on.alone()
        look = Look(on, await on.namespace())
        await on.create(look.space, workspace={"size": "1Gi", **workspace})
        yield look


async def test_it_is_made_before_the_pod_grows_and_goes_with_the_devbox(release: Release) -> None:
    async with stage(release) as on, FakeKubelet(on.api, on.node).working():
        await on.alone()
        look = Look(on, await on.namespace())
        fast = await storage_class(on, allowVolumeExpansion=True)
        await on.create(look.space, workspace={"size": "1Gi", "storageClassName": fast})
        claim = await look.claim()
        assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]
        assert claim["spec"]["storageClassName"] == fast
        pod = await look.pod()
        assert int(claim["metadata"]["resourceVersion"]) < int(pod["metadata"]["resourceVersion"])
        (volume,) = [one for one in pod["spec"]["volumes"] if "persistentVolumeClaim" in one]
        assert volume["persistentVolumeClaim"] == {"claimName": claim["metadata"]["name"]}
        claim = await look.bound()
        await look.shows(claimName=claim["metadata"]["name"], retain="Delete", size="1Gi", capacity="1Gi")
        assert await on.converged(look.space) is not None, await on.problems(look.space)

        await look.change(size="2048Mi")
        message = await look.says("Accepted", "True", "WorkspaceGrowing")
        assert "has 1Gi of 2Gi" in message
        await look.shows(size="2Gi", capacity="1Gi")
        await grown(on, claim, "2Gi")
        await look.says("Accepted", "True", "Accepted")
        await look.shows(size="2Gi", capacity="2Gi")
        assert "can't shrink" in await look.refused(size="1Gi")
        assert "access mode can't be changed" in await look.refused(accessMode="ReadWriteMany")
        assert (await look.pod())["metadata"]["uid"] == pod["metadata"]["uid"]
        assert said(await look.box(), "RestartRequired")[0] == "False"
        await on.api.request("DELETE", look.path)
        assert await on.gone(look.space) is not None, "the claim, too"


async def test_somebody_elses_claim_of_that_name_is_not_taken(release: Release) -> None:
    """Its Devbox's UID is known only once it is there: it is made while no operator works."""
    async with stage(release) as on:
        space = await on.namespace()
        on.stop()
        await on.expire_lease()
        await on.create(space, workspace={"size": "1Gi"})
        look = Look(on, space)
        name = claim_name(Devbox.model_validate(await look.box()))
        body = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": name},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
        }
        await on.api.request("POST", paths.core("persistentvolumeclaims", space), body=body)
        await on.alone()
        message = await look.says("Accepted", "False", "ClaimConflict")
        assert not await on.pods(space)
        before = await on.get(paths.core("persistentvolumeclaims", space, name))
        assert before is not None
        assert not before["metadata"].get("ownerReferences")
        _, _, line = message.partition("runs: kubectl ")
        on.release.plane.kubectl(*line.split())
        await look.pod()
        claim = await look.claim()
        assert claim["metadata"]["ownerReferences"][0]["name"] == "agent"
