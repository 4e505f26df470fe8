"""`python -m tests.sdks.in_pod`: the same APIs in a pod, told what to do and asked what they received on the pod's loopback.

Goes in: `tls.crt` and `tls.key` in $TLS, credentials by `PUT /credentials`. Comes out: `GET /received`, of which `of_document` makes
`Received` again. Run by tests/support/sdk_upstream.py.
"""

import asyncio
import base64
import os
import secrets
import signal
import ssl
from collections import deque
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from devbox_common.redacted import Redacted

from .anthropic_api import Anthropic
from .api import Api, Apis, Received, reflecting
from .git_api import GitHub
from .google_api import Google
from .openai_api import OpenAI

PORT: Final = 8444
"""In the endpoints, too: at 443 the same names lead to the demo's stand-in."""
ADMIN: Final = 8081
REPOSITORIES: Final = Path("/tmp/repositories")


def made(credentials: dict[str, Redacted]) -> dict[str, Api]:
    """By the name in the devbox; each is asked for by its host with the port."""
    apis: dict[str, Api] = {
        "ANTHROPIC": Anthropic(credentials["ANTHROPIC"]),
        "OPENAI": OpenAI(credentials["OPENAI"]),
        "GEMINI": Google(credentials["GEMINI"]),
        "GITHUB": GitHub(credentials["GITHUB"], REPOSITORIES),
    }
    for api in apis.values():
        api.host = f"{api.host}:{PORT}"
    return apis


def document(received: Received) -> dict[str, Any]:
    """As JSON holds it."""
    return {**asdict(received), "body": base64.b64encode(received.body).decode()}


def of_document(one: dict[str, Any]) -> Received:
    """The other way."""
    headers = tuple((name, value) for name, value in one["headers"])
    return Received(**{**one, "headers": headers, "body": base64.b64decode(one["body"])})


def admin(apis: Apis) -> web.Application:
    """The admin port. It shows credentials, so it is bound to loopback."""

    async def credentials(request: web.Request) -> web.Response:
        told = {name: Redacted(value) for name, value in (await request.json()).items()}
        for name, api in apis.by_name.items():
            api.credential = told[name]
        return web.json_response({})

    async def then(request: web.Request) -> web.Response:
        wanted = await request.json()
        apis.reset()
        apis.plan, apis.hold, apis.cut = deque(wanted["plan"]), wanted["hold"], wanted["cut"]
        return web.json_response({})

    async def step(_: web.Request) -> web.Response:
        sent = apis.sent
        apis.step()
        return web.json_response({"sent": sent})

    async def received(_: web.Request) -> web.Response:
        return web.json_response([document(one) for one in apis.received])

    app = web.Application()
    app.add_routes(
        [
            web.put("/credentials", credentials),
            web.put("/then", then),
            web.post("/step", step),
            web.get("/received", received),
        ]
    )
    return app


async def main() -> None:
    """Serve until SIGTERM."""
    REPOSITORIES.mkdir(exist_ok=True)
    nobodys = {name: Redacted(secrets.token_hex(32)) for name in ("ANTHROPIC", "OPENAI", "GEMINI", "GITHUB")}
    apis = Apis(made(nobodys))
    folder = Path(os.environ["TLS"])
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    for app, host, port, context in ((reflecting(apis), "0.0.0.0", PORT, tls), (admin(apis), "127.0.0.1", ADMIN, None)):  # noqa: S104
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0, handler_cancellation=True, auto_decompress=False)
        await runner.setup()
        await web.TCPSite(runner, host, port, ssl_context=context).start()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()


if __name__ == "__main__":
    asyncio.run(main())
