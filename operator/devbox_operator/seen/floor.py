"""What the floor document is made of: addresses that nothing may lead to, and the ranges of the cluster's pods and Services.

Goes in: Services, EndpointSlices, Nodes and ServiceCIDRs, as the API server speaks them. Comes out: their addresses, and as few ranges as
say the same. Pure, but for a line in the log.

What can't be read is left out here: a gateway takes the document as a whole or not at all, and would stay with the one that it has.
"""

import contextlib
import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, collapse_addresses, ip_address, ip_network
from typing import Final, NamedTuple

import structlog

from devbox_api import names
from devbox_common.kube import Object
from devbox_common.ranges import Network

log = structlog.get_logger()

_CALICO: Final = ("Address", "IPIPTunnelAddr", "VXLANTunnelAddr", "WireguardInterfaceAddr")
_BETWEEN: Final = re.compile(r"[\s,\[\]{}\"]+")
"""What stands between the addresses of an annotation: a list with commas, or JSON."""

ANNOTATIONS: Final = frozenset(
    {
        # kubelet, k3s and RKE2
        *("alpha.kubernetes.io/provided-node-ip", "k3s.io/internal-ip", "k3s.io/external-ip"),
        *("rke2.io/internal-ip", "rke2.io/external-ip"),
        *(f"flannel.alpha.coreos.com/public-ip{rest}" for rest in ("", "v6", "-overwrite", "v6-overwrite")),
        *(f"projectcalico.org/IPv{family}{what}" for family in (4, 6) for what in _CALICO),
        *(f"{domain}ipv{family}-cilium-host" for family in (4, 6) for domain in ("network.cilium.io/", "io.cilium.network.")),
        # OVN-Kubernetes: JSON, of every device
        *(f"k8s.ovn.org/{what}" for what in ("host-cidrs", "host-addresses", "node-primary-ifaddr")),
        *("node.antrea.io/transport-addresses", "networking.talos.dev/self-ips"),
    }
)
"""In which network plugins and distributions write down further addresses of a Node: of tunnels, bridges and second devices. Those alone:
what else stands in annotations may be anybody's address."""


class NodePlace(NamedTuple):
    """A Node."""

    addresses: tuple[str, ...]
    """All that it is known by: its status' and those of the annotations."""
    pod_cidrs: tuple[str, ...]
    """None where the network plugin gives pods addresses by other means."""


class Place(NamedTuple):
    """Where one gateway takes connections."""

    address: str
    data: int
    canary: int


class Asked(NamedTuple):
    """Where one gateway is asked when devboxes were last in use."""

    address: str
    port: int


class SliceView(NamedTuple):
    """An EndpointSlice of the gateway's Service."""

    addresses: tuple[str, ...]
    """All that stand in it."""
    ready: tuple[Place, ...]
    """Those that the Service leads to. None for a Service without a canary (of the first release)."""
    asked: tuple[Asked, ...] = ()
    """All that may have seen devboxes at work, those that begin or end among them. None for a Service of an older release."""


def node(item: Object) -> NodePlace:
    """A Node, as far as it counts here."""
    addresses = (item.get("status") or {}).get("addresses") or ()
    spec = item.get("spec") or {}
    cidrs = {*(spec.get("podCIDRs") or ()), spec.get("podCIDR")} - {None, ""}
    told = _readable(a["address"] for a in addresses if a.get("type") in ("InternalIP", "ExternalIP"))
    # Some clouds write an address where a name is meant.
    others = [a["address"] for a in addresses if a.get("type") not in ("InternalIP", "ExternalIP")]
    annotations = (item.get("metadata") or {}).get("annotations") or {}
    others += [word for key in ANNOTATIONS & annotations.keys() for word in _BETWEEN.split(annotations[key])]
    more = {written(name.partition("/")[0]) for name in others} - {""}
    return NodePlace((*told, *sorted(more.difference(told))), tuple(sorted(cidrs)))


def bridges(pod_cidrs: Iterable[str]) -> frozenset[str]:
    """Of each range of a node's pods the first two addresses, as a range. The node itself has them, in one way or another: the bridge the
    first (CNI's host-local, kubenet), flannel's tunnel the one in front of it. No pod is given them. One that can't be read is left out, as
    in `collapsed`."""
    found = set[str]()
    for cidr in pod_cidrs:
        with contextlib.suppress(ValueError):
            network = ip_network(cidr, strict=False)
            length = min(network.max_prefixlen, max(network.prefixlen, network.max_prefixlen - 1))
            found.add(f"{network.network_address}/{length}")
    return frozenset(found)


def service_cidrs(item: Object) -> tuple[str, ...]:
    """The ranges of a ServiceCIDR."""
    return tuple((item.get("spec") or {}).get("cidrs") or ())


def cluster_ips(item: Object) -> tuple[str, ...]:
    """The addresses of a Service."""
    ips = (item.get("spec") or {}).get("clusterIPs") or ()
    return _readable(ip for ip in ips if ip and ip != "None")


def slice_addresses(item: Object) -> tuple[str, ...]:
    """The addresses of an EndpointSlice. (One of addressType FQDN has names.)"""
    return _readable(address for endpoint in item.get("endpoints") or () for address in endpoint.get("addresses") or ())


def gateway_slice(item: Object) -> SliceView:
    """An EndpointSlice, as far as it counts here."""
    ports: dict[str, int] = {port.get("name"): port.get("port") or 0 for port in item.get("ports") or ()}
    data, canary, activity = ports.get("data", 0), ports.get("canary", 0), ports.get(names.ACTIVITY, 0)
    ready = [one for one in item.get("endpoints") or () if (one.get("conditions") or {}).get("ready") is not False]
    addresses = slice_addresses({"endpoints": ready}) if data and canary else ()
    every = slice_addresses(item)
    asked = tuple(Asked(address, activity) for address in every) if activity else ()
    return SliceView(every, tuple(Place(address, data, canary) for address in addresses), asked)


def _readable(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(address for address in map(_address, texts) if address)


@lru_cache(maxsize=16384)
def _address(text: str) -> str:
    """The same, with a line in the log for an invalid one. (Nodes report themselves every few minutes, and one that can't be read is told
    once.)"""
    address = written(text)
    if not address:
        log.warning("address_unreadable", address=text)
    return address


def written(text: str) -> str:
    """As the gateway writes the address that it is about to dial, since it compares texts; empty if it is invalid.

    A zone goes, rather than the address with it: it names a device of whoever wrote it, and without it the floor forbids more, not less.
    An IPv4-mapped address is that IPv4 address, which is what would be dialled.
    """
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return ""
    return str(address.ipv4_mapped or address) if isinstance(address, IPv6Address) else str(address)


@lru_cache(maxsize=4)
def collapsed(cidrs: frozenset[str]) -> tuple[Network, ...]:
    """The same addresses in as few ranges as can be, sorted: those of thousands of nodes are often one. One that can't be read is left
    out, and the others count. (It is asked with every look at a policy, and the answer seldom changes.)"""
    ipv4: list[IPv4Network] = []
    ipv6: list[IPv6Network] = []
    for cidr in sorted(cidrs):
        try:
            network = ip_network(cidr, strict=False)
        except ValueError:
            log.warning("range_unreadable", range=cidr)
            continue
        if isinstance(network, IPv4Network):
            ipv4.append(network)
        else:
            ipv6.append(network)
    return (*collapse_addresses(ipv4), *collapse_addresses(ipv6))
