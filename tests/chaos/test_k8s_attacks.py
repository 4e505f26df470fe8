"""Every case K8-… of the attack corpus (tests/attacks/attacks.yaml), on a real API server with the operator and the gateway at work.

What the corpus asks for in a Devbox is asked for twice: as `kubectl apply` does it (unknown fields are refused), and as somebody who turns
that off (they are dropped; the pod must be as if nothing had been asked). K8-16, which needs a kubelet and a CNI, is
tests/integration/test_confinement.py: test_k8_16_nothing_gets_out_in_the_agents_first_seconds.
"""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import monotonic as now
from typing import Any, Final

import pytest
import uvloop
import yaml
from tests.support.fake_kubelet import ended, gone, held
from tests.support.fleet import devbox, gatewayconfig
from tests.support.release import Release

from devbox_api import names
from devbox_common.kube import MERGE_PATCH, ApiError, Object
from devbox_operator.kit import paths

from .operator.stage import Stage, stage
from .operator.traffic import Traffic, traffic
from .world import eventually

pytestmark = pytest.mark.xdist_group("k8s-attacks")
CORPUS: Final = yaml.safe_load((Path(__file__).parents[1] / "attacks" / "attacks.yaml").read_text(encoding="utf-8"))
CASES: Final[dict[str, Object]] = {case["id"]: case for case in CORPUS["cases"] if case["group"] == "k8s"}
ELSEWHERE: Final = {"K8-16"}
REVOKED_SECONDS: Final = 15.0
RESTORED_SECONDS: Final = 5.0
COLLECTED_SECONDS: Final = 60.0
FOREGROUND: Final = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Foreground"}
Attack = Callable[[Stage, Traffic, str, Object], Awaitable[None]]
"""Raises AssertionError where it succeeds. Has a namespace of its own."""


async def _said(request: Awaitable[Any]) -> str:
    """The refusal; empty where there is none."""
    try:
        await request
    except ApiError as error:
        return f"{error.status} {error.message}"
    return ""


def _as_tenant(on: Stage, *arguments: str) -> str:
    """What kubectl says to a person with the role `edit` in the namespace."""
    try:
        return on.release.plane.kubectl(*arguments, "--as=tenant")
    except RuntimeError as error:
        return str(error)


async def never_as_asked(on: Stage, cars: Traffic, space: str, case: Object) -> None:
    """The field does not exist: refused, or dropped."""
    body = devbox(space, "agent", **case["patch"]["spec"])
    strict = await _said(on.api.request("POST", f"{paths.devboxes(space)}?fieldValidation=Strict", body=body))
    assert "unknown field" in strict or "spec.volumes" in strict or "less than or equal" in strict, strict
    lax = await _said(on.api.request("POST", f"{paths.devboxes(space)}?fieldValidation=Ignore", body=body))
    if lax:
        assert lax.startswith("422"), lax
        return
    pod = (await cars.agent(space)).pod["spec"]
    assert not any(pod.get(name) for name in ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"))
    assert pod["nodeName"] == "node-1", "(whom the test's own scheduler named)"
    assert pod["automountServiceAccountToken"] is False
    kinds = {kind for volume in pod["volumes"] for kind in volume if kind != "name"}
    assert kinds <= {"emptyDir", "secret", "configMap"}, kinds


async def exec_by_another(on: Stage, cars: Traffic, space: str, case: Object) -> None:
    await on.create(space)
    pod = (await cars.agent(space)).name
    url = f"{paths.pods(space, pod)}/exec?command=id&container={names.CONTAINER}"
    for verb in ("get", "create"):
        assert "forbidden" in _as_tenant(
            on, *(("get", "--raw", url) if verb == "get" else ("create", "--raw", url, "-f", "/dev/null"))
        )


async def status_by_hand(on: Stage, cars: Traffic, space: str, case: Object) -> None:
    """By somebody who may write Devboxes; and a lie in it, by an administrator, changes nothing."""
    await on.create(space)
    agent = await cars.agent(space)
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "tenant", "namespace": space},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "tenant"}],
    }
    on.release.plane.kubectl("apply", "-f", "-", stdin=json.dumps(binding))
    await eventually(lambda: "agent" in _as_tenant(on, "-n", space, "get", "dbx", "agent"), 20, every=0.3)
    lie = json.dumps({"status": {"podUID": "somebody", "podIPs": ["10.0.0.1"]}})
    patch = ("-n", space, "patch", "dbx", "agent", "--type=merge", "-p", lie)
    assert "forbidden" in _as_tenant(on, *patch, "--subresource=status")
    _as_tenant(on, *patch)  # (of the whole object: the status in it does not count)
    await on.patch(f"{paths.devboxes(space, 'agent')}/status", json.loads(lie))
    assert (await cars.answers(agent)).fine

    async def true_again() -> bool:
        box = await on.get(paths.devboxes(space, "agent"))
        return box is not None and box["status"]["podUID"] == agent.uid

    await eventually(true_again, RESTORED_SECONDS)


