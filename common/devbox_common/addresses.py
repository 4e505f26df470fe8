"""What an address is, wherever it stands in the world: what nothing may ever lead to, and the IPv4 addresses that are within an IPv6 one.

Goes in: an address, and the cluster's own NAT64 prefixes. Comes out: why it is closed, or None; other addresses. Pure. The gateway's dial
check enforces it and the operator shows it as a condition: one judgement for both.
"""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final

from .ranges import Address, Network

METADATA: Final[tuple[Network, ...]] = tuple(
    ip_network(text)
    for text in (
        *("169.254.169.254", "100.100.100.200", "168.63.129.16", "192.0.0.192"),
        *("fd00:ec2::/32", "fd20:ce::254", "fd00:c1::a9fe:a9fe", "fd00:42::42", "fd00:a9fe:a9fe::1"),
    )
)
"""Where clouds serve instance credentials, as far as that is not link-local. IPv4: the usual one, Alibaba, and two that Python calls
public: Azure's WireServer (learn.microsoft.com, "What is IP address 168.63.129.16?") and Oracle's older one. IPv6: AWS (the range of its
instance services; metadata ::254, the EKS agent ::23), GCP, Oracle, Scaleway, Linode."""
NEVER: Final[tuple[tuple[str, Network], ...]] = (
    ("a loopback address", ip_network("127.0.0.0/8")),
    ("a loopback address", ip_network("::1/128")),
    *(("a cloud's metadata service", network) for network in METADATA),
    ("a link-local or metadata address", ip_network("169.254.0.0/16")),
    ("a link-local address", ip_network("fe80::/10")),
    ("an unspecified address", ip_network("0.0.0.0/8")),
    ("an unspecified address", ip_network("::/128")),
    ("a multicast address", ip_network("224.0.0.0/4")),
    ("a multicast address", ip_network("ff00::/8")),
)
"""What no setting opens; the first that fits says it best."""
_SPECIAL: Final[tuple[Network, ...]] = tuple(
    ip_network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24"),
        *("192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4"),
        *("::/128", "::1/128", "::ffff:0:0/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16"),
        *("3fff::/20", "fc00::/7", "fe80::/10"),
    )
)
"""What IANA's registries of special-purpose addresses (RFC 6890) do not call globally reachable. Not Python's own judgement
(`is_global`), which is another one from release to release, also within 3.11: 2002::/16 (6to4), 192.0.0.0/24 and 3fff::/20 came late."""
_REACHABLE: Final[tuple[Network, ...]] = tuple(
    ip_network(text)
    for text in (
        *("192.0.0.9", "192.0.0.10"),
        *("2001:1::1", "2001:1::2", "2001:3::/32", "2001:4:112::/48", "2001:20::/28", "2001:30::/28"),
    )
)
"""The registries' exceptions within these."""
_UNICAST: Final = IPv6Network("2000::/3")
"""All that IANA has given out of IPv6 for the world."""
LOCAL_NAT64: Final = IPv6Network("64:ff9b:1::/48")
"""For NAT64 prefixes of one's own (RFC 8215). Where in it the IPv4 address stands depends on the prefix's length, which is the network's
to choose: without that nobody can tell where an address of it leads."""
UNKNOWN_NAT64: Final = "an address of a NAT64 prefix that the chart's nat64Prefixes does not name"
_NAT64: Final = IPv6Network("64:ff9b::/96")
"""The one that is the same everywhere (RFC 6052 2.1)."""
_LENGTHS: Final = (32, 40, 48, 56, 64, 96)
"""Of NAT64 prefixes: RFC 6052 2.2."""
_IPV4_AT_THE_END: Final = tuple(map(IPv6Network, ("::/96", "::ffff:0:0:0/96")))
"""IPv4-compatible (RFC 4291 2.5.5.1), IPv4-translated (RFC 2765)."""
_ISATAP: Final = 0x5EFE
"""The upper half of an interface's identifier that holds an IPv4 address, but for the bit that says who gave it: RFC 5214 6.1."""
Nat64 = Sequence[IPv6Network]
"""Prefixes of the cluster's own."""


