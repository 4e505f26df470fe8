"""The floor, compiled: what nothing may lead to, and what is the cluster's own, worked out once, when the document is learned.

Goes in: `devbox_api.route.Floor`, and what the gateway knows by itself: where its pod is, and the settings. Comes out: a `Floor`, or a
ValueError for a document that can't be used. Pure.
"""

from dataclasses import dataclass, field
from ipaddress import IPv6Network, ip_address, ip_network
from typing import NamedTuple

from devbox_api import route
from devbox_common.ranges import Network, Ranges


class Own(NamedTuple):
    """What the gateway knows by itself; it counts with every document, whatever version of the operator wrote that."""

    addresses: frozenset[str] = frozenset()
    """Where its pod is."""
    closed: tuple[Network, ...] = ()
    """What the settings close."""
    nat64: tuple[IPv6Network, ...] = ()


@dataclass(frozen=True, slots=True)
class Floor:
    """Where the gateway stands."""

    addresses: frozenset[str] = frozenset()
    """Of nodes, the API server and the gateway: nothing may lead to them."""
    ranges: Ranges = field(default_factory=Ranges)
    """Of the cluster's pods and Services: they count as private, whatever class their addresses are of."""
    bridges: Ranges = field(default_factory=Ranges)
    """Of nodes, in their pods' ranges: nothing may lead there either."""
    closed: Ranges = field(default_factory=Ranges)
    """Nor there: the settings say so."""
    nat64: tuple[IPv6Network, ...] = ()
    """The cluster's NAT64 prefixes: their addresses are judged as the IPv4 ones that they lead to."""


def compile_floor(document: route.FloorDocument, own: Own = Own()) -> Floor:  # noqa: B008 (frozen)
    """Everything that dials need; addresses are compared as such, not as text. Raises ValueError."""
    addresses = frozenset(str(ip_address(address)) for address in document.addresses)
    return Floor(
        addresses | own.addresses,
        Ranges.of(map(ip_network, document.ranges)),
        Ranges.of(map(ip_network, document.bridges)),
        Ranges.of(own.closed),
        own.nat64,
    )
