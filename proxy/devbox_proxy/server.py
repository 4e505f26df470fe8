"""The two ports of devboxes: the listening socket, its connections, and a look at every deadline twice a second.

Goes in: TCP connections of devboxes. Comes out: a connection object for each that there is room for. Called by run.py.
"""

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Collection
from ipaddress import IPv6Address, ip_address
from time import monotonic as now
from typing import Any, Final, Protocol

import structlog

from . import metrics
from .connect import ConnectConnection
from .connection import FAREWELL_SECONDS, Connection, TlsConnection
from .forwarder import Forwarder
from .gateway import Gateway
from .pace import Pace

SWEEP_SECONDS: Final = 0.5
"""How often every connection's deadlines are looked at: cheaper than a timer for each, and near enough."""
HANDSHAKE_SECONDS: Final = 10.0
BACKLOG: Final = 1024
"""Connections that the kernel takes before this process does; the canary's port has as many."""
SPARE: Final = 64
"""Connections to the forward proxy beyond the tunnels that there may be: they are told so."""

log = structlog.get_logger()


class Client(Protocol):
    """One client's connection, as a port sees it."""

    def close_idle(self) -> None:
        """Close if nothing is under way: the gateway is going."""

    def abort(self) -> None:
        """Cut it."""

    def check(self, present: float) -> None:
        """Look at the deadlines."""


class Port:
    """A listening socket and its connections, which put themselves into `connections`."""

    def __init__(
        self,
        gateway: Gateway,
        make: Callable[[str, Callable[[str], None]], Any],
        connections: Collection[Client],
        address: tuple[str, int],
        *,
        most: int,
        most_per_peer: int,
        tls: ssl.SSLContext | None = None,
        handshakes: float = 1.0,
    ) -> None:
        """`make`: a protocol for a peer, which calls its second argument when it is gone; `handshakes`: TLS ones, a second and peer."""
        self._gateway = gateway
        self._make = make
        self._connections = connections
        self._address = address
        self._most, self._most_per_peer = most, most_per_peer
        self._tls = tls
        self._pace = Pace(handshakes, most_per_peer)
        self._listener: socket.socket | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._arriving: set[asyncio.Task[None]] = set()
        self._open: Counter[str] = Counter()
        """Connections by the peer's address."""
        self._count = 0
        """All of them."""

    async def start(self) -> int:
        """Listen; returns the port."""
        self._listener = _listen(*self._address)
        self._tasks = [asyncio.create_task(self._accept(self._listener)), asyncio.create_task(self._sweep())]
        return int(self._listener.getsockname()[1])

    def drain(self) -> None:
        """Serve on, but let every answer end its connection."""
        self._gateway.draining = True

    async def stop(self, seconds: float) -> None:
        """Take no new connection, close the idle ones, let requests end for `seconds`, then cut what is left."""
        self._gateway.draining = True
        connections = self._connections
        if self._tasks:
            self._tasks[0].cancel()
        if self._listener is not None:
            self._listener.close()
        deadline = now() + seconds
        while True:
            for connection in list(connections):
                connection.close_idle()
            if not connections or now() > deadline:
                break
            await asyncio.sleep(0.05)
        for connection in list(connections):
            connection.abort()
        for task in (*self._tasks, *self._arriving):
            task.cancel()
        await asyncio.gather(*self._tasks, *self._arriving, return_exceptions=True)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, address = await loop.sock_accept(listener)
            except OSError as error:  # such as no file descriptor left
                log.error("accept_failed", error=type(error).__name__)
                await asyncio.sleep(0.1)
                continue
            peer = _plain(str(address[0]))
            # Before TLS, which costs more than anything that a connection does later.
            if why := self._no_room(peer):
                metrics.CUT.labels(why).inc()
                accepted.close()
                continue
            self._open[peer] += 1
            self._count += 1
            self._gateway.sockets += 1
            task = asyncio.create_task(self._receive(accepted, peer))
            self._arriving.add(task)
            task.add_done_callback(self._arriving.discard)

    def _no_room(self, peer: str) -> str:
        """Why not even a refusal can be said; empty if it can."""
        if self._open[peer] >= self._most_per_peer or self._count >= self._most:
            return "too_many_connections"
        return "" if self._gateway.memory.room_to_refuse(self._gateway.sockets) else "no_memory"

    async def _receive(self, accepted: socket.socket, peer: str) -> None:
        loop = asyncio.get_running_loop()
        secure = self._tls is not None
        try:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if secure and (wait := self._pace.wait(peer, now())):
                metrics.HELD_BACK.inc()
                await asyncio.sleep(wait)
            await loop.connect_accepted_socket(
                lambda: self._make(peer, self._lost),
                accepted,
                ssl=self._tls,
                ssl_handshake_timeout=HANDSHAKE_SECONDS if secure else None,
                ssl_shutdown_timeout=FAREWELL_SECONDS if secure else None,
            )
        except BaseException as error:  # a client that does not finish its handshake, or the end of all
            accepted.close()
            self._lost(peer)
            if not isinstance(error, OSError | ssl.SSLError | TimeoutError):
                raise

    def _lost(self, peer: str) -> None:
        self._count -= 1
        self._gateway.sockets -= 1
        self._open[peer] -= 1
        if not self._open[peer]:
            del self._open[peer]

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self._look()
            present = now()
            self._pace.forget(present)
            for connection in list(self._connections):
                try:
                    connection.check(present)
                except Exception as error:  # one connection's trouble must not leave the others without deadlines
                    log.error("check_failed", error=type(error).__name__)
                    connection.abort()

    def _look(self) -> None:
        """What else is to be looked at twice a second."""


class DataPort(Port):
    """Where APIs are asked."""

    def __init__(self, gateway: Gateway, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        kind: Any = Connection if tls is None else TlsConnection  # of no class of asyncio's, for speed
        super().__init__(
            gateway,
            lambda peer, lost: kind(gateway, peer, lost),
            gateway.connections,
            (host, port),
            most=gateway.bounds.connections,
            most_per_peer=gateway.bounds.connections_per_devbox,
            tls=tls,
            handshakes=gateway.bounds.handshakes_per_devbox,
        )

    def _look(self) -> None:
        gateway = self._gateway
        gateway.memory.look(gateway.under_way, gateway.sockets)
        gateway.upstreams.sweep()
        gateway.audit.tell_rest(now())


class EgressPort(Port):
    """Where tunnels begin: the forward proxy."""

    def __init__(self, forwarder: Forwarder, host: str, port: int) -> None:
        settings = forwarder.settings
        super().__init__(
            forwarder.gateway,
            lambda peer, lost: ConnectConnection(forwarder, peer, lost),
            forwarder.connections,
            (host, port),
            most=settings.tunnels + SPARE,
            most_per_peer=settings.tunnels_per_devbox + SPARE,
        )


def _listen(host: str, port: int) -> socket.socket:
    """On one address, or on all of them, IPv4 and IPv6."""
    if host:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    elif socket.has_dualstack_ipv6():
        listener = socket.create_server(("", port), family=socket.AF_INET6, backlog=BACKLOG, dualstack_ipv6=True)
    else:
        listener = socket.create_server(("", port), backlog=BACKLOG)
    listener.setblocking(False)
    return listener


def _plain(peer: str) -> str:
    """IPv4 as such where a socket for both writes ::ffff:10.0.0.1; no zone."""
    address = ip_address(peer.partition("%")[0])
    return str(address.ipv4_mapped or address) if isinstance(address, IPv6Address) else peer
