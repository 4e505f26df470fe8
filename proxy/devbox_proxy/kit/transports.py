"""What the data path uses of a transport: asyncio's, uvloop's (which are of no class of asyncio) and those of tests."""

import asyncio
from typing import Any, Final, Protocol

BUFFER: Final = bytearray(64 * 1024)
"""What TLS is decrypted into, for all connections: whoever is called with it copies it at once, on the one thread of the loop.
By itself uvloop takes 256 KiB for each read and hands on all that one read of the socket brought; so this also bounds how much of
an answer is on its way to a client that does not read, before the API is told to wait."""
_VIEW: Final = memoryview(BUFFER)
SMALL: Final = _VIEW[: 32 * 1024]
"""The same for an answer that is searched, each byte of which costs several times as much: what one connection brings at a time is what all
others wait for."""
LARGE: Final = len(SMALL) // 2
"""Bytes of such a piece from which on it makes others wait (rounds.py)."""


class Transport(Protocol):
    """Documented in asyncio.Transport."""

    def write(self, data: bytes, /) -> None: ...
    def write_eof(self) -> None: ...
    def can_write_eof(self) -> bool: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def is_closing(self) -> bool: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...
    def get_extra_info(self, name: str, /) -> Any: ...
    def get_write_buffer_size(self) -> int: ...
    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...


def buffered(count: int) -> bytes:
    """The first bytes of BUFFER."""
    return bytes(_VIEW[:count])


class Side(asyncio.Protocol):
    """One side of a tunnel: a transport, for as long as there is one. What is said to it afterwards goes nowhere."""

    __slots__ = ("stalled_since", "transport")

    def __init__(self) -> None:
        self.transport: Transport | None = None
        self.stalled_since: float | None = None
        """Since when the peer takes no bytes, though some wait for it."""

    def write(self, data: bytes) -> None:
        """Send bytes."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def write_eof(self) -> None:
        """The other side has sent EOF."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write_eof()

    def pause(self, *, paused: bool) -> None:
        """Backpressure: stop or go on reading."""
        if self.transport is not None and not self.transport.is_closing():
            if paused:
                self.transport.pause_reading()
            else:
                self.transport.resume_reading()

    def abort_connection(self) -> None:
        """Close at once."""
        if self.transport is not None:
            self.transport.abort()