async def policy_changed(on: Stage, cars: Traffic, space: str, case: Object) -> None:
    """By an administrator: refused, whatever makes it another policy; by whoever has the operator's rights, too. What the garbage
    collector's name could do is put right."""
    await on.create(space)
    pod = (await cars.agent(space)).name
    path = paths.networkpolicies(space, pod)
    before = await on.get(path)
    assert before is not None
    patches: tuple[Object, ...] = (
        {"spec": {"egress": [{}]}},
        {"spec": {"policyTypes": ["Ingress"], "egress": None}},
        {"spec": {"podSelector": {"matchLabels": {names.DEVBOX_LABEL: "other"}}}},
        {"metadata": {"labels": {names.DEVBOX_LABEL: None}}},
        {"metadata": {"labels": {names.DEVBOX_LABEL: "other"}}},
        {"metadata": {"labels": None}},
        {"metadata": {"ownerReferences": None}},
    )
    for patch in patches:
        said = await _said(on.patch(path, patch))
        assert "this NetworkPolicy confines a devbox" in said, f"{patch}: {said}"
    for where in (path, paths.networkpolicies(space)):
        said = await _said(on.api.request("DELETE", where))
        assert "this NetworkPolicy confines a devbox" in said, said
    assert await on.get(path) == before
    await on.patch(path, {"metadata": {"labels": {"team": "a"}}})
    copy = {**before, "metadata": {"name": "copy", "labels": before["metadata"]["labels"]}}
    await on.api.request("POST", paths.networkpolicies(space), body=copy)
    await on.api.request("DELETE", paths.networkpolicies(space, "copy"))  # (somebody's own, whatever labels it has)
    wanted = before["spec"]
    changes: tuple[Object | None, ...] = (None, {"spec": {"egress": [{}]}})
    async with on.as_operator() as mad, on.as_collector() as collector:
        for change in changes:
            method, content = ("DELETE", "application/json") if change is None else ("PATCH", MERGE_PATCH)
            said = await _said(mad.request(method, path, body=change, content_type=content))
            assert "the operator may" in said, said
            await collector.request(method, path, body=change, content_type=content)

            async def restored() -> bool:
                item = await on.get(path)
                return item is not None and item["spec"] == wanted

            await eventually(restored, RESTORED_SECONDS)
    await _outlived(on, cars, space, pod)


async def _outlived(on: Stage, cars: Traffic, space: str, pod: str) -> None:
    """The pod is deleted as some tools do it, and its processes don't care: what it was allowed goes, what denies it everything stays."""
    own, deny = paths.networkpolicies(space, pod), paths.networkpolicies(space, names.DENY_POLICY)
    before = await on.get(own)
    assert before is not None
    cars.kubelet.idle = True
    await on.api.request("DELETE", paths.pods(space, pod), body=FOREGROUND)

    async def collected() -> bool:
        # (An operator that has not heard yet that the pod is to end makes another one.)
        now_ = await on.get(own)
        return now_ is None or now_["metadata"]["uid"] != before["metadata"]["uid"]

    await eventually(collected, COLLECTED_SECONDS)
    still = await on.get(paths.pods(space, pod))
    assert still is not None, "it is in its grace period"
    assert await held(on.api, still)
    cars.kubelet.idle = False
    await cars.kubelet.end(still)
    assert await on.get(paths.pods(space, pod)) is None
    assert await on.get(deny) is not None


async def relabelled(on: Stage, cars: Traffic, space: str, case: Object) -> None:
    await on.create(space)
    path = paths.pods(space, (await cars.agent(space)).name)
    for value in (None, "other"):
        said = await _said(on.patch(path, {"metadata": {"labels": {names.DEVBOX_LABEL: value}}}))
        assert "they confine it" in said, said


async def ended_pods_address(on: Stage, cars: Traffic, space: str, case: Object) -> None:
    """The pod is over, its object and its address stay, and somebody calls from there."""
    await on.create(space, restartPolicy="Never")
    agent = await cars.agent(space)
    assert (await cars.answers(agent)).fine
    await cars.kubelet.says(agent.pod, **ended("Succeeded"))
    took = await cars.refused(agent)
    assert took is not None
    assert took <= REVOKED_SECONDS
    kept = await on.get(paths.pods(space, agent.name))
    assert kept is not None
    assert kept["status"]["podIPs"] == agent.pod["status"]["podIPs"], "the object still says the address"


async def after_deletion(on: Stage, cars: Traffic, space: str, case: Object) -> None:
    """Asked to go (and still there, in its grace), removed by its node, and gone with its Devbox."""
    for number, way in enumerate(("pod", "node", "devbox")):
        name = f"agent-{number}"
        await on.create(space, name)
        agent = await cars.agent(space, name)
        assert (await cars.answers(agent)).fine
        cars.kubelet.idle = True
        path = paths.devboxes(space, name) if way == "devbox" else paths.pods(space, agent.name)
        if way == "node":
            await gone(on.node, space, agent.name, agent.uid)
        else:
            await on.api.request("DELETE", path)
        start = now()
        took = await cars.refused(agent)
        cars.kubelet.idle = False
        assert took is not None, f"{way}: still answered after {now() - start:.0f} s"
        assert took <= REVOKED_SECONDS
        if way == "pod":
            assert await on.get(path) is not None, "it was to be in its grace"
            await gone(on.node, space, agent.name, agent.uid)


