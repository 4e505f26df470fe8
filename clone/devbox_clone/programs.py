"""Programs, run to their end; what they started ends with them, and with us.

Goes in: a command, its whole environment. Comes out: how it ended, and of what it said as much as may be kept: a stranger may have it say
more than there is memory.
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from typing import Final

KEPT_OUTPUT: Final = 1 << 16
"""Bytes of what one command says to people: the end of it."""
MOST_RECORDS: Final = 10_000
LONGEST_RECORD: Final = 1 << 16
"""Bytes."""
_AT_ONCE: Final = 1 << 16


class TooMuchError(Exception):
    """A program lists more than anybody means."""


def run(command: tuple[str, ...], environment: Mapping[str, str]) -> tuple[bool, bytes]:
    """Did it end well, and the end of what it said."""
    kept = b""
    with _running(command, environment, subprocess.STDOUT) as process:
        while data := _some(process):
            kept = (kept + data)[-KEPT_OUTPUT:]
        return process.wait() == 0, kept


def records(command: tuple[str, ...], environment: Mapping[str, str], beginning: bytes) -> tuple[bool, list[bytes]]:
    """Did it end well, and what it listed, each ended by a NUL byte: all of it that begins so, and nothing is kept of the rest. Raises
    TooMuchError."""
    found: list[bytes] = []
    rest = b""
    with _running(command, environment, subprocess.DEVNULL) as process:
        while data := _some(process):
            *whole, rest = (rest + data).split(b"\0")
            found += [record for record in whole if record.startswith(beginning)]
            if len(found) > MOST_RECORDS or len(rest) > LONGEST_RECORD:
                raise TooMuchError(f"more than {MOST_RECORDS} entries, or one of more than {LONGEST_RECORD >> 10} KiB")
        return process.wait() == 0, found


def _some(process: "subprocess.Popen[bytes]") -> bytes:
    assert process.stdout is not None  # noqa: S101 (for the type checker)
    return os.read(process.stdout.fileno(), _AT_ONCE)


@contextlib.contextmanager
def _running(command: tuple[str, ...], environment: Mapping[str, str], errors: int) -> Iterator["subprocess.Popen[bytes]"]:
    """`errors`: where its second output goes."""
    with subprocess.Popen(
        command,
        cwd="/",
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
