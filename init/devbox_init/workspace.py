"""Can the agent write to its workspace?

Goes in: a directory. Comes out: a `Workspace`. A file of a name that nobody can have guessed is made, 64 KiB are written to it, and it
is taken away: whoever had the directory before may have left anything in it, and nothing of that is read or followed.
"""

import contextlib
import errno
import os
import secrets
from enum import Enum
from pathlib import Path
from typing import Final, NamedTuple

BYTES: Final = 64 << 10
NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


class Writable(Enum):
    """What came of it."""

    YES = "yes"
    FULL = "full"
    """No room for so little."""
    NO = "no"


class Workspace(NamedTuple):
    """The directory, as this process's user finds it."""

    writable: Writable
    words: str = ""
    """What the system says."""


def look(directory: Path) -> Workspace:
    """Try it. (Where the storage does not answer, neither does this.)"""
    path = directory / f".devbox-gateway-{secrets.token_hex(16)}"
    try:
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    except OSError as error:
        return _failed(error, directory)
    try:
        written = 0
        while written < BYTES:
            written += os.write(file, bytes(BYTES - written))
        os.fsync(file)
    except OSError as error:
        return _failed(error, directory)
    finally:
        os.close(file)
        with contextlib.suppress(OSError):
            path.unlink()
    return Workspace(Writable.YES)


def _failed(error: OSError, directory: Path) -> Workspace:
    said = os.strerror(error.errno or 0)
    if error.errno in NO_ROOM:
        return Workspace(Writable.FULL, said)
    try:
        found = directory.stat()
    except OSError:
        return Workspace(Writable.NO, said)
    belongs = f"it belongs to {found.st_uid}:{found.st_gid}, mode {found.st_mode & 0o7777:o}"
    return Workspace(
        Writable.NO, f"{said} ({belongs}; the devbox is {os.getuid()}:{os.getgid()}, groups {sorted(os.getgroups())})"
    )
