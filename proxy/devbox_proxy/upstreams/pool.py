"""Connections to the APIs: dialled to checked addresses only, kept for a while, never shared between credentials.

Goes in: a pool key and an API. Comes out: an `UpstreamConnection`, idle or new, or an `UpstreamError` that names the refusal.
Pooled connections with the same key may serve one another's requests; the key holds the origin, the TLS
settings, the credential with its version, and the caller's namespace (identity.py).
"""

import asyncio
import socket
import ssl
from collections import OrderedDict
from pathlib import Path
from typing import Any, Final, Protocol

import certifi

from devbox_api.judge.refusals import Refusal
from devbox_common.clock import now
from devbox_proxy.kit.dialling import Attempts, first
from devbox_proxy.kit.rounds import Rounds
from devbox_proxy.known.apis import Api
from devbox_proxy.settings import UpstreamTimeouts
from devbox_proxy.upstreams.connection import BufferedUpstreamConnection, UpstreamConnection, UpstreamError
from devbox_proxy.upstreams.dial_check import AddressRefused, Unready

KEPT: Final = 4096
"""Idle connections; the one that was used longest ago goes first. (Fewer where there are few file descriptors: open_files.py.)"""
IDLE_SECONDS: Final = 4.0
"""Less than any common server keeps an idle connection (Node and uvicorn 5 s), unless it says how long: no request is sent twice, so
one that meets a closing connection is lost."""
IDLE_MAX_SECONDS: Final = 60.0
CONTEXTS: Final = 256
"""CA bundles whose parsed form is kept."""
WRITE_BUFFER: Final = 64 * 1024
"""Bytes that may wait for a slow API before the client's body is no longer read."""


class Names(Protocol):
    """Of dial_check.Resolver what is used here. (Machine code would take nothing but that very class.)"""

    async def resolve(self, host: str, port: int, owner: str) -> list[tuple[str, int]]:
        """See there."""


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
    ) -> None:
        """`kept`: idle connections at most; `attempts`: of all dials of this process."""
        self._resolver = resolver
        self._timeouts = timeouts
        self._trust = trust
        self.rounds = Rounds()
        self._idle: OrderedDict[UpstreamConnection, None] = OrderedDict()
        self._by_key: dict[tuple[str, ...], list[UpstreamConnection]] = {}
        self._contexts: dict[str, ssl.SSLContext] = {}
        """By CA bundle."""
        self._kept = kept
        self._attempts = attempts or Attempts()
        self._closed = False

    def idle(self, key: tuple[str, ...]) -> UpstreamConnection | None:
        """A connection that is open and at rest, the one that was used last."""
        waiting = self._by_key.get(key)
        while waiting:
            connection = waiting[-1]
            self._take(connection)
            transport = connection.transport
            if transport is not None and not transport.is_closing() and not self._too_old(connection, now()):
                return connection
            connection.abort()
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
        self._idle[connection] = None
        self._by_key.setdefault(connection.key, []).append(connection)
        if len(self._idle) > self._kept:
            oldest = next(iter(self._idle))
            self._take(oldest)
            oldest.abort()

    def forget(self, connection: UpstreamConnection) -> None:
        """It is closed, or about to be."""
        if connection in self._idle:
            self._take(connection)

    def sweep(self) -> None:
        """Close what has been idle for too long."""
        present = now()
        for connection in [one for one in self._idle if self._too_old(one, present)]:
            self._take(connection)
            connection.abort()

    def close(self) -> None:
        """Close everything that is idle; what is released from now on is closed too."""
        self._closed = True
        for connection in list(self._idle):
            self._take(connection)
            connection.abort()

    async def dial(self, key: tuple[str, ...], api: Api) -> UpstreamConnection:
        """A new connection, TLS and all, within the time-out. Raises UpstreamError."""
        endpoint = api.endpoint
        seconds = (api.timeouts and api.timeouts.connect) or self._timeouts.connect_seconds
        trust = self._trusting(api.ca_bundle) if endpoint.scheme == "https" else None
        buffered = trust is not None or api.redact_body
        try:
            async with asyncio.timeout(seconds):
                # For the caller's namespace (the key's last part), whose GatewayConfigs name such hosts.
                pairs = await self._resolver.resolve(endpoint.host, endpoint.port, key[-1])
                connect = lambda plain, _: self._connect(key, endpoint.host, plain, trust, buffered=buffered)  # noqa: E731
                return await first(pairs, seconds, connect, self._attempts, key[-1])
        except Unready as unready:
            raise UpstreamError(Refusal.NOT_READY, str(unready)) from None
        except AddressRefused as refused:
            raise UpstreamError(Refusal.ENDPOINT_REFUSED, str(refused)) from None
        except ssl.SSLError as error:
            raise UpstreamError(Refusal.UPSTREAM_TLS, type(error).__name__) from None
        except TimeoutError:
            raise UpstreamError(Refusal.UPSTREAM_CONNECT_TIMEOUT, "") from None
        except OSError as error:
            raise UpstreamError(Refusal.UPSTREAM_UNREACHABLE, type(error).__name__) from None

    async def _connect(
        self, key: tuple[str, ...], host: str, plain: socket.socket, trust: ssl.SSLContext | None, *, buffered: bool
    ) -> UpstreamConnection:
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
        return connection

    def _trusting(self, ca_bundle: str) -> ssl.SSLContext:
        """The roots of a GatewayConfig alone, or those of the settings."""
        if not ca_bundle:
            return self._trust
        context = self._contexts.get(ca_bundle)
        if context is None:
            if len(self._contexts) >= CONTEXTS:
                self._contexts.clear()
            context = self._contexts[ca_bundle] = ssl.create_default_context(cadata=ca_bundle)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context

    def _take(self, connection: UpstreamConnection) -> None:
        del self._idle[connection]
        waiting = self._by_key[connection.key]
        waiting.remove(connection)
        if not waiting:
            del self._by_key[connection.key]

    def _too_old(self, connection: UpstreamConnection, present: float) -> bool:
        announced = connection.idle_seconds
        limit = IDLE_SECONDS if announced is None else min(announced, IDLE_MAX_SECONDS)
        return present - connection.idle_since > limit


def tls_context(ca_bundle: str) -> ssl.SSLContext:
    """The public roots, and those of the file if one is named."""
    context = ssl.create_default_context(cafile=certifi.where())
    if ca_bundle:
        context.load_verify_locations(cafile=Path(ca_bundle))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
