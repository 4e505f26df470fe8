"""The data port: the listening socket, its connections, and a look at every deadline twice a second.

Goes in: TCP connections of devboxes. Comes out: a `Connection` for each that there is room for. Called by __main__.py.
"""

import asyncio
import socket
import ssl
from collections import Counter
from ipaddress import IPv6Address, ip_address
from time import monotonic as now
from typing import Final

import structlog

from . import metrics
from .connection import FAREWELL_SECONDS, Connection
from .gateway import Gateway

SWEEP_SECONDS: Final = 0.5
"""How often every connection's deadlines are looked at: cheaper than a timer for each, and near enough."""
HANDSHAKE_SECONDS: Final = 10.0
BACKLOG: Final = 1024

log = structlog.get_logger()


class DataPort:
    """The listening socket and its connections."""

    def __init__(self, gateway: Gateway, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        self._gateway = gateway
        self._address = (host, port)
        self._tls = tls
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
        connections = self._gateway.connections
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
            task = asyncio.create_task(self._receive(accepted, peer))
            self._arriving.add(task)
            task.add_done_callback(self._arriving.discard)

    def _no_room(self, peer: str) -> str:
        """Why not even a refusal can be said; empty if it can."""
        bounds, count = self._gateway.bounds, self._count
        if self._open[peer] >= bounds.connections_per_devbox or count >= bounds.connections:
            return "too_many_connections"
        return "" if self._gateway.memory.room_to_refuse(count) else "no_memory"

    async def _receive(self, accepted: socket.socket, peer: str) -> None:
        loop = asyncio.get_running_loop()
        secure = self._tls is not None
        try:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.connect_accepted_socket(
                lambda: Connection(self._gateway, peer, self._lost),
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
        self._open[peer] -= 1
        if not self._open[peer]:
            del self._open[peer]

    async def _sweep(self) -> None:
        gateway = self._gateway
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            gateway.memory.look(gateway.requests, self._count)
            gateway.upstreams.sweep()
            present = now()
            for connection in list(gateway.connections):
                try:
                    connection.check(present)
                except Exception as error:  # one connection's trouble must not leave the others without deadlines
                    log.error("check_failed", error=type(error).__name__)
                    connection.abort()


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
