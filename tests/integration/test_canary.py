"""What would make a pod look confined that is not: a replica of the gateway that is dead, and a canary that is closed for everybody.

By itself, since others would meet the dead replica, too. A policy that the release trusts (conftest.py) opens what ours closes.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.integration.conftest import OPENS
from tests.support.admission import until
from tests.support.workspace import Workspace

from devbox_api import names
from devbox_stage.kubectl import Kubectl
from devbox_stage.stage import RELEASE_NAMESPACE

DEAD = {"IPv4": "10.244.0.250", "IPv6": "fd42:244::fa"}
"""Addresses in the node's range of pods that nobody has."""
BOXES = 8
SECONDS = 30.0
OPEN = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": OPENS},
    "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]},
}


def _slice(family: str, address: str) -> dict[str, Any]:
    """An endpoint of the gateway's Service that nobody answers at, as that of a pod whose node is lost."""
    ports = {"data": names.DATA_PORT, "egress": names.EGRESS_PORT, "canary": names.CANARY_PORT}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"dead-{family.lower()}",
            "namespace": RELEASE_NAMESPACE,
            "labels": {"kubernetes.io/service-name": names.SERVICE, "endpointslice.kubernetes.io/managed-by": "tests"},
        },
        "addressType": family,
        "endpoints": [{"addresses": [address], "conditions": {"ready": True, "serving": True, "terminating": False}}],
        "ports": [{"name": name, "port": port, "protocol": "TCP"} for name, port in ports.items()],
    }


@contextmanager
def _dead_replica(cluster: Kubectl, dual_stack: bool) -> Iterator[None]:
    made = [_slice(family, address) for family, address in DEAD.items() if family == "IPv4" or dual_stack]
    cluster("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": made}))
    try:
        yield
    finally:
        each = [one["metadata"]["name"] for one in made]
        cluster("-n", RELEASE_NAMESPACE, "delete", "endpointslice", "--ignore-not-found", *each)


@pytest.mark.row("S20")
def test_a_dead_replica_is_no_policy_and_beside_one_agents_start(
    workspace: Workspace, cluster: Kubectl, dual_stack: bool
) -> None:
    """Data port and canary of a look are one replica's. (Balanced each for itself, some of these agents start within seconds.)"""
    workspace.apply(OPEN)
    workspace.secret("anthropic", workspace.key().value.reveal())
    workspace.gateway_config()
    with _dead_replica(cluster, dual_stack):
        boxes = [f"agent-{number}" for number in range(BOXES)]
        for box in boxes:
            workspace.devbox(box)
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            for pod in workspace.pods():
                for one in pod["status"].get("containerStatuses", ()):
                    assert one["state"].keys() == {"waiting"}, f"{pod['metadata']['name']} started, and nothing confines it"
            time.sleep(0.5)
        for box in boxes:
            assert "does not enforce NetworkPolicy" in workspace.condition("devboxes", box, "EgressConfined", "NotEnforced")
        cluster("-n", workspace.name, "delete", "networkpolicy", OPENS)
        workspace.devbox("confined")
        workspace.ready("confined")


@contextmanager
def _closed_for_everybody(cluster: Kubectl) -> Iterator[None]:
    """The policy of the gateway's own pods without the canary's port, as an administrator might have it."""
    policy = cluster("-n", RELEASE_NAMESPACE, "get", "networkpolicy", "devbox-gateway", "-o", "json").out
    rules = json.loads(policy)["spec"]["ingress"]
    for rule in rules:
        rule["ports"] = [port for port in rule["ports"] if port["port"] != "canary"]

    def write(ingress: Any) -> None:
        patch = json.dumps([{"op": "replace", "path": "/spec/ingress", "value": ingress}])
        cluster("-n", RELEASE_NAMESPACE, "patch", "networkpolicy", "devbox-gateway", "--type=json", "-p", patch)

    write(rules)
    try:
        yield
    finally:
        write(json.loads(policy)["spec"]["ingress"])


@pytest.mark.row("S20")
def test_where_the_canary_is_closed_for_everybody_no_new_agent_starts_and_it_heals(
    workspace: Workspace, cluster: Kubectl, dual_stack: bool
) -> None:
    running = workspace.working_devbox("running")

    def known() -> bool:
        with _dead_replica(cluster, dual_stack):
            pass  # the operator looks when gateways come or go, and else twice a minute
        component = "app.kubernetes.io/component=operator"
        log = cluster("-n", RELEASE_NAMESPACE, "logs", "-l", component, "--since=20s", "--tail=-1").out
        said = [json.loads(line) for line in log.splitlines() if "canaries_looked_at" in line]
        return any(one["result"] == "closed" for one in said)

    with _closed_for_everybody(cluster):
        until("the operator sees that the canary is closed for everybody", known, seconds=60)
        workspace.devbox("late")
        message = workspace.condition("devboxes", "late", "EgressConfined", "CannotBeSeen", "Unknown")
        assert "8479" in message
        assert f"a NetworkPolicy in namespace {RELEASE_NAMESPACE}" in message
        assert workspace.condition("devboxes", "late", "Ready", "CannotBeSeen") == message
        assert workspace.conditions("devboxes", "running")["EgressConfined"]["status"] == "True"
        assert workspace.status(running) == 200, "what runs goes on"
    assert workspace.ready("late")
    until("confined", lambda: workspace.conditions("devboxes", "late")["EgressConfined"]["status"] == "True")
