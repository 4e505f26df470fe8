"""Many ranges of addresses as one set.

Goes in: IPv4 and IPv6 networks in any order, which may overlap. Comes out: `Ranges`, which is asked as a network is. Pure. The gateway's
dial check asks for every address of every dial, and again and again for every open tunnel, so thousands of ranges must cost what one does.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Ranges:
    """Both families: where ranges begin and where they are over, in turn and ascending."""

    ipv4: tuple[int, ...] = ()
    ipv6: tuple[int, ...] = ()

    @classmethod
    def of(cls, networks: Iterable[Network]) -> "Ranges":
        """All of these."""
        ipv4: list[tuple[int, int]] = []
        ipv6: list[tuple[int, int]] = []
        for network in networks:
            family = ipv4 if isinstance(network, IPv4Network) else ipv6
            family.append((int(network.network_address), int(network.broadcast_address) + 1))
        return cls(_merged(ipv4), _merged(ipv6))

    def __contains__(self, address: Address) -> bool:
        """One of them holds the address."""
        return bisect_right(self._bounds(address.version), int(address)) % 2 == 1

    def covers(self, network: Network) -> bool:
        """They hold every address of the network."""
        bounds = self._bounds(network.version)
        passed = bisect_right(bounds, int(network.network_address))
        return passed % 2 == 1 and int(network.broadcast_address) < bounds[passed]

    def _bounds(self, version: int) -> tuple[int, ...]:
        return self.ipv4 if version == 4 else self.ipv6


def _merged(spans: list[tuple[int, int]]) -> tuple[int, ...]:
    bounds: list[int] = []
    for begin, end in sorted(spans):
        if bounds and begin <= bounds[-1]:
            bounds[-1] = max(bounds[-1], end)
        else:
            bounds += (begin, end)
    return tuple(bounds)
