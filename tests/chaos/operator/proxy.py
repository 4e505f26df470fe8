"""Between one operator and the API server: counts the calls, and does to them what a case asks for.

Goes in: the control plane. Comes out: a URL for the operator's kubeconfig (plain HTTP on loopback; the token goes on to the real API
server). A `Fault` decides about each call: pass it on, refuse it, lose it before or after it was done. Watches can be cut, made
silent, refused and ended with an ERROR event.
"""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from time import monotonic as now
from typing import Any, Final, Self

import aiohttp
import orjson
from aiohttp import web
from tests.support.control_plane import HOST, ControlPlane

from devbox_api import names
from devbox_common.sockets import Sockets

HOP: Final = {"host", "connection", "transfer-encoding", "content-length", "accept-encoding", "content-encoding", "keep-alive"}
WRITES: Final = {"POST", "PUT", "PATCH", "DELETE"}


@dataclass
class Call:
    """One request that is no watch."""

    number: int
    method: str
    path: str
    begun: float = field(default_factory=now)
    status: int = 0
    """Of the API server's answer."""

    @property
    def writes(self) -> bool:
        """It may change something. (Elections don't count: they are how the right to write is had.)"""
        return self.method in WRITES and "/leases" not in self.path

    @property
    def kind(self) -> str:
        """`PATCH devboxes/status`."""
        resource, *rest = self.path.partition("?")[0].partition("/namespaces/")[2].split("/")[1:] or [
            self.path.rpartition("/")[2]
        ]
        return f"{self.method} {'/'.join([resource, *rest[1:]])}"


@dataclass
class Fault:
    """What happens to a call. By default: nothing."""

    before: Callable[[Call], Any] = lambda _: None
    """Called when it arrived; True: it is lost, the API server never sees it."""
    after: Callable[[Call], Any] = lambda _: None
    """Called when the API server has answered; True: the answer is lost."""
    refuse: Callable[[Call], int] = lambda _: 0
    """A status in place of the API server's answer; 0: none."""
    refuse_watch: Callable[[str], int] = lambda _: 0
    """A status in place of the watch of a path; 0: none."""
    hold: Callable[[str], bool] = lambda _: False
    """Calls and watches of a path get no answer for as long as it says so."""
    delay: float = 0.0


