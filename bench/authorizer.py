"""What people write beside nginx or Envoy today: `python -m bench.authorizer HOST PORT TOKEN` says 200 to the token, else 401."""

import asyncio
import sys
from typing import Final, cast

import uvloop

_YES: Final = b"HTTP/1.1 200 OK\r\nx-credential: sk-bench\r\nContent-Length: 0\r\n\r\n"
_NO: Final = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"


class Authorizer(asyncio.Protocol):
    """One connection; a look at one header is all that it does."""

    def __init__(self, token: bytes) -> None:
        self._token = token
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head, self._buffer = self._buffer[:end], self._buffer[end + 4 :]
            self._transport.write(_YES if self._token in head else _NO)


async def serve(host: str, port: int, token: str) -> None:
    """Until it is killed."""
    server = await asyncio.get_running_loop().create_server(lambda: Authorizer(token.encode()), host, port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