async def node_and_gate(on: Stage, cars: Traffic, space: str, case: Object) -> None:
    await never_as_asked(on, cars, space, case)
    await on.api.request("POST", paths.devboxes(space), body=devbox(space, "gated", gateways=[_gateway("absent")]))

    async def gated() -> list[Object]:
        pods = [pod for pod in await on.pods(space) if pod["metadata"]["labels"][names.DEVBOX_LABEL] == "gated"]
        return [pod for pod in pods if pod["spec"].get("schedulingGates")]

    await eventually(gated, 20)
    pod = (await gated())[0]["metadata"]["name"]
    said = await _said(on.patch(paths.pods(space, pod), {"spec": {"schedulingGates": None}}))
    assert "only the operator opens the gate" in said, said


def _gateway(name: str, **more: Any) -> Object:
    return {"name": "OTHER", "gatewayRef": {"name": name}, **more}


async def elsewhere_without_grant(on: Stage, cars: Traffic, space: str, case: Object) -> None:
    other = await on.namespace()
    secret = [_gateway("anthropic", secretRef={"name": "anthropic", "namespace": other})]
    said = await _said(
        on.api.request("POST", f"{paths.devboxes(space)}?fieldValidation=Strict", body=devbox(space, "a", gateways=secret))
    )
    assert "unknown field" in said, said
    config = gatewayconfig(space, "ANTHROPIC")
    config["metadata"]["name"] = "mine"
    config["spec"]["credential"]["secretRef"]["namespace"] = other
    said = await _said(on.api.request("POST", f"{paths.gatewayconfigs(space)}?fieldValidation=Strict", body=config))
    assert "unknown field" in said, said
    await on.create(space, gateways=[{"name": "OTHER", "gatewayRef": {"name": "anthropic", "namespace": other}}])

    async def refused() -> bool:
        box = await on.get(paths.devboxes(space, "agent")) or {}
        return any(c["reason"] == "NamespaceNotAllowed" for c in box.get("status", {}).get("conditions", ()))

    await eventually(refused, 20)
    assert all(pod["spec"].get("schedulingGates") for pod in await on.pods(space))


async def environment(on: Stage, cars: Traffic, space: str, case: Object) -> None:
    for bad in ("PATH", "LD_PRELOAD", "lower_case", "A_URL", "BASH_ENV", "NODE_OPTIONS", "PYTHONPATH", "9A", "A-B", "A" * 64):
        body = devbox(space, "agent", gateways=[{"name": bad, "gatewayRef": {"name": "anthropic"}}])
        said = await _said(on.api.request("POST", paths.devboxes(space), body=body))
        assert said.startswith("422"), f"{bad}: {said}"
    for name in ("A", "A_URL"):
        body = devbox(
            space, "agent", env=[{"name": name, "value": "x"}], gateways=[{"name": "A", "gatewayRef": {"name": "anthropic"}}]
        )
        assert (await _said(on.api.request("POST", paths.devboxes(space), body=body))).startswith("422")


ATTACKS: Final[dict[str, Attack]] = {
    **dict.fromkeys(("K8-01", "K8-02", "K8-03", "K8-07", "K8-22"), never_as_asked),
    "K8-10": exec_by_another,
    "K8-12": status_by_hand,
    "K8-13": policy_changed,
    "K8-15": relabelled,
    "K8-18": ended_pods_address,
    "K8-19": after_deletion,
    "K8-20": node_and_gate,
    "K8-21": elsewhere_without_grant,
    "K8-23": environment,
}


@pytest.fixture(scope="module")
def outcomes(release: Release) -> dict[str, Exception | None]:
    """What came of each, with one operator and one gateway."""

    async def all_of_them() -> dict[str, Exception | None]:
        found: dict[str, Exception | None] = {}
        async with stage(release) as on:
            await on.alone()
            async with traffic(on) as cars:
                for name, attack in ATTACKS.items():
                    try:
                        await attack(on, cars, await on.namespace(), CASES[name])
                        found[name] = None
                    except (AssertionError, ApiError, TimeoutError) as error:
                        found[name] = error
        return found

    return uvloop.run(all_of_them())


@pytest.mark.parametrize("name", [pytest.param(name, id=f"{name} {CASES[name]['name']}") for name in ATTACKS])
def test_attack(outcomes: dict[str, Exception | None], name: str) -> None:
    if (error := outcomes[name]) is not None:
        raise error


def test_every_case_of_the_corpus_is_tried() -> None:
    assert set(ATTACKS) | ELSEWHERE == set(CASES)
