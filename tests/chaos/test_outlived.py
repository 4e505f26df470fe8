"""A devbox's pod outlives what it belongs to, for its grace period or for longer: what holds it meanwhile, and what ends it.

On a real API server, with its garbage collector, the operator and the gateway at work; what stands in for a kubelet lets pods live on, and
fails where no NetworkPolicy held one in its last moment.
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import pytest
import uvloop
from tests.support.fake_kubelet import ended, gone
from tests.support.release import CREDENTIALS, Release

from devbox_api import names
from devbox_common.access import Access
from devbox_common.kube import MERGE_PATCH, ApiError, KubeApi, Object
from devbox_common.redacted import Redacted
from devbox_operator.attach import network
from devbox_operator.kit import paths

from .operator.stage import Stage, stage
from .operator.traffic import Agent, Traffic, traffic
from .world import eventually

pytestmark = pytest.mark.xdist_group("outlived")
RESTORED_SECONDS: Final = 5.0
COLLECTED_SECONDS: Final = 60.0
SWEPT_SECONDS: Final = 40.0
RESYNC_SECONDS: Final = 10
OUTLIVE: Final = "its processes would outlive its confinement"
GUARDED: Final = "confines the devboxes of its namespace"
OPTIONS: Final[Object] = {"kind": "DeleteOptions", "apiVersion": "v1"}
AT_ONCE: Final[Object] = {**OPTIONS, "gracePeriodSeconds": 0}
DRY: Final[Object] = {**AT_ONCE, "dryRun": ["All"]}
DANGLING: Final[Object] = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "name": "gone",
    "uid": "5e3b1d1c-0000-4000-8000-000000000000",
}
LONG_AGO: Final[Object] = {"metadata": {"annotations": {names.UNUSED_SINCE_ANNOTATION: "2026-01-01T00:00:00Z"}}}
Case = Callable[[Stage, Traffic, str], Awaitable[None]]
"""Raises AssertionError. Has a namespace of its own."""


async def _said(request: Awaitable[Any]) -> str:
    """The refusal; empty where there is none."""
    try:
        await request
    except ApiError as error:
        return f"{error.status} {error.message}"
    return ""


async def _pod(on: Stage, agent: Agent) -> Object:
    """It is still there."""
    found = await on.get(paths.pods(agent.namespace, agent.name))
    assert found is not None, "the pod is gone"
    assert found["metadata"]["uid"] == agent.uid
    return found


def _gone(on: Stage, path: str) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return await on.get(path) is None

    return look


def _collected(on: Stage, path: str, uid: str) -> Callable[[], Awaitable[bool]]:
    """That very object is gone. (An operator that has not heard yet that the pod is to end makes another one.)"""

    async def look() -> bool:
        found = await on.get(path)
        return found is None or found["metadata"]["uid"] != uid

    return look


def _deny(space: str) -> str:
    return paths.networkpolicies(space, names.DENY_POLICY)


async def deleted(on: Stage, cars: Traffic, space: str) -> None:
    """Each way to delete a Devbox or its pod: what it was allowed goes, what denies it everything stays until its node says that it is
    over."""
    for number, (what, propagation) in enumerate(
        (what, propagation) for what in ("pod", "devbox") for propagation in ("Background", "Foreground", "Orphan")
    ):
        name = f"agent-{number}"
        await on.create(space, name)
        agent = await cars.agent(space, name)
        own = (await _found(on, paths.networkpolicies(space, agent.name)))["metadata"]["uid"]
        cars.kubelet.idle = True
        path = paths.devboxes(space, name) if what == "devbox" else paths.pods(space, agent.name)
        await on.api.request("DELETE", path, body={**OPTIONS, "propagationPolicy": propagation})

        async def on_its_way(agent: Agent = agent) -> bool:
            return "deletionTimestamp" in (await _pod(on, agent))["metadata"]

        await eventually(on_its_way, COLLECTED_SECONDS)
        if propagation == "Foreground":
            await eventually(_collected(on, paths.networkpolicies(space, agent.name), own), COLLECTED_SECONDS)
        took = await cars.refused(agent)
        assert took is not None, f"{what}, {propagation}: it may still use its APIs"
        deny = await on.get(_deny(space))
        assert deny is not None
        assert network.flaws(deny) == []
        cars.kubelet.idle = False
        await cars.kubelet.end(await _pod(on, agent))
        await eventually(_gone(on, paths.secrets(CREDENTIALS, f"route-{agent.uid}")), COLLECTED_SECONDS)
        await on.api.request("DELETE", paths.devboxes(space, name)) if what == "pod" else None


async def namespace_deleted(on: Stage, cars: Traffic, space: str) -> None:
    """Pods first: the policies go when the last pod has (Kubernetes 1.33); and meanwhile they are still guarded."""
    await on.create(space)
    agent = await cars.agent(space)
    cars.kubelet.idle = True
    await on.api.request("DELETE", paths.core("namespaces", "", space))

    async def on_its_way() -> bool:
        return "deletionTimestamp" in (await _pod(on, agent))["metadata"]

    await eventually(on_its_way, COLLECTED_SECONDS)
    for body in (None, {**OPTIONS, "propagationPolicy": "Foreground"}):
        assert GUARDED in await _said(on.api.request("DELETE", _deny(space), body=body))
    deny = await on.get(_deny(space))
    assert deny is not None
    assert network.flaws(deny) == []
    cars.kubelet.idle = False
    await cars.kubelet.end(await _pod(on, agent))
    await eventually(_gone(on, paths.core("namespaces", "", space)), COLLECTED_SECONDS)


async def guarded(on: Stage, cars: Traffic, space: str) -> None:
    """By an administrator: refused, whatever would make it go or say something else."""
    await on.create(space)
    await cars.agent(space)
    before = await on.get(_deny(space))
    assert before is not None
    patches: tuple[Object, ...] = (
        {"spec": {"egress": [{}]}},
        {"spec": {"policyTypes": ["Ingress"]}},
        {"spec": {"podSelector": {"matchExpressions": None}}},
        {"metadata": {"labels": None}},
        {"metadata": {"labels": {names.MANAGED_BY_LABEL: "Helm"}}},
        {"metadata": {"labels": {"app.kubernetes.io/instance": "somebody"}}},
        {"metadata": {"finalizers": ["example.com/never"]}},
        {"metadata": {"ownerReferences": [DANGLING]}},
    )
    for patch in patches:
        said = await _said(on.patch(_deny(space), patch))
        assert GUARDED in said, f"{patch}: {said}"
    collection = paths.networkpolicies(space)
    for where in (_deny(space), collection, f"{collection}?labelSelector={names.MANAGED_SELECTOR}"):
        for propagation in ("Background", "Foreground", "Orphan"):
            said = await _said(on.api.request("DELETE", where, body={**OPTIONS, "propagationPolicy": propagation}))
            assert GUARDED in said or "this NetworkPolicy confines a devbox" in said, f"{where}: {said}"
    assert await on.get(_deny(space)) == before
    await on.patch(_deny(space), {"metadata": {"annotations": {"team": "a"}}})  # (anybody's, and says nothing)
    body = {**before, "metadata": {"name": names.DENY_POLICY}}
    said = await _said(on.api.request("POST", paths.networkpolicies(await on.namespace()), body=body))
    assert "the name devbox-gateway-deny is the operator's" in said, said


async def put_right(on: Stage, cars: Traffic, space: str) -> None:
    """Changed by whoever has the operator's rights: for those that run, and for one that nobody but the sweep looks at."""
    await on.create(space)
    await cars.agent(space)
    changes: tuple[Object | None, ...] = (
        None,
        {"spec": {"egress": [{}]}},
        {"metadata": {"labels": {names.MANAGED_BY_LABEL: None}}},
        {"metadata": {"finalizers": ["example.com/never"]}},
        {"metadata": {"ownerReferences": [DANGLING]}},
    )
    async with on.as_operator() as mad:
        for change in changes:
            said = await _said(
                mad.request("DELETE", _deny(space))
                if change is None
                else mad.request("PATCH", _deny(space), body=change, content_type=MERGE_PATCH)
            )
            if "403" in said or "422" in said:
                continue  # admission holds the operator itself to what it writes

            async def restored() -> bool:
                item = await on.get(_deny(space))
                return item is not None and network.repairs(item) == []

            await eventually(restored, RESTORED_SECONDS)


