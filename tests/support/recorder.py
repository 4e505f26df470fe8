"""An API that records what reaches it, byte by byte, and answers exactly as a test says.

Goes in: connections. Comes out: `Recorded` requests (also those that were cut off), in the order of their heads, each with every
way in which it was not one plain HTTP/1.1 message.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import h11

from .http_reading import HEAD_END, ChunkReader, Head, h11_requests, request_head

MAX_HEAD = 256 * 1024
KEPT = 1 << 20
"""Bytes of a body that are kept."""


@dataclass
class Recorded:
    """One request as it came."""

    connection: int
    """Counted from 1, over the life of the recorder."""
    raw_head: bytes
    head: Head | None = None
    body: bytearray = field(default_factory=bytearray)
    """The first MiB."""
    body_bytes: int = 0
    chunks: ChunkReader | None = None
    complete: bool = False
    wire: bytearray = field(default_factory=bytearray)
    """All of it, while it is below 1 MiB."""
    problems: list[str] = field(default_factory=list)
    """Why it is not one strict request."""
    at: float = 0.0
    """Loop time of its head."""
    ended_at: float = 0.0
    """Loop time at which its connection was closed by the other side; 0: it was not."""

    @property
    def method(self) -> bytes:
        """Empty if there is none."""
        return self.head.first[0] if self.head else b""

    @property
    def target(self) -> bytes:
        """As sent; empty if there is none."""
        return self.head.first[1] if self.head else b""

    def values(self, name: str) -> list[bytes]:
        """All values of a header."""
        return self.head.values(name) if self.head else []


@dataclass
class Peer:
    """One connection, for an answer to write on."""

    number: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    closing: bool = False
    """To be closed after the answer."""

    async def write(self, data: bytes) -> None:
        """Send and wait for room."""
        self.writer.write(data)
        await self.writer.drain()


Answer = Callable[[Recorded, Peer], Awaitable[None]]
"""Called when a request's head is there for `early` ones, else when it is whole."""


async def answer_ok(request: Recorded, peer: Peer) -> None:
    """200, with the target in a header, so that a mix-up shows."""
    body = b"" if request.method == b"HEAD" else b"ok"
    await peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Target: " + request.target + b"\r\n\r\n" + body)


class Recorder:
    """The API. `answer` and `early` may be changed at any time; `requests` may be cleared."""

    def __init__(self) -> None:
        self.requests: list[Recorded] = []
        self.keep = True
        """False: only answer."""
        self.connections = 0
        self.early = False
        """Answer before the body is read."""
        self.answer: Answer = answer_ok
        self.clock = asyncio.get_running_loop().time
        self._open: dict[int, asyncio.Task[None]] = {}

    @property
    def open_connections(self) -> set[int]:
        """Numbers of the connections that neither side has closed."""
        return set(self._open)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its first to its last byte."""
        self.connections += 1
        peer = Peer(self.connections, reader, writer)
        task = asyncio.current_task()
        assert task is not None
        self._open[peer.number] = task
        try:
            with contextlib.suppress(ConnectionError, ssl.SSLError, asyncio.CancelledError):
                while not peer.closing and await self._request(peer):
                    pass
        finally:
            del self._open[peer.number]
            writer.close()

    async def _request(self, peer: Peer) -> bool:
        try:
            raw = await peer.reader.readuntil(HEAD_END)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            if rest := bytes(getattr(error, "partial", b"?")):
                self.requests.append(
                    Recorded(peer.number, rest, problems=["bytes that are no request's head"], at=self.clock())
                )
            return False
        request = Recorded(peer.number, raw, at=self.clock())
        request.wire += raw
        if self.keep:
            self.requests.append(request)
        try:
            request.head = request_head(raw)
            length = request.head.length()
        except ValueError as error:
            request.problems.append(str(error))
            return False
        if self.early:
            await self.answer(request, peer)
        try:
            await self._body(request, peer, length)
        except asyncio.IncompleteReadError:
            request.ended_at = self.clock()
            return False
        except ValueError as error:
            request.problems.append(str(error))
            return False
        request.complete = True
        self._second_opinion(request)
        if not self.early:
            await self.answer(request, peer)
        return True

    async def _body(self, request: Recorded, peer: Peer, length: int | None) -> None:
        reader = request.chunks = ChunkReader(keep=KEPT) if length is None else None
        while (not reader.done) if reader else request.body_bytes < (length or 0):
            wanted = 1 << 16 if length is None else min(1 << 16, length - request.body_bytes)
            data = await peer.reader.read(wanted)
            if not data:
                raise asyncio.IncompleteReadError(b"", None)
            request.wire += data[: max(0, KEPT - len(request.wire))]
            if reader is None:
                request.body_bytes += len(data)
                request.body += data[: max(0, KEPT - len(request.body))]
                continue
            rest = reader.feed(data)
            request.body_bytes, request.body = reader.size, reader.body
            if rest:
                raise ValueError("bytes behind the request's end, before it was answered")

    def _second_opinion(self, request: Recorded) -> None:
        if len(request.wire) >= KEPT:
            return
        try:
            read = h11_requests(bytes(request.wire))
        except h11.RemoteProtocolError as error:
            request.problems.append(f"h11: {error}")
            return
        if len(read) != 1 or read[0][1] != bytes(request.body):
            request.problems.append("h11 reads it otherwise")

    async def drop(self) -> None:
        """Cut every connection."""
        tasks = list(self._open.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def recorder(address: str, tls: ssl.SSLContext | None, port: int = 443) -> AsyncIterator[Recorder]:
    """A running one. Its port is shared with a listener on every address, if there is one."""
    result = Recorder()
    server = await asyncio.start_server(result.accept, address, port, ssl=tls, limit=MAX_HEAD, reuse_port=True)
    try:
        yield result
    finally:
        server.close()
        await result.drop()
