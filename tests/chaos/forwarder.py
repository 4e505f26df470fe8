"""A TCP forwarder in place of a Service: connections go in turn to the backends that are ready, and keep their source address.

Goes in: backends, whose readiness is asked once a second, as a kubelet does, and taken away after two failures in a row; one that
says that it is not ready (SIGTERM) is taken away at once, as it is for a pod that is being deleted. Comes out: a port. A reset is
passed on as a reset, an end as an end. In front of the API server it is also what takes it away: `cut` and `freeze`. Works in a
namespace, where every address can be called from.
"""

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Self, cast

PROBE_SECONDS: Final = 1.0
FAILURES: Final = 2
"""The chart's failureThreshold."""
Address = tuple[str, int]


class Backend:
    """One process behind it. `probe` is None where nobody asks."""

    def __init__(self, address: Address, probe: Callable[[], Awaitable[int]] | None = None) -> None:
        self.address = address
        self.ready = probe is None
        self._probe = probe
        self._failures = 0

    async def ask(self) -> None:
        """One probe. It gives a status; OSError: nobody is there."""
        if self._probe is None:
            return
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                status = await self._probe()
        except (OSError, TimeoutError):
            self._failures += 1
            self.ready = self.ready and self._failures < FAILURES
        else:
            self._failures = 0
            self.ready = status == 200


class Forwarder:
    """The port."""

    def __init__(self, host: str, backends: Sequence[Backend]) -> None:
        self.address: Address = (host, 0)
        self.backends = list(backends)
        self.frozen = False
        self.links: set[Link] = set()
        self._turns = itertools.count()
        self._server: asyncio.Server | None = None
        self._probing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.restore()
        self._probing = asyncio.create_task(self._probe())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._probing is not None:
            self._probing.cancel()
        self.cut()

    def choose(self) -> Backend | None:
        """The next one that is ready."""
        ready = [backend for backend in self.backends if backend.ready]
        return ready[next(self._turns) % len(ready)] if ready else None

    def cut(self) -> None:
        """As if the process had been killed: connections end, new ones are refused."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for link in list(self.links):
            link.abort()

    def freeze(self) -> None:
        """As if it had been stopped: connections stay, and nothing comes or goes."""
        self.frozen = True
        for link in self.links:
            link.pause_reading()

    async def restore(self) -> None:
        """It is back, on the same port. What was frozen goes on."""
        self.frozen = False
        for link in self.links:
            link.go_on()
            link.resume_reading()
        if self._server is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(lambda: Link(self), *self.address, backlog=4096)
            self.address = self._server.sockets[0].getsockname()[:2]

    async def _probe(self) -> None:
        while True:
            await asyncio.gather(*(backend.ask() for backend in self.backends))
            await asyncio.sleep(PROBE_SECONDS)


class Link(asyncio.Protocol):
    """One side of a forwarded connection."""

    def __init__(self, forwarder: Forwarder, other: "Link | None" = None) -> None:
        self._forwarder = forwarder
        self._other = other
        self._transport: asyncio.Transport | None = None
        self.backend: Backend | None = other.backend if other else forwarder.choose()
        """Where it leads; None: nowhere."""
        self._ended = False
        self._early: list[bytes] = []
        self._dialling: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._forwarder.links.add(self)
        if self._forwarder.frozen:
            self.pause_reading()
        if self._other is None:
            self._dialling = asyncio.create_task(self._dial(self._transport.get_extra_info("peername")[0]))
        else:
            self._other.joined(self)

    async def _dial(self, source: str) -> None:
        loop = asyncio.get_running_loop()
        try:
            if self.backend is None:
                raise OSError("no backend is ready")
            await loop.create_connection(lambda: Link(self._forwarder, self), *self.backend.address, local_addr=(source, 0))
        except OSError:
            self.abort()

    def joined(self, other: "Link") -> None:
        """The other side is there."""
        self._other = other
        if self._transport is None:
            other.abort()
        self.go_on()

    def go_on(self) -> None:
        """Pass on what had to wait."""
        if self._other is not None and not self._forwarder.frozen:
            for data in self._early:
                self._other.write(data)
            self._early.clear()

    def data_received(self, data: bytes) -> None:
        if self._other is None or self._forwarder.frozen:
            self._early.append(data)
        else:
            self._other.write(data)

    def write(self, data: bytes) -> None:
        """To this side."""
        if self._transport is not None and not self._transport.is_closing() and not self._ended:
            self._transport.write(data)

    def end(self) -> None:
        """Say that nothing more will come to this side."""
        if self._transport is not None and not self._ended:
            self._ended = True
            with contextlib.suppress(RuntimeError, OSError):
                self._transport.write_eof()

    def eof_received(self) -> bool:
        if self._other is not None:
            self._other.end()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._forwarder.links.discard(self)
        other = self._other
        if other is not None and other._transport is not None:
            if error is not None:
                other.abort()
            else:
                other._transport.close()

    def abort(self) -> None:
        """Cut this side; the other follows."""
        if self._transport is not None:
            self._transport.abort()

    def pause_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing() and not self._forwarder.frozen:
            self._transport.resume_reading()

    def pause_writing(self) -> None:
        if self._other is not None:
            self._other.pause_reading()

    def resume_writing(self) -> None:
        if self._other is not None:
            self._other.resume_reading()
