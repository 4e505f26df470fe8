"""Connections to the APIs: one aiohttp session a pool key, so that two credentials never share a connection.

Goes in: an `UpstreamRequest` and a body. Comes out: the API's response, or an `UpstreamError` that names the refusal. aiohttp is told
to do nothing by itself: no redirects, no cookies, no decompression, no proxies from the environment, no second try.
"""

import asyncio
import contextlib
import socket
import ssl
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, TypeVar

import aiohttp
import certifi
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.helpers import is_ip_address
from multidict import CIMultiDict
from yarl import URL

from . import grammar
from .credentials import UpstreamRequest
from .destinations import Refused, Resolver, Unready
from .refusals import Refusal
from .settings import Timeouts

POOLS: Final = 4096
"""Pool keys that are kept; the one that was used longest ago goes, once it is idle."""
IDLE_SECONDS: Final = 15.0
"""Below what servers keep idle connections for (nginx 75 s, Node 5 s is answered by the retry hint of a 502)."""
DIAL_SECONDS: Final = 60.0
"""How long a checked address may be dialled: longer than any dial takes."""
READ_SIZE: Final = 2**16
_OWN_HEADERS: Final = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
"""What aiohttp would add by itself."""


E = TypeVar("E", bound=BaseException)


class UpstreamError(Exception):
    """The API gave no answer that can be passed on."""

    def __init__(self, refusal: Refusal, detail: str) -> None:
        super().__init__(refusal.code)
        self.refusal = refusal
        self.detail = detail
        """For the log: the kind of the error, never what was sent."""


class UpstreamCut(Exception):
    """The API's body ended before its end: the client's must not look whole."""


def text(value: bytes) -> str:
    """Bytes of a target or header for aiohttp, which writes UTF-8: unchanged on the wire if they are that, else as from Latin-1."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


class Upstreams:
    """All pools."""

    def __init__(self, resolver: Resolver, timeouts: Timeouts, trust: ssl.SSLContext) -> None:
        self._resolver = resolver
        self._timeouts = timeouts
        self._tls = trust
        self._pools: OrderedDict[tuple[str, ...], _Pool] = OrderedDict()

    @contextlib.asynccontextmanager
    async def send(
        self, key: tuple[str, ...], request: UpstreamRequest, body: AsyncIterator[bytes] | None, length: str | None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request; the block gets the response's head at once and reads the body with `chunks`. Raises UpstreamError."""
        headers: CIMultiDict[str] = CIMultiDict()
        for name, value in request.headers:
            headers.add(name.decode("latin-1"), text(value))
        if length is not None:
            headers["Content-Length"] = length
        url = URL(request.endpoint.origin + text(request.target), encoded=True)
        pool = self._pool(key)
        pool.users += 1
        try:
            async with asyncio.timeout(self._timeouts.first_byte_seconds) as first_byte:
                if body is not None:
                    body = self._uploading(body, first_byte)
                try:
                    if is_ip_address(request.endpoint.host):
                        # aiohttp asks no resolver about an address, and would dial it unchecked.
                        await pool.dialler.resolve(request.endpoint.host, request.endpoint.port)
                    response = await pool.session.request(
                        request.method,
                        url,
                        headers=headers,
                        data=body,
                        allow_redirects=False,
                        skip_auto_headers=_OWN_HEADERS,
                    )
                except (aiohttp.ClientError, OSError, ValueError, ssl.SSLError) as error:
                    raise _named(error) from None
                # From here on only the pause between two bytes is bounded (`chunks`).
                first_byte.reschedule(None)
                async with response:
                    if flaw := _flaw(response):
                        response.close()  # nothing that follows on the connection is to be trusted
                        raise UpstreamError(Refusal.UPSTREAM_INVALID, flaw)
                    yield response
        except TimeoutError:
            raise UpstreamError(Refusal.UPSTREAM_TIMEOUT, "first byte") from None
        finally:
            pool.users -= 1
            pool.used_at = time.monotonic()

    async def chunks(self, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        """The body as it comes. Raises UpstreamCut if it ends before its end, or if nothing comes for the idle time."""
        try:
            while True:
                async with asyncio.timeout(self._timeouts.idle_seconds):
                    chunk = await response.content.readany()
                if not chunk:
                    return
                yield chunk
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise UpstreamCut(type(error).__name__) from None

    async def _uploading(self, body: AsyncIterator[bytes], first_byte: asyncio.Timeout) -> AsyncIterator[bytes]:
        """The body; the wait for an answer starts anew with every piece of it, since an upload may take hours."""
        async for chunk in body:
            if first_byte.when() is not None:  # None: the answer came before the upload's end
                first_byte.reschedule(asyncio.get_running_loop().time() + self._timeouts.first_byte_seconds)
            yield chunk

    async def close(self) -> None:
        """Close everything."""
        for pool in self._pools.values():
            await pool.session.close()

    def _pool(self, key: tuple[str, ...]) -> "_Pool":
        pool = self._pools.get(key)
        if pool is None:
            dialler = _Dialler(self._resolver)
            pool = self._pools[key] = _Pool(self._session(dialler), dialler)
            self._shrink()
        self._pools.move_to_end(key)
        return pool

    def _shrink(self) -> None:
        old = [key for key, pool in self._pools.items() if not pool.users][: max(0, len(self._pools) - POOLS)]
        for key in old:
            session = self._pools.pop(key).session
            asyncio.get_running_loop().create_task(session.close())

    def _session(self, dialler: "_Dialler") -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=0,
            resolver=dialler,
            socket_factory=dialler.open,
            use_dns_cache=False,
            ssl=self._tls,
            keepalive_timeout=IDLE_SECONDS,
        )
        session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            read_bufsize=READ_SIZE,
            max_line_size=8190,
            max_field_size=16380,
            # No sock_read: aiohttp would bound the wait for the first byte with it too, which may be longer than any later one.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._timeouts.connect_seconds),
        )
        # aiohttp sends an idempotent request a second time where a pooled connection was closed; a PUT may have been carried out.
        session._retry_connection = False
        return session


