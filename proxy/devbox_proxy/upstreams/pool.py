"""Connections to the APIs: dialled to checked addresses only, kept for a while, never shared between credentials.

Goes in: a pool key and an API. Comes out: an `UpstreamConnection`, idle or new, or an `UpstreamError` that names the refusal.
Pooled connections with the same key may serve one another's requests; the key holds the origin, the TLS
settings, the credential with its version, and the caller's namespace (credentials.PoolKey).

How long one may rest is learned (rest_times.py). Twice a second (`sweep`) what has rested for too long is closed, but for a few that rest
on unused, to see how long the API leaves them open; and what was dialled with something that counts no more (current.py).
"""

import asyncio
import errno
import socket
import ssl
from collections import Counter
from pathlib import Path
from time import monotonic
from typing import Any, Final, Protocol

import certifi

from devbox_api.judge.refusals import Refusal
from devbox_common.clock import now
from devbox_common.trust import client_context
from devbox_proxy.kit.dialling import Attempts, first
from devbox_proxy.kit.keepalive import Keepalive
from devbox_proxy.kit.rounds import Rounds
from devbox_proxy.known.apis import Api
from devbox_proxy.known.credentials import PoolKey
from devbox_proxy.settings import UpstreamTimeouts
from devbox_proxy.upstreams.connection import BufferedUpstreamConnection, UpstreamConnection, UpstreamError
from devbox_proxy.upstreams.current import Current
from devbox_proxy.upstreams.dial_check import AddressRefused, Unready
from devbox_proxy.upstreams.dial_failures import DialFailure, failed
from devbox_proxy.upstreams.dials import REACHED, Dials
from devbox_proxy.upstreams.rest_times import FIRST_SECONDS, LEAST_SECONDS, RestTimes
from devbox_proxy.upstreams.resting import KEPT, Resting

PROBES: Final = 256
"""Connections that rest on unused, at most an eighth of all that may rest."""
PROBES_OF_ENDPOINT: Final = 2
PROBES_OF_NAMESPACE: Final = 16
STANDSTILL_SECONDS: Final = 2.0
"""Without a sweep: whatever came meanwhile has not been read. (A pause of the clock's is 3 s; here a connection is at stake, no more.)
Of the machine: nothing came, and what was closed meanwhile nobody may ever tell."""
CONTEXTS: Final = 256
"""CA bundles whose parsed form is kept."""
OWN_TROUBLE: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})
"""Of a dial's errors: it is the gateway that lacks something, which says nothing of the API."""
WRITE_BUFFER: Final = 64 * 1024
"""Bytes that may wait for a slow API before the client's body is no longer read."""


class Names(Protocol):
    """Of dial_check.Resolver what is used here. (Machine code would take nothing but that very class.)"""

    async def resolve(self, host: str, port: int, owner: str) -> list[tuple[str, int]]:
        """See there."""


class _Probes:
    """What rests on unused, at one look."""

    def __init__(self, most: int) -> None:
        self._left = most
        self._of_endpoint: Counter[str] = Counter()
        self._of_namespace: Counter[str] = Counter()

    def room(self, endpoint: str, namespace: str) -> bool:
        """One more may; it is counted."""
        if self._left <= 0 or self._of_endpoint[endpoint] >= PROBES_OF_ENDPOINT:
            return False
        if self._of_namespace[namespace] >= PROBES_OF_NAMESPACE:
            return False
        self._left -= 1
        self._of_endpoint[endpoint] += 1
        self._of_namespace[namespace] += 1
        return True


