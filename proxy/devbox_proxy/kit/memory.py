"""How much memory is left: new requests are refused while there is little, before the kernel ends the process with all of them.

Goes in: this process's and its cgroup's figures. Comes out: whether there is room for one more. Looked at by server.py twice a
second, asked by data_path.py for every request.
"""

import contextlib
import ctypes
import os
import time
from pathlib import Path
from typing import Final

CGROUP: Final = Path("/sys/fs/cgroup")
"""Version 2, as a container sees its own."""
REQUEST: Final = 1 << 20
"""Bytes that a request may come to hold, TLS on both sides, if its client does not read: measured 0.9 MiB (docs/reliability.md)."""
CONNECTION: Final = 80 << 10
"""And a connection with TLS and nothing under way: measured 60 to 77 KiB."""
MAPPED: Final = 254 << 10
"""Between the size of what uvloop reads of a plain socket (sslproto.pyx, stream.pyx) and that of a TLS connection's buffer."""
TRIM_SECONDS: Final = 10.0
"""Between two returns of freed memory: half a millisecond if there is none, 0.1 ms for each MiB if there is (measured)."""
SCARCE_SECONDS: Final = 2.0
"""The same, while memory is scarce."""
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


class Memory:
    """What is in use beside the limit."""

    def __init__(self, percent: float, group: Path = CGROUP) -> None:
        """`percent` of the group's limit may be used; without a limit there is always room."""
        self._group = group
        limit = _number(group / "memory.max")
        self._threshold = None if limit is None else limit * percent / 100
        self._rest = 0.0 if limit is None else limit * (1 - percent / 100)
        self._spare: float | None = None
        """Bytes, at the last look."""
        self._counts = ((0, 0), (0, 0))
        """Requests under way and connections, at the look before the last one and at the last one."""
        self._next_trim = time.monotonic() + TRIM_SECONDS
        self._next_scarce = 0.0

    def look(self, requests: int, connections: int) -> None:
        """Read the present figures; there are so many of both. And give back what was freed, now and then."""
        now = time.monotonic()
        if now >= self._next_trim:
            self._trim(now)
        if self._threshold is None:
            return
        self._counts = (self._counts[1], (requests, connections))
        self._spare = self._threshold - self._used()
        if self._spare < 0 and now >= self._next_scarce:
            self._trim(now)
            self._spare = self._threshold - self._used()

    def room(self, requests: int) -> bool:
        """For one more, as one of so many that would be under way. What has come since the look before the last may still grow."""
        if self._spare is None:
            return True
        return max(0, requests - self._counts[0][0]) * REQUEST < self._spare

    def room_to_refuse(self, connections: int) -> bool:
        """For one more connection, be it only to say no on it: half of what is left beyond the percentage is for that."""
        if self._spare is None:
            return True
        return max(0, connections - self._counts[0][1]) * CONNECTION < self._spare + self._rest / 2

    def _trim(self, now: float) -> None:
        self._next_trim, self._next_scarce = now + TRIM_SECONDS, now + SCARCE_SECONDS
        give_back()

    def _used(self) -> int:
        """Bytes that count: what the kernel charges, socket buffers among it, less the file pages that it would give up first."""
        current = _number(self._group / "memory.current")
        if current is None:
            return resident()
        with contextlib.suppress(OSError):
            for line in (self._group / "memory.stat").read_text(encoding="ascii").splitlines():
                if line.startswith("inactive_file "):
                    return current - int(line.split()[1])
        return current


def keep_heaps_trimmable() -> None:
    """Fix the size from which glibc maps a block of its own, and what it keeps at a heap's end.

    By itself it raises the first to 32 MiB and the second to 64 as large blocks are freed. uvloop has a block of 262,144 bytes for each
    TLS connection, of which a stream touches a page or two. Mapped, these are all it costs, and they are gone with it. What uvloop
    reads of a plain socket at once has 256,000 bytes at most, and stays in heaps: mapped it would cost two system calls a read.
    (mallopt(3); other C libraries have no such call.)
    """
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_THRESHOLD, MAPPED)
        library.mallopt(_M_TRIM_THRESHOLD, 16 << 20)


def resident() -> int:
    """This process's own, in bytes (proc(5): statm, second field)."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE


def give_back() -> None:
    """To the kernel: all pages that are in no block.

    Where this is not done, a block in a heap lies across pages that others touched before it, and a gateway whose streams come and go
    grows towards 580 KiB for each, whether they touch them or not (docs/results/lab/what-paid.md has the figures).
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _number(file: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        return int(file.read_text(encoding="ascii"))  # "max" is no number
    return None
