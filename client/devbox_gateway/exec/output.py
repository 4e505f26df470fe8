"""What a command prints: kept for its result, and handed to callbacks while it comes.

Goes in: bytes of stdout and stderr. Comes out: text. Of each stream 8 MiB are kept in memory, what is more in a file of this machine that
goes with the result.
"""

import codecs
import inspect
import tempfile
import weakref
from collections.abc import Callable
from typing import Final

from devbox_gateway.errors import InvalidError

IN_MEMORY: Final = 8 << 20
_BACKWARDS: Final = 1 << 16

TextCallback = Callable[[str], object]
"""Is given text as it comes: pieces, not lines."""


class Stream:
    """One of a command's streams."""

    def __init__(self, *callbacks: TextCallback | None) -> None:
        self._callbacks = [callback for callback in callbacks if callback is not None]
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 (closed with the result)
        weakref.finalize(self, self._file.close)
        self.size = 0

    def feed(self, data: bytes, *, last: bool = False) -> None:
        """More of it."""
        self._file.seek(0, 2)
        self._file.write(data)
        self.size += len(data)
        if self._callbacks and (shown := self._decoder.decode(data, last)):
            for callback in self._callbacks:
                callback(shown)

    def content(self) -> bytes:
        """All of it."""
        self._file.seek(0)
        return self._file.read()

    def text(self, lines: int | None = None) -> str:
        """All of it, or its last lines."""
        return (self.content() if lines is None else self._tail(lines)).decode("utf-8", "replace")

    def _tail(self, lines: int) -> bytes:
        if lines <= 0:
            return b""
        pieces, place, ends = list[bytes](), self.size, 0
        # (Each piece is looked at once: of what is one long line there may be much.)
        while place > 0 and ends < lines:
            start = max(0, place - _BACKWARDS)
            self._file.seek(start)
            pieces.append(self._file.read(place - start))
            # (The last newline ends the last line, and begins none.)
            ends += pieces[-1].count(b"\n") - (place == self.size and pieces[-1].endswith(b"\n"))
            place = start
        return b"".join(b"".join(reversed(pieces)).splitlines(keepends=True)[-lines:])


def check_callback(name: str, callback: object) -> None:
    """That it is a plain function. Raises InvalidError."""
    if callback is None:
        return
    if not callable(callback) or inspect.iscoroutinefunction(callback) or inspect.iscoroutinefunction(type(callback).__call__):
        raise InvalidError(name, "a callback is a plain function that takes text; a coroutine would never be awaited")


class AsyncExecutionResult:
    """A command that has ended."""

    def __init__(self, exit_code: int, stdout: Stream, stderr: Stream, devbox_id: str, execution_id: str = "") -> None:
        """execution_id: empty for one that was not in the background."""
        self.exit_code, self.devbox_id, self.execution_id = exit_code, devbox_id, execution_id
        self._stdout, self._stderr = stdout, stderr

    @property
    def success(self) -> bool:
        """Exit code 0."""
        return self.exit_code == 0

    @property
    def failed(self) -> bool:
        """Another one."""
        return self.exit_code != 0

    async def stdout(self, num_lines: int | None = None) -> str:
        """What it printed: all, or the last lines."""
        return self._stdout.text(num_lines)

    async def stderr(self, num_lines: int | None = None) -> str:
        """What it said on stderr, likewise."""
        return self._stderr.text(num_lines)

    def __repr__(self) -> str:
        return f"AsyncExecutionResult(exit_code={self.exit_code}, stdout={self._stdout.size} bytes, stderr={self._stderr.size} bytes)"
