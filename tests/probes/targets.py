"""The direct probes: what a devbox might try past the gateway, as data.

Goes in: a `World`. Comes out: `Target`s, each with what is expected and with the place where its packets would arrive.
"""

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import Any, Final, NamedTuple

from devbox_cluster import config
from devbox_stage import upstream as standin
from devbox_stage.stage import RELEASE_NAMESPACE

from .pods import PORT
from .world import World

OUTSIDE: Final = {
    "metadata address": "169.254.169.254",
    "the internet (documentation 203.0.113.0/24)": "203.0.113.7",
    "the internet (documentation 198.51.100.0/24)": "198.51.100.9",
    "the internet (140.82.112.3)": "140.82.112.3",
    "the internet (1.1.1.1)": "1.1.1.1",
    "private 10.0.0.0/8, outside the cluster": "10.200.1.1",
    "private 172.16.0.0/12": "172.20.1.1",
    "private 192.168.0.0/16": "192.168.7.7",
    "carriers' 100.64.0.0/10": "100.64.3.3",
}


QUIC: Final = ("QUIC, UDP 443", "203.0.113.8")
LINK: Final = "fe80:"


class Expected(Enum):
    """What has to come of a probe."""

    CUT = "no packet passes the policy"
    OPEN = "it answers"
    FORBIDDEN = "the kernel refuses the socket"
    NOWHERE = "no route: pods have no IPv6"
    NEVER = "the node drops it, whoever sends it"
    OWN = "inside the pod"
    CNI = "as the CNI has it (docs/confinement.md)"
    RUNTIME = "as the container runtime has it (docs/confinement.md)"


class Target(NamedTuple):
    """One probe."""

    name: str
    probe: dict[str, Any]
    expected: Expected
    arrives: tuple[tuple[str, ...], str, int] | None = None
    """Addresses (a Service has several pods), protocol and port behind Services: the counters' key."""
    source: str = ""
    """The address that it is sent from, `LINK` for the one that the kernel gives the device; empty: the pod's own."""


def targets(world: World) -> list[Target]:
    """Those over IPv4."""
    return [*_cluster(world), *_gateway(world), *outside(OUTSIDE, QUIC), *_kernel(world)]


def addresses(chosen: Iterable[Target]) -> list[str]:
    """Where their packets would arrive."""
    return sorted({address for one in chosen if one.arrives is not None for address in one.arrives[0]})


def tcp(name: str, host: str, port: int, arrives: tuple[str, int] | None = None, expected: Expected = Expected.CUT) -> Target:
    to, at = arrives or (host, port)
    return Target(name, {"kind": "tcp", "host": host, "port": port}, expected, ((to,), "tcp", at))


def udp(name: str, host: str, port: int, arrives: tuple[str, int] | None = None, **more: Any) -> Target:
    to, at = arrives or (host, port)
    return Target(name, {"kind": "udp", "host": host, "port": port, **more}, Expected.CUT, ((to,), "udp", at))


def _cluster(world: World) -> Iterator[Target]:
    node = config.NODE_ADDRESS
    dns = world.cluster_ip("kube-dns", "kube-system")
    (dns_pod, *_) = (one["status"]["podIP"] for one in world.kubectl.all("pods", "kube-system", "k8s-app=kube-dns"))
    upstream = world.kubectl.get("pod", world.home.upstream.pod, standin.NAMESPACE)
    assert upstream is not None
    upstream_pod = upstream["status"]["podIP"]
    yield tcp("another pod, same namespace", world.neighbour.address, PORT)
    yield udp("another pod, same namespace, UDP", world.neighbour.address, PORT)
    yield tcp("a pod of another namespace", world.stranger.address, PORT)
    yield tcp("a Service", world.cluster_ip("neighbour", world.home.name), 80, (world.neighbour.address, PORT))
    yield tcp("the API server's Service", world.cluster_ip("kubernetes", "default"), 443, (node, config.API_PORT))
    yield tcp("the API server", node, config.API_PORT)
    yield tcp("the node: kubelet 10250", node, 10250)
    yield tcp("the node: kubelet, read-only 10255", node, 10255)
    yield tcp("the node: kube-proxy 10256", node, 10256)
    yield tcp("the node: ssh 22", node, 22)
    yield tcp("the node: its address on the bridge", "10.244.0.1", 10250)
    yield tcp("the node: a port of the NodePort range", node, 31999, None, Expected.CNI)
    yield udp("the node: UDP 8472", node, 8472)
    yield udp("DNS, UDP, by the Service", dns, 53, (dns_pod, 53), dns=True)
    yield Target(
        "DNS, TCP, by the Service", {"kind": "tcp", "host": dns, "port": 53, "dns": True}, Expected.CUT, ((dns_pod,), "tcp", 53)
    )
    yield udp("DNS, UDP, a public resolver", "8.8.8.8", 53, dns=True)
    yield Target(
        "DNS, TCP, a public resolver",
        {"kind": "tcp", "host": "8.8.8.8", "port": 53, "dns": True},
        Expected.CUT,
        (("8.8.8.8",), "tcp", 53),
    )
    yield tcp("DNS over TLS, a public resolver", "8.8.8.8", 853)
    yield tcp("the upstream, by its Service", world.home.upstream.address, 443, (upstream_pod, 8443))
    yield tcp("the upstream's pod", upstream_pod, 8443)


