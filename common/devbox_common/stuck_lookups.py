"""Lookups of names that the C library never ends by itself.

getaddrinfo(3) asks by TCP for an answer that does not fit into a datagram, and then waits without a limit: for the connection as long as
the kernel tries (two minutes), and for the answer as long as the connection lives, which is for ever where the name server's machine was
lost in the midst of it. Its thread can't be stopped. But what it waits for can be ended.

Goes in: one look after another, some seconds apart. What happens: TCP connections of this process to its name servers that were there at
both are shut, upon which the lookup fails. Linux alone.

(A devbox's tunnel to port 53 of the gateway's own name server, should an EgressPolicy and the chart allow that, would be shut with them.)
"""

import contextlib
import os
import socket
import stat
import sys
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Final

RESOLV_CONF: Final = Path("/etc/resolv.conf")
TABLES: Final = ("/proc/self/net/tcp", "/proc/self/net/tcp6")
PORT: Final = 53


class StuckLookups:
    """What was there at the last look."""

    def __init__(self) -> None:
        self._seen: frozenset[int] = frozenset()
        """Inodes of sockets; no two sockets have the same one."""

    def look(self) -> int:
        """Shut what was there at the last look; how many that were. With thousands of connections it takes tens of milliseconds."""
        there = frozenset(_to(_name_servers()))
        cut = sum(_shut(descriptor) for descriptor in _own(there & self._seen))
        self._seen = there
        return cut


def _name_servers() -> set[str]:
    """resolv.conf(5), as far as it can be read."""
    found = set[str]()
    with contextlib.suppress(OSError):
        for line in RESOLV_CONF.read_text(errors="replace").splitlines():
            match line.split():
                case ["nameserver", address, *_]:
                    with contextlib.suppress(ValueError):
                        found.add(str(ip_address(address.partition("%")[0])))
    return found


def _to(name_servers: set[str]) -> Iterator[int]:
    """The inodes of connections to them, whosever; also of those that are being made. proc(5): /proc/net/tcp."""
    for table in TABLES:
        with contextlib.suppress(OSError), Path(table).open() as lines:
            next(lines)
            for line in lines:
                fields = line.split()
                address, _, port = fields[2].partition(":")
                if int(port, 16) == PORT and _address(address) in name_servers:
                    yield int(fields[9])


def _address(text: str) -> str:
    """Words of 32 bits, each in the machine's order."""
    words = (int(text[start : start + 8], 16).to_bytes(4, sys.byteorder) for start in range(0, len(text), 8))
    address = ip_address(b"".join(words))
    return str(getattr(address, "ipv4_mapped", None) or address)


def _own(inodes: frozenset[int]) -> Iterator[int]:
    """This process's descriptors of them."""
    if not inodes:
        return
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 (names of descriptors)
        with contextlib.suppress(OSError):
            status = os.fstat(int(name))
            if stat.S_ISSOCK(status.st_mode) and status.st_ino in inodes:
                yield int(name)


def _shut(descriptor: int) -> bool:
    try:
        # By a second descriptor, which is ours to close.
        with socket.socket(fileno=os.dup(descriptor)) as same:
            same.shutdown(socket.SHUT_RDWR)
    except OSError:
        return False  # it is over already
    return True
