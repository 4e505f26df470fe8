"""A tunnel's connection to the host: asyncio's callbacks on one side, the `Tunnel` on the other.

Goes in: bytes. Comes out: the same, to the tunnel; what comes before there is one waits.
"""

from time import monotonic as now
from typing import TYPE_CHECKING, Any

from devbox_proxy.kit.transports import Side

if TYPE_CHECKING:
    from devbox_proxy.tunnels.tunnel import Tunnel


class FarSide(Side):
    """The host's side."""

    __slots__ = ("_early", "_eof", "tunnel")

    def __init__(self) -> None:
        super().__init__()
        self.tunnel: Tunnel | None = None
        self._early = b""
        self._eof = False

    def attach(self, tunnel: "Tunnel", write_buffer: int) -> None:
        """From here on it is told everything."""
        self.tunnel = tunnel
        if self.transport is None:
            tunnel.far_lost()
            return
        self.transport.set_write_buffer_limits(high=write_buffer)
        if self._early:
            early, self._early = self._early, b""
            self.transport.resume_reading()
            tunnel.from_far(early)
        if self._eof:
            tunnel.far_eof()

    def close(self) -> None:
        """Close once everything is sent."""
        if self.transport is not None:
            self.transport.close()

    # asyncio.Protocol

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self.tunnel is not None:
            self.tunnel.from_far(data)
        else:
            self._early += data
            self.pause(paused=True)

    def eof_received(self) -> bool:
        if self.tunnel is not None:
            self.tunnel.far_eof()
        else:
            self._eof = True
        return True

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        if self.tunnel is not None:
            tunnel, self.tunnel = self.tunnel, None
            tunnel.far_lost()

    def pause_writing(self) -> None:
        self.stalled_since = now()
        if self.tunnel is not None:
            self.tunnel.far_writable(writable=False)

    def resume_writing(self) -> None:
        self.stalled_since = None
        if self.tunnel is not None:
            self.tunnel.far_writable(writable=True)
