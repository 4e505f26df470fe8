"""Devboxes that are new to the operator: what comes with them a moment later is no Warning, what never comes is one; and containers that
do not begin. On a real API server."""

import time
from typing import Any

import pytest
import uvloop
from tests.support.fake_kubelet import FakeKubelet, moment, waiting
from tests.support.fleet import devbox, fill_namespace
from tests.support.release import Release

from devbox_common.kube import Object
from devbox_operator.kit import paths

from .operator.stage import Stage, stage
from .world import eventually

pytestmark = pytest.mark.xdist_group("operator-status")
EVENTS = "/apis/events.k8s.io/v1"
TRIES = 6
RUNC = "OCI runtime create failed: runc create failed: unable to start container process: "


async def _ready(on: Stage, space: str, name: str = "agent") -> dict[str, Object]:
    """Conditions by type; none before it was looked at."""
    box = await on.get(paths.devboxes(space, name))
    return {one["type"]: one for one in ((box or {}).get("status") or {}).get("conditions") or ()}


async def _said(on: Stage, space: str, name: str, reason: str, stalled: str) -> str:
    """The message, once it says so."""
    found: dict[str, Object] = {}

    async def so() -> bool:
        found.update(await _ready(on, space, name))
        ready = found.get("Ready")
        return ready is not None and (ready["reason"], found["Stalled"]["status"]) == (reason, stalled)

    await eventually(so, 60, every=0.1)
    return str(found["Ready"]["message"])


async def _warnings(on: Stage, space: str, name: str) -> list[str]:
    found = (await on.api.list(f"{EVENTS}/namespaces/{space}/events"))[0]
    return [one["reason"] for one in found if one["type"] == "Warning" and one["regarding"]["name"] == name]


async def in_the_worst_order(on: Stage) -> None:
    for number in range(TRIES):
        space = f"first-{number}"
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space}}
        await on.api.request("POST", paths.core("namespaces"), body=namespace)
        await on.api.request("POST", paths.devboxes(space), body=devbox(space, "lost", egressPolicyRef={"name": "nowhere"}))
        began = time.monotonic()
        await on.api.request("POST", paths.devboxes(space), body=devbox(space, "agent"))

        async def is_seen(space: str = space) -> bool:
            return len(await on.pods(space)) == 2

        await eventually(is_seen, 60, every=0.05)
        await fill_namespace(on.api, space)
        if time.monotonic() - began < 3:
            break
    else:
        pytest.skip("this machine takes more than 3 s to make six objects")
    await _said(on, space, "agent", "Ready", "False")
    message = await _said(on, space, "lost", "EgressPolicyNotFound", "True")
    assert "correct spec.egressPolicyRef" in message

    async def is_told() -> bool:
        return await _warnings(on, space, "lost") == ["EgressPolicyNotFound"]

    await eventually(is_told, 60, every=0.1)
    assert await _warnings(on, space, "agent") == []
    for gateway in ("anthropic", "openai"):
        assert await _warnings(on, space, gateway) == []


async def that_does_not_begin(on: Stage, kubelet: FakeKubelet) -> None:
    space = await on.namespace()
    await on.create(space, command=["nosuch"])
    await _said(on, space, "agent", "Ready", "False")
    (pod,) = await on.pods(space)

    async def says(reason: str, message: str, ago: float) -> None:
        status: dict[str, Any] = waiting(reason, message)
        turn = {"type": "Initialized", "status": "True", "lastTransitionTime": moment(ago)}
        await kubelet.says(pod, **{**status, "conditions": [*status["conditions"], turn]})

    await says("ErrImagePull", "not found", 0)
    assert "see whether spec.image is spelt right" in await _said(on, space, "agent", "ImagePullFailed", "False")
    await says("ImagePullBackOff", "not found", 300)
    await _said(on, space, "agent", "ImagePullFailed", "True")
    await says("RunContainerError", f'{RUNC}exec: "nosuch": executable file not found in $PATH: unknown', 0)
    assert "the image has no program nosuch" in await _said(on, space, "agent", "StartFailed", "True")
    await on.patch(paths.devboxes(space, "agent"), {"spec": {"command": ["sleep", "infinity"]}})
    await _said(on, space, "agent", "Ready", "False")
    (another,) = await on.pods(space)
    assert another["metadata"]["name"] != pod["metadata"]["name"], "nobody has to ask for a restart of what never ran"


def test_what_is_new(release: Release) -> None:
    async def run() -> None:
        async with stage(release) as on:
            await on.alone()
            kubelet = FakeKubelet(on.api, on.node)
            async with kubelet.working():
                await in_the_worst_order(on)
                await that_does_not_begin(on, kubelet)

    uvloop.run(run())
