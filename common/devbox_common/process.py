"""What a process that holds keys sets about itself before it reads the first one: its memory is nobody else's, and all files that it may.

Goes in: nothing. Comes out: the kernel's word. For both programs, before they read settings or files.
"""

import ctypes
import os
import resource
import sys
from typing import Final

_PR_SET_DUMPABLE: Final = 4


def keep_memory_private() -> None:
    """No core dump, and no other process of this user may read this one's memory or environment (ptrace, /proc/PID/mem, /proc/PID/environ).

    Not dumpable (prctl(2)) is the stronger of the two: the kernel then writes no core, also where it would hand it to a program, which a
    limit of zero does not stop (core(5)). The limit is for what this process might start. A process of root's, or one with CAP_SYS_PTRACE,
    reads on. Raises OSError.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux" and ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl(PR_SET_DUMPABLE): {os.strerror(number)}")


def raise_open_files() -> int:
    """As many files, sockets among them, as this process may have at all; returns the number.

    The lower limit that processes begin with (1,024 where the container runtime sets none) is for programs that use select(2), which
    this one and its libraries do not. However high the limit is, it costs nothing until files are open. Raises OSError.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard
