"""What a CONNECT asks for: `host:port`, read once and normalised once. What is decided, looked up, dialled and compared is this.

Goes in: the request target's bytes. Comes out: a `Target`, or None for an invalid one. Pure.
"""

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final, NamedTuple

Address = IPv4Address | IPv6Address

_AUTHORITY: Final = re.compile(rb"(?:\[([0-9A-Fa-f:.]+)\]|([0-9A-Za-z_.-]+)):([1-9][0-9]{0,4})")
"""RFC 9110 7.2 authority-form, strictly: no user info, no zone, no escapes, no empty or padded port."""
_NAME: Final = re.compile(
    r"(?=.{1,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*"
)
"""RFC 1123 2.1 and RFC 1035 2.3.4, and '_', which names of services have. Names in other scripts come as punycode, or not at all."""
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
"""A last label like this makes an IPv4 address of the name to some resolvers (WHATWG URL 3.5; inet_aton(3))."""


class Target(NamedTuple):
    """Where a tunnel is to lead."""

    host: str
    """Lower case, without a final dot; an address in its canonical form, without brackets."""
    port: int
    address: Address | None = None
    """What the host is, if it is an address."""
    disguised: bool = False
    """An IPv4 address in another form than four decimals: 2130706433, 0x7f.1, 127.1."""

    @property
    def text(self) -> str:
        """`example.com:443`, `[2001:db8::1]:443`."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse(authority: bytes) -> Target | None:
    """One `host:port`."""
    match = _AUTHORITY.fullmatch(authority)
    if match is None or int(match[3]) > 65535:
        return None
    port = int(match[3])
    if match[1] is not None:
        return _address_v6(match[1].decode("ascii"), port)
    host = name(match[2].decode("ascii"))
    if host is None:
        return None
    if not _NUMBER.fullmatch(host.rpartition(".")[2]):
        return Target(host, port)
    try:
        address = IPv4Address(host)
    except AddressValueError:
        return Target(host, port, disguised=True)
    return Target(str(address), port, address)


def local(target: Target, own: str = "") -> bool:
    """It is in the devbox that asks: a loopback address, what servers print that listen everywhere, or `own`, its pod's address."""
    address = target.address
    if address is None:
        return target.host == "localhost" or target.host.endswith(".localhost")
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_loopback or address.is_unspecified or str(address) == own


def name(text: str) -> str | None:
    """A host's name as it is compared: lower case, one final dot removed. None for what is no name."""
    lower = text.lower().removesuffix(".")
    return lower if _NAME.fullmatch(lower) else None


def _address_v6(text: str, port: int) -> Target | None:
    try:
        address = IPv6Address(text)
    except AddressValueError:
        return None
    return Target(_written(address), port, address)


def _written(address: IPv6Address) -> str:
    """The same on every Python: 3.13 began to write the IPv4 address in a mapped one with dots."""
    mapped = address.ipv4_mapped
    return str(address) if mapped is None else f"::ffff:{int(mapped) >> 16:x}:{int(mapped) & 0xFFFF:x}"
