"""The floor document, compiled: what nothing may lead to, and what is the cluster's own, worked out once, when it is learned.

Goes in: `devbox_api.route.Floor`, and where this pod is. Comes out: a `Floor`, or a ValueError for a document that can't be used. Pure.
Called by state.py; read by destinations.py's dial check.
"""

from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

from devbox_api import route
from devbox_common.ranges import Ranges


@dataclass(frozen=True, slots=True)
class Floor:
    """Where the gateway stands."""

    addresses: frozenset[str] = frozenset()
    """Of nodes, the API server and the gateway: nothing may lead to them."""
    ranges: Ranges = field(default_factory=Ranges)
    """Of the cluster's pods and Services: they count as private, whatever class their addresses are of."""


def compile_floor(document: route.Floor, own_addresses: frozenset[str] = frozenset()) -> Floor:
    """Everything that dials need; addresses are compared as such, not as text. Raises ValueError."""
    addresses = frozenset(str(ip_address(address)) for address in document.addresses)
    return Floor(addresses | own_addresses, Ranges.of(ip_network(text) for text in document.ranges))
