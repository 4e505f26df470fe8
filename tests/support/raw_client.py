"""A client that sends exactly the bytes and segments that a test wants, from the address that it wants, and can end in any way.

TLS is done on memory buffers over a plain socket, so that a FIN, a reset, one-byte segments and a reader that stops are possible
under it.
"""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

_READ: Final = 64 * 1024
PAUSE_EVERY: Final = 32
"""Segments between pauses of a millisecond, in which the other side reads what came."""


class RawClient:
    """One connection. Use `async with await RawClient.connect(…)`."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls: ssl.SSLObject | None = None
        self._reader: asyncio.Task[None] | None = None
        self._resume = asyncio.Event()
        self._resume.set()
        self.received = bytearray()
        self.arrivals: list[tuple[float, int]] = []
        """Loop time, and bytes received until then."""
        self.news = asyncio.Event()
        """Set when bytes came or the connection ended."""
        self.ended: str | None = None
        """How the other side ended it: `fin` (after which nothing comes) or `reset`."""
        self.ended_at = 0.0
        """Loop time."""

    @classmethod
    async def connect(
        cls,
        address: tuple[str, int],
        *,
        source: str | None = None,
        tls: ssl.SSLContext | None = None,
        server_hostname: str | None = None,
        receive_buffer: int | None = None,
    ) -> Self:
        """Connected, TLS handshake included, and reading. Raises OSError."""
        sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_STREAM)
        client = cls(sock)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if receive_buffer is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            if source is not None:
                sock.bind((source, 0))
            await client._loop.sock_connect(sock, address)
            if tls is not None:
                await client._handshake(tls, server_hostname)
        except BaseException:
            sock.close()
            raise
        client._reader = asyncio.create_task(client._read())
        return client

    async def _handshake(self, context: ssl.SSLContext, server_hostname: str | None) -> None:
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_hostname)
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                data = await self._loop.sock_recv(self._sock, _READ)
                if not data:
                    raise ConnectionResetError("the connection ended in the handshake") from None
                self._incoming.write(data)
            else:
                await self._flush()
                return

    async def _flush(self) -> None:
        if data := self._outgoing.read():
            await self._loop.sock_sendall(self._sock, data)

    async def _read(self) -> None:
        try:
            while True:
                await self._resume.wait()
                data = await self._loop.sock_recv(self._sock, _READ)
                if not data:
                    self._end("fin")
                    return
                if self._take(data):
                    self._end("fin")
                    return
                self.arrivals.append((self._loop.time(), len(self.received)))
                self.news.set()
        except OSError:
            self._end("reset")

    def _take(self, data: bytes) -> bool:
        """Keep what came; true if the other side has sent EOF."""
        if self._tls is None:
            self.received += data
            return False
        self._incoming.write(data)
        try:
            while piece := self._tls.read(_READ):
                self.received += piece
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError:
            pass
        return True

    def _end(self, how: str) -> None:
        self.ended, self.ended_at = how, self._loop.time()
        self.news.set()

    async def send(self, data: bytes, segment: int = 0) -> None:
        """Send `data`; in segments of `segment` bytes if that is not 0. What can't be sent any more is dropped."""
        with contextlib.suppress(OSError, ssl.SSLError):
            if not segment:
                await self._send(data)
                return
            for number, start in enumerate(range(0, len(data), segment), 1):
                if self.ended:
                    return
                await self._send(data[start : start + segment])
                await asyncio.sleep(0 if number % PAUSE_EVERY else 0.001)

    async def _send(self, data: bytes) -> None:
        if self._tls is None:
            await self._loop.sock_sendall(self._sock, data)
            return
        self._tls.write(data)
        await self._flush()

    async def fin(self) -> None:
        """Say that nothing more will come; go on reading."""
        with contextlib.suppress(OSError, ssl.SSLError):
            if self._tls is not None:
                with contextlib.suppress(ssl.SSLWantReadError):
                    self._tls.unwrap()
                await self._flush()
            self._sock.shutdown(socket.SHUT_WR)

    async def reset(self) -> None:
        """End it with an RST."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await self.close()

    def stop_reading(self) -> None:
        """Leave what comes in the socket's buffer."""
        self._resume.clear()

    def go_on_reading(self) -> None:
        """Take it again."""
        self._resume.set()

    async def until(self, condition: Callable[["RawClient"], bool], seconds: float) -> bool:
        """Wait until `condition(client)` holds; false if it does not in time."""
        try:
            async with asyncio.timeout(seconds):
                while not condition(self):
                    self.news.clear()
                    await self.news.wait()
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Close it at once."""
        if self._reader is not None:
            self._reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reader
        self._sock.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