async def no_room_for_it(on: Stage, cars: Traffic, space: str) -> None:
    """It is not there and can't be made, since somebody has filled the quota, and then opens a policy of his own: no request passes."""
    await on.create(space)
    agent = await cars.agent(space)
    mine = {"podSelector": {}, "policyTypes": ["Egress"]}
    body = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "mine"}, "spec": mine}
    await on.api.request("POST", paths.networkpolicies(space), body=body)
    quota = paths.core("resourcequotas", space)
    hard = {"hard": {"count/networkpolicies.networking.k8s.io": "1"}}
    await on.api.request("POST", quota, body={**body, "apiVersion": "v1", "kind": "ResourceQuota", "spec": hard})
    another = {**body, "metadata": {"name": "another"}}

    async def full() -> bool:
        said = await _said(on.api.request("POST", f"{paths.networkpolicies(space)}?dryRun=All", body=another))
        return "exceeded quota" in said

    await eventually(full, RESTORED_SECONDS * 4)
    async with on.as_operator() as mad:
        await mad.request("DELETE", _deny(space))
    await on.patch(paths.networkpolicies(space, "mine"), {"spec": {"egress": [{}]}})
    took = await cars.refused(agent, codes={"devbox_not_confined"})
    assert took is not None, "it is served, and reaches everything"
    assert await on.get(_deny(space)) is None
    await on.api.request("DELETE", f"{quota}/mine")

    async def restored() -> bool:
        return await on.get(_deny(space)) is not None

    await eventually(restored, COLLECTED_SECONDS)


