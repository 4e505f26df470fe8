"""Thousands of streams of events: `python -m bench.memory_streams HOST PORT CALLERS [CA]`, over TLS where CA is.

CALLERS is a file with a JSON list of addresses and tokens. Goes in: the orders "open" so many, "hold" them for so many seconds, "close"
them. Comes out: how fast they opened, how many heartbeats came, how many streams were lost.
"""

import asyncio
import json
import ssl
import sys
import time
from pathlib import Path
from typing import Final, cast

import uvloop

from .memory_child import BadRun, Order, obey, tell
from .memory_upstream import FIRST, HEARTBEAT

AT_ONCE: Final = 64
"""Streams that are being opened at a time."""
OPEN_SECONDS: Final = 30.0
TOLD_EVERY: Final = 1000


class Stream(asyncio.Protocol):
    """One of them."""

    __slots__ = ("_head", "_ready", "_start", "beats", "lost", "transport")

    def __init__(self, head: bytes, ready: "asyncio.Future[None]") -> None:
        self.transport: asyncio.Transport | None = None
        self.beats = 0
        self.lost = False
        self._head = head
        self._start: bytes | None = b""
        self._ready: asyncio.Future[None] | None = ready

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self._head)

    def data_received(self, data: bytes) -> None:
        if self._start is None:
            self.beats += data.count(HEARTBEAT)
            return
        self._start += data
        ready = self._ready
        if ready is None or ready.done():
            return
        if not self._start.startswith(b"HTTP/1.1 200 "[: len(self._start)]):
            ready.set_exception(BadRun(self._start[:300].decode("latin-1")))
        elif FIRST in self._start:
            self._start = self._ready = None
            ready.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True
        self.transport = None
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(BadRun(f"lost before its first event ({type(error).__name__})"))


class Streams:
    """All of them."""

    def __init__(self, host: str, port: int, callers: list[tuple[str, str]], ca: str | None) -> None:
        self._server = (host, port)
        self._callers = callers
        self._trust = ssl.create_default_context(cafile=ca) if ca is not None else None
        if self._trust is not None:
            self._trust.check_hostname = False  # it is called by its address here
        self._open: list[Stream] = []

    async def act(self, order: Order) -> Order:
        """See the head of the module."""
        if order["do"] == "open":
            return await self._open_all(order["count"])
        if order["do"] == "hold":
            return await self._hold(order["seconds"])
        for stream in self._open:
            if stream.transport is not None:
                stream.transport.close()
        self._open.clear()
        return {}

    async def _open_all(self, count: int) -> Order:
        started, numbers = time.monotonic(), iter(range(count))

        async def some() -> None:
            for number in numbers:
                await self._open_one(number)
                if (number + 1) % TOLD_EVERY == 0:
                    tell(progress=f"  {number + 1} of {count} streams, {time.monotonic() - started:.1f} s")

        await asyncio.gather(*(some() for _ in range(AT_ONCE)))
        return {"seconds": time.monotonic() - started}

    async def _open_one(self, number: int) -> None:
        loop = asyncio.get_running_loop()
        address, token = self._callers[number % len(self._callers)]
        head = f"GET /v1/stream HTTP/1.1\r\nHost: gateway.system.svc\r\nx-api-key: {token}\r\n\r\n".encode()
        ready: asyncio.Future[None] = loop.create_future()
        async with asyncio.timeout(OPEN_SECONDS):
            name = "gateway.system.svc" if self._trust else None
            _, stream = await loop.create_connection(
                lambda: Stream(head, ready), *self._server, ssl=self._trust, server_hostname=name, local_addr=(address, 0)
            )
            await ready
        self._open.append(stream)

    async def _hold(self, seconds: float) -> Order:
        for stream in self._open:
            stream.beats = 0
        await asyncio.sleep(seconds)
        beats = [stream.beats for stream in self._open]
        return {"beats": sum(beats), "least": min(beats), "lost": sum(stream.lost for stream in self._open)}


if __name__ == "__main__":
    _host, _port, _callers, *_ca = sys.argv[1:]
    _list = [(address, token) for address, token in json.loads(Path(_callers).read_text())]
    uvloop.run(obey(Streams(_host, int(_port), _list, _ca[0] if _ca else None).act))
