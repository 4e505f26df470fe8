"""A TLS server of aiohttp's that leaves nothing open when it ends.

asyncio's side of a TLS connection that was closed waits half a minute for the other's good-bye. An event loop that ends meanwhile leaves
the socket to the garbage collector, whose complaint falls upon a later test.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator

from aiohttp import web

END_SECONDS = 10.0


class _Known(asyncio.Protocol):
    """aiohttp's own protocol, and its transport for as long as there is one."""

    def __init__(self, inner: asyncio.Protocol, known: set[asyncio.Transport]) -> None:
        self._inner, self._known = inner, known
        self._transport: asyncio.Transport | None = None
        self.data_received = inner.data_received  # type: ignore[method-assign]
        self.eof_received = inner.eof_received  # type: ignore[method-assign]
        self.pause_writing = inner.pause_writing  # type: ignore[method-assign]
        self.resume_writing = inner.resume_writing  # type: ignore[method-assign]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._known.add(transport)
        self._inner.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        assert self._transport is not None
        self._known.discard(self._transport)
        self._inner.connection_lost(exc)


@contextlib.asynccontextmanager
async def tls_site(runner: web.AppRunner, address: str, tls: ssl.SSLContext) -> AsyncIterator[int]:
    """Its port, while it listens."""
    await runner.setup()
    assert runner.server is not None
    made, known = runner.server, set[asyncio.Transport]()
    server = await asyncio.get_running_loop().create_server(lambda: _Known(made(), known), address, 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await runner.cleanup()
        async with asyncio.timeout(END_SECONDS):
            while known:
                for transport in list(known):
                    transport.abort()
                await asyncio.sleep(0)
