"""The sockets of one connection pool: dead peers are noticed, and closing the pool closes them.

Goes in: `make` as the `socket_factory` of an `aiohttp.TCPConnector`.
"""

import asyncio
import contextlib
import socket
import weakref
from time import monotonic
from typing import Any, Final

KEEPALIVE: Final = ((socket.TCP_KEEPIDLE, 4), (socket.TCP_KEEPINTVL, 2), (socket.TCP_KEEPCNT, 3))
"""Seconds idle, seconds between probes, probes: a peer that vanished without a word is noticed in 10 s."""
HANG_UP_SECONDS: Final = 1.0
_POLL_SECONDS: Final = 0.005


class Sockets:
    """Those of one pool."""

    def __init__(self) -> None:
        self._made: weakref.WeakSet[socket.socket] = weakref.WeakSet()

    def make(self, address: Any) -> socket.socket:
        """A new one for an address as `getaddrinfo` gives it."""
        family, kind, protocol, _, _ = address
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in KEEPALIVE:
            made.setsockopt(socket.IPPROTO_TCP, option, value)
        self._made.add(made)
        return made

    def cut(self) -> None:
        """End all; the pool makes new ones."""
        for made in self._made:
            with contextlib.suppress(OSError):
                made.shutdown(socket.SHUT_RDWR)

    async def hang_up(self) -> None:
        """End all, after the pool was closed; they are closed when it returns.

        A pool that is closed leaves connections behind whose exchange was cut off before, a watch's for instance: asyncio has said
        goodbye by TLS and waits up to 30 s for the peer's, and the loop may be gone by then.
        """
        self.cut()
        deadline = monotonic() + HANG_UP_SECONDS
        while any(made.fileno() >= 0 for made in self._made) and monotonic() < deadline:  # noqa: ASYNC110 (transports tell nobody)
            await asyncio.sleep(_POLL_SECONDS)
