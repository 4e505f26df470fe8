"""The data port: one HTTPS application for four hosts.

Goes in: requests. Comes out: that host's answers, and one `Seen` per request in the record. Tests run it on loopback.
"""

import time
from types import ModuleType
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from . import anthropic_api, google_api, internal_api, openai_api
from .keys import KeyRing
from .record import Record, Seen, digest, header_pairs

APIS: Final[dict[str, tuple[str, ModuleType]]] = {
    anthropic_api.HOST: ("anthropic", anthropic_api),
    openai_api.HOST: ("openai", openai_api),
    google_api.HOST: ("google", google_api),
    internal_api.HOST: ("internal", internal_api),
}
BODY_LIMIT: Final = 256 * 2**20
"""Bytes: bodies are held in memory."""
OWNER: Final = web.RequestKey("owner", str)


def application(keys: KeyRing, record: Record, *, pace: float) -> web.Application:
    """The four APIs. `pace`: seconds between two events of a stream."""

    @web.middleware
    async def recorded(request: web.Request, handler: Handler) -> web.StreamResponse:
        arrived, number = time.time(), record.next_number()
        body = await request.read()
        status = 500
        try:
            response = await handler(request)
            status = response.status
        finally:
            record.add(
                Seen(
                    number=number,
                    time=arrived,
                    host=request.host,
                    peer=request.remote or "",
                    method=request.method,
                    path=request.raw_path,
                    headers=header_pairs(request.raw_headers),
                    body_bytes=len(body),
                    body_sha256=digest(body),
                    status=status,
                    owner=request.get(OWNER),
                )
            )
        return response

    async def serve(request: web.Request) -> web.StreamResponse:
        host = request.host.partition(":")[0].lower()
        if host not in APIS:
            return web.json_response({"error": f"no API answers to the host {host}"}, status=421)
        _, api = APIS[host]
        owner = api.authenticate(request, keys)
        if isinstance(owner, web.Response):
            return owner
        request[OWNER] = owner
        response: web.StreamResponse = await api.handle(request, owner, pace)
        return response

    app = web.Application(middlewares=[recorded], client_max_size=BODY_LIMIT)
    app.router.add_route("*", "/{path:.*}", serve)
    return app


def admin(keys: KeyRing, record: Record) -> web.Application:
    """The admin port: `GET /seen?after=<number>`, `PUT|POST|DELETE /keys` (the document of `keys.KeyRing`: in place of
    what is there, in addition, away with these), `GET /healthz`.

    It shows credentials, so whoever starts it binds it to loopback.
    """

    async def seen(request: web.Request) -> web.Response:
        return web.json_response(record.since(int(request.query.get("after", "0"))))

    async def change(request: web.Request) -> web.Response:
        how = {"PUT": keys.replace, "POST": keys.add, "DELETE": keys.remove}[request.method]
        try:
            how(await request.json())
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response({})

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    app = web.Application()
    app.add_routes(
        [
            web.get("/seen", seen),
            *(web.route(method, "/keys", change) for method in ("PUT", "POST", "DELETE")),
            web.get("/healthz", healthz),
        ]
    )
    return app
