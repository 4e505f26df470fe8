"""Workspaces on a real API server, whose own controllers bind, protect and collect claims: made, grown, kept, lost, and somebody else's."""

import contextlib
import re
import shlex
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

import pytest
from tests.support.fake_kubelet import FakeKubelet
from tests.support.fleet import leftovers
from tests.support.release import Release

from devbox_api import names
from devbox_api.devbox import Devbox
from devbox_common.kube import ApiError, Object
from devbox_operator.kit import paths
from devbox_operator.seen.claims import SELECTED_NODE, claim_name

from .clients import said
from .operator.stage import Stage, stage
from .storage import grown, provisioned, resizing, storage_class
from .world import eventually

pytestmark = [pytest.mark.xdist_group("workspace"), pytest.mark.row("S23", "S29")]
EVENTS = "/apis/events.k8s.io/v1"
QUOTAS = "/api/v1/namespaces/{}/resourcequotas"


class Look:
    """A Devbox with a workspace."""

    def __init__(self, on: Stage, space: str, name: str = "agent", kind: str = "") -> None:
        """`kind`: its StorageClass."""
        self.on, self.space, self.name, self.kind = on, space, name, kind
        self.path = paths.devboxes(space, name)

    async def box(self) -> Object:
        """The Devbox."""
        return await self.on.api.request("GET", self.path)

    async def claims(self) -> list[Object]:
        """Those of workspaces of Devboxes of its name, also of ones that are gone."""
        path = paths.core("persistentvolumeclaims", self.space)
        return (await self.on.api.list(path, {"labelSelector": f"{names.DEVBOX_LABEL}={self.name}"}))[0]

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

    async def refused(self, workspace: Object | None = None, **change: Any) -> str:
        """What the API server says to a change of the workspace (or of all of it) that it does not take."""
        with pytest.raises(ApiError) as caught:
            await self.on.patch(self.path, {"spec": {"workspace": change or workspace}})
        return caught.value.message

    async def change(self, **workspace: Any) -> None:
        """Of the workspace."""
        await self.on.patch(self.path, {"spec": {"workspace": workspace}})

    async def pod(self) -> Object:
        """The only one that is not being deleted, once its gate is open."""

        async def one() -> Object | None:
            pods = [pod for pod in await self.on.pods(self.space) if pod["metadata"]["labels"][names.DEVBOX_LABEL] == self.name]
            found = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
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
async def at_work(
    release: Release, *, retain: str = "Delete", quota: str = "", kubelet: bool = True, **kind: Any
) -> AsyncIterator[Look]:
    """An operator, a kubelet that says that pods run, and a Devbox with a workspace of 1Gi. `kind`: fields of its StorageClass."""
    async with stage(release) as on:
        await on.alone()
        space, name = await on.namespace(), await storage_class(on, **kind)
        if quota:
            body = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "claims"}}
            await on.api.request("POST", QUOTAS.format(space), body={**body, "spec": {"hard": {"requests.storage": quota}}})
        async with FakeKubelet(on.api, on.node).working() if kubelet else contextlib.nullcontext():
            await on.create(space, workspace={"size": "1Gi", "storageClassName": name, "retain": retain})
            yield Look(on, space, kind=name)


async def test_it_is_made_before_the_pod_grows_and_goes_with_the_devbox(release: Release) -> None:
    async with at_work(release, allowVolumeExpansion=True) as look:
        on, claim = look.on, await look.claim()
        assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]
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
        await resizing(on, claim, (await look.claim())["spec"]["volumeName"], "2Gi")

        async def pending() -> bool | None:
            message = await look.says("Accepted", "True", "WorkspaceGrowing")
            return ("FileSystemResizePending" in message and message.endswith("if it stays so, restart the devbox")) or None

        await until(pending)
        await grown(on, claim, "2Gi")
        await look.says("Accepted", "True", "Accepted")
        await look.shows(size="2Gi", capacity="2Gi")
        assert "can't shrink" in await look.refused(size="1Gi")
        assert "access mode can't be changed" in await look.refused(accessMode="ReadWriteMany")
        assert "can't be taken from its Devbox" in await look.refused(None)
        assert (await look.pod())["metadata"]["uid"] == pod["metadata"]["uid"]
        assert said(await look.box(), "RestartRequired")[0] == "False"
        await on.api.request("DELETE", look.path)
        assert await on.gone(look.space) is not None, "the claim, too"


