"""What the floor document is made of: addresses that nothing may lead to, and the ranges of the cluster's pods and Services.

Goes in: Services, EndpointSlices, Nodes and ServiceCIDRs, as the API server speaks them. Comes out: their addresses, and as few ranges as
say the same. Pure, but for a line in the log. Called by watches.py, which keeps no more of these objects, and by observe.py.

What can't be read is left out here: a gateway takes the document as a whole or not at all, and would stay with the one that it has.
"""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, collapse_addresses, ip_address, ip_network
from typing import NamedTuple

import structlog

from devbox_common.kube import Object
from devbox_common.ranges import Network

log = structlog.get_logger()


class NodeView(NamedTuple):
    """A Node."""

    addresses: tuple[str, ...]
    pod_cidrs: tuple[str, ...]
    """None where the network plugin gives pods addresses by other means."""


def node(item: Object) -> NodeView:
    """A Node, as far as it counts here."""
    addresses = (item.get("status") or {}).get("addresses") or ()
    spec = item.get("spec") or {}
    cidrs = {*(spec.get("podCIDRs") or ()), spec.get("podCIDR")} - {None, ""}
    return NodeView(
        _readable(a["address"] for a in addresses if a.get("type") in ("InternalIP", "ExternalIP")),
        tuple(sorted(cidrs)),
    )


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


def _readable(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(address for address in map(_address, texts) if address)


@lru_cache(maxsize=16384)
def _address(text: str) -> str:
    """As the gateway writes the address that it is about to dial, since it compares texts; empty if it is none. (Nodes report themselves
    every few minutes, and one that can't be read is told once.)

    A zone goes, rather than the address with it: it names a device of whoever wrote it, and without it the floor forbids more, not less.
    An IPv4 address in IPv6's clothes is that IPv4 address, which is what would be dialled.
    """
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        log.warning("address_unreadable", address=text)
        return ""
    return str(address.ipv4_mapped or address) if isinstance(address, IPv6Address) else str(address)


@lru_cache(maxsize=1)
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
