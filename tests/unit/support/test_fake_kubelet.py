"""The kubelet's stand-in notices a pod that nothing holds: in its first moment, in its last, and when a policy goes in between."""

import asyncio
from typing import Any, cast

import pytest
from tests.support.control_plane import NODE
from tests.support.fake_kubelet import FakeKubelet

from devbox_api import names
from devbox_common.kube import ApiError

SELECTS = {"podSelector": {"matchLabels": {names.DEVBOX_LABEL: "agent"}}, "policyTypes": ["Ingress", "Egress"]}
EVERYBODY = {
    "podSelector": {"matchExpressions": [{"key": names.DEVBOX_LABEL, "operator": "Exists"}]},
    "policyTypes": ["Ingress", "Egress"],
}
HALF = {**SELECTS, "policyTypes": ["Ingress"]}


def policy(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "team-a", "resourceVersion": "1"}, "spec": spec}


def pod(phase: str = "Running", node: str = NODE) -> dict[str, Any]:
    metadata = {"name": "agent-1", "namespace": "team-a", "uid": "u", "labels": {names.DEVBOX_LABEL: "agent"}}
    return {"metadata": {**metadata, "resourceVersion": "1"}, "spec": {"nodeName": node}, "status": {"phase": phase}}


class Api:
    """What is there by now."""

    def __init__(self, there: dict[str, Any] | None, policies: list[dict[str, Any]]) -> None:
        self.there, self.policies = there, policies

    async def request(self, *_: object, **__: object) -> dict[str, Any]:
        if self.there is None:
            raise ApiError(404, "NotFound", "gone")
        return self.there

    async def list(self, *_: object) -> tuple[list[dict[str, Any]], str]:
        return self.policies, "1"


async def settled(kubelet: FakeKubelet) -> list[str]:
    await asyncio.gather(*kubelet._tasks)
    return kubelet.exposed


@pytest.mark.parametrize(
    ("seen", "there", "left", "exposed"),
    [
        (pod(), pod(), [], True),
        (pod(), pod(), [HALF], True),
        (pod(), pod(), [EVERYBODY], False),
        (pod(), pod(), [SELECTS], False),
        (pod(), None, [], False),
        (pod(), pod("Succeeded"), [], False),
        (pod(node="another"), pod(node="another"), [], False),
    ],
)
async def test_a_policy_that_goes_before_its_pod(
    seen: dict[str, Any], there: dict[str, Any] | None, left: list[dict[str, Any]], *, exposed: bool
) -> None:
    policies = [policy(f"left-{number}", spec) for number, spec in enumerate(left)]
    kubelet = FakeKubelet(cast(Any, Api(there, policies)), cast(Any, None))
    kubelet._mirror.note(seen)
    for item in policies:
        kubelet._policies.note(item)
    gone = policy("agent-1", SELECTS)
    kubelet._policy_changed(("team-a", "agent-1"), gone, None)
    assert bool(await settled(kubelet)) is exposed


async def test_a_policy_that_opens_before_its_pod_ends() -> None:
    half = policy("agent-1", HALF)
    kubelet = FakeKubelet(cast(Any, Api(pod(), [half])), cast(Any, None))
    kubelet._mirror.note(pod())
    kubelet._policies.note(half)
    kubelet._policy_changed(("team-a", "agent-1"), policy("agent-1", SELECTS), half)
    assert await settled(kubelet) == ["team-a/agent-1 when agent-1 changed"]


@pytest.mark.parametrize(("left", "exposed"), [([], True), ([SELECTS], False)])
async def test_the_last_moment(left: list[dict[str, Any]], *, exposed: bool) -> None:
    api = Api(pod(), [policy("left", spec) for spec in left])
    kubelet = FakeKubelet(cast(Any, api), cast(Any, api))
    await kubelet.end(pod())
    assert bool(kubelet.exposed) is exposed