def _gateway(world: World) -> Iterator[Target]:
    service = world.cluster_ip("gateway", RELEASE_NAMESPACE)
    (pod, *_) = pods = world.gateway_pods(4)
    ports = world.gateway_service_ports()
    data = {"kind": "tcp", "host": service, "port": 443}
    yield Target("the gateway's Service, data 443", data, Expected.OPEN, (tuple(pods), "tcp", 8443))
    yield tcp("the gateway's pod, data 8443", pod, 8443, None, Expected.OPEN)
    yield tcp("the gateway's admin port 8080", pod, 8080)
    if 3128 in ports:
        probe = {"kind": "tcp", "host": service, "port": 3128}
        yield Target("the gateway's Service, forward proxy 3128", probe, Expected.OPEN, (tuple(pods), "tcp", 3128))
    # Without the port, the Service's address leads nowhere in the cluster: the packet goes out as to any other address.
    canary = tuple(pods) if 8479 in ports else (service,)
    probe = {"kind": "tcp", "host": service, "port": 8479}
    yield Target("the canary 8479, by the Service", probe, Expected.CUT, (canary, "tcp", 8479))
    yield tcp("the canary 8479, by the pod", pod, 8479)


def outside(places: Mapping[str, str], quic: tuple[str, str]) -> Iterator[Target]:
    """Out of the cluster; places as name → address."""
    for name, host in places.items():
        yield tcp(f"{name}, TCP 443", host, 443)
        yield udp(f"{name}, UDP 9999", host, 9999)
    name, host = quic
    yield udp(name, host, 443)


def _kernel(world: World) -> Iterator[Target]:
    ping = {"kind": "icmp"}
    yield Target("ICMP, the internet", {**ping, "host": "203.0.113.9"}, Expected.CUT, (("203.0.113.9",), "icmp", 0))
    yield Target(
        "ICMP, another pod", {**ping, "host": world.neighbour.address}, Expected.CUT, ((world.neighbour.address,), "icmp", 0)
    )
    yield Target("ICMP, the node", {**ping, "host": config.NODE_ADDRESS}, Expected.CUT, ((config.NODE_ADDRESS,), "icmp", 0))
    sctp = {"kind": "sctp", "host": "203.0.113.10", "port": 9999}
    yield Target("SCTP, the internet", sctp, Expected.CUT, (("203.0.113.10",), "sctp", 9999))
    raw = {"kind": "raw", "host": "203.0.113.11", "protocol": 253, "bytes": "probe"}
    yield Target("a raw socket", raw, Expected.FORBIDDEN, (("203.0.113.11",), "253", 0))
    yield Target("an AF_PACKET socket", {"kind": "packet"}, Expected.FORBIDDEN)
    yield Target("an AF_VSOCK socket", {"kind": "vsock"}, Expected.RUNTIME)
    yield Target("the pod's own loopback", {"kind": "loopback"}, Expected.OWN)
    yield Target("kubelet's loopback port, on 127.0.0.1", {"kind": "tcp", "host": "127.0.0.1", "port": 10248}, Expected.OWN)