class Proxy:
    """One operator's way to the API server."""

    def __init__(self, plane: ControlPlane, lease: str = names.LEASE) -> None:
        """`lease`: what the operator's Lease is called at the API server. Those that don't share one don't know of each other."""
        self._plane, self._lease = plane, lease
        self.fault = Fault()
        self.urls = [plane.url]
        """Of the API servers behind it, which take turns."""
        self.calls: list[Call] = []
        self.watch_status = 0
        """A status in place of a watch; 0: none."""
        self.silent = False
        """Connections stay; no byte comes or goes."""
        self.frozen_watches = False
        """The same, for watches alone."""
        self._turns = itertools.count()
        self._dead: set[asyncio.Queue[bytes | None]] = set()
        self._watches: set[asyncio.Queue[bytes | None]] = set()
        self._sockets = Sockets()
        self._stack = contextlib.AsyncExitStack()
        self.url = ""

    async def __aenter__(self) -> Self:
        self._stack.push_async_callback(self._sockets.hang_up)
        connector = aiohttp.TCPConnector(ssl=self._plane.trust(), limit=0, socket_factory=self._sockets.make)
        timeout = aiohttp.ClientTimeout(total=None)
        self._http = await self._stack.enter_async_context(
            aiohttp.ClientSession(connector=connector, timeout=timeout, skip_auto_headers=["Accept-Encoding"])
        )
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, HOST, 0)
        await site.start()
        assert site._server is not None
        self.url = f"http://{HOST}:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[attr-defined]
        return self

    def _url(self) -> str:
        """The next one's."""
        return self.urls[next(self._turns) % len(self.urls)]

    async def __aexit__(self, *_: object) -> None:
        self.cut_watches()
        await self._stack.aclose()

    @property
    def writes(self) -> list[Call]:
        """The calls that may change something."""
        return [call for call in self.calls if call.writes]

    def cut_watches(self, last: bytes | None = None) -> None:
        """End all watches, with a last line."""
        for watch in list(self._watches):
            if last is not None:
                watch.put_nowait(last)
            watch.put_nowait(None)

    def silence_watches(self) -> None:
        """Those that are open say nothing any more; those that are opened from now on do."""
        self._dead |= self._watches

    def fail_watches(self, code: int, reason: str) -> None:
        """End all watches with an ERROR event."""
        status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": reason}
        self.cut_watches(orjson.dumps({"type": "ERROR", "object": status}) + b"\n")

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.query.get("watch") in ("true", "1"):
            return await self._watch(request)
        call = Call(len(self.calls) + 1, request.method, request.path_qs)
        self.calls.append(call)
        await self._silence(request.path_qs)
        if self.fault.delay:
            await asyncio.sleep(self.fault.delay)
        if self.fault.before(call):
            return self._lost(request)
        if status := self.fault.refuse(call):
            return _refusal(status)
        path, body = self._renamed(request.path_qs, await request.read())
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP}
        try:
            async with self._http.request(request.method, self._url() + path, data=body or None, headers=headers) as answer:
                content, call.status = await answer.read(), answer.status
        except (aiohttp.ClientError, OSError):
            return self._lost(request)
        if self.fault.after(call):
            return self._lost(request)
        await self._silence()
        passed = {name: value for name, value in answer.headers.items() if name.lower() not in HOP}
        return web.Response(status=answer.status, body=content, headers=passed)

    def _renamed(self, path: str, body: bytes) -> tuple[str, bytes]:
        """With the Lease's name at the API server."""
        if self._lease == names.LEASE or "/leases" not in path:
            return path, body
        if body:
            item = orjson.loads(body)
            item["metadata"]["name"] = self._lease
            body = orjson.dumps(item)
        return path.replace(f"/leases/{names.LEASE}", f"/leases/{self._lease}"), body

    async def _silence(self, path: str = "") -> None:
        while self.silent or (path and self.fault.hold(path)):  # noqa: ASYNC110 (a test's poll)
            await asyncio.sleep(0.05)

    def _lost(self, request: web.Request) -> web.Response:
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=502)

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        await self._silence(request.path_qs)
        if status := self.watch_status or self.fault.refuse_watch(request.path_qs):
            return _refusal(status)
        lines: asyncio.Queue[bytes | None] = asyncio.Queue()
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP}
        try:
            async with self._http.get(self._url() + request.path_qs, headers=headers) as answer:
                if answer.status != 200:
                    return web.Response(status=answer.status, body=await answer.read(), content_type="application/json")
                response = web.StreamResponse(headers={"Content-Type": "application/json"})
                await response.prepare(request)
                self._watches.add(lines)
                reading = asyncio.create_task(_read(answer, lines))
                try:
                    while (data := await lines.get()) is not None:
                        while self.silent or self.frozen_watches or lines in self._dead:  # noqa: ASYNC110 (a test's poll)
                            await asyncio.sleep(0.05)
                        await response.write(data)
                finally:
                    self._watches.discard(lines)
                    reading.cancel()
                return response
        except (aiohttp.ClientError, OSError):
            return self._lost(request)


async def _read(answer: aiohttp.ClientResponse, lines: "asyncio.Queue[bytes | None]") -> None:
    with contextlib.suppress(aiohttp.ClientError, OSError):
        async for data in answer.content.iter_any():
            lines.put_nowait(data)
    lines.put_nowait(None)


def _refusal(status: int) -> web.Response:
    if status == 404:
        # What one says that does not serve the kind (yet): no `Status`.
        return web.Response(status=404, text="404 page not found\n", headers={"X-Content-Type-Options": "nosniff"})
    reason = {429: "TooManyRequests", 410: "Expired", 504: "Timeout"}.get(status, "InternalError")
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status, "reason": reason, "message": "chaos"}
    if status == 504:
        # What one of several says whose cache is behind what it is asked for (k8s.io/apiserver: NewTooLargeResourceVersionError).
        causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
        body |= {
            "message": "Timeout: Too large resource version: 9, current: 1",
            "details": {"causes": causes, "retryAfterSeconds": 1},
        }
    headers = {"Retry-After": "1"} if status in (429, 503) else {}
    return web.json_response(body, status=status, headers=headers)


@contextlib.asynccontextmanager
async def proxies(plane: ControlPlane, count: int) -> AsyncIterator[list[Proxy]]:
    """Several."""
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Proxy(plane)) for _ in range(count)]
