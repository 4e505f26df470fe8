"""The direct probes over IPv6, as data: the same places as over IPv4, and the addresses that the kernel gives every device on its link.

Goes in: a `World`. Comes out: `Target`s. Where pods have no IPv6, that there is no way for it.
"""

from collections.abc import Iterator
from typing import Any, Final

from devbox_api import names as api
from devbox_cluster import config
from devbox_stage import upstream as standin
from devbox_stage.stage import RELEASE_NAMESPACE

from . import pods
from .pods import PORT
from .targets import LINK, Expected, Target, outside, tcp, udp
from .world import World, node_link_local

NOBODY: Final = "2001:db8:1::1"
UNUSED: Final = f"{config.NODE_POD_CIDR6.partition('/')[0]}abcd"
OUTSIDE: Final = {
    "IPv6: the internet (documentation 2001:db8::/32)": "2001:db8::7",
    "IPv6: the internet (2606:4700:4700::1111)": "2606:4700:4700::1111",
    "IPv6: private fd00::/8, outside the cluster": "fd12:3456::1",
    "IPv6: metadata address fd00:ec2::254": "fd00:ec2::254",
    "IPv6: NAT64 of the metadata address": "64:ff9b::a9fe:a9fe",
    "IPv6: site-local fec0::/10": "fec0::1",
}

QUIC: Final = ("IPv6: QUIC, UDP 443", "2001:db8::8")


def targets6(world: World) -> list[Target]:
    """All of them, for this cluster."""
    if not world.ipv6:
        return [*_nowhere(world)]
    return [*_cluster(world), *_gateway(world), *outside(OUTSIDE, QUIC), *_kernel(world), *_link(world), *_spoofed(world)]


def _nowhere(world: World) -> Iterator[Target]:
    for name, host in OUTSIDE.items():
        yield tcp(name, host, 443, None, Expected.NOWHERE)
    for name, link in (("another pod", world.neighbour.link_local()), ("the node", node_link_local())):
        host = link or "fe80::1"
        probe = {"kind": "tcp", "host": f"{host}%eth0", "port": PORT}
        yield Target(f"IPv6, on the link: {name}", probe, Expected.NOWHERE, ((host,), "tcp", PORT))
    group = {"kind": "udp", "host": "ff02::1%eth0", "port": 53, "dns": True}
    yield Target("IPv6, on the link: everybody's DNS port", group, Expected.NOWHERE, (("ff02::1",), "udp", 53))


def _cluster(world: World) -> Iterator[Target]:
    node, neighbour, stranger = config.NODE_ADDRESS6, _of(world.neighbour), _of(world.stranger)
    upstream = world.kubectl.get("pod", world.home.upstream.pod, standin.NAMESPACE)
    assert upstream is not None
    service = world.cluster_ip6("neighbour", world.home.name)
    assert service is not None
    yield tcp("IPv6: another pod, same namespace", neighbour, PORT)
    yield udp("IPv6: another pod, same namespace, UDP", neighbour, PORT)
    yield tcp("IPv6: a pod of another namespace", stranger, PORT)
    yield tcp("IPv6: a Service", service, 80, (neighbour, PORT))
    yield tcp("IPv6: the API server's port of the node", node, config.API_PORT)
    yield tcp("IPv6: the node: kubelet 10250", node, 10250)
    yield tcp("IPv6: the node: ssh 22", node, 22)
    yield tcp("IPv6: the node: its address on the bridge", _bridge(), 10250)
    yield tcp("IPv6: the node: a port of the NodePort range", node, 31999, None, Expected.CNI)
    yield udp("IPv6: the node: UDP 8472", node, 8472)
    yield udp("IPv6: DNS, UDP, a public resolver", "2001:4860:4860::8888", 53, dns=True)
    yield tcp("IPv6: the upstream's pod", pods.addresses(upstream["status"])[1], 8443)