def numeric(host: str) -> bool:
    """No name, since its last label is a number, nor need it be an address as one is written today: the C library takes `127.1`,
    `2130706433` and `0x7f.1` for one."""
    last = host.rstrip(".").rpartition(".")[2]
    return last.isdecimal() or last[:2].lower() == "0x"


def nat64_prefix(text: str) -> IPv6Network:
    """A NAT64 prefix. Raises ValueError, saying what is wrong."""
    try:
        prefix = IPv6Network(text)
    except ValueError:
        raise ValueError(f"{text!r} is no IPv6 prefix; write e.g. 64:ff9b:1::/96, with no host bits set") from None
    if prefix.prefixlen not in _LENGTHS:
        raise ValueError(f"{text!r}: a NAT64 prefix has a length of {', '.join(map(str, _LENGTHS))} (RFC 6052)")
    return prefix


def never(address: Address, nat64: Nat64 = ()) -> str | None:
    """What it is, if nothing may lead there; of IPv6, what is within it counts too."""
    for inner in (address, *embedded(address, nat64)):
        for what, network in NEVER:
            if inner in network:
                return what
    if address in LOCAL_NAT64 and translated(address, nat64) is None:
        return UNKNOWN_NAT64
    return None


def never_range(network: Network, nat64: Nat64 = ()) -> bool:
    """Nothing may lead to any address of the range."""
    if any(_within(network, closed) for _, closed in NEVER):
        return True
    return _within(network, LOCAL_NAT64) and not any(network.overlaps(prefix) for prefix in nat64)


def public(address: Address) -> bool:
    """Anybody's on the Internet. (Where another address stands behind it, it is for that one to be.)"""
    if isinstance(address, IPv6Address) and address not in _UNICAST:
        return False
    return public_range(ip_network(address))


def public_range(network: Network) -> bool:
    """Some of it is, or another address stands behind it; False: all of it is for private or other special use."""
    return within(network, _REACHABLE) or not within(network, _SPECIAL)


def translated(address: Address, nat64: Nat64 = ()) -> IPv4Address | None:
    """The IPv4 address that stands behind an IPv6 one and is what is dialled with it: by a NAT64 whose prefix is known, or as it is
    (mapped). None if there is no such."""
    found = _translations(address, nat64)
    return found[0] if found else None


def embedded(address: Address, nat64: Nat64 = ()) -> list[IPv4Address]:
    """The IPv4 addresses that an IPv6 address may lead to: NAT64, mapped, 6to4, Teredo, ISATAP, and those that end in one."""
    if isinstance(address, IPv4Address):
        return []
    found = [address.sixtofour, *(address.teredo or ())]
    isatap = int(address) >> 32 & 0xFDFFFFFF == _ISATAP
    if isatap or any(address in network for network in _IPV4_AT_THE_END):
        found.append(_at(address, 96))
    return [inner for inner in (*_translations(address, nat64), *found) if inner is not None]


def _translations(address: Address, nat64: Nat64) -> list[IPv4Address]:
    """Of the longest prefix first, as a router would choose."""
    if isinstance(address, IPv4Address):
        return []
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    lengths = {prefix.prefixlen for prefix in (*nat64, _NAT64) if address in prefix}
    return [_at(address, length) for length in sorted(lengths, reverse=True)]


def _at(address: IPv6Address, length: int) -> IPv4Address:
    """The IPv4 address behind a prefix: RFC 6052 2.2, with bits 64 to 71 left out, which are no part of it."""
    value = int(address)
    if length < 96:
        value = (value >> 64 << 56 | value & (1 << 56) - 1) >> 120 - 32 - length
    return IPv4Address(value & 0xFFFFFFFF)


def _within(network: Network, other: Network) -> bool:
    if isinstance(network, IPv4Network):
        return isinstance(other, IPv4Network) and network.subnet_of(other)
    return isinstance(other, IPv6Network) and network.subnet_of(other)


def within(network: Network, others: Iterable[Network]) -> bool:
    """One of the others holds the whole range."""
    return any(_within(network, other) for other in others)
