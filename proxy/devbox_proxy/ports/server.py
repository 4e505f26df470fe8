"""The two ports of devboxes: their doors, what comes in, and a look at every deadline twice a second.

Goes in: TCP connections of devboxes. Comes out: a connection object for each that there is room for.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from time import monotonic as now
from typing import Any, Final, Protocol

import structlog

from devbox_common.door import Door
from devbox_common.seats import Seat, Seats
from devbox_proxy.accounting.limits import Load
from devbox_proxy.kit import metrics
from devbox_proxy.kit.keepalive import Keepalive
from devbox_proxy.kit.pace import Pace
from devbox_proxy.ports.open_files import SPARE
from devbox_proxy.requests.connection import FAREWELL_SECONDS, Connection, TlsConnection
from devbox_proxy.requests.data_path import DataPath
from devbox_proxy.requests.decider import Decider
from devbox_proxy.tunnels.client import ConnectConnection
from devbox_proxy.tunnels.forwarder import Forwarder
from devbox_proxy.upstreams.pool import Upstreams

SWEEP_SECONDS: Final = 0.5
"""How often every connection's deadlines are looked at: cheaper than a timer for each, and near enough."""
HANDSHAKE_SECONDS: Final = 5.0
FAREWELLS_SECONDS: Final = 2.0
"""At the end, for WebSockets that are told so."""

log = structlog.get_logger()


class Watched(Protocol):
    """One client's connection, as a port sees it."""

    @property
    def busy(self) -> bool:
        """Something is under way."""

    def close_idle(self) -> None:
        """Close if nothing is under way: the gateway is going."""

    def shut_down(self) -> None:
        """Cut it: the gateway's time is over."""

    def abort(self) -> None:
        """Cut it."""

    def check(self, present: float) -> None:
        """Look at the deadlines."""


