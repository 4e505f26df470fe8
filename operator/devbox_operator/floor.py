"""What the floor document is made of: addresses that nothing may lead to, and the ranges of the cluster's pods and Services.

Goes in: Services, EndpointSlices, Nodes and ServiceCIDRs, as the API server speaks them. Comes out: their addresses, and as few ranges as
say the same. Pure, but for a line in the log. Called by watches.py, which keeps no more of these objects, and by observe.py.
"""

from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
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
        tuple(a["address"] for a in addresses if a.get("type") in ("InternalIP", "ExternalIP")),
        tuple(sorted(cidrs)),
    )


def service_cidrs(item: Object) -> tuple[str, ...]:
    """The ranges of a ServiceCIDR."""
    return tuple((item.get("spec") or {}).get("cidrs") or ())


def cluster_ips(item: Object) -> tuple[str, ...]:
    """The addresses of a Service."""
    ips = (item.get("spec") or {}).get("clusterIPs") or ()
    return tuple(ip for ip in ips if ip and ip != "None")


def slice_addresses(item: Object) -> tuple[str, ...]:
    """The addresses of an EndpointSlice."""
    return tuple(address for endpoint in item.get("endpoints") or () for address in endpoint.get("addresses") or ())


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
