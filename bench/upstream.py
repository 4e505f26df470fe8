"""An API that costs next to nothing: `python -m bench.upstream HOST PORT [CERT KEY]`. One 1 KiB JSON reply, or a stream of events.

Reads requests of the known shape alone (a head and, for POST, 700 bytes): it is there to be fast, not to be right.
"""

import asyncio
import ssl
import sys
import time
from typing import Final, cast

import uvloop

BODY: Final = 700
"""Bytes of a request's body."""
EVENTS: Final = 200
PAUSE: Final = 0.005
"""Seconds between two events."""
_REPLY: Final = b'{"id":"msg_1","type":"message","content":"' + b"x" * 980 + b'"}'
_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\nDate: Mon, 23 Nov 2026 20:00:00 GMT\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\nrequest-id: req_011CTabcdefgh\r\nanthropic-ratelimit-requests-limit: 1000\r\n"
    b"anthropic-ratelimit-requests-remaining: 999\r\nvia: 1.1 google\r\n\r\n" % len(_REPLY)
)
_STREAM: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


class Api(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._buffer = b""
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            post = self._buffer.startswith(b"POST")
            whole = end + 4 + (BODY if post else 0)
            if len(self._buffer) < whole:
                return
            self._buffer = self._buffer[whole:]
            if post:
                self._transport.write(_HEAD + _REPLY)
            else:
                task = asyncio.get_running_loop().create_task(self._stream())
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _stream(self) -> None:
        """Events that say when they were sent: nanoseconds of the clock that all processes of a machine share."""
        self._transport.write(_STREAM)
        for _ in range(EVENTS):
            event = b"data: %d\n\n" % time.monotonic_ns()
            self._transport.write(b"%x\r\n%b\r\n" % (len(event), event))
            await asyncio.sleep(PAUSE)
        self._transport.write(b"0\r\n\r\n")


async def serve(host: str, port: int, files: list[str]) -> None:
    """Until it is killed."""
    context = None
    if files:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*files)
    server = await asyncio.get_running_loop().create_server(Api, host, port, ssl=context)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], int(sys.argv[2]), sys.argv[3:]))
