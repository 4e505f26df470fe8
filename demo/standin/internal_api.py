"""A company's own API with its own header: `X-Internal-Token: <secret>`.

`GET /v1/whoami`, `GET /v1/customers`, `POST /v1/tickets` (answers with what it got), `PUT /v1/blobs/<name>` (any bytes, any
length; answers with their number and SHA-256).
"""

import json
import secrets
from typing import Final

from aiohttp import web

from .keys import KeyRing
from .record import digest

HOST: Final = "api.internal.example"
HEADER: Final = "X-Internal-Token"
CUSTOMERS: Final = [{"id": 1, "name": "first customer"}, {"id": 2, "name": "second customer"}]


def authenticate(request: web.Request, keys: KeyRing) -> str | web.Response:
    """Whose key it is, or the 401."""
    presented = request.headers.getall(HEADER, [])
    if len(presented) == 1 and (owner := keys.owner("internal", presented[0])):
        return owner
    return web.json_response({"error": "unauthorized", "detail": f"a valid {HEADER} is needed"}, status=401)


async def handle(request: web.Request, owner: str, pace: float) -> web.StreamResponse:
    """One request with a good key."""
    match request.method, request.path:
        case "GET", "/v1/whoami":
            return web.json_response({"owner": owner})
        case "GET", "/v1/customers":
            return web.json_response({"customers": CUSTOMERS, "page": int(request.query.get("page", "1"))})
        case "POST", "/v1/tickets":
            try:
                ticket = json.loads(await request.read())
            except ValueError:
                return web.json_response({"error": "bad_request", "detail": "the body is not JSON"}, status=400)
            return web.json_response({"id": secrets.token_hex(4), "ticket": ticket}, status=201)
        case "PUT", path if path.startswith("/v1/blobs/"):
            body = await request.read()
            return web.json_response({"bytes": len(body), "sha256": digest(body)})
    return web.json_response({"error": "not_found", "detail": request.path}, status=404)