class Port:
    """A door and its connections."""

    def __init__(
        self,
        name: str,
        load: Load,
        make: Callable[[Seat, Callable[[Any], None], Callable[[Any], None]], Any],
        address: tuple[str, int],
        *,
        most: int,
        most_per_peer: int,
        keepalive: Keepalive,
        tls: ssl.SSLContext | None = None,
        handshakes: float = 1.0,
    ) -> None:
        """`make`: a protocol for a place, which calls its second argument with itself when there is a connection, its third when it is
        gone; `handshakes`: TLS ones, a second and peer."""
        self._load = load
        self._make = make
        self._keepalive = keepalive
        self._connections: set[Watched] = set()
        self._tls = tls
        self._pace = Pace(handshakes, most_per_peer)
        self._seats = Seats(most, most_per_peer)
        self._door = Door(name, address, self._seats, self._take, no_room=self._no_room, refused=metrics.cut)
        self._sweeping: asyncio.Task[None] | None = None
        self._arriving: set[asyncio.Task[Any]] = set()
        self._inside: set[Seat] = set()
        """Of connections that are not gone yet, those that gave way among them."""

    async def start(self) -> int:
        """Listen; returns the port."""
        self._sweeping = asyncio.create_task(self._sweep())
        return await self._door.open()

    def drain(self) -> None:
        """Serve on, but let every answer end its connection."""
        self._load.draining = True

    async def stop(self, seconds: float) -> None:
        """Take no new connection, close the idle ones, let requests end for `seconds`, then cut what is left."""
        self._load.draining = True
        connections = self._connections
        await self._door.close()
        deadline = now() + seconds
        while True:
            for connection in list(connections):
                connection.close_idle()
            if not connections or now() > deadline:
                break
            await asyncio.sleep(0.05)
        for connection in list(connections):
            connection.shut_down()
        deadline = now() + FAREWELLS_SECONDS
        while connections and now() < deadline:  # noqa: ASYNC110 (they are gone one by one)
            await asyncio.sleep(0.02)
        for connection in list(connections):
            connection.abort()
        tasks = [*self._arriving, *([self._sweeping] if self._sweeping else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _no_room(self) -> str:
        """Why not even a refusal can be said, besides the places; empty if it can. Before TLS, which costs more than anything later."""
        return "" if self._load.memory.room_to_refuse(self._load.sockets) else "no_memory"

    def _take(self, accepted: socket.socket, seat: Seat) -> None:
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._keepalive.begin(accepted)
        self._inside.add(seat)
        self._load.sockets += 1
        task = asyncio.create_task(self._receive(accepted, seat))
        seat.cut = task.cancel
        self._arriving.add(task)
        task.add_done_callback(lambda done: self._arrived(done, accepted, seat))

    async def _receive(self, accepted: socket.socket, seat: Seat) -> Any:
        secure = self._tls is not None
        if secure and (wait := self._pace.wait(seat.peer, now())):
            metrics.HELD_BACK.inc()
            await asyncio.sleep(wait)
        client = self._make(seat, self._connections.add, lambda gone: self._gone(gone, seat))
        # (It gives back a protocol, too: with TLS in uvloop its own.)
        await asyncio.get_running_loop().connect_accepted_socket(
            lambda: client,
            accepted,
            ssl=self._tls,
            ssl_handshake_timeout=HANDSHAKE_SECONDS if secure else None,
            ssl_shutdown_timeout=FAREWELL_SECONDS if secure else None,
        )
        return client

    def _arrived(self, task: "asyncio.Task[Any]", accepted: socket.socket, seat: Seat) -> None:
        # Not in the task: one that is cancelled before its first step never runs.
        self._arriving.discard(task)
        if task.cancelled() or (error := task.exception()) is not None:
            # A client that did not finish its handshake, one that gave way, or the end of all.
            if not task.cancelled() and not isinstance(error, OSError):
                log.error("arrival_failed", error=type(error).__name__)
            accepted.close()
            self._lost(seat)
            return
        client = task.result()
        seat.cut = client.abort
        seat.busy = lambda: bool(client.busy)
        if seat.gone and seat in self._inside:  # it gave way at this very moment
            client.abort()

    def _gone(self, connection: Watched, seat: Seat) -> None:
        self._connections.discard(connection)
        self._lost(seat)

    def _lost(self, seat: Seat) -> None:
        """The connection is gone; said twice, it counts once."""
        if seat in self._inside:
            self._inside.discard(seat)
            self._load.sockets -= 1
            seat.leave()

    async def _sweep(self) -> None:
        while True:
            self._look()  # from the start on: whether we stood still is told by the time since the last look
            present = now()
            self._pace.forget(present)
            for connection in list(self._connections):
                try:
                    connection.check(present)
                except Exception as error:  # one connection's trouble must not leave the others without deadlines
                    log.error("check_failed", error=type(error).__name__)
                    connection.abort()
            await asyncio.sleep(SWEEP_SECONDS)

    def _look(self) -> None:
        """What else is to be looked at twice a second."""


class DataPort(Port):
    """Where APIs are asked."""

    def __init__(
        self, path: DataPath, decider: Decider, upstreams: Upstreams, address: tuple[str, int], tls: ssl.SSLContext | None
    ) -> None:
        kind: Any = Connection if tls is None else TlsConnection  # of no class of asyncio's, for speed
        super().__init__(
            "data",
            path.load,
            lambda seat, made, lost: kind(path, decider, seat.peer, on_made=made, on_lost=lost, vouch=seat.vouch),
            address,
            most=path.limits.connections,
            most_per_peer=path.limits.connections_per_devbox,
            keepalive=path.keepalive,
            tls=tls,
            handshakes=path.limits.handshakes_per_devbox,
        )
        self._recorder = path.recorder
        self._upstreams = upstreams

    def _look(self) -> None:
        load = self._load
        load.memory.look(load.under_way, load.sockets)
        self._upstreams.sweep(scarce=not load.memory.room(load.under_way))
        self._recorder.tell_rest(now())


class EgressPort(Port):
    """Where tunnels begin: the forward proxy."""

    def __init__(self, forwarder: Forwarder, host: str, port: int) -> None:
        settings = forwarder.settings
        super().__init__(
            "egress",
            forwarder.load,
            lambda seat, made, lost: ConnectConnection(forwarder, seat.peer, on_made=made, on_lost=lost, vouch=seat.vouch),
            (host, port),
            most=settings.tunnels + SPARE,
            most_per_peer=settings.tunnels_per_devbox + SPARE,
            keepalive=forwarder.keepalive,
        )