@contextlib.asynccontextmanager
async def _as_collector(on: Stage) -> AsyncIterator[KubeApi]:
    """Whose work it is to take owners away, where somebody deletes what owns with `--cascade=orphan`."""
    path = f"{paths.core('serviceaccounts', 'kube-system', 'generic-garbage-collector')}/token"
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
    token = Redacted(f"Bearer {(await on.api.request('POST', path, body=body))['status']['token']}")

    async def authorization() -> Redacted:
        return token

    async with KubeApi(Access(on.release.plane.url, on.release.plane.trust(), authorization)) as api:
        yield api


async def owner_taken_away(on: Stage, cars: Traffic, space: str) -> None:
    """No Devbox controls the pod any more: it is ended, its Route goes, and the Devbox gets another pod."""
    secret = await on.get(paths.secrets(space, "anthropic"))
    assert secret is not None
    other = {"apiVersion": "v1", "kind": "Secret", "name": "anthropic", "uid": secret["metadata"]["uid"], "controller": True}
    for name in ("none", "another", "uncontrolled"):
        await on.create(space, name)
        agent = await cars.agent(space, name)
        (owner,) = agent.pod["metadata"]["ownerReferences"]
        changed = {"none": None, "another": [other], "uncontrolled": [{**owner, "controller": False}]}[name]
        async with _as_collector(on) as collector:
            body: Object = {"metadata": {"ownerReferences": changed}}
            await collector.request("PATCH", paths.pods(space, agent.name), body=body, content_type=MERGE_PATCH)
        await eventually(_gone(on, paths.pods(space, agent.name)), COLLECTED_SECONDS)
        await eventually(_gone(on, paths.secrets(CREDENTIALS, f"route-{agent.uid}")), COLLECTED_SECONDS)
        assert (await cars.agent(space, name)).uid != agent.uid


async def retired(on: Stage, cars: Traffic, space: str) -> None:
    """The denying policy goes ten minutes after the last devbox, and not before the last pod, whatever its mark says."""
    await on.create(space)
    agent = await cars.agent(space)

    async def unmarked() -> bool:
        return not network.marked(await _found(on, _deny(space)))

    async def marked() -> bool:
        return network.marked(await _found(on, _deny(space)))

    await on.patch(_deny(space), LONG_AGO)
    await eventually(unmarked, SWEPT_SECONDS)
    cars.kubelet.idle = True
    await on.api.request("DELETE", paths.devboxes(space, "agent"))
    await eventually(_gone(on, paths.devboxes(space, "agent")), COLLECTED_SECONDS)
    await on.patch(_deny(space), LONG_AGO)
    await eventually(unmarked, SWEPT_SECONDS)
    await _pod(on, agent)  # (it lives)
    cars.kubelet.idle = False
    await cars.kubelet.end(await _pod(on, agent))
    await eventually(marked, SWEPT_SECONDS)
    await on.patch(_deny(space), LONG_AGO)
    await eventually(_gone(on, _deny(space)), SWEPT_SECONDS)


async def _found(on: Stage, path: str) -> Object:
    found = await on.get(path)
    assert found is not None, f"{path} is gone"
    return found


