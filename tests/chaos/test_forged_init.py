"""Where the chart's admission policies are not in force: `edit` puts another devbox-init into a gated pod, or another number onto it.

The operator believes neither: the gate stays closed and the condition says why; and the pod with the wrong number is replaced.
"""

from collections.abc import Iterator

import pytest
import uvloop
from tests.support.fleet import GATEWAYS, gatewayconfig
from tests.support.release import NAMESPACE, Release, installed

from devbox_api import names
from devbox_common.kube import JSON_PATCH, ApiError, Object
from devbox_operator.kit import paths

from .operator.stage import Stage, stage
from .world import eventually

pytestmark = pytest.mark.xdist_group("forged-init")
SECONDS = 30.0
FORGED = "evil.example/devbox-gateway:1"


@pytest.fixture(scope="module")
def release() -> Iterator[Release]:
    """One whose policy `devbox-pods` binds nobody."""
    with installed() as made:
        made.plane.kubectl("delete", "validatingadmissionpolicybinding", f"{NAMESPACE}-devbox-pods")
        yield made


async def gated(on: Stage, space: str) -> Object:
    """The pod of a Devbox that waits for a GatewayConfig."""
    await on.api.request("DELETE", paths.gatewayconfigs(space, GATEWAYS[0].lower()))
    await on.create(space)

    async def made() -> bool:
        return bool(await on.pods(space))

    await eventually(made, SECONDS)
    (pod,) = await on.pods(space)
    assert pod["spec"]["schedulingGates"]
    return pod


async def edit(on: Stage, pod: Object, path: str, value: str) -> None:
    """As soon as the policy is out of force: an API server takes a moment to notice."""
    where = paths.pods(pod["metadata"]["namespace"], pod["metadata"]["name"])
    operations = [{"op": "replace", "path": path, "value": value}]

    async def done() -> bool:
        try:
            await on.api.request("PATCH", where, body=operations, content_type=JSON_PATCH)
        except ApiError as error:
            if not error.denied:
                raise
            return False
        return True

    await eventually(done, SECONDS)


async def condition(on: Stage, space: str, kind: str) -> tuple[str, str]:
    """Its status and reason."""
    box = await on.get(paths.devboxes(space, "agent")) or {}
    found = {one["type"]: (one["status"], one["reason"]) for one in box.get("status", {}).get("conditions", ())}
    return found.get(kind, ("", ""))


def test_another_devbox_init_is_not_believed(release: Release) -> None:
    async def run() -> None:
        async with stage(release) as on:
            await on.alone()
            space = await on.namespace()
            pod = await gated(on, space)
            await edit(on, pod, "/spec/initContainers/0/image", FORGED)
            await on.api.request("POST", paths.gatewayconfigs(space), body=gatewayconfig(space, GATEWAYS[0]))

            async def said() -> bool:
                return await condition(on, space, "EgressConfined") == ("False", "ForeignImage")

            async def resolved() -> bool:
                return await condition(on, space, "CredentialsResolved") == ("True", "Resolved")

            await eventually(said, SECONDS)
            await eventually(resolved, SECONDS)
            (same,) = await on.pods(space)
            assert same["metadata"]["uid"] == pod["metadata"]["uid"]
            assert same["spec"]["schedulingGates"], "what it would say of the pod's confinement is worth nothing"
            await on.api.request("DELETE", paths.pods(space, pod["metadata"]["name"]))
            assert await on.converged(space) is not None, await on.problems(space)

    uvloop.run(run())


def test_a_pod_with_another_number_is_replaced(release: Release) -> None:
    async def run() -> None:
        async with stage(release) as on:
            await on.alone()
            space = await on.namespace()
            pod = await gated(on, space)
            annotation = names.INCARNATION_ANNOTATION.replace("/", "~1")
            await edit(on, pod, f"/metadata/annotations/{annotation}", "999999")

            async def another() -> bool:
                return [one["metadata"]["uid"] for one in await on.pods(space)] not in ([], [pod["metadata"]["uid"]])

            await eventually(another, SECONDS)
            (new,) = await on.pods(space)
            assert new["metadata"]["annotations"][names.INCARNATION_ANNOTATION] == "2", "and not the millionth"

    uvloop.run(run())