async def test_where_a_class_lets_nothing_grow_the_size_may_go_back(release: Release) -> None:
    async with at_work(release) as look:
        await look.bound()
        await look.change(size="2Gi")
        message = await look.says("Accepted", "True", "WorkspaceNotGrowing")
        assert f"StorageClass {look.kind} does not let its claims grow" in message
        await look.shows(size="1Gi", capacity="1Gi")

        async def goes_on() -> bool | None:
            """All is as it should be, but for that."""
            return True if await look.on.problems(look.space) == ["size 1Gi, shown 1Gi"] else None

        await until(goes_on, 60)
        assert "can't shrink" in await look.refused(size="1023Mi")
        await look.change(size="1Gi")
        await look.says("Accepted", "True", "Accepted")


async def test_a_quota_that_holds_it_back_is_said_and_looked_at_again(release: Release) -> None:
    async with at_work(release, allowVolumeExpansion=True, quota="1536Mi") as look:
        await look.bound()
        await look.change(size="2Gi")
        assert "exceeded quota" in await look.says("Accepted", "True", "WorkspaceNotGrowing")
        second = Look(look.on, look.space, "second", look.kind)
        await look.on.create(look.space, "second", workspace={"size": "1Gi", "storageClassName": look.kind})
        assert "exceeded quota" in await second.says("Accepted", "False", "ClaimRefused")
        await look.on.patch(f"{QUOTAS.format(look.space)}/claims", {"spec": {"hard": {"requests.storage": "10Gi"}}})
        await second.pod()
        await look.on.api.request("DELETE", second.path)


async def test_what_is_retained_outlives_its_devbox_and_is_told(release: Release) -> None:
    async with at_work(release, retain="Retain") as look:
        on, claim = look.on, await look.bound()
        name = claim["metadata"]["name"]
        assert "ownerReferences" not in claim["metadata"]
        await look.shows(retain="Retain", capacity="1Gi")
        for retain, owners in (("Delete", ["agent"]), ("Retain", [])):
            await look.change(retain=retain)
            await look.shows(retain=retain)
            assert [one["name"] for one in (await look.claim())["metadata"].get("ownerReferences", ())] == owners
        await look.pod()
        await on.api.request("DELETE", look.path)

        async def told() -> Object | None:
            found = (await on.api.list(f"{EVENTS}/namespaces/{look.space}/events"))[0]
            return next((one for one in found if one["reason"] == "WorkspaceRetained"), None)

        event = await until(told)
        assert event["regarding"]["name"] == "agent"
        assert f"PersistentVolumeClaim {look.space}/{name} (1Gi)" in event["note"]

        async def alone() -> bool | None:
            return True if await leftovers(on.api, of_namespace=look.space) == {"claim": 1} else None

        await until(alone, 60)
        assert (await look.claim())["status"]["phase"] == "Bound"

        # Another Devbox of that name has another one, and may mount the first.
        on.release.plane.kubectl(*shlex.split(re.findall("kubectl (-n [^;]*label pvc [^;]*) ;", event["note"])[0]))
        volume = {"name": "old", "mountPath": "/old", "persistentVolumeClaim": {"claimName": name}}
        await on.create(look.space, workspace={"size": "1Gi", "storageClassName": look.kind}, volumes=[volume])
        pod = await look.pod()
        mounted = [
            one["persistentVolumeClaim"]["claimName"] for one in pod["spec"]["volumes"] if "persistentVolumeClaim" in one
        ]
        assert mounted[0] == name != mounted[1]


