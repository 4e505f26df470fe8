"""What the packet-level tests stand on: the release, a devbox, pods without a policy, and the sinkhole.

Goes in: a cluster with the release, and a way to make namespaces. Comes out: a `World`.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any, Final

from tests.support.workspace import Workspace

from devbox_api import names as api
from devbox_cluster import config
from devbox_stage.kubectl import Kubectl
from devbox_stage.stage import RELEASE_NAMESPACE
from devbox_stage.waiting import NotYet, wait_for

from . import pods
from .counters import Packets
from .names import ANSWERS
from .pods import Pod
from .shell import ip
from .sinkhole import Sinkhole, sinkhole

PRIVILEGED: Final = "pod-security.kubernetes.io/enforce"
GATEWAY: Final = "app.kubernetes.io/component=gateway"
GATEWAY_PORTS: Final = (8443, 3128)
"""Of the gateway's pods: what a devbox's policy opens."""
NODE_PORTS: Final = range(30000, 32768)
"""kube-router's filter for packets to the node itself begins with a rule that lets these pass."""


CLUSTER: Final = (
    *(config.POD_CIDR, config.SERVICE_CIDR, f"{config.NODE_ADDRESS}/32"),
    *(config.POD_CIDR6, config.SERVICE_CIDR6, f"{config.NODE_ADDRESS6}/128"),
)
"""Its own ranges."""


@dataclass(frozen=True)
class World:
    """Everything in place."""

    kubectl: Kubectl
    sinkhole: Sinkhole
    home: Workspace
    """The devbox's namespace."""
    devbox: Pod
    control: Pod
    """No policy holds it; root, with NET_RAW, so that it can send whatever can be sent."""
    neighbour: Pod
    """In the devbox's namespace; listens."""
    stranger: Pod
    """In another namespace; listens."""
    make: Callable[..., Workspace]
    """One more namespace, with these labels; it goes when everything does."""

    def service(self, name: str, namespace: str) -> Any:
        """A Service that is there."""
        found = self.kubectl.get("service", name, namespace)
        assert found is not None, f"no Service {namespace}/{name}"
        return found

    def cluster_ip(self, name: str, namespace: str) -> str:
        """Its address."""
        return str(self.service(name, namespace)["spec"]["clusterIP"])

    def cluster_ip6(self, name: str, namespace: str) -> str | None:
        """Its address over IPv6, if it has one."""
        return next((one for one in self.service(name, namespace)["spec"]["clusterIPs"] if ":" in one), None)

    @property
    def ipv6(self) -> bool:
        """Pods have both families."""
        return self.devbox.address6 is not None

    def gateway_pods(self, *versions: int) -> list[str]:
        """Addresses of the gateway's pods that serve, of IP versions 4 and 6 or of the one that is asked for."""
        found = self.kubectl.all("pods", RELEASE_NAMESPACE, GATEWAY)
        every = [address for one in found for address in pods.addresses(one["status"])]
        return [one for one in every if ip_address(one).version in (versions or (4, 6))]

    def gateway_service_ports(self) -> set[int]:
        """Which ports the Service has: 3128 and 8479 come with the forward proxy."""
        return {int(one["port"]) for one in self.service("gateway", RELEASE_NAMESPACE)["spec"]["ports"]}

    def leaks(self, sources: set[str], packets: list[Packets] | None = None, gone: Iterable[str] = ()) -> list[Packets]:
        """What got past the policies from these pods to anything but the gateway's two ports. `packets`: what was counted, if
        not now; what goes to the sinkhole is counted on the node, too. `gone`: where pods of the gateway were meanwhile."""
        gateways = {*self.gateway_pods(), *gone}
        seen = self.sinkhole.counters.node() if packets is None else packets
        return [one for one in seen if one.source in sources and not is_allowed(one, gateways)]

    def canary_addresses(self) -> set[str]:
        """Where the canary listens: the gateway's pods, and its Service."""
        return {*self.gateway_pods(), *self.service("gateway", RELEASE_NAMESPACE)["spec"]["clusterIPs"]}

    def prove(self, addresses: Iterable[str], sources: Iterable[str]) -> None:
        """Before anything is sent from these pods to addresses out of the cluster. Raises ProbeError."""
        outside = [one for one in addresses if not in_cluster(one)]
        for source in sources:
            self.sinkhole.proof(outside, source)


def in_cluster(address: str) -> bool:
    """A pod's, a Service's or the node's own; or none that packets leave a machine for."""
    parsed = ip_address(address)
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed  # (sockets send to that one)
    own = parsed.is_loopback or parsed.is_multicast or parsed.is_unspecified or parsed in ip_network("fe80::/10")
    return own or any(parsed in ip_network(one) for one in CLUSTER)


def is_canary(packets: Packets, addresses: set[str]) -> bool:
    """`devbox-init`'s own probes, and nothing else: TCP to the canary's port of the gateway."""
    return packets.destination in addresses and (packets.protocol, packets.port) == ("tcp", api.CANARY_PORT)


def is_allowed(packets: Packets, gateways: set[str]) -> bool:
    """To the gateway's two ports; or to a port of the node that kube-router opens to all pods by itself (docs/confinement.md)."""
    if packets.destination in (config.NODE_ADDRESS, config.NODE_ADDRESS6) and packets.port in NODE_PORTS:
        return True
    return packets.destination in gateways and packets.protocol == "tcp" and packets.port in GATEWAY_PORTS


def node_link_local() -> str | None:
    """The node's own IPv6 address on the pods' bridge."""
    words = ip(f"-6 -o addr show dev {config.POD_DEVICE} scope link").split()
    return words[words.index("inet6") + 1].split("/")[0] if "inet6" in words else None


@contextlib.contextmanager
def world(kubectl: Kubectl, make: Callable[..., Workspace]) -> Iterator[World]:
    """The devbox and the pods around it, with the sinkhole open. `make` makes a namespace with these labels, and removes it."""
    home, away = make(), make(**{PRIVILEGED: "privileged"})
    home.apply(pods.manifest("neighbour", [pods.PYTHON, "-c", pods.LISTEN]), pods.service("neighbour", 80))
    away.apply(
        pods.manifest("stranger", [pods.PYTHON, "-c", pods.LISTEN]),
        pods.manifest("control", ["sleep", "infinity"], root=True),
    )
    name = home.working_devbox("agent")
    devbox = pods.running(kubectl, home.name, name)
    neighbour = pods.running(kubectl, home.name, "neighbour")
    stranger = pods.running(kubectl, away.name, "stranger")
    control = pods.running(kubectl, away.name, "control")
    with sinkhole(ANSWERS) as opened:
        _listening(control, neighbour, stranger)
        yield World(kubectl, opened, home, devbox, control, neighbour, stranger, make)


def _listening(control: Pod, *others: Pod) -> None:
    """Wait until the pods that listen do."""

    def attempt() -> None:
        probes = [{"name": one.name, "kind": "tcp", "host": one.address, "port": pods.PORT} for one in others]
        if missing := [name for name, word in control.run(probes).items() if word != "answered"]:
            raise NotYet(f"{', '.join(missing)} does not listen yet")

    wait_for("the pods that listen", attempt, seconds=30)