def _flaw(response: aiohttp.ClientResponse) -> str | None:
    """Why the answer can't be passed on, though aiohttp's parser let it through; None if it can."""
    if response.version not in (aiohttp.HttpVersion10, aiohttp.HttpVersion11):
        return "another HTTP version"
    if not 200 <= response.status <= 999:
        return f"status {response.status}"  # such as 101 although no upgrade was asked for: what follows is not HTTP
    codings = [value.strip().lower() for name, value in response.raw_headers if name.lower() == b"transfer-encoding"]
    if codings not in ([], [b"chunked"]):
        return "a transfer coding that is not chunked"
    if any(grammar.CONTROL.search(value) for _, value in response.raw_headers):
        return "control characters in a header"
    return None


class _Pool:
    __slots__ = ("dialler", "session", "used_at", "users")

    def __init__(self, session: aiohttp.ClientSession, dialler: "_Dialler") -> None:
        self.session = session
        self.dialler = dialler
        self.users = 0
        self.used_at = time.monotonic()


class _Dialler(AbstractResolver):
    """aiohttp's way to our resolver, and a second look at every address that it dials after all."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._checked: dict[str, float] = {}
        """Addresses that passed the check, and when (monotonic seconds)."""

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:
        try:
            pairs = await self._resolver.resolve(host, port)
        except Refused as error:
            raise _RefusedDial(str(error), final=not isinstance(error, Unready)) from None
        now = time.monotonic()
        self._checked = {address: at for address, at in self._checked.items() if now - at < DIAL_SECONDS}
        self._checked |= dict.fromkeys((address for address, _ in pairs), now)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=checked_port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address, checked_port in pairs
        ]

    def open(self, where: aiohttp.AddrInfoType) -> socket.socket:
        """A socket for an address that was checked. Raises OSError for any other: nothing goes around the check."""
        family, kind, protocol, _, address = where
        if str(address[0]) not in self._checked:
            raise _RefusedDial(f"{address[0]} was not checked")
        connection = socket.socket(family, kind, protocol)
        connection.setblocking(False)
        return connection

    async def close(self) -> None:
        pass


class _RefusedDial(OSError):
    """Carries a Refused through aiohttp, which passes on OSErrors."""

    def __init__(self, why: str, *, final: bool = True) -> None:
        super().__init__(why)
        self.final = final
        """False: it may be allowed in a moment."""


def tls_context(ca_bundle: str) -> ssl.SSLContext:
    """The public roots, and those of the file if one is named."""
    context = ssl.create_default_context(cafile=certifi.where())
    if ca_bundle:
        context.load_verify_locations(cafile=Path(ca_bundle))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _named(error: Exception) -> UpstreamError:
    refused = _find(error, _RefusedDial)
    if refused is not None:
        return UpstreamError(Refusal.ENDPOINT_REFUSED if refused.final else Refusal.NOT_READY, str(refused))
    kinds: list[tuple[type[Exception] | tuple[type[Exception], ...], Refusal]] = [
        ((aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError, ssl.SSLError), Refusal.UPSTREAM_TLS),
        (aiohttp.ServerTimeoutError, Refusal.UPSTREAM_TIMEOUT),
        (aiohttp.ClientConnectorError, Refusal.UPSTREAM_UNREACHABLE),
        ((aiohttp.ServerDisconnectedError, aiohttp.ClientOSError), Refusal.UPSTREAM_CLOSED),
    ]
    for kind, refusal in kinds:
        if isinstance(error, kind):
            connecting = isinstance(error, aiohttp.ConnectionTimeoutError)
            return UpstreamError(Refusal.UPSTREAM_UNREACHABLE if connecting else refusal, type(error).__name__)
    return UpstreamError(Refusal.UPSTREAM_INVALID, type(error).__name__)


def _find(error: BaseException, kind: type[E]) -> E | None:
    """The first error of that kind behind this one: aiohttp wraps what a resolver raises."""
    chain: BaseException | None = error
    while chain is not None:
        for candidate in (chain, getattr(chain, "os_error", None)):
            if isinstance(candidate, kind):
                return candidate
        chain = chain.__cause__ or chain.__context__
    return None
