"""May the gateway lead to this endpoint, or this range? What can be told without asking DNS.

Goes in: an endpoint and the chart's `upstreams` settings, or an EgressPolicy's ranges and the chart's `egress.permittedCIDRs`; and the
cluster's own ranges. Comes out: None, or why not and what to do. Pure. The gateway checks every address that it dials, names included;
this shows a refusal as a condition where the endpoint is an address or one of the names that can only be inside.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

from devbox_common import hosts
from devbox_common.ranges import Ranges

from .settings import Network, Upstreams

NEVER: Final = (
    ("loopback", ip_network("127.0.0.0/8")),
    ("loopback", ip_network("::1/128")),
    ("link-local or metadata", ip_network("169.254.0.0/16")),
    ("link-local", ip_network("fe80::/10")),
    ("unspecified", ip_network("0.0.0.0/8")),
    ("unspecified", ip_network("::/128")),
    ("multicast", ip_network("224.0.0.0/4")),
    ("multicast", ip_network("ff00::/8")),
)
"""What no setting opens."""


def host_of(endpoint: str) -> str:
    """The endpoint's host, lower case, without brackets and port."""
    return (urlsplit(endpoint).hostname or "").rstrip(".")


def refusal(
    endpoint: str, settings: Upstreams, floor: frozenset[str], ranges: Iterable[Network], gateway_host: str
) -> str | None:
    """Why the gateway may not lead there. `floor`: the addresses of nodes, API server and gateway; `ranges`: the cluster's own."""
    host = host_of(endpoint)
    if not host:
        return f"{endpoint!r} has no host; write e.g. https://api.example.com"
    labels = host.split(".")
    if host == "localhost" or labels[-1] == "localhost":
        return f"{host} is loopback, where the gateway never leads; write the API's own name"
    if host == gateway_host or host.startswith(f"{gateway_host}."):
        return f"{host} is the gateway itself; write the API's own name"
    address = _address(host)
    if address is None:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    address = mapped or address
    for what, network in NEVER:
        if address in network:
            return f"{host} is a {what} address, where the gateway never leads"
    if str(address) in floor:
        return f"{host} is a node, the API server or the gateway itself, where the gateway never leads"
    own = any(address in network for network in ranges)
    if (address.is_global and not own) or hosts.any_matches(settings.allowed_hosts, host):
        return None
    if any(address in network for network in settings.allowed_cidrs):
        return None
    what = "an address of the cluster's own" if own else "a private address"
    return f"{host} is {what}; the chart's values have to name it: upstreams.allowedCIDRs: [{host}/{address.max_prefixlen}]"


def refused_ranges(cidrs: Iterable[str], permitted: Iterable[Network], ranges: Iterable[Network]) -> str | None:
    """Which of an EgressPolicy's ranges the gateway does not lead to, and what to do. `ranges`: the cluster's own. (A range that is partly
    public, and there not the cluster's own, counts as far as it is that or permitted.)"""
    permitted, clusters = tuple(permitted), Ranges.of(ranges)
    never, own, private = list[str](), list[str](), list[str]()
    for cidr in cidrs:
        network = ip_network(cidr)
        if any(_within(network, closed) for _, closed in NEVER):
            never.append(cidr)
        elif any(_within(network, given) for given in permitted):
            continue
        elif clusters.covers(network):
            own.append(cidr)
        elif not network.is_global:
            private.append(cidr)
    parts = []
    if never:
        parts.append(f"the gateway never leads to {', '.join(never)}; remove it from allowedCIDRs")
    if closed := private + own:
        said = [f"{', '.join(those)} is {what}" for those, what in ((private, "private"), (own, "the cluster's own")) if those]
        parts.append(
            f"{' and '.join(said)}; an administrator has to name it in the chart's values: "
            f"egress.permittedCIDRs: [{', '.join(closed)}]"
        )
    return "; ".join(parts) or None


def _within(network: Network, other: Network) -> bool:
    if isinstance(network, IPv4Network):
        return isinstance(other, IPv4Network) and network.subnet_of(other)
    return isinstance(other, IPv6Network) and network.subnet_of(other)


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
