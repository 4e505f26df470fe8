"""How much memory is left: new requests are refused while there is little, before the kernel ends the process with all of them.

Goes in: this process's and its cgroup's figures. Comes out: `scarce`. Looked at by server.py twice a second.
"""

import contextlib
import os
from pathlib import Path
from typing import Final

CGROUP: Final = Path("/sys/fs/cgroup/memory.max")
"""Version 2, as a container sees its own."""
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


class Memory:
    """This process's resident memory beside the limit."""

    def __init__(self, percent: float, limit: int | None = None) -> None:
        """`percent` of the limit (bytes; None: the cgroup's) count as scarce; without a limit nothing does."""
        limit = limit if limit is not None else _cgroup_limit()
        self._threshold = None if limit is None else limit * percent / 100
        self.scarce = False

    def look(self) -> None:
        """Read the present figure."""
        if self._threshold is not None:
            self.scarce = resident() > self._threshold


def resident() -> int:
    """Bytes (proc(5): statm, second field)."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE


def _cgroup_limit() -> int | None:
    with contextlib.suppress(OSError, ValueError):
        return int(CGROUP.read_text(encoding="ascii"))  # "max" is no number
    return None
