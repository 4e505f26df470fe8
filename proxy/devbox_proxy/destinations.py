"""Where a gateway may lead: every address that would be dialled is checked, and the checked one is dialled.

Who may write a GatewayConfig must not get the gateway's place in the network with it. Goes in: a host, the addresses it has, the
settings and the floor. Comes out: the addresses that may be dialled, or a refusal. Pure but for `Resolver`, which asks DNS.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

from devbox_common.hosts import any_matches

from .lookups import Lookups
from .settings import Upstreams

Address = IPv4Address | IPv6Address
_IPV4_AT_THE_END = tuple(map(IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "::/96", "::ffff:0:0:0/96")))
"""NAT64 (RFC 6052, and RFC 8215 with the prefix length of 96), IPv4-compatible (RFC 4291 2.5.5.1), IPv4-translated (RFC 2765)."""
_METADATA = {
    ip_address(text)
    for text in (
        *("169.254.169.254", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "100.100.100.200"),
        *("168.63.129.16", "192.0.0.192"),
    )
}
"""Where clouds serve instance credentials: AWS, GCP and Azure; AWS over IPv6, and its EKS agent; GCP over IPv6; Alibaba. Then two that
Python calls public: Azure's WireServer (learn.microsoft.com, "What is IP address 168.63.129.16?") and Oracle's older one."""


class Refused(Exception):
    """The host may not be dialled; the text is for the log, and holds addresses."""


class Unready(Refused):
    """Nor may any other, yet: what must never be dialled is not known."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The chart's `upstreams` settings."""

    allowed_cidrs: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    overrides: tuple[tuple[str, str, int | None], ...] = ()
    """Host, address, port (None: the endpoint's)."""

    @classmethod
    def of(cls, settings: Upstreams) -> "Policy":
        """Parsed settings. Raises ValueError for an address or range that is none."""
        for cidr in settings.allowed_cidrs:
            ip_network(cidr)
        overrides = tuple((host.lower(), *_address_and_port(to)) for host, to in settings.address_overrides.items())
        return cls(settings.allowed_cidrs, settings.allowed_hosts, overrides)

    def override(self, host: str) -> tuple[str, int | None] | None:
        """Address and port that the administrator put in the host's place."""
        return next(((address, port) for name, address, port in self.overrides if name == host), None)


def permitted(host: str, addresses: Iterable[str], policy: Policy, floor: frozenset[str]) -> list[str]:
    """The addresses as they may be dialled. Raises Refused if there is none or if a single one may not be."""
    checked = []
    for text in addresses:
        address = ip_address(text.partition("%")[0])
        if why := _below_floor(address, floor):
            raise Refused(f"{host} has the address {address}: {why}")
        if not _public(address) and not _named(host, address, policy):
            raise Refused(f"{host} has the private address {address}; name it in upstreams.allowedHosts or allowedCIDRs")
        checked.append(text)
    if not checked:
        raise Refused(f"{host} has no address")
    return checked


def _below_floor(address: Address, floor: frozenset[str]) -> str | None:
    """What nothing lifts."""
    for inner in (address, *_embedded(address)):
        if inner.is_loopback or inner.is_unspecified:
            return "the gateway itself"
        if inner in _METADATA:
            return "a cloud's metadata service"
        if inner.is_link_local or inner.is_multicast:
            return "link-local or multicast"
        if str(inner) in floor:
            return "a node or the API server"
    return None


def _public(address: Address) -> bool:
    if isinstance(address, IPv6Address) and address.is_site_local:  # fec0::/10, private before RFC 3879; Python calls it global
        return False
    return all(inner.is_global and not inner.is_reserved for inner in (address, *_embedded(address)))


def _named(host: str, address: Address, policy: Policy) -> bool:
    if any_matches(policy.allowed_hosts, host):
        return True
    return any(address in ip_network(cidr) for cidr in policy.allowed_cidrs)


def _embedded(address: Address) -> list[IPv4Address]:
    """The IPv4 addresses that an IPv6 address leads to: mapped, 6to4, Teredo, ISATAP, and those that end in one."""
    if isinstance(address, IPv4Address):
        return []
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    isatap = int(address) >> 32 & 0xFDFFFFFF == 0x5EFE  # RFC 5214 6.1
    if isatap or any(address in network for network in _IPV4_AT_THE_END):
        found.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return [inner for inner in found if inner is not None]


def _address_and_port(text: str) -> tuple[str, int | None]:
    """`10.96.1.2`, `10.96.1.2:443`, `[2001:db8::1]:443` or `2001:db8::1`."""
    host, port = text, None
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = int(rest.removeprefix(":")) if rest else None
    elif text.count(":") == 1:
        host, _, rest = text.partition(":")
        port = int(rest)
    return str(ip_address(host)), port


class Resolver:
    """Names to checked addresses, once for each dial: what is checked is what is dialled."""

    def __init__(self, policy: Policy, floor: Callable[[], frozenset[str] | None], *, own_host: str = "") -> None:
        """`floor`: what nothing lifts, None while it is not known; `own_host`: the gateway's name."""
        self._policy = policy
        self._floor = floor
        self._own_host = own_host
        self._lookups = Lookups()

    async def resolve(self, host: str, port: int) -> list[tuple[str, int]]:
        """Address and port pairs to try in turn. Raises Refused, or OSError where DNS has no answer."""
        floor = self._floor()
        if floor is None:
            raise Unready("the operator has not written the floor document yet")
        if host.rstrip(".") == self._own_host:
            raise Refused(f"{host} is the gateway itself")
        override = self._policy.override(host)
        if override is not None:
            # The administrator named this very address; only the floor stands above that.
            address, other_port = override
            if why := _below_floor(ip_address(address), floor):
                raise Refused(f"the address override of {host}, {address}: {why}")
            return [(address, other_port or port)]
        addresses = await self._lookups.addresses(host)
        return [(address, port) for address in permitted(host, addresses, self._policy, floor)]

    def close(self) -> None:
        """Look up no more."""
        self._lookups.close()
