"""May the gateway lead to this endpoint, or this range? What can be told without asking DNS.

Goes in: an endpoint or an EgressPolicy's ranges, the settings, and the cluster's own ranges. Comes out: None, or why not and what to do.
Pure. The gateway checks every address that it dials, names included; this shows a refusal as a condition where the endpoint is an address
or one of the names that can only be inside.
"""

from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

from devbox_api.judge import hosts
from devbox_common.addresses import embedded, never, never_range, numeric, public, public_range, translated, within
from devbox_common.ranges import Address, Network, Ranges
from devbox_operator.settings import Settings

_INSIDE: Final = {
    ".svc": "a Service of this cluster",
    ".svc.cluster.local": "a Service of this cluster",
    ".local": "a name of the local network",  # RFC 6762
    ".internal": "a private name",  # kept for private use by ICANN, 2024
    ".home.arpa": "a name of the local network",  # RFC 8375
}
"""Endings that no public name has."""


def host_of(endpoint: str) -> str:
    """The endpoint's host, lower case, without brackets and port."""
    return (urlsplit(endpoint).hostname or "").rstrip(".")


def refusal(
    endpoint: str,
    settings: Settings,
    floor: frozenset[str],
    ranges: Iterable[Network],
    gateway_host: str,
    *,
    bridges: Iterable[Network] = (),
) -> str | None:
    """Why the gateway may not lead there. `floor`: the addresses of nodes, API server and gateway; `bridges`: of nodes, in the ranges of
    their pods; `ranges`: the cluster's own."""
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
        return _no_name(host, settings)
    nat64 = settings.nat64_prefixes
    if what := never(address, nat64):
        return f"{host} is {what}, where the gateway never leads"
    every = (address, *embedded(address, nat64))
    nodes = Ranges.of(bridges)
    if any(str(inner) in floor or inner in nodes for inner in every):
        return f"{host} is a node, the API server or the gateway itself, where the gateway never leads"
    if any(inner in closed for inner in every for closed in settings.floor.extra_cidrs):
        return f"{host} is closed by the chart's floor.extraCIDRs"
    own = any(inner in network for inner in every for network in ranges)
    behind = translated(address, nat64)
    is_public = all(map(public, (behind,) if behind else every))
    if (is_public and not own) or hosts.any_matches(settings.upstreams.allowed_hosts, host):
        return None
    if any(inner in network for inner in (address, behind) if inner for network in settings.upstreams.allowed_cidrs):
        return None
    what = "an address of the cluster's own" if own else "a private address"
    return f"{host} is {what}; the chart's values have to name it: upstreams.allowedCIDRs: [{host}/{address.max_prefixlen}]"


def refused_ranges(cidrs: Iterable[str], settings: Settings, ranges: Iterable[Network]) -> str | None:
    """Which of an EgressPolicy's ranges the gateway does not lead to, and what to do. `ranges`: the cluster's own. (A range that is partly
    public, and there not the cluster's own, counts as far as it is that or permitted.)"""
    permitted, clusters = settings.egress.permitted_cidrs, Ranges.of(ranges)
    closed = Ranges.of(settings.floor.extra_cidrs)
    unreachable, own, private = list[str](), list[str](), list[str]()
    for cidr in cidrs:
        network = ip_network(cidr)
        if never_range(network, settings.nat64_prefixes) or closed.covers(network):
            unreachable.append(cidr)
        elif within(network, permitted):
            continue
        elif clusters.covers(network):
            own.append(cidr)
        elif not public_range(network):
            private.append(cidr)
    parts = []
    if unreachable:
        parts.append(f"the gateway never leads to {', '.join(unreachable)}; remove it from allowedCIDRs")
    if named := private + own:
        said = [f"{', '.join(those)} is {what}" for those, what in ((private, "private"), (own, "the cluster's own")) if those]
        parts.append(
            f"{' and '.join(said)}; an administrator has to name it in the chart's values: "
            f"egress.permittedCIDRs: [{', '.join(named)}]"
        )
    return "; ".join(parts) or None


def _no_name(host: str, settings: Settings) -> str | None:
    """Why the host can't be looked up."""
    if numeric(host):
        return f"{host} is neither a name nor an address; write an IPv4 address as four decimal numbers"
    if "." not in host and host not in settings.upstreams.address_overrides:
        return (
            f"{host} has no dot, and no search list stands behind names; write all of it, e.g. {host}.team-a.svc for a Service"
        )
    return _inside(host, settings)


def _inside(host: str, settings: Settings) -> str | None:
    """Why a name that can only be inside leads nowhere, whatever DNS says: nobody has named it. (Where there are `allowedCIDRs`, its
    address may be in one, which DNS alone shows.)"""
    upstreams = settings.upstreams
    what = next((what for ending, what in _INSIDE.items() if host.endswith(ending)), None)
    if what is None or upstreams.allowed_cidrs or host in upstreams.address_overrides:
        return None
    if hosts.any_matches(upstreams.allowed_hosts, host):
        return None
    return f"{host} is {what}, where the gateway leads only if the chart's values name it: upstreams.allowedHosts: [{host}]"


def _address(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
