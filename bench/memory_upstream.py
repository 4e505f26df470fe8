"""The API of the memory benchmark: `python -m bench.memory_upstream HOST PORT [CERT KEY]`.

`GET /v1/stream`: events, a first one at once and a heartbeat every 30 s, for ever. `POST /v1/upload`: how many bytes came, and whether
they were the expected ones. `GET /v1/octet-stream/N` and `GET /v1/plain/N`: N bytes of that kind. Ten thousand streams must cost it
little: no task, no parser for any of them.
"""

import asyncio
import json
import ssl
import sys
import time
from collections import deque
from typing import Final, cast

import httptools
import uvloop

from .memory_transfer import PATTERN, PERIOD, PIECE, Checked

HEARTBEAT_SECONDS: Final = 30.0
TICK: Final = 0.1
"""Seconds between two lots of heartbeats: they are spread evenly."""
FIRST: Final = b": open\n\n"
HEARTBEAT: Final = b": heartbeat\n\n"
BACKLOG: Final = 4096


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


_STREAM: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n" + _chunk(FIRST)
_BEAT: Final = _chunk(HEARTBEAT)


class Api(asyncio.Protocol):
    """One connection."""

    __slots__ = ("_full", "_left", "_sent", "_streams", "_upload", "transport")

    def __init__(self, streams: "deque[Api]") -> None:
        self.transport: asyncio.Transport | None = None
        self._streams = streams
        self._upload: Upload | None = None
        self._full = False
        self._left = self._sent = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None

    def data_received(self, data: bytes) -> None:
        if self.transport is None:
            return
        if self._upload is not None:
            self._upload.feed(data)
        elif data.startswith(b"GET /v1/stream "):
            self.transport.write(_STREAM)
            self._streams.append(self)
        elif data.startswith(b"GET "):
            _, _, kind, size = data.split(b" ", 2)[1].split(b"/")
            self._left, self._sent = int(size), 0
            kind = b"text/plain" if kind == b"plain" else b"application/octet-stream"
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %b\r\n\r\n" % (kind, size))
            self._pump()
        else:
            self._upload = Upload(self)
            self._upload.feed(data)
        if self._upload is not None and self._upload.whole:
            self._upload = None

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._pump()

    def _pump(self) -> None:
        while self._left and not self._full and self.transport is not None:
            start, step = self._sent % PERIOD, min(PIECE, self._left)
            self._left -= step
            self._sent += step
            self.transport.write(memoryview(PATTERN)[start : start + step])


class Upload:
    """One body on its way in."""

    def __init__(self, api: Api) -> None:
        self.whole = False
        self._api = api
        self._parser = httptools.HttpRequestParser(self)
        self._checked = Checked()

    def feed(self, data: bytes) -> None:
        """What was read."""
        self._parser.feed_data(data)

    def on_body(self, data: bytes) -> None:
        """httptools: a piece, without framing."""
        self._checked.add(data)

    def on_message_complete(self) -> None:
        """httptools: the body's end."""
        self.whole = True
        body = json.dumps({"bytes": self._checked.count, "right": self._checked.right}).encode()
        if self._api.transport is not None:
            self._api.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


async def beat(streams: deque[Api]) -> None:
    """Heartbeats, for ever: each stream has its turn once in HEARTBEAT_SECONDS."""
    due, last = 0.0, time.monotonic()
    while True:
        await asyncio.sleep(TICK)
        last, since = time.monotonic(), last
        due += len(streams) * (last - since) / HEARTBEAT_SECONDS
        for _ in range(min(int(due), len(streams))):
            due -= 1
            stream = streams.popleft()
            if stream.transport is not None:
                stream.transport.write(_BEAT)
                streams.append(stream)


async def serve(host: str, port: int, files: list[str]) -> None:
    """Until it is killed."""
    context = None
    if files:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*files)
    streams: deque[Api] = deque()
    server = await asyncio.get_running_loop().create_server(lambda: Api(streams), host, port, ssl=context, backlog=BACKLOG)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(beat(streams))
        tasks.create_task(server.serve_forever())


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], int(sys.argv[2]), sys.argv[3:]))
