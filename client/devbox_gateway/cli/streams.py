"""What comes out of a devbox, on its way to our own stdout or stderr.

Goes in: bytes. Into a pipe or a file they go as they are; on a terminal they are made plain first (plain.py).
"""

import sys
from typing import BinaryIO

from .plain import Filter


class Output:
    """Of one of our streams."""

    def __init__(self, *, stderr: bool = False, raw: bool = False) -> None:
        """raw: for a terminal that was asked for (-t), where the devbox's programs draw."""
        stream = sys.stderr if stderr else sys.stdout
        stream.flush()
        self._target: BinaryIO = stream.buffer
        self._filter = Filter() if stream.isatty() and not raw else None

    def feed(self, data: bytes, *, last: bool = False) -> None:
        """More of it. Raises BrokenPipeError where nobody reads any more."""
        if self._filter is not None:
            data = self._filter.feed(data, last=last).encode("utf-8", "replace")
        if data:
            self._target.write(data)
            self._target.flush()
