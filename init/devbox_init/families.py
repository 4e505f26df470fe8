"""Which address families a pod uses, and over which devices, read from what the kernel says of its addresses.

Goes in: the text of /proc/net/if_inet6, and the answer to SIOCGIFCONF. Comes out: the devices with an address of the family; where there
is none, it is not in use. Pure.

An address alone counts, whatever its device is called, and with a route or without one: a route may come at any time, and there are
CNIs that give a pod one address and leave the rest to the node. Loopback leads nowhere. A device without an address (tunl0, sit0 and
their like stand in every pod of some kernels) is no way out for a pod that may not give it one.
"""

from collections.abc import Collection, Iterable
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from typing import Final

LOOPBACK: Final = "lo"
IFREQ: Final = 40
"""Bytes of a `struct ifreq` where a pointer has eight: 16 for the device's name, then a `sockaddr_in` (family, port, address)."""


class Family(Enum):
    """Both that there are."""

    IPV4 = "IPv4"
    IPV6 = "IPv6"


def devices_ipv4(records: bytes) -> frozenset[str]:
    """`records`: one `struct ifreq` for each address. (169.254.0.0/16 counts: there are CNIs whose way out it is.)"""
    every = (records[at : at + IFREQ] for at in range(0, len(records), IFREQ))
    return frozenset(_device(one[:16]) for one in every if not IPv4Address(one[20:24]).is_loopback)


def devices_ipv6(table: str) -> frozenset[str]:
    """`table`: one line for each address, which is its first word, and the device its last; the address's scope is not looked at, since
    gVisor writes 0 for any.

    Tentative and deprecated addresses count. fe80:: does not: the kernel gives one to every device, and no Service has one to try.
    """
    lines = (line.split() for line in table.splitlines())
    found = ((IPv6Address(bytes.fromhex(words[0])), words[-1]) for words in lines)
    return frozenset(device for address, device in found if not (address.is_loopback or address.is_link_local))


def ways_out(devices: Iterable[Collection[str]]) -> frozenset[str]:
    """All of them. (An address that is on the loopback device is one to call from, and the way out is another device.)"""
    return frozenset(one for some in devices for one in some if one != LOOPBACK)


def _device(name: bytes) -> str:
    """eth0:1 is a name for one more address of eth0."""
    return name.split(b"\0")[0].decode("ascii", "replace").partition(":")[0]
