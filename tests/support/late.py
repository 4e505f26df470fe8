"""A wire that is slow in one direction: what comes back arrives so many seconds late, in its order.

Goes in: a port of loopback. Comes out: a `Wire` with another port that leads there. Between etcd and an API server it makes a cache that is
behind.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

READ_BYTES: Final = 1 << 16
HOST: Final = "127.0.0.1"


class Wire:
    """While it is open."""

    def __init__(self, to: int) -> None:
        self.port = 0
        self.seconds = 0.0
        """How late; it may be changed."""
        self._to = to
        self._links: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """It has a port."""
        server = await asyncio.start_server(self._accepted, HOST, 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            for task in self._links:
                task.cancel()
            await asyncio.gather(*self._links, return_exceptions=True)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # (A task of our own: asyncio's, cancelled, would be told as an error.)
        task = asyncio.create_task(self._link(reader, writer))
        self._links.add(task)
        task.add_done_callback(self._links.discard)

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError):
                back, there = await asyncio.open_connection(HOST, self._to)
                await asyncio.gather(_carry(reader, there), self._carry_late(back, writer))
        finally:
            writer.close()

    async def _carry_late(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        clock = asyncio.get_running_loop().time
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def write() -> None:
            while (item := await queue.get())[1]:
                await asyncio.sleep(item[0] - clock())
                writer.write(item[1])
                await writer.drain()
            writer.close()

        writing = asyncio.create_task(write())
        try:
            while data := await reader.read(READ_BYTES):
                queue.put_nowait((clock() + self.seconds, data))
            queue.put_nowait((0.0, b""))
            await writing
        finally:
            writing.cancel()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(READ_BYTES):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()
