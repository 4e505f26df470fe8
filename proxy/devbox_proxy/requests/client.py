"""What an exchange sees of its client's connection. (A class and no Protocol: compiled, a call through one costs a dictionary look-up.)"""


class Client:
    """Whoever sent the request."""

    __slots__ = ("peer", "stalled_since")

    def __init__(self, peer: str) -> None:
        self.peer = peer
        """The IP address that the connection comes from."""
        self.stalled_since: float | None = None
        """Since when the client takes no bytes, though some wait for it."""

    def write(self, data: bytes) -> None:
        """Send bytes to the client."""
        raise NotImplementedError

    def pause(self, *, paused: bool) -> None:
        """Backpressure: stop or go on reading from the client."""
        raise NotImplementedError

    def abort(self) -> None:
        """Cut the connection: an end without the last chunk is the only honest one."""
        raise NotImplementedError

    def authenticated(self) -> None:
        """A request on it may go: it is no stranger's connection."""
        raise NotImplementedError

    def open_tunnel(self) -> None:
        """From here on bytes are passed on as they are."""
        raise NotImplementedError

    def exchange_done(self, *, keep_alive: bool) -> None:
        """The answer is whole. Serve the next request, or close."""
        raise NotImplementedError
