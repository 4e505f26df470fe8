"""The APIs behind the gateway, on one address over TLS: what reached them, and answers at the pace and with the errors that a test sets.

Goes in: an `Api` for each host. Comes out: `Apis.received`.
"""

import asyncio
import ssl
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import ClassVar, Final, TypeVar

from aiohttp import web

from devbox_common.redacted import Redacted

T = TypeVar("T")
CREDENTIAL_HEADERS: Final = ("authorization", "x-api-key", "api-key", "x-goog-api-key")


@dataclass
class Received:
    """One request, as it came."""

    host: str
    method: str
    path: str
    """Decoded, without the query."""
    target: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    """Lower-case names."""
    body: bytes = field(repr=False)
    frames: list[str] = field(repr=False, default_factory=list)
    """What came over a WebSocket."""
    compressed: bool = False
    """The WebSocket's permessage-deflate."""

    def values(self, name: str) -> list[str]:
        """All values of a header."""
        return [value for key, value in self.headers if key == name]

    def form(self) -> dict[str, bytes]:
        """The parts of multipart/form-data, by name."""
        boundary = self.values("content-type")[0].partition("boundary=")[2].strip('"').encode()
        parts = {}
        for part in self.body.split(b"--" + boundary)[1:-1]:
            head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
            name = head.decode().partition('name="')[2].partition('"')[0]
            parts[name] = content.removesuffix(b"\r\n")
        return parts

    @property
    def text(self) -> str:
        """All of it but the body."""
        return "\n".join((self.target, *(f"{name}: {value}" for name, value in self.headers)))


@dataclass
class Call:
    """A request whose credential is good."""

    request: web.Request
    received: Received
    apis: "Apis"

    @property
    def body(self) -> bytes:
        """All of it."""
        return self.received.body

    async def stream(self, frames: Iterable[bytes], *paced: bytes, end: Iterable[bytes]) -> web.StreamResponse:
        """Server-sent events: some at once, then those that a test paces."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"})
        await response.prepare(self.request)
        for frame in frames:
            await response.write(frame)
        async for piece in self.apis.paced(self.request, paced):
            await response.write(piece)
        for frame in end:
            await response.write(frame)
        await response.write_eof()
        return response


class Api(ABC):
    """What differs between them."""

    host: str
    header: ClassVar[str]
    """Where the credential counts, and nowhere else."""

    def __init__(self, credential: Redacted) -> None:
        self.credential = credential

    def expected(self) -> str:
        """The header's one value."""
        return self.credential.reveal()

    @abstractmethod
    def error(self, status: int) -> web.Response:
        """As that API words it."""

    @abstractmethod
    async def answer(self, call: Call) -> web.StreamResponse:
        """To a request with the credential."""

    def knows(self, request: web.Request) -> bool:
        """The credential is where it is to be, once, and there is no other."""
        held = {name: request.headers.getall(name) for name in CREDENTIAL_HEADERS if name in request.headers}
        return held == {self.header: [self.expected()]}


class Apis:
    """All of them, and what they do next."""

    def __init__(self, apis: Mapping[str, Api]) -> None:
        self.by_name = apis
        """By the name in the devbox."""
        self.apis = {api.host: api for api in apis.values()}
        self.received: list[Received] = []
        self.plan: deque[int] = deque()
        """Statuses of the next answers."""
        self.hold = False
        """A stream's next piece waits for `step`."""
        self.cut = False
        """A stream is cut behind its first piece."""
        self.sent = 0
        """Pieces of the stream so far."""
        self._steps = asyncio.Semaphore(0)

    def reset(self) -> None:
        """Nothing has happened, and nothing is planned."""
        self.received.clear()
        self.plan.clear()
        self.hold, self.cut, self.sent, self._steps = False, False, 0, asyncio.Semaphore(0)

    def step(self) -> None:
        """Let the stream's next piece go, or its end."""
        self._steps.release()

    async def paced(self, request: web.Request, pieces: Iterable[T]) -> AsyncIterator[T]:
        """Each of them when it may go; ends when the stream may end."""
        for piece in pieces:
            self.sent += 1
            yield piece
            if self.cut and request.transport is not None:
                request.transport.abort()
                await asyncio.Event().wait()  # until the server notices
            if self.hold:
                await self._steps.acquire()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """One request."""
        if (api := self.apis.get(request.host)) is None:
            return web.Response(status=421, text=f"no API answers to the host {request.host}\n")
        headers = tuple((name.decode().lower(), value.decode()) for name, value in request.raw_headers)
        received = Received(request.host, request.method, request.path, request.raw_path, headers, await request.read())
        self.received.append(received)
        if not api.knows(request):
            return api.error(401)
        if self.plan and (status := self.plan.popleft()) != 200:
            return api.error(status)
        return await api.answer(Call(request, received, self))


async def _reflect(request: web.Request, response: web.StreamResponse) -> None:
    """What a careless API might do: then it is the gateway that keeps the credential from the client."""
    for name in CREDENTIAL_HEADERS:
        if name in request.headers:
            response.headers[f"X-Debug-{name}"] = request.headers[name]


def reflecting(apis: Apis) -> web.Application:
    """All of them, as careless as `_reflect`."""
    app = web.Application(client_max_size=1 << 28)
    app.router.add_route("*", "/{path:.*}", apis.serve)
    app.on_response_prepare.append(_reflect)
    return app


@asynccontextmanager
async def serving(apis: Apis, address: str, tls: ssl.SSLContext) -> AsyncIterator[None]:
    """On port 443, as every API."""
    # A body is kept as it was sent: git compresses its own.
    runner = web.AppRunner(
        reflecting(apis), access_log=None, shutdown_timeout=0, handler_cancellation=True, auto_decompress=False
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, address, 443, ssl_context=tls).start()
        yield
    finally:
        await runner.cleanup()
