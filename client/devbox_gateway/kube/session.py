"""Requests to the API server: one connection pool, retries, and typed errors for its answers.

Goes in: an `Access`. Comes out: objects as dictionaries, events of a watch, WebSockets. Knows paths and verbs, no kinds.
"""

from __future__ import annotations  # in a class with a method `list`, Python 3.14 takes `list[…]` for that method

import asyncio
import json
import re
import socket
import ssl
import time
import weakref
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import aiohttp
import tenacity

from devbox_gateway.errors import APIConnectionError, APITimeoutError, AuthenticationError, DevboxGatewayError

from .access import Access
from .answers import Refused, error_of, may_be_repeated, pause_of
from .credentials import Credentials
from .timing import within

Object = dict[str, Any]
Query = Mapping[str, str] | Sequence[tuple[str, str]]
MERGE: Final = "application/merge-patch+json"
JSON_PATCH: Final = "application/json-patch+json"
METADATA: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
"""To be accepted where an object's values are not to be read (docs: API concepts, "Metadata-only fetches")."""
SECONDS: Final = 60.0
"""For one request, its repetitions included, unless the caller says otherwise."""
CONNECT_SECONDS: Final = 10.0
TRIES: Final = 5
MOST_PAUSE: Final = 10.0
LAST_SECONDS: Final = 2.0
KEEPALIVE: Final = (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))
"""Seconds: a watch, or an exec in which nothing is printed, is silent for minutes, and what stands between must not forget it."""
END_SECONDS: Final = 5.0
"""For connections to be closed in, once nothing comes on them any more."""
PAGE: Final = 500
CLOSED: Final = "this client is closed: make another one"
_USER: Final = re.compile(r"(?<=://)[^/?#\s]*@")
"""Name and password within a URL."""
_TLS: Final = re.compile(r" ssl:(<[^>]*>|\w+)")
"""What aiohttp says of the settings of TLS: an object's place in memory."""


class NotOpenedError(APIConnectionError):
    """A WebSocket was answered otherwise, for a reason that the answer does not tell."""


