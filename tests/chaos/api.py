"""An API over TLS that does what the path says, counts what reached it and can go wrong in every way.

Goes in: `ways`, by path. Comes out: `asked` (requests by path), `open` (connections) and their ends.
"""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from time import monotonic as now

BODY = b"x" * 1024
EVENT = b"data: " + b"e" * 100 + b"\n\n"


@dataclass
class Ask:
    """One request."""

    method: str
    path: str
    """Without the query."""
    body: bytes
    headers: dict[str, str]
    """Names in lower case."""
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        """Bytes of the answer."""
        self.writer.write(data)
        await self.writer.drain()

    async def sse(self) -> None:
        """The head of a stream."""
        await self.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")

    async def event(self) -> None:
        """One of its events."""
        await self.send(b"%x\r\n%b\r\n" % (len(EVENT), EVENT))

    async def end(self) -> None:
        """Its end."""
        await self.send(b"0\r\n\r\n")

    def reset(self) -> None:
        """End the connection with an RST."""
        reset(self.writer)


Way = Callable[[Ask], Awaitable[None]]


async def plain(ask: Ask) -> None:
    """1 KiB at once."""
    await ask.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1024\r\n\r\n" + BODY)


class Api:
    """The server."""

    def __init__(self) -> None:
        self.ways: dict[str, Way] = {}
        """By path; others get `plain`."""
        self.base = ""
        """What the gateway puts before each path, as it does for APIs whose paths are all below one: not part of any path here."""
        self.idle_seconds: float | Callable[[], float] | None = None
        """After which a connection at rest is closed; asked anew each time, if it can be."""
        self.asked: Counter[str] = Counter()
        self.first: Counter[str] = Counter()
        """Connections, by the path of their first request."""
        self.connections = 0
        self.open: set[asyncio.StreamWriter] = set()
        self.ended_at: list[float] = []
        """When connections ended (monotonic seconds)."""
        self.address = ("", 0)
        self._used: set[asyncio.StreamWriter] = set()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        self.open.add(writer)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, OSError, TimeoutError, asyncio.CancelledError):
                while True:
                    await self._serve(reader, writer)
        finally:
            self.open.discard(writer)
            self._used.discard(writer)
            self.ended_at.append(now())
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seconds = self.idle_seconds() if callable(self.idle_seconds) else self.idle_seconds
        async with asyncio.timeout(seconds):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        path = target.partition("?")[0].removeprefix(self.base)
        self.asked[path] += 1
        if writer not in self._used:
            self._used.add(writer)
            self.first[path] += 1
        ask = Ask(method, path, b"", headers, reader, writer)
        way = self.ways.get(path, plain)
        if not getattr(way, "early", False):
            ask.body = await self.read_body(reader, headers)
        await way(ask)

    @staticmethod
    async def read_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
        """All of it."""
        if "transfer-encoding" not in headers:
            return await reader.readexactly(int(headers.get("content-length", "0")))
        body = bytearray()
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readuntil(b"\r\n")
        return bytes(body)

    def drop(self) -> None:
        """Cut every connection."""
        for writer in list(self.open):
            writer.transport.abort()


def early(way: Way) -> Way:
    """A way that reads the body itself, or does not."""
    way.early = True  # type: ignore[attr-defined]
    return way


def until(pause: Callable[[], Awaitable[None]], events: int) -> Way:
    """A stream of so many events, with a pause after each; if the client leaves meanwhile, so does it."""

    async def stream(ask: Ask) -> None:
        await ask.sse()
        for _ in range(events):
            await ask.event()
            await pause()
            if ask.reader.at_eof():
                raise ConnectionResetError
        await ask.end()

    return stream


def reset(writer: asyncio.StreamWriter) -> None:
    """RST: what is closed with a linger time of 0 ends so."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@contextlib.asynccontextmanager
async def api(address: str, tls: ssl.SSLContext | None, port: int = 0) -> AsyncIterator[Api]:
    """A running one."""
    result = Api()
    server = await asyncio.start_server(result.accept, address, port, ssl=tls, backlog=4096)
    result.address = server.sockets[0].getsockname()[:2]
    try:
        yield result
    finally:
        server.close()
        result.drop()