class Upstreams:
    """All connections to all APIs."""

    def __init__(
        self,
        resolver: Names,
        timeouts: UpstreamTimeouts,
        trust: ssl.SSLContext,
        *,
        kept: int = KEPT,
        attempts: Attempts | None = None,
        current: Current | None = None,
    ) -> None:
        """`kept`: idle connections at most; `attempts`: of all dials of this process; `current`: what a sweep asks of what rests."""
        self._resolver = resolver
        self._timeouts = timeouts
        self._trust = trust
        self._current = current
        self._keepalive = Keepalive(timeouts.gone_seconds)
        self.rounds = Rounds()
        self.resting = Resting(kept)
        self.times = RestTimes(timeouts.rest_seconds)
        self._probes = min(PROBES, kept // 8)
        self._swept: float | None = None
        """When the last sweep was."""
        self._unread = False
        """That was after a standstill: what was closed meanwhile is not known before the next one."""
        self._lead = now() - monotonic()
        """Seconds for which the machine stood still, but for a constant."""
        self._contexts: dict[str, ssl.SSLContext] = {}
        """By CA bundle."""
        self._attempts = attempts or Attempts()
        self.dials = Dials()
        self._closed = False

    def idle(self, key: PoolKey) -> UpstreamConnection | None:
        """A connection that is open, at rest, and young enough to be used: the one that was used last."""
        present = now()
        if self._stood_still(present):
            return None
        while (connection := self.resting.latest(key)) is not None:
            transport = connection.transport
            if transport is not None and not transport.is_closing() and self._leads(connection):
                age = present - connection.idle_since
                if age > self._limit(connection, present):
                    return None  # the others have rested for longer; the sweep sees to all of them
                connection.rested = age
                self.resting.take(connection)
                return connection
            self._drop(connection)
        return None

    def release(self, connection: UpstreamConnection) -> None:
        """Its answer was whole: keep it for the next request with its key."""
        transport = connection.transport
        # An answer that came before the whole request was sent: whether the API reads the rest as what it is, nobody knows.
        if self._closed or transport is None or transport.is_closing() or transport.get_write_buffer_size():
            connection.abort()
            return
        connection.idle_since = now()
        connection.pause(paused=False)  # an end, or bytes that nobody asked for, must be noticed
        oldest = self.resting.add(connection)
        if oldest is not None:
            oldest.abort()

    def forget(self, connection: UpstreamConnection) -> None:
        """It is closed, or about to be."""
        if connection in self.resting:
            self.resting.take(connection)

    def closed(self, connection: UpstreamConnection, *, dead: bool = False) -> None:
        """It is closed, while nobody used it: if it was at rest, not by us. `dead`: nobody said so, the kernel gave it up."""
        if connection not in self.resting:
            return
        self.resting.take(connection)
        present, endpoint = now(), connection.key.origin
        if dead:
            self.times.vanished(endpoint, present)
        else:
            self.times.closed(endpoint, present - connection.idle_since, present)

    def unanswered(self, connection: UpstreamConnection) -> None:
        """It was closed under a request, before an answer began. If it had rested, that may be why."""
        if connection.rested > LEAST_SECONDS:
            self.times.closed(connection.key.origin, connection.rested, now())

    def sweep(self, *, scarce: bool = False) -> None:
        """Close what may not be used any more; learn from what is still open. `scarce`: there is little memory."""
        present, before = now(), self._swept
        self._unread = False
        self._unread = self._stood_still(present)
        self._swept = present
        self._close_what_counts_no_more()
        seen: set[str] = set()
        long_of: Counter[str] = Counter()
        probes = _Probes(0 if scarce else self._probes)
        for connection in self.resting:  # the one that has rested longest first
            endpoint, namespace = connection.key.origin, connection.key.namespace
            age = present - connection.idle_since
            if before is not None and endpoint not in seen:
                # Between two sweeps the loop reads all sockets: what is here now was open at the one before.
                seen.add(endpoint)
                self.times.survived(endpoint, before - connection.idle_since)
            if age > self._limit(connection, present):
                if not (self.times.worth(endpoint, age, present) and probes.room(endpoint, namespace)):
                    self._drop(connection)
                    continue
            elif scarce and age > LEAST_SECONDS:  # better a handshake than a request that is refused
                self._drop(connection)
                continue
            if age > FIRST_SECONDS:
                long_of[namespace] += 1
        for namespace, count in long_of.items():
            for connection in self.resting.of(namespace)[: max(0, count - self.resting.long)]:
                self._drop(connection)

    def close(self) -> None:
        """Close everything that is idle; what is released from now on is closed too."""
        self._closed = True
        self._drop_all()

    async def dial(self, key: PoolKey, api: Api) -> UpstreamConnection:
        """A new connection, TLS and all, within the time-out. Raises UpstreamError."""
        endpoint = api.endpoint
        seconds = (api.timeouts and api.timeouts.connect) or self._timeouts.connect_seconds
        trust = self._trusting(api.ca_bundle) if endpoint.scheme == "https" else None
        buffered = trust is not None or api.redact_body
        try:
            async with asyncio.timeout(seconds):
                # For the caller's namespace, whose GatewayConfigs name such hosts.
                pairs = await self._resolver.resolve(endpoint.host, endpoint.port, key.namespace)
                connect = lambda plain, pair: self._connect(key, endpoint.host, pair[0], plain, trust, buffered=buffered)  # noqa: E731
                connection = await first(pairs, seconds, connect, self._attempts, key.namespace)
        except Unready as unready:
            raise UpstreamError(Refusal.NOT_READY, str(unready)) from None
        except (AddressRefused, OSError) as error:  # (those of TLS and time-outs are OSErrors)
            end = failed(error)
            detail = str(error) if end.why is DialFailure.ADDRESS_FORBIDDEN else type(error).__name__
            if getattr(error, "errno", None) not in OWN_TROUBLE:
                self.dials.note(api, end.why.value, end.words)
            raise UpstreamError(end.refusal, f"{end.why.value}: {detail}", end.words) from None
        self.dials.note(api, REACHED)
        return connection

    async def _connect(
        self, key: PoolKey, host: str, address: str, plain: socket.socket, trust: ssl.SSLContext | None, *, buffered: bool
    ) -> UpstreamConnection:
        self._keepalive.begin(plain)
        kind: Any = BufferedUpstreamConnection if buffered else UpstreamConnection  # of no class of asyncio's, for speed
        try:
            made: tuple[Any, UpstreamConnection] = await asyncio.get_running_loop().create_connection(
                lambda: kind(key, self),
                sock=plain,
                ssl=trust,
                server_hostname=host if trust else None,
            )
        except BaseException:
            plain.close()
            raise
        transport, connection = made
        transport.set_write_buffer_limits(high=WRITE_BUFFER)
        connection.host, connection.address = host, address
        return connection

    def _trusting(self, ca_bundle: str) -> ssl.SSLContext:
        """The roots of a GatewayConfig alone, or those of the settings."""
        if not ca_bundle:
            return self._trust
        context = self._contexts.get(ca_bundle)
        if context is None:
            if len(self._contexts) >= CONTEXTS:
                self._contexts.clear()
            context = self._contexts[ca_bundle] = client_context(cadata=ca_bundle)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context

    def _close_what_counts_no_more(self) -> None:
        if self._current is None:
            return
        state = self._current.state()
        for connection in self.resting:
            if connection.judged != state:
                if self._current.holds(connection.key, connection.host, connection.address):
                    connection.judged = state
                else:
                    self._drop(connection)

    def _leads(self, connection: UpstreamConnection) -> bool:
        return self._current is None or self._current.leads(connection.host, connection.address)

    def _stood_still(self, present: float) -> bool:
        """This process did nothing for a while: what was closed meanwhile, nobody has read yet. (If it was the machine, nobody may say so
        any more, and nothing is left at rest.)"""
        lead = present - monotonic()
        if lead - self._lead > STANDSTILL_SECONDS:
            self._lead = lead
            self._drop_all()
        return self._unread or (self._swept is not None and present - self._swept > STANDSTILL_SECONDS)

    def _limit(self, connection: UpstreamConnection, present: float) -> float:
        return self.times.limit(connection.key.origin, connection.idle_seconds, present)

    def _drop(self, connection: UpstreamConnection) -> None:
        self.resting.take(connection)
        connection.abort()

    def _drop_all(self) -> None:
        for connection in self.resting:
            self._drop(connection)


def tls_context(ca_bundle: str) -> ssl.SSLContext:
    """The public roots, and those of the file if one is named."""
    context = client_context(cafile=Path(certifi.where()))
    if ca_bundle:
        context.load_verify_locations(cafile=Path(ca_bundle))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