class Session:
    """The API of one cluster. Bound to the event loop that it is first used on; `close()` it there."""

    def __init__(self, access: Access, user_agent: str) -> None:
        self.access = access
        self._agent = user_agent
        self._http: aiohttp.ClientSession | None = None
        self._closed = False
        self._tls: tuple[Credentials, ssl.SSLContext | None] | None = None
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._beside: set[asyncio.Task[None]] = set()

    def beside(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Something that goes on beside what the caller waits for. At `close()` it has LAST_SECONDS to end by itself."""
        task = asyncio.create_task(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)
        return task

    async def close(self) -> None:
        """End what is open. When this returns, no connection is left, whatever the other side does; and none is opened."""
        if self._beside:
            await asyncio.wait(self._beside, timeout=LAST_SECONDS)
        for task in list(self._beside):
            task.cancel()
        self._closed = True
        if self._http is not None:
            await self._http.close()
            self._http = None
        # A connection that was given up before has said good-bye by TLS and waits for the same from the API server, of which aiohttp
        # keeps no account: without this it would be open for another half a minute, and outlive the event loop.
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        until = time.monotonic() + END_SECONDS
        while any(one.fileno() != -1 for one in self._sockets) and time.monotonic() < until:  # noqa: ASYNC110 (nobody tells when a socket is closed)
            await asyncio.sleep(0.001)

    def _socket(self, address: tuple[Any, ...]) -> socket.socket:
        """For a new connection. `address` is one of what getaddrinfo gives."""
        made = socket.socket(*address[:3])
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in KEEPALIVE:
            if hasattr(socket, option):  # not all systems have all of them; then theirs counts
                made.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
        self._sockets.add(made)
        return made

    async def request(
        self,
        method: str,
        path: str,
        query: Query = (),
        body: Object | list[Any] | None = None,
        *,
        kind: str = "application/json",
        accept: str = "application/json",
        seconds: float = SECONDS,
    ) -> Object:
        """One answer. Raises the errors of errors.py; what was refused in passing (busy, restarting) is asked again."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Accept": accept, **({"Content-Type": kind} if data is not None else {})}
        tries = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(lambda error: isinstance(error, Refused) and error.again),
            stop=tenacity.stop_after_attempt(TRIES) | tenacity.stop_after_delay(seconds),
            wait=_wait,
            reraise=True,
        )
        try:
            return await within(seconds, tries(self._once, method, path, query, data, headers))
        except Refused as refused:
            raise refused.error from None
        except TimeoutError:
            raise APITimeoutError(f"the API server did not answer {method} {path} within {seconds:g} s") from None

    async def _once(self, method: str, path: str, query: Query, data: bytes | None, headers: dict[str, str]) -> Object:
        try:
            async with self._send(method, path, query, headers, data=data) as response:
                content = await response.read()
        except DevboxGatewayError:
            raise  # (some are OSErrors, too)
        except aiohttp.ClientConnectorError as error:
            raise Refused(_unreachable(self.access.url, error), again=not isinstance(error, aiohttp.ClientSSLError)) from None
        except (aiohttp.ClientError, OSError) as error:
            # (It may have been done.)
            raise Refused(_unreachable(self.access.url, error), again=method == "GET") from None
        if response.status >= 400:
            again = may_be_repeated(method, response.status, response.headers)
            raise Refused(error_of(method, path, response.status, content), again, pause_of(response.headers))
        return _object(method, path, content)

    async def date(self) -> datetime | None:
        """The API server's time, to the second; None: it tells none. Raises as `request`."""
        try:
            async with self._send("GET", "/version", (), {}) as response:
                if response.status >= 400:
                    raise error_of("GET", "/version", response.status, await response.read())
                said = response.headers.get("Date", "")
        except (aiohttp.ClientError, OSError) as error:
            raise _unreachable(self.access.url, error) from None
        try:
            return parsedate_to_datetime(said)
        except ValueError:
            return None

    @asynccontextmanager
    async def _send(
        self, method: str, path: str, query: Query, headers: Mapping[str, str], **how: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One response, its head read. Credentials that are not accepted are renewed once."""
        for renew in (False, True):
            async with self._open().request(
                method, self.access.url + path, params=_pairs(query), **(await self._arguments(headers, renew)), **how
            ) as response:
                if response.status != 401 or renew:
                    yield response
                    return
                await response.read()

    async def _arguments(self, headers: Mapping[str, str], renew: bool) -> dict[str, Any]:
        """What every request to the API server carries. (Nobody keeps it in a variable: programs that report errors send those along.)"""
        credentials = await self.access.source.get(renew)
        if self._tls is None or self._tls[0] != credentials:
            self._tls = (credentials, self.access.tls(credentials))
        carried = [("User-Agent", self._agent), *self.access.headers, *headers.items()]
        if credentials.authorization is not None:
            carried.append(("Authorization", credentials.authorization.value))
        context = self._tls[1]
        return {
            "headers": carried,
            "proxy": None if self.access.proxy is None else self.access.proxy.value,
            **({} if context is None else {"ssl": context, "server_hostname": self.access.server_name}),
        }

    def _open(self) -> aiohttp.ClientSession:
        if self._closed:
            raise DevboxGatewayError(CLOSED)
        if self._http is None:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
            self._http = aiohttp.ClientSession(
                timeout=timeout, connector=aiohttp.TCPConnector(limit=0, socket_factory=self._socket), auto_decompress=True
            )
        return self._http

    async def list(self, path: str, query: Mapping[str, str] = {}) -> list[Object]:
        """All objects, page by page."""
        found: list[Object] = []
        following = ""
        while True:
            page = {**query, "limit": str(PAGE), **({"continue": following} if following else {})}
            answer = await self.request("GET", path, page)
            found += answer.get("items") or []
            following = str((answer.get("metadata") or {}).get("continue") or "")
            if not following:
                return found

    async def watch(self, path: str, query: Mapping[str, str]) -> AsyncIterator[tuple[str, Object]]:
        """(type, object) of every change, until the API server ends the stream, as it does every few minutes. Raises as `request`."""
        async for line in self.lines(path, {**query, "watch": "true"}):
            event = _object("GET", path, line)
            yield str(event.get("type")), event.get("object") or {}

    async def lines(self, path: str, query: Query) -> AsyncIterator[bytes]:
        """An answer that goes on and on, line by line, however long one is."""
        rest = b""
        async for piece in self.pieces(path, query):
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                yield line
        if rest:
            yield rest

    async def pieces(self, path: str, query: Query) -> AsyncIterator[bytes]:
        """The same, as it comes."""
        try:
            async with self._send("GET", path, query, {"Accept": "application/json, */*"}) as response:
                if response.status >= 400:
                    raise error_of("GET", path, response.status, await response.read())
                async for piece in response.content.iter_any():
                    yield piece
        except DevboxGatewayError:
            raise
        except (aiohttp.ClientError, OSError) as error:
            raise _unreachable(self.access.url, error) from None

    async def websocket(self, path: str, query: Query, protocols: Sequence[str]) -> aiohttp.ClientWebSocketResponse[Any]:
        """Open; the caller closes it. Raises as `request`."""
        for renew in (False, True):
            try:
                socket: aiohttp.ClientWebSocketResponse[Any] = await self._open().ws_connect(
                    self.access.url + path,
                    params=_pairs(query),
                    protocols=protocols,
                    autoping=False,
                    max_msg_size=0,
                    **(await self._arguments({}, renew)),
                )
                return socket
            except DevboxGatewayError:
                raise  # (some are OSErrors, too)
            except aiohttp.WSServerHandshakeError as error:
                if error.status != 401 or renew:
                    raise await self._why(path, query, error.status) from None
            except (aiohttp.ClientError, OSError) as error:
                raise _unreachable(self.access.url, error) from None
        raise AssertionError("unreachable")

    async def _why(self, path: str, query: Query, status: int) -> Exception:
        """The words behind a WebSocket's refusal, which its client does not keep: asked for plainly, where nothing is ever run."""
        async with self._send("GET", path, query, {}) as response:
            content = await response.read()
        if response.status not in (400, 406):
            return error_of("GET", path, response.status, content)
        if status >= 500:
            return NotOpenedError(
                f"the API server answered {status}: nothing could be begun in the container, which may be starting or ending just now; "
                "try again"
            )
        return NotOpenedError(f"the API server answered {status} to a WebSocket; what is between it and here has to pass them")


def _wait(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.pause if isinstance(error, Refused) else 0.0
    return min(MOST_PAUSE, max(asked, tenacity.wait_random_exponential(0.2, max=5)(state)))


def _pairs(query: Query) -> list[tuple[str, str]]:
    return list(query.items()) if isinstance(query, Mapping) else list(query)


def _object(method: str, path: str, content: bytes) -> Object:
    try:
        answer = json.loads(content)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise APIConnectionError(f"the answer to {method} {path} is no JSON object: is this address an API server's?")
    return answer


def _unreachable(url: str, error: Exception) -> APIConnectionError | AuthenticationError:
    url = _USER.sub("", url)
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return AuthenticationError(f"the certificate of the API server {url} is not trusted: {error.certificate_error}")
    # (What a proxy answers is told with its address, and there may be a password in that.)
    return APIConnectionError(f"the API server {url} can't be reached: {_TLS.sub('', _USER.sub('', str(error)))}")