async def forced(on: Stage, cars: Traffic, space: str) -> None:
    """A grace period of 0, in each way of asking for it: refused where processes may be, but to those who know that they are gone."""
    await on.create(space, terminationGracePeriodSeconds=30)
    agent = await cars.agent(space)
    pod, namespace = paths.pods(space, agent.name), paths.core("namespaces", "", space)
    eviction: Object = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": agent.name, "namespace": space}}
    evicted_at_once = {**eviction, "deleteOptions": {"gracePeriodSeconds": 0}}
    selected = f"{paths.pods(space)}?labelSelector={names.DEVBOX_LABEL}"
    ways: tuple[tuple[str, str, Object | None], ...] = (
        ("DELETE", pod, AT_ONCE),
        ("DELETE", f"{pod}?gracePeriodSeconds=0", None),
        ("DELETE", pod, DRY),
        ("DELETE", pod, {**AT_ONCE, "propagationPolicy": "Foreground"}),
        ("DELETE", selected, AT_ONCE),
        ("DELETE", f"{selected}&gracePeriodSeconds=0", None),
        ("DELETE", paths.pods(space), AT_ONCE),
        ("POST", f"{pod}/eviction", evicted_at_once),
    )
    for method, where, body in ways:
        said = await _said(on.api.request(method, where, body=body))
        assert OUTLIVE in said, f"{method} {where}, {body}: {said}"
    assert "deletionTimestamp" not in (await _pod(on, agent))["metadata"]
    # Whoever may change the namespace may break the glass, and mend it.
    for value, allowed in (("true", True), ("no", False)):
        await on.patch(namespace, {"metadata": {"labels": {names.FORCED_DELETION_LABEL: value}}})
        for method, where, body in (
            ("DELETE", pod, DRY),
            ("POST", f"{pod}/eviction?dryRun=All", evicted_at_once),
        ):

            async def as_expected(
                method: str = method, where: str = where, body: Object = body, allowed: bool = allowed
            ) -> bool:
                said = await _said(on.api.request(method, where, body=body))
                assert not said or OUTLIVE in said, said
                return allowed == (not said)

            await eventually(as_expected, 10)
    # In its own time; then it may take that time, until its node says that it is over.
    cars.kubelet.idle = True
    await on.api.request("POST", f"{pod}/eviction", body=eviction)
    assert (await _pod(on, agent))["metadata"]["deletionGracePeriodSeconds"] == 30
    assert OUTLIVE in await _said(on.api.request("DELETE", pod, body=AT_ONCE))
    await gone(on.node, space, agent.name, agent.uid)
    assert await on.get(pod) is None
    cars.kubelet.idle = False
    # Where no process is, anybody may.
    await on.create(space, "over", restartPolicy="Never")
    over = await cars.agent(space, "over")
    await cars.kubelet.says(over.pod, **ended("Succeeded"))
    await on.api.request("DELETE", paths.pods(space, over.name), body=AT_ONCE)
    other = {
        **eviction,
        "metadata": {"name": "web-5d4f8c7b9d-x2x7q", "namespace": space},
        "deleteOptions": {"gracePeriodSeconds": 0},
    }
    said = await _said(on.api.request("POST", f"{paths.pods(space, 'web-5d4f8c7b9d-x2x7q')}/eviction", body=other))
    assert said.startswith("404"), "other people's pods are not our affair"


async def stored_with_no_grace(on: Stage, cars: Traffic, space: str) -> None:
    """A Devbox that an older version's CRD let say 0: its pod has a second, and the condition says so."""
    asked = await _said(on.create(space, terminationGracePeriodSeconds=0))
    assert "should be greater than or equal to 1" in asked, asked
    crd = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/devboxes.devbox-gateway.io"
    where = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/terminationGracePeriodSeconds/minimum"
    for least in (0, 1):
        body = [{"op": "replace", "path": where, "value": least}]
        await on.api.request("PATCH", crd, body=body, content_type="application/json-patch+json")

        async def served(least: int = least) -> bool:
            said = await _said(on.create(space, "agent" if least == 0 else "refused", terminationGracePeriodSeconds=0))
            return ("should be greater" in said) == (least == 1)

        await eventually(served, 20)
    agent = await cars.agent(space)
    assert agent.pod["spec"]["terminationGracePeriodSeconds"] == 1
    box = await _found(on, paths.devboxes(space, "agent"))
    said = {one["type"]: one.get("message", "") for one in box["status"]["conditions"]}
    assert said["Accepted"] == "spec.terminationGracePeriodSeconds is 0, which counts as 1; write 1 or more"
    await on.patch(
        paths.devboxes(space, "agent"), {"spec": {"env": [{"name": "A", "value": "b"}]}}
    )  # (it can still be changed)


CASES: Final[dict[str, Case]] = {
    "deleted in each way": deleted,
    "its namespace deleted": namespace_deleted,
    "the denying policy attacked": guarded,
    "the denying policy changed with the operator's rights": put_right,
    "no room for the denying policy": no_room_for_it,
    "its owner taken away": owner_taken_away,
    "the denying policy when nobody is left": retired,
    "deleted by force": forced,
    "stored with no grace period": stored_with_no_grace,
}


@pytest.fixture(scope="module")
def outcomes(release: Release) -> dict[str, Exception | None]:
    """What came of each, with one operator and one gateway."""

    async def all_of_them() -> dict[str, Exception | None]:
        found: dict[str, Exception | None] = {}
        async with stage(release) as on:
            await on.alone(resyncSeconds=RESYNC_SECONDS)
            async with traffic(on) as cars:
                for name, case in CASES.items():
                    cars.kubelet.idle = False
                    try:
                        await case(on, cars, await on.namespace())
                        found[name] = None
                    except (AssertionError, ApiError, TimeoutError) as error:
                        found[name] = error
        return found

    return uvloop.run(all_of_them())


@pytest.mark.row("S20")
@pytest.mark.parametrize("name", list(CASES))
def test_a_pod_outlives_what_it_belongs_to(outcomes: dict[str, Exception | None], name: str) -> None:
    if (error := outcomes[name]) is not None:
        raise error
