"""Peers that vanish without a word, and networks that forget a connection on which nothing passes.

Goes in: sockets. Comes out: sockets whose silence the kernel breaks (TCP's own keepalive), and whether a peer has acknowledged nothing for
too long. For both sides of both ports: whoever waits for minutes for an answer says nothing, and a NAT or a firewall forgets him.

The kernel gives a silent peer up by itself. One to which something is on its way it asks again for a quarter of an hour (tcp_retries2), and
asks no keepalive meanwhile. TCP_USER_TIMEOUT would end that sooner, but also cut off who is there and reads nothing for a while, which
has a limit of its own (`limits.writeStallSeconds`). So the kernel is asked what it knows, now and then.
"""

import errno
import socket
import struct
from typing import Final

from devbox_proxy.kit.transports import Transport

PROBES: Final = 4
"""Without an answer, until the kernel gives a peer up."""
_INFO: Final = struct.Struct("=2xB21xI28xI")
"""Of tcp_info (linux/tcp.h): retransmissions in a row, segments that are not acknowledged, milliseconds since anything was."""
AGAIN: Final = 3
"""So often in a row the kernel sent the same again: one that comes late was on its way."""
_UNREACHABLE: Final = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH})


class Keepalive:
    """Of one process."""

    __slots__ = ("every", "gone")

    def __init__(self, gone_seconds: float = 75.0) -> None:
        """`gone_seconds`: without a sign of life, until a peer is given up."""
        self.gone = gone_seconds
        self.every = max(1.0, gone_seconds / (PROBES + 1))
        """Seconds of silence, and between two questions."""

    def begin(self, plain: socket.socket) -> None:
        """The kernel looks after it from here on."""
        seconds = int(self.every)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, seconds)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, seconds)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, PROBES)

    def vanished(self, transport: Transport | None) -> bool:
        """What was sent to it is not acknowledged, nor anything else, for too long."""
        plain = transport.get_extra_info("socket") if transport is not None and not transport.is_closing() else None
        if plain is None:
            return False
        again, waiting, silent = _INFO.unpack(plain.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO.size))
        return bool(waiting > 0 and again >= AGAIN and silent >= self.gone * 1000)


def is_gone(error: Exception | None) -> bool:
    """A connection ended so because the kernel gave the peer up: it said nothing itself."""
    return isinstance(error, TimeoutError) or (isinstance(error, OSError) and error.errno in _UNREACHABLE)
