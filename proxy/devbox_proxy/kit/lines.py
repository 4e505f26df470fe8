"""Lines to standard output without ever waiting for whoever reads it: a bounded queue, and a thread that empties it.

Goes in: whole lines, and who makes the gateway write them. Comes out: the same, in order, or a False where there is no room. All
log messages go this way, too: a log that nobody collects must not stop the event loop.

*Who fills the queue is who waits.* Each owner may have as much as a quarter of what is free at the moment. So one that writes faster than
lines are taken stops at a fifth of the queue, and ten of them leave others at least a tenth of it, even if nothing is taken at all.
"""

import io
import logging
import threading
import time
from collections import deque
from typing import Final, Protocol

from devbox_proxy.kit.metrics import LINES_LOST
from devbox_proxy.kit.sparing import Sparing

KIB: Final = 1024
_BATCHES: Final = 32
"""Parts of the queue of which one goes out in one write: room comes back in small pieces, for whoever has little. With the pause this is
also the most that leaves in a second: of 16 MiB a hundred, where 25,000 requests a second write twenty."""
_PAUSE: Final = 0.005
"""Seconds between two writes. To wake the thread for each line would cost the event loop more than the line itself."""
_SHARE: Final = 4
"""What is free is so many times what an owner may have."""
_COST: Final = 64
"""Bytes of memory for a line, beside its own."""
_STANDARD_OUTPUT: Final = threading.Lock()
"""A pipe takes a long write in pieces: another queue's line must not come in between."""


class Stream(Protocol):
    """Where lines go: a raw file, or a BytesIO in tests."""

    def write(self, data: memoryview, /) -> int | None:
        """May take only a part; the number of bytes that it took."""


def standard_output() -> Stream:
    """File descriptor 1 without Python's buffer, whose lock would be held for ever by a thread that is stuck in a write."""
    return io.FileIO(1, "wb", closefd=False)


class LineWriter:
    """The queue and the thread. One thread at a time puts lines in: the event loop, or whoever holds the log handler's lock."""

    def __init__(self, size: int, stream: Stream | None = None) -> None:
        """`size`: KiB of memory that lines may have, until they are written."""
        self._most = size * KIB
        self._used = 0
        self._by_owner: dict[str, int] = {}
        self._queue: deque[tuple[bytes, str]] = deque()
        self._written: deque[dict[str, int]] = deque()
        """What the thread has done with, by owner: counted off by whoever puts the next line in, so that one thread alone counts."""
        self._stream = stream or standard_output()
        self._turn = _STANDARD_OUTPUT if stream is None else threading.Lock()
        self._something = threading.Event()
        self._asleep = False
        self._closing = False
        self._writer = threading.Thread(target=self._run, name="lines", daemon=True)
        self._writer.start()

    def put(self, line: bytes, owner: str = "", *, shared: bool = True) -> bool:
        """Queue one line, without its newline. False: there is no room, or the owner has its share; not `shared`: the whole queue is."""
        while self._written:
            self._count_off(self._written.popleft())
        cost = len(line) + _COST
        free = self._most - self._used
        mine = self._by_owner.get(owner, 0)
        if cost > free or (shared and _SHARE * (mine + cost) > free):
            return False
        self._used += cost
        self._by_owner[owner] = mine + cost
        self._queue.append((line, owner))
        if self._asleep:
            self._something.set()
        return True

    def close(self, seconds: float = 5.0) -> None:
        """Write what is queued, for at most `seconds`, and stop."""
        self._closing = True
        self._something.set()
        self._writer.join(seconds)

    def _count_off(self, written: dict[str, int]) -> None:
        for owner, cost in written.items():
            self._used -= cost
            left = self._by_owner[owner] - cost
            if left:
                self._by_owner[owner] = left
            else:
                del self._by_owner[owner]

    def _run(self) -> None:
        while self._queue or not self._closing:
            if not self._queue:
                self._wait()
                continue
            costs: dict[str, int] = {}
            lines: list[bytes] = []
            left = self._most // _BATCHES
            while self._queue and left > 0:
                line, owner = self._queue.popleft()
                lines.append(line)
                cost = len(line) + _COST
                costs[owner] = costs.get(owner, 0) + cost
                left -= cost
            lines.append(b"")
            self._write(memoryview(b"\n".join(lines)), len(lines) - 1)
            self._written.append(costs)
            if not self._closing:
                time.sleep(_PAUSE)

    def _write(self, rest: memoryview, lines: int) -> None:
        try:
            with self._turn:
                while rest:
                    # Not within the slice: mypyc reads a slice's bounds twice.
                    written = self._stream.write(rest)
                    rest = rest[written or 0 :]
        except (OSError, ValueError):
            LINES_LOST.inc(lines)

    def _wait(self) -> None:
        """Until there is a line. Whoever queues one looks at `_asleep` after it, and this at the queue after `_asleep`."""
        self._asleep = True
        if not self._queue and not self._closing:
            self._something.wait()
        self._asleep = False
        self._something.clear()


class QueuedHandler(logging.Handler):
    """Takes the place of the handler that common's log.configure() made, and its formatter; drops what there is no room for.

    A devbox can make the gateway say some things as often as it likes (an API that it breaks off with, a host that does not exist): the
    first of them in a while are told, the rest by their number.
    """

    def __init__(self, writer: LineWriter, formatter: logging.Formatter | None) -> None:
        super().__init__()
        self._writer = writer
        self._sparing: Sparing[tuple[str, str]] = Sparing(("other messages", ""))
        self.setFormatter(formatter)

    def emit(self, record: logging.LogRecord) -> None:
        """Format here and now, write later."""
        try:
            present = time.monotonic()
            for (event, about), times in self._sparing.untold(present):
                more = logging.LogRecord(record.name, record.levelno, "", 0, "%d more of %s %s", (times, event, about), None)
                self._put(self.format(more))
            if self._sparing.tells(_kind(record), present):
                self._put(self.format(record))
        except Exception:  # a message that can't be formatted must not end what wanted to log it
            LINES_LOST.inc()

    def _put(self, text: str) -> None:
        if not self._writer.put(text.encode(), shared=False):
            LINES_LOST.inc()


def _kind(record: logging.LogRecord) -> tuple[str, str]:
    """What is said, and about whom."""
    said = record.msg
    if not isinstance(said, dict):
        return str(said), ""
    return str(said.get("event")), str(said.get("pod") or said.get("gateway") or "")


def take_over_logging(writer: LineWriter) -> None:
    """Send everything that is logged from now on through `writer`."""
    root = logging.getLogger()
    root.handlers[:] = [QueuedHandler(writer, handler.formatter) for handler in root.handlers]
