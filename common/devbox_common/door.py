"""A listening socket whose connections have places: what there is no place for is closed at once, and nothing waits for it.

Goes in: an address, the places, and what to do with a connection that has one. Comes out: calls, one for each. Called for every port of
both programs: `Door` by the gateway's server.py, `BriefDoor` by the canary and briefserver.py.

asyncio's own servers take whatever comes: there is no limit, and without a file descriptor left they try again for ever, or tell nobody.
"""

import asyncio
import errno
import socket
import ssl
import struct
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from time import monotonic as now
from typing import Any, Final

import structlog

from .seats import Seat, Seats

BACKLOG: Final = 1024
"""Connections that the kernel takes before this process does; the same for every port of the gateway, or one would fall silent beside the
others, which is what a policy at work looks like (canary.py)."""
TURN: Final = 64
"""Connections that are taken before others have their turn: as long as some wait, taking them does not give way by itself."""
_FULL: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_QUEUE: Final = struct.Struct("=II")
_QUEUE_AT: Final = 24
_PAUSE_SECONDS: Final = 0.1
_SAY_SECONDS: Final = 10.0
_SWEEP_SECONDS: Final = 0.5
_HANDSHAKE_SECONDS: Final = 5.0

log = structlog.get_logger()


class Door:
    """One listening socket."""

    def __init__(
        self,
        name: str,
        address: tuple[str, int],
        seats: Seats,
        take: Callable[[socket.socket, Seat], None],
        *,
        no_room: Callable[[], str] = lambda: "",
        refused: Callable[[str], None] = lambda why: None,
    ) -> None:
        """`take(socket, seat)`: the connection is yours, and `seat.leave()` with it; `no_room()`: why there is none, besides the places;
        `refused(why)`: one was closed, or cut for another."""
        self.seats = seats
        self._name = name
        self._address = address
        self._take = take
        self._no_room = no_room
        self._refused = refused
        self._listener: socket.socket | None = None
        self._task: asyncio.Task[None] | None = None
        self._said = float("-inf")

    @property
    def crowded(self) -> bool:
        """Connections that this process has not taken yet fill half of what the kernel keeps of them: beyond that it answers nobody."""
        if self._listener is None or self._listener.fileno() < 0:
            return True  # nobody is answered at all
        # (Of a listening socket this counts its queue: tcp_info's `unacked` and `sacked`, so many and at most.)
        waiting, most = _QUEUE.unpack_from(
            self._listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _QUEUE.size + _QUEUE_AT), _QUEUE_AT
        )
        return bool(2 * waiting >= most > 0)

    async def open(self) -> int:
        """Listen; returns the port."""
        self._listener = listen(*self._address)
        self._task = asyncio.create_task(self._accept(self._listener))
        return int(self._listener.getsockname()[1])

    async def close(self) -> None:
        """Listen no more. What is open stays."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._listener is not None:
            self._listener.close()

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        taken = 0
        while True:
            try:
                accepted, address = await loop.sock_accept(listener)
            except OSError as error:
                # ECONNABORTED and its like are of one connection that is gone. Without a file descriptor it waits in the kernel's queue.
                if error.errno in _FULL:
                    await self._full(error)
                continue
            if not self._let_in(accepted, plain(str(address[0]))):
                accepted.close()
            taken += 1
            if taken % TURN == 0:
                await asyncio.sleep(0)

    def _let_in(self, accepted: socket.socket, peer: str) -> bool:
        if why := self._no_room():
            self._refused(why)
            return False
        before = len(self.seats)
        seat = self.seats.enter(peer, now())
        if seat is None:
            self._refused("too_many_connections")
            return False
        if len(self.seats) <= before:
            self._refused("displaced")
        try:
            self._take(accepted, seat)
        except OSError:  # gone already
            seat.leave()
            return False
        return True

    async def _full(self, error: OSError) -> None:
        """There are fewer file descriptors than was thought: strangers give some back, and the others go on."""
        cut = self.seats.displace(TURN)
        if now() - self._said > _SAY_SECONDS:
            self._said = now()
            log.error("accept_failed", port=self._name, error=errno.errorcode.get(error.errno or 0, ""), cut=cut)
        await asyncio.sleep(_PAUSE_SECONDS)


class BriefDoor:
    """A door for connections that have all done within seconds: a time after which each is cut, and no task for any."""

    def __init__(
        self,
        name: str,
        address: tuple[str, int],
        seats: Seats,
        make: Callable[[], asyncio.Protocol],
        *,
        seconds: float,
        tls: ssl.SSLContext | None = None,
        wait: Callable[[str], float] | None = None,
        refused: Callable[[str], None] = lambda why: None,
    ) -> None:
        """`make()`: what talks to one client; `seconds`: for all of it, a TLS handshake included;
        `wait(address)`: seconds before that may begin."""
        self._door = Door(name, address, seats, self._take, refused=refused)
        self._make = make
        self._seconds = seconds
        self._tls = tls
        self._wait = wait
        self._refused = refused
        self._tasks: set[asyncio.Task[None]] = set()
        self._sweeping: asyncio.Task[None] | None = None

    @property
    def crowded(self) -> bool:
        """See Door."""
        return self._door.crowded

    async def open(self) -> int:
        """Listen; returns the port."""
        self._sweeping = asyncio.create_task(self._sweep())
        return await self._door.open()

    async def close(self) -> None:
        """Cut everything, and listen no more."""
        await self._door.close()
        if self._sweeping is not None:
            self._sweeping.cancel()
        self._door.seats.clear()
        await asyncio.gather(*self._tasks, *([self._sweeping] if self._sweeping else []), return_exceptions=True)

    def _take(self, accepted: socket.socket, seat: Seat) -> None:
        task = asyncio.create_task(self._receive(accepted, seat))
        seat.cut = task.cancel
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._received(done, accepted, seat))

    async def _receive(self, accepted: socket.socket, seat: Seat) -> None:
        if self._wait is not None and (wait := self._wait(seat.peer)):
            await asyncio.sleep(wait)
        await asyncio.get_running_loop().connect_accepted_socket(
            lambda: Guest(self._make(), seat),
            accepted,
            ssl=self._tls,
            ssl_handshake_timeout=_HANDSHAKE_SECONDS if self._tls else None,
        )

    def _received(self, task: "asyncio.Task[None]", accepted: socket.socket, seat: Seat) -> None:
        # Not in the task: one that is cancelled before its first step never runs.
        self._tasks.discard(task)
        if task.cancelled() or task.exception() is not None:
            accepted.close()
            seat.leave()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            self._door.seats.overdue(now(), self._seconds)


class Guest(asyncio.Protocol):
    """A protocol, and the place that its connection has. One that was cut on its way here never hears of it."""

    def __init__(self, inner: asyncio.Protocol, seat: Seat) -> None:
        self._inner, self._seat = inner, seat
        self._told = False

    def connection_made(self, transport: Any) -> None:
        if self._seat.gone:
            transport.abort()
            return
        self._seat.cut = transport.abort
        self._told = True
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._told:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received() if self._told else False

    def pause_writing(self) -> None:
        if self._told:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._told:
            self._inner.resume_writing()

    def connection_lost(self, error: Exception | None) -> None:
        self._seat.leave()
        if self._told:
            self._inner.connection_lost(error)


def listen(host: str, port: int) -> socket.socket:
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


def plain(peer: str) -> str:
    """IPv4 as such where a socket for both writes ::ffff:10.0.0.1; no zone."""
    address = ip_address(peer.partition("%")[0])
    return str(address.ipv4_mapped or address) if isinstance(address, IPv6Address) else peer
