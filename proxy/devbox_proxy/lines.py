"""Lines to standard output without ever waiting for whoever reads it: a bounded queue, and a thread that empties it.

Goes in: whole lines. Comes out: the same, in order, or a False where there is no room. Called by audit.py, and as the handler of all
log messages by run.py: a log that nobody collects must not stop the event loop.
"""

import io
import logging
import threading
import time
from collections import deque
from typing import Final, Protocol

from .metrics import LINES_LOST

_BATCH: Final = 4096
"""Lines that go out in one write. With the pause this is also the most that leave in a second: 800,000, where 25,000 requests a second
write 50,000."""
_PAUSE: Final = 0.005
"""Seconds between two writes. To wake the thread for each line would cost the event loop more than the line itself."""


class Stream(Protocol):
    """Where lines go: a raw file, or a BytesIO in tests."""

    def write(self, data: memoryview, /) -> int | None:
        """May take only a part; the number of bytes that it took."""


def standard_output() -> Stream:
    """File descriptor 1 without Python's buffer, whose lock would be held for ever by a thread that is stuck in a write."""
    return io.FileIO(1, "wb", closefd=False)


class LineWriter:
    """The queue and the thread."""

    def __init__(self, size: int, stream: Stream | None = None) -> None:
        self._size = size
        self._queue: deque[bytes] = deque()
        self._stream = stream or standard_output()
        self._something = threading.Event()
        self._asleep = False
        self._closing = False
        self._writer = threading.Thread(target=self._run, name="lines", daemon=True)
        self._writer.start()

    def put(self, line: bytes) -> bool:
        """Queue one line, without its newline. False: there is no room."""
        if len(self._queue) >= self._size:
            LINES_LOST.inc()
            return False
        self._queue.append(line + b"\n")
        if self._asleep:
            self._something.set()
        return True

    def close(self, seconds: float = 5.0) -> None:
        """Write what is queued, for at most `seconds`, and stop."""
        self._closing = True
        self._something.set()
        self._writer.join(seconds)

    def _run(self) -> None:
        while self._queue or not self._closing:
            if not self._queue:
                self._wait()
                continue
            lines = [self._queue.popleft() for _ in range(min(len(self._queue), _BATCH))]
            rest = memoryview(b"".join(lines))
            try:
                while rest:
                    # Not within the slice: mypyc reads a slice's bounds twice.
                    written = self._stream.write(rest)
                    rest = rest[written or 0 :]
            except (OSError, ValueError):
                LINES_LOST.inc(len(lines))
            if not self._closing:
                time.sleep(_PAUSE)

    def _wait(self) -> None:
        """Until there is a line. Whoever queues one looks at `_asleep` after it, and this at the queue after `_asleep`."""
        self._asleep = True
        if not self._queue and not self._closing:
            self._something.wait()
        self._asleep = False
        self._something.clear()


class QueuedHandler(logging.Handler):
    """Takes the place of the handler that common's log.configure() made, and its formatter; drops what there is no room for."""

    def __init__(self, writer: LineWriter, formatter: logging.Formatter | None) -> None:
        super().__init__()
        self._writer = writer
        self.setFormatter(formatter)

    def emit(self, record: logging.LogRecord) -> None:
        """Format here and now, write later."""
        try:
            self._writer.put(self.format(record).encode())
        except Exception:  # a message that can't be formatted must not end what wanted to log it
            LINES_LOST.inc()


def take_over_logging(writer: LineWriter) -> None:
    """Send everything that is logged from now on through `writer`."""
    root = logging.getLogger()
    root.handlers[:] = [QueuedHandler(writer, handler.formatter) for handler in root.handlers]
