"""A reverse proxy as aiohttp's own documentation would have it: `python -m bench.plain_proxy HOST PORT UPSTREAM [CERT KEY CA]`."""

import ssl
import sys

import aiohttp
import uvloop
from aiohttp import web

from .servers import NAME

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "host"}


def make(upstream: str, ca: str | None) -> web.Application:
    """The application."""
    session: aiohttp.ClientSession
    trust = ssl.create_default_context(cafile=ca) if ca else None

    async def start(_: web.Application) -> None:
        nonlocal session
        session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, ssl=trust or True), auto_decompress=False)

    async def handle(request: web.Request) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        headers["x-api-key"] = "sk-bench"
        body = request.content if request.can_read_body else None
        async with session.request(
            request.method, upstream + request.path_qs, headers=headers, data=body, server_hostname=NAME if trust else None
        ) as answer:
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP}
            response = web.StreamResponse(status=answer.status, headers=kept)
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    app.on_startup.append(start)
    return app


if __name__ == "__main__":
    uvloop.install()
    host, port, to, *files = sys.argv[1:]
    context = None
    if files:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files[0], files[1])
    root = files[2] if files else None
    web.run_app(make(to, root), host=host, port=int(port), ssl_context=context, print=None, access_log=None)