async def test_one_that_is_deleted_by_hand_is_lost_until_somebody_puts_it_back(release: Release) -> None:
    async with at_work(release) as look:
        on, claim, pod = look.on, await look.bound(), await look.pod()
        path = paths.core("persistentvolumeclaims", look.space, claim["metadata"]["name"])
        await on.api.request("DELETE", path)
        assert "is being deleted" in await look.says("Accepted", "False", "ClaimLost")
        assert (await look.pod())["metadata"]["uid"] == pod["metadata"]["uid"], "what runs goes on"
        await on.api.request("DELETE", paths.pods(look.space, pod["metadata"]["name"]))
        message = await look.says("Accepted", "False", "ClaimLost")

        async def gone() -> bool | None:
            nonlocal message
            message = await look.says("Accepted", "False", "ClaimLost")
            return True if "does not exist any more" in message else None

        await until(gone)
        assert not [one for one in await on.pods(look.space) if "deletionTimestamp" not in one["metadata"]]
        assert not await look.claims(), "no empty one in its place"
        key, _, uid = message.rpartition(f"{names.WORKSPACE_OF_ANNOTATION}: ")
        assert key
        metadata = {"name": claim["metadata"]["name"], "annotations": {names.WORKSPACE_OF_ANNOTATION: uid}}
        back = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": metadata,
            "spec": {**claim["spec"], "volumeName": ""},
        }
        await on.api.request("POST", paths.core("persistentvolumeclaims", look.space), body=back)
        again = await look.pod()
        assert again["metadata"]["uid"] != pod["metadata"]["uid"]
        assert (await look.claim())["metadata"]["labels"][names.DEVBOX_LABEL] == "agent", "it is watched, like any other"
        await look.says("Accepted", "True", "Accepted")


async def test_what_a_claim_waits_for(release: Release) -> None:
    """Ten seconds long nothing is said; then what there is. With WaitForFirstConsumer, nothing before the pod's node is chosen."""
    async with at_work(release, kubelet=False) as look:
        other = await storage_class(look.on, volumeBindingMode="WaitForFirstConsumer")
        boxes = {
            "agent": (look.kind, "ClaimPending", "describe pvc"),
            "absent": (f"absent-{look.kind}", "StorageClassNotFound", f"StorageClass absent-{look.kind} of"),
            "none": (None, "StorageClassNotFound", "no default one"),
            "waits": (other, "PodPending", ""),
        }
        for name, (kind, _, _) in boxes.items():
            if name != "agent":
                await look.on.create(look.space, name, workspace={"size": "1Gi", "storageClassName": kind})
        for name, (_, reason, words) in boxes.items():
            message = await Look(look.on, look.space, name, "").says("PodReady", "False", reason)
            assert words in message
        waits = Look(look.on, look.space, "waits", other)
        claim = await waits.claim()
        path = paths.core("persistentvolumeclaims", look.space, claim["metadata"]["name"])
        await look.on.patch(path, {"metadata": {"annotations": {SELECTED_NODE: "node-1"}}})
        await waits.says("PodReady", "False", "ClaimPending")
        await provisioned(look.on, claim)
        await waits.says("PodReady", "False", "PodPending")


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
        on.release.plane.kubectl(*shlex.split(line))
        await look.pod()
        claim = await look.claim()
        assert claim["metadata"]["ownerReferences"][0]["name"] == "agent"


async def test_a_suspended_devbox_keeps_it(release: Release) -> None:
    async with at_work(release) as look:
        claim, pod = await look.bound(), await look.pod()
        await look.on.patch(look.path, {"spec": {"suspend": True}})
        await look.says("Suspended", "True", "SuspendedBySpec")
        assert (await look.claim())["metadata"]["uid"] == claim["metadata"]["uid"]
        await look.shows(claimName=claim["metadata"]["name"], capacity="1Gi")
        await look.on.patch(look.path, {"spec": {"suspend": None}})
        again = await look.pod()
        assert again["metadata"]["uid"] != pod["metadata"]["uid"]
        volumes = [one for one in again["spec"]["volumes"] if "persistentVolumeClaim" in one]
        assert volumes[0]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
