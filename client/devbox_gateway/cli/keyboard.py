"""What comes on our stdin, piece by piece: a terminal, a pipe or a file.

It is read in a thread, since not all of these can be waited for otherwise. The thread reads no further than it is asked, and takes nothing
any more once it was closed: what is typed then is the shell's.
"""

import asyncio
import os
import select
import sys
import threading
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Final

PIECE: Final = 1 << 15
_ENDED: Final = b""


class Keyboard:
    """Of our stdin. `with` ends it."""

    def __init__(self) -> None:
        self._number = sys.stdin.fileno()
        self._loop = asyncio.get_running_loop()
        self._pieces: asyncio.Queue[bytes] = asyncio.Queue(4)
        self._stop, self._stopped = os.pipe()
        self._thread = threading.Thread(target=self._read, name="stdin", daemon=True)

    def __enter__(self) -> "Keyboard":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self._stopped)

    def _read(self) -> None:
        try:
            while self._there() and (data := self._next()):
                asyncio.run_coroutine_threadsafe(self._pieces.put(data), self._loop).result()
            if not self._closed():
                asyncio.run_coroutine_threadsafe(self._pieces.put(_ENDED), self._loop).result()
        except (RuntimeError, asyncio.CancelledError):
            return  # (the loop is gone)
        finally:
            os.close(self._stop)

    def _next(self) -> bytes:
        try:
            return os.read(self._number, PIECE)
        except OSError:
            return _ENDED  # (a terminal that was hung up)

    def _there(self) -> bool:
        """Wait for something. False: it was closed."""
        if sys.platform == "win32":
            return True  # (only sockets can be waited for there)
        ready, _, _ = select.select([self._number, self._stop], [], [])
        return self._stop not in ready

    def _closed(self) -> bool:
        return sys.platform != "win32" and bool(select.select([self._stop], [], [], 0)[0])

    async def pieces(self) -> AsyncIterator[bytes]:
        """As they come, to the end."""
        while piece := await self._pieces.get():
            yield piece
