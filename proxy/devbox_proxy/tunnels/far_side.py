"""A tunnel's connection to the host: asyncio's callbacks on one side, the tunnel on the other.

Goes in: bytes. Comes out: the same, to the tunnel; what comes before there is one waits.
"""

from devbox_proxy.kit.transports import Side


class FarEvents:
    """What a tunnel is told of the host's side."""

    def from_far(self, data: bytes) -> None:
        """Bytes."""
        raise NotImplementedError

    def far_eof(self) -> None:
        """The host has sent EOF: the devbox hears it, and may go on."""
        raise NotImplementedError

    def far_lost(self) -> None:
        """Its connection is gone. What came of it is still delivered."""
        raise NotImplementedError

    def far_writable(self, *, writable: bool) -> None:
        """Backpressure."""
        raise NotImplementedError


class FarSide(Side):
    """The host's side."""

    __slots__ = ("_early", "_eof", "_tunnel")

    def __init__(self) -> None:
        super().__init__()
        self._tunnel: FarEvents | None = None
        self._early = b""
        self._eof = False

    def attach(self, tunnel: FarEvents, write_buffer: int) -> None:
        """From here on it is told everything."""
        self._tunnel = tunnel
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

    # asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        """Bytes of the host's."""
        if self._tunnel is not None:
            self._tunnel.from_far(data)
        else:
            self._early += data
            self.pause(paused=True)

    def eof_received(self) -> bool:
        """The host has sent EOF. The connection stays open the other way."""
        if self._tunnel is not None:
            self._tunnel.far_eof()
        else:
            self._eof = True
        return True

    # Side

    def lost(self) -> None:
        """The connection is gone."""
        if self._tunnel is not None:
            tunnel, self._tunnel = self._tunnel, None
            tunnel.far_lost()

    def writable(self, *, writable: bool) -> None:
        """Backpressure from the host."""
        if self._tunnel is not None:
            self._tunnel.far_writable(writable=writable)
