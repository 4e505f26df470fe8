"""What no EgressPolicy opens, whatever the chart permits: the gateway itself, the API server, the nodes.

The release permits the cluster's own ranges (conftest.py), and the policy here allows all of them, every name in them and the ports: so
what is refused is refused for the floor alone. The stand-in, in the same ranges, is the control.
"""

from typing import Any, Final

import pytest
from tests.integration.conftest import PERMITTED
from tests.probes.pods import running
from tests.support.workspace import Workspace

from devbox_api import names
from devbox_stage import upstream as standin
from devbox_stage.kubectl import Kubectl
from devbox_stage.stage import RELEASE_NAMESPACE
from devbox_stage.waiting import NotYet, wait_for

API_PORT: Final = 6443
KUBELET_PORT: Final = 10250
DOMAIN: Final = "svc.cluster.local"
REFUSED: Final = "403 address_not_allowed"


def cluster_ips(cluster: Kubectl, name: str, namespace: str) -> list[str]:
    """A Service's addresses."""
    found = cluster.get("service", name, namespace)
    assert found is not None
    return list(found["spec"]["clusterIPs"])


def targets(cluster: Kubectl) -> list[str]:
    """`host:port` of everything that must stay closed, by address and by name."""
    gateways = [one["status"] for one in cluster.all("pods", RELEASE_NAMESPACE, "app.kubernetes.io/component=gateway")]
    own = (names.SERVICE_PORT, names.EGRESS_PORT, names.CANARY_PORT)
    services = [
        *((address, own) for address in cluster_ips(cluster, names.SERVICE, RELEASE_NAMESPACE)),
        *((address, (443,)) for address in cluster_ips(cluster, "kubernetes", "default")),
        (f"{names.SERVICE}.{RELEASE_NAMESPACE}.{DOMAIN}", (names.SERVICE_PORT, names.EGRESS_PORT)),
        (f"kubernetes.default.{DOMAIN}", (443,)),
    ]
    # Of every pod of the gateway: which one serves the CONNECT is not the devbox's to say.
    pods = [
        (address["ip"], (names.DATA_PORT, names.EGRESS_PORT, names.CANARY_PORT, names.ADMIN_PORT))
        for one in gateways
        for address in one.get("podIPs", ())
    ]
    nodes = [(address, (API_PORT, KUBELET_PORT)) for address in {host["ip"] for one in gateways for host in one["hostIPs"]}]
    every = ((f"[{host}]" if ":" in host else host, ports) for host, ports in (*services, *pods, *nodes))
    return [f"{host}:{port}" for host, ports in every for port in ports]


def probe(target: str) -> dict[str, Any]:
    """For tests/probes/inside.py; an address stands for no name."""
    named = {} if target.rpartition(":")[0].endswith(DOMAIN) else {"sni": ""}
    return {"name": target, "kind": "connect", "target": target, **named}


@pytest.mark.row("S20")
def test_nothing_leads_to_the_gateway_itself_the_api_server_or_a_node(workspace: Workspace, cluster: Kubectl) -> None:
    ports = [443, names.EGRESS_PORT, names.DATA_PORT, names.ADMIN_PORT, names.CANARY_PORT, API_PORT, KUBELET_PORT]
    spec = {"allowedHostnames": [f"*.{DOMAIN}"], "allowedCIDRs": list(PERMITTED), "allowedPorts": ports}
    workspace.apply({"apiVersion": names.API_VERSION, "kind": "EgressPolicy", "metadata": {"name": "all"}, "spec": spec})
    pod = running(cluster, workspace.name, workspace.working_devbox(egressPolicyRef={"name": "all"}))

    controls = [f"{workspace.upstream.address}:443", f"standin.{standin.NAMESPACE}.{DOMAIN}:443"]

    def opened() -> None:
        seen = pod.run([probe(one) for one in controls])
        if not all(word.startswith("200") for word in seen.values()):
            raise NotYet(f"{seen}")

    wait_for("what the chart permits is open", opened, seconds=20)
    closed = targets(cluster)
    # Again and again, since the pods of the gateway take turns.
    for _ in range(3):
        assert pod.run([probe(one) for one in closed]) == dict.fromkeys(closed, REFUSED)
