"""Which address families a pod uses, read from what the kernel says of its addresses.

Goes in: the text of /proc/net/if_inet6, and the answer to SIOCGIFCONF. Comes out: is the family in use. Pure. Called by kernel.py.

An address alone counts, whatever its device is called, and with a route or without one: a route may come at any time, and there are
CNIs that give a pod one address and leave the rest to the node. Loopback leads nowhere.
"""

from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from typing import Final

IFREQ: Final = 40
"""Bytes of a `struct ifreq` where a pointer has eight: 16 for the device's name, then a `sockaddr_in` (family, port, address)."""


class Family(Enum):
    """Both that there are."""

    IPV4 = "IPv4"
    IPV6 = "IPv6"


def uses_ipv4(records: bytes) -> bool:
    """`records`: one `struct ifreq` for each address. (169.254.0.0/16 counts: there are CNIs whose way out it is.)"""
    addresses = (IPv4Address(records[at + 20 : at + 24]) for at in range(0, len(records), IFREQ))
    return any(not one.is_loopback for one in addresses)


def uses_ipv6(table: str) -> bool:
    """`table`: one line for each address, which is its first word; its scope is not looked at, since gVisor writes 0 for any.

    Tentative and deprecated addresses count. fe80:: does not: the kernel gives one to every device, and no Service has one to try.
    """
    addresses = (IPv6Address(bytes.fromhex(line.split()[0])) for line in table.splitlines())
    return any(not (one.is_loopback or one.is_link_local) for one in addresses)
