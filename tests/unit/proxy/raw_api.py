"""An API on loopback that sends exactly the bytes that a test wants."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class RawApi:
    """Runs `serve` on every connection, and closes the connection after it."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._open: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}
        self.connections = 0
        self.port = 0

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open[writer] = asyncio.current_task()
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await self._serve(reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        del self._open[writer]

    async def close(self) -> None:
        """Cut what is open: `serve` then reads an end."""
        tasks = [task for task in self._open.values() if task]
        for writer in self._open:
            writer.transport.abort()
        async with asyncio.timeout(5):
            await asyncio.gather(*tasks)


@contextlib.asynccontextmanager
async def raw_api(serve: Serve, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> AsyncIterator[RawApi]:
    """A running one; `port` is where."""
    result = RawApi(serve)
    server = await asyncio.start_server(result.accept, host, 0, ssl=tls)
    result.port = server.sockets[0].getsockname()[1]
    try:
        yield result
    finally:
        server.close()
        await result.close()


def answering(head: bytes, body: bytes = b"", heads: list[bytes] | None = None) -> Serve:
    """The same answer to every request; requests' heads are added to `heads`."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            received = await reader.readuntil(b"\r\n\r\n")
            if heads is not None:
                heads.append(received)
            writer.write(b"HTTP/1.1 " + head + b"\r\n\r\n" + body)
            await writer.drain()

    return serve
