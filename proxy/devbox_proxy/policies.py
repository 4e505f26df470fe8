"""An egress document, compiled: what an EgressPolicy allows, worked out once, when the document is learned.

Goes in: `devbox_api.route.Egress`. Comes out: an `EgressPolicy`, or a ValueError for a document that can't be used. Pure. Called by
state.py; read by egress.py for every CONNECT, and by destinations.py's dial check.
"""

from dataclasses import dataclass
from ipaddress import ip_network

from devbox_api.judge.hosts import any_matches
from devbox_api.route import Egress
from devbox_common.ranges import Address, Network


@dataclass(frozen=True, slots=True, eq=False)
class EgressPolicy:
    """One policy. Compared by identity: a changed document is another one."""

    name: str
    """Of the EgressPolicy, as namespace/name."""
    allow_all: bool
    exact: frozenset[str]
    """Hosts that are named."""
    wildcards: tuple[str, ...]
    """`*.example.com`."""
    ports: frozenset[int]
    cidrs: tuple[Network, ...]

    def allows_host(self, host: str) -> bool:
        """A name, in lower case and without a final dot. It says nothing about where the name leads."""
        return self.allow_all or host in self.exact or any_matches(self.wildcards, host)

    def allows_address(self, address: Address) -> bool:
        """Whether it may be asked for as an address, or, if it is private, be what an allowed name leads to."""
        return within(address, self.cidrs)


def compile_egress(document: Egress) -> EgressPolicy:
    """Everything that CONNECTs need. Raises ValueError."""
    hosts = [host.lower().rstrip(".") for host in document.hostnames]
    return EgressPolicy(
        name=f"{document.namespace}/{document.name}",
        allow_all=document.allow_all,
        exact=frozenset(host for host in hosts if host and "*" not in host),
        wildcards=tuple(host for host in hosts if host.startswith("*.")),
        ports=frozenset(document.ports),
        cidrs=networks(document.cidrs),
    )


def networks(cidrs: tuple[str, ...]) -> tuple[Network, ...]:
    """Ranges, parsed. Raises ValueError, also for one with bits set that its prefix does not cover."""
    return tuple(ip_network(cidr) for cidr in cidrs)


def within(address: Address, ranges: tuple[Network, ...]) -> bool:
    """The address is in one of the ranges."""
    return any(address in each for each in ranges)
