"""What the data path uses of a transport: asyncio's, uvloop's (which are of no class of asyncio) and those of tests."""

from time import monotonic as now
from typing import Any, Final, Protocol

BUFFER: Final = bytearray(64 * 1024)
"""What TLS is decrypted into, for all connections: whoever is called with it copies it at once, on the one thread of the loop.
By itself uvloop takes 256 KiB for each read and hands on all that one read of the socket brought; so this also bounds how much of
an answer is on its way to a client that does not read, before the API is told to wait."""
_VIEW: Final = memoryview(BUFFER)
SMALL: Final = _VIEW[: 32 * 1024]
"""The same for an answer that is searched, each byte of which costs several times as much: what one connection brings at a time is what all
others wait for."""
LINGER_SECONDS: Final = 1.0
"""For what a client has on its way when it is refused: closing before it arrives would make a reset of our answer."""
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


class Side:
    """One side of a tunnel: a transport, for as long as there is one. What is said to it afterwards goes nowhere.

    (Not of asyncio's classes: compiled, it is a native one, and each call of the tunnel's on it is direct.)
    """

    __slots__ = ("closing_at", "stalled_since", "transport")

    def __init__(self) -> None:
        self.transport: Transport | None = None
        self.stalled_since: float | None = None
        """Since when the peer takes no bytes, though some wait for it."""
        self.closing_at: float | None = None
        """When it may be cut, if it has not ended by then; None while it serves. (A devbox's side is looked at twice a second;
        a host's ends with it.)"""

    # for whoever writes to it

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

    def close(self, seconds: float) -> None:
        """Close once everything is sent. `seconds`: until whoever looks at `closing_at` may cut it."""
        if self.transport is not None and self.closing_at is None:
            self.closing_at = now() + seconds
            self.transport.close()

    def finish(self) -> None:
        """Close once everything is sent, and give what is still on its way here a moment to arrive."""
        transport = self.transport
        if transport is None or transport.is_closing() or self.closing_at is not None:
            return
        self.closing_at = now() + LINGER_SECONDS
        transport.resume_reading()
        transport.write_eof()  # whoever looks at closing_at closes it

    def abort_connection(self) -> None:
        """Close at once."""
        if self.transport is not None:
            self.transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: Any) -> None:
        """There is one."""
        self.transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        """It is gone."""
        self.transport = None
        self.lost()

    def pause_writing(self) -> None:
        """The peer takes no more."""
        self.stalled_since = now()
        self.writable(writable=False)

    def resume_writing(self) -> None:
        """It does again."""
        self.stalled_since = None
        self.writable(writable=True)

    # for whoever it is

    def lost(self) -> None:
        """The connection is gone."""
        raise NotImplementedError

    def writable(self, *, writable: bool) -> None:
        """Backpressure from the peer."""
        raise NotImplementedError
