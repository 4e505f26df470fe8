"""What the floor document holds of a real cluster: where nodes are besides their own address, and every place of the API server.

Goes in: a stage. Comes out: rows. The node is given a range for its pods and what network plugins write; kube-public what kubeadm writes
there. Then GatewayConfigs ask to be led to each of these places, with everything private permitted.
"""

import base64
import contextlib
import json
from ipaddress import ip_address, ip_network
from typing import Final

from tests.chaos.report import Row
from tests.chaos.world import eventually
from tests.support.control_plane import HOST, NODE
from tests.support.release import CREDENTIALS

from devbox_api import names
from devbox_common.addresses import never
from devbox_common.kube import Object
from devbox_common.ranges import Ranges
from devbox_operator.kit import paths

from .stage import Stage

BRIDGES: Final = ("10.244.7.0", "10.244.7.1", "fd00:244:7::1")
TUNNEL: Final = "10.244.7.77"
SECOND: Final = "172.16.9.5"
VIRTUAL: Final = "192.168.77.100"
NAMED: Final = "203.0.113.77"
"""In the chart's floor.extraCIDRs."""
FREE: Final = ("10.244.7.2", "172.16.9.6", "192.168.77.101", "203.0.113.78")
"""Beside them: private or public, and nobody's."""
SECONDS: Final = 20.0
CLUSTER_INFO: Final = paths.core("configmaps", "kube-public", "cluster-info")


async def floor(stage: Stage, long: bool) -> list[Row]:
    """Everything that a cluster tells of itself is closed, and nothing beside it."""
    await stage.patch(
        paths.core("nodes", name=NODE),
        {
            "metadata": {
                "annotations": {
                    "projectcalico.org/IPv4VXLANTunnelAddr": TUNNEL,
                    "k8s.ovn.org/host-cidrs": f'["{SECOND}/24"]',
                }
            },
            "spec": {"podCIDR": "10.244.7.0/24", "podCIDRs": ["10.244.7.0/24", "fd00:244:7::/64"]},
        },
    )
    await _kubeadm(stage)
    await stage.alone(
        upstreams={"allowedCIDRs": ["0.0.0.0/0", "::/0"], "allowedHosts": [], "addressOverrides": {}},
        floor={"extraCIDRs": [f"{NAMED}/32"]},
    )
    advertised = _host((await stage.api.request("GET", "/api"))["serverAddressByClientCIDRs"][0]["serverAddress"])
    demanded = {*BRIDGES, TUNNEL, SECOND, VIRTUAL, advertised, HOST}
    missing = await _missing_after(stage, demanded)
    space = await stage.namespace()
    said = {host: await _accepted(stage, space, host) for host in (*BRIDGES, TUNNEL, SECOND, VIRTUAL, NAMED, *FREE)}
    await stage.api.request("DELETE", CLUSTER_INFO)
    open_ = sorted(host for host in said if host not in FREE and said[host] != "EndpointRefused")
    closed = sorted(host for host in FREE if said[host] != "Accepted")
    return [
        Row("floor: nodes' bridges, tunnels, second devices; the control plane's virtual address; where the API server says that it is",
            f"all in the document ≤{SECONDS:g} s", f"missing: {', '.join(missing) or 'nothing'}", not missing),
        Row("floor: GatewayConfigs that lead there, with 0.0.0.0/0 and ::/0 permitted", "EndpointRefused",
            f"accepted: {', '.join(open_) or 'none'}", not open_),
        Row("floor: GatewayConfigs that lead beside it", "Accepted", f"refused: {', '.join(closed) or 'none'}", not closed),
    ]  # fmt: skip


async def _kubeadm(stage: Stage) -> None:
    """As `kubeadm init --control-plane-endpoint` writes it."""
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "", "cluster": {"server": f"https://{VIRTUAL}:6443"}}],
    }
    body: Object = {"metadata": {"name": "cluster-info"}, "data": {"kubeconfig": json.dumps(kubeconfig)}}
    await stage.api.request("POST", paths.core("configmaps", "kube-public"), body=body)


async def _missing_after(stage: Stage, demanded: set[str]) -> list[str]:
    """What the document lacks when it lacks nothing, or the time is over."""
    missing = sorted(demanded)

    async def complete() -> bool:
        nonlocal missing
        item = await stage.get(paths.secrets(CREDENTIALS, names.FLOOR_NAME))
        document = json.loads(base64.b64decode(item["data"][names.FLOOR_KEY])) if item else {"addresses": []}
        bridges = Ranges.of(map(ip_network, document.get("bridges", ())))
        closed = {host for host in demanded if ip_address(host) in bridges or never(ip_address(host))}
        missing = sorted(demanded - closed - set(document["addresses"]))
        return not missing

    with contextlib.suppress(TimeoutError):
        await eventually(complete, SECONDS)
    return missing


async def _accepted(stage: Stage, space: str, host: str) -> str:
    """The reason of the GatewayConfig's condition."""
    name = f"to-{host.replace('.', '-').replace(':', '-')}"
    authority = f"[{host}]" if ":" in host else host
    spec = {"endpoint": f"https://{authority}", "authMechanism": {"type": "Bearer"}}
    body: Object = {"apiVersion": names.API_VERSION, "kind": "GatewayConfig", "metadata": {"name": name}, "spec": spec}
    await stage.api.request("POST", paths.gatewayconfigs(space), body=body)

    reason = ""

    async def told() -> bool:
        nonlocal reason
        status = (await stage.api.request("GET", paths.gatewayconfigs(space, name))).get("status") or {}
        reason = next((one["reason"] for one in status.get("conditions", ()) if one["type"] == "Accepted"), "")
        return bool(reason)

    await eventually(told, SECONDS)
    return reason


def _host(address: str) -> str:
    return address.rpartition(":")[0].strip("[]")