def _gateway(world: World) -> Iterator[Target]:
    service = world.cluster_ip6("gateway", RELEASE_NAMESPACE)
    assert service is not None, "the gateway's Service has no IPv6 address"
    (pod, *_) = every = world.gateway_pods(6)
    for name, port, at in (("data", api.SERVICE_PORT, api.DATA_PORT), ("forward proxy", api.EGRESS_PORT, api.EGRESS_PORT)):
        probe = {"kind": "tcp", "host": service, "port": port}
        yield Target(f"IPv6: the gateway's Service, {name} {port}", probe, Expected.OPEN, (tuple(every), "tcp", at))
    yield tcp("IPv6: the gateway's pod, data 8443", pod, api.DATA_PORT, None, Expected.OPEN)
    yield tcp("IPv6: the gateway's admin port 8080", pod, api.ADMIN_PORT)
    canary = {"kind": "tcp", "host": service, "port": api.CANARY_PORT}
    yield Target("IPv6: the canary 8479, by the Service", canary, Expected.CUT, (tuple(every), "tcp", api.CANARY_PORT))
    yield tcp("IPv6: the canary 8479, by the pod", pod, api.CANARY_PORT)


def _kernel(world: World) -> Iterator[Target]:
    for name, host in (
        ("the internet", "2001:db8::9"),
        ("another pod", _of(world.neighbour)),
        ("the node", config.NODE_ADDRESS6),
    ):
        yield Target(f"IPv6: ICMP, {name}", {"kind": "icmp", "host": host}, Expected.CUT, ((host,), "icmpv6", 0))
    raw = {"kind": "raw", "host": "2001:db8::b", "protocol": 253, "bytes": "probe"}
    yield Target("IPv6: a raw socket", raw, Expected.FORBIDDEN, (("2001:db8::b",), "253", 0))


def _link(world: World) -> Iterator[Target]:
    """Each twice: from the link's address, which is what the kernel takes, and from the pod's own, which policies know."""
    places = (
        ("another pod", world.neighbour.link_local(), PORT, "tcp"),
        ("the node", node_link_local(), 10250, "tcp"),
        ("everybody's DNS port", "ff02::1", 53, "udp"),
    )
    for name, host, port, protocol in places:
        assert host is not None, f"{name} has no address on the link"
        probe: dict[str, Any] = {"kind": protocol, "host": f"{host}%eth0", "port": port, "dns": protocol == "udp"}
        yield Target(f"IPv6, on the link: {name}", probe, Expected.NEVER, ((host,), protocol, port), LINK)
        probe = {**probe, "from": "own"}
        yield Target(f"IPv6, on the link: {name}, from the pod's own address", probe, Expected.CUT, ((host,), protocol, port))


def _spoofed(world: World) -> Iterator[Target]:
    """From addresses that are not the pod's, which for IPv6 the kernel lets every program choose (IPV6_FREEBIND)."""
    (gateway, *_) = world.gateway_pods(6)
    stranger, neighbour = _of(world.stranger), _of(world.neighbour)
    internet = "2001:db8::a"
    for name, source, (protocol, host, port) in (
        ("nobody's address: a pod of another namespace, UDP", NOBODY, ("udp", stranger, PORT)),
        ("nobody's address: a pod of another namespace, TCP", NOBODY, ("tcp", stranger, PORT)),
        ("nobody's address: the internet, UDP", NOBODY, ("udp", internet, 9999)),
        ("nobody's address: the internet, TCP", NOBODY, ("tcp", internet, 443)),
        ("nobody's address: the node, TCP 10250", NOBODY, ("tcp", config.NODE_ADDRESS6, 10250)),
        ("nobody's address: the gateway's data port", NOBODY, ("tcp", gateway, api.DATA_PORT)),
        ("nobody's address: everybody on the link", NOBODY, ("udp", "ff02::1", 53)),
        ("an unused address of the pods' range: the internet, UDP", UNUSED, ("udp", internet, 9999)),
        ("another pod's address: the internet, UDP", neighbour, ("udp", internet, 9999)),
        ("the node's address: another pod, UDP", config.NODE_ADDRESS6, ("udp", stranger, PORT)),
        ("the node's address: the gateway's admin port", config.NODE_ADDRESS6, ("tcp", gateway, api.ADMIN_PORT)),
    ):
        zone = "%eth0" if host.startswith("ff02") else ""
        probe = {"kind": protocol, "host": f"{host}{zone}", "port": port, "from": source}
        yield Target(f"IPv6, from {name}", probe, Expected.NEVER, ((host,), protocol, port), source)


def _of(pod: pods.Pod) -> str:
    assert pod.address6 is not None, f"pod {pod.name} has no IPv6 address"
    return pod.address6


def _bridge() -> str:
    """The node's address in the pods' own network: its first one."""
    return f"{config.NODE_POD_CIDR6.partition('/')[0]}1"
