"""The families in use and their devices, asked of the kernel. It takes no right and no other program, and gVisor answers it, too.

Goes in: nothing. Comes out: the `Family`s of which the pod has an address now, and on which devices. Asked once a round: addresses may come
late.
"""

import fcntl
import socket
import struct
from array import array
from pathlib import Path
from typing import Final

from .families import IFREQ, Family, devices_ipv4, devices_ipv6

_IF_INET6: Final = Path("/proc/net/if_inet6")
_SIOCGIFCONF: Final = 0x8912
_IFCONF: Final = "iP"
"""`struct ifconf`: how many bytes, and where."""


def families_in_use() -> dict[Family, frozenset[str]]:
    """Each with the devices that have an address of it."""
    found = {Family.IPV4: devices_ipv4(_ifconf()), Family.IPV6: devices_ipv6(_if_inet6())}
    return {family: devices for family, devices in found.items() if devices}


def _if_inet6() -> str:
    try:
        return _IF_INET6.read_text(encoding="ascii")
    except FileNotFoundError:
        return ""  # a kernel without IPv6


def _ifconf() -> bytes:
    """Every IPv4 address, as `struct ifreq`s."""
    size = 16 * IFREQ
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        while True:
            records = array("B", bytes(size))
            where, _ = records.buffer_info()
            length, _ = struct.unpack(_IFCONF, fcntl.ioctl(asked, _SIOCGIFCONF, struct.pack(_IFCONF, size, where)))
            if length < size:
                return records.tobytes()[:length]
            size *= 2  # a full one may be cut
