"""A person at a terminal: a program in a pty of its own, what it draws, keys, the window's size.

Goes in: a command. Comes out: what was drawn until something is there, its exit code, and that the terminal is as it was.
"""

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping, Sequence

SECONDS = 90.0
OWN = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
"""The terminal is the process's own, so that keys and sizes are signals."""


class Person:
    """See above."""

    def __init__(self, words: Sequence[str], environ: Mapping[str, str]) -> None:
        self._ours, self._theirs = pty.openpty()
        self.resize(100, 30)
        self.before = termios.tcgetattr(self._theirs)
        self.said = ""
        self.process = subprocess.Popen(
            [sys.executable, "-c", OWN, *words],
            stdin=self._theirs,
            stdout=self._theirs,
            stderr=self._theirs,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm-256color", **environ},
        )

    def resize(self, columns: int, rows: int) -> None:
        """The window."""
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        """Keys."""
        os.write(self._ours, text.encode())

    def until(self, pattern: str) -> str:
        """Read until it is there; what was read since the last time."""
        limit = time.monotonic() + SECONDS
        while (found := re.search(pattern, self.said)) is None:
            assert time.monotonic() < limit, f"no {pattern!r} in {self.said!r}"
            ended = self.process.poll() is not None
            if not self._read(0.1) and ended:
                raise AssertionError(f"it ended without {pattern!r}: {self.said!r}")
        seen, self.said = self.said[: found.end()], self.said[found.end() :]
        return seen

    def _read(self, seconds: float) -> bool:
        if not select.select([self._ours], [], [], seconds)[0]:
            return False
        self.said += os.read(self._ours, 65536).decode(errors="replace")
        return True

    def end(self) -> int:
        """Its exit code; the terminal is as it was."""
        limit = time.monotonic() + SECONDS
        while self.process.poll() is None:
            assert time.monotonic() < limit, f"it did not end: {self.said!r}"
            self._read(0.1)
        while self._read(0):
            pass
        assert termios.tcgetattr(self._theirs) == self.before
        return self.process.returncode

    def close(self) -> None:
        """Gone, whatever it did."""
        self.process.kill()
        self.process.wait(SECONDS)
        os.close(self._ours)
        os.close(self._theirs)


@contextlib.contextmanager
def at_terminal(words: Sequence[str], **environ: str) -> Iterator[Person]:
    """Until the end of the block."""
    person = Person(words, environ)
    try:
        yield person
    finally:
        person.close()
