"""`python -m standins`: all registries on port 8443 over TLS, told apart by the Host header, each with one package in it, and some APIs.

Goes in: `tls.crt` and `tls.key` in $TLS. pypiserver and verdaccio run as they are, on loopback, and the front hands requests on; cargo's
and Go's registries are files. The port opens once everything is made. Run in a pod of the image tools.
"""

import asyncio
import os
import ssl
import sys
from pathlib import Path
from typing import Final

import aiohttp
from aiohttp import web

from . import apis, packages
from .apis import Serve
from .git_host import backend
from .hosts import CRATES, GIT, GO, GREETING, HELD, INDEX, NPM, OWNER, PAGE, PYTHON

PORT: Final = 8443
PYTHON_PORT: Final = 8001
NPM_PORT: Final = 8002
WORK: Final = Path("/tmp/registries")
VERDACCIO: Final = """
storage: /tmp/registries/storage
log: {type: stdout, format: pretty, level: warn}
packages:
  '**': {access: $all, publish: $all}
uplinks: {}
"""
"""No uplink: what it does not have it does not fetch."""
_HOP: Final = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}


def files(root: Path) -> Serve:
    """The files below a folder."""

    async def serve(request: web.Request) -> web.StreamResponse:
        path = (root / request.path.lstrip("/")).resolve()
        if not path.is_relative_to(root) or not path.is_file():
            return web.Response(status=404, text="not found\n")
        return web.FileResponse(path)

    return serve


def handed_on(session: aiohttp.ClientSession, port: int) -> Serve:
    """What a server on loopback answers."""

    async def serve(request: web.Request) -> web.StreamResponse:
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in _HOP]
        headers += [("Host", request.host), ("X-Forwarded-Proto", "https")]
        url = f"http://127.0.0.1:{port}{request.raw_path}"
        async with session.request(
            request.method, url, headers=headers, data=await request.read(), allow_redirects=False
        ) as answer:
            kept = [(name, value) for name, value in answer.headers.items() if name.lower() not in _HOP]
            response = web.StreamResponse(status=answer.status)
            response.headers.extend(kept)
            await response.prepare(request)
            async for data in answer.content.iter_any():
                await response.write(data)
            await response.write_eof()
            return response

    return serve


async def start(*command: str | Path, port: int) -> asyncio.subprocess.Process:
    """A program that serves on loopback; it does when this returns."""
    process = await asyncio.create_subprocess_exec(*map(str, command), cwd=WORK)
    async with asyncio.timeout(60):
        while process.returncode is None:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.1)
            else:
                writer.close()
                return process
    sys.exit(f"{command[0]} ended")


async def publish(folder: Path) -> None:
    """Into verdaccio, by npm."""
    registry = f"127.0.0.1:{NPM_PORT}"
    packages.write(folder, {".npmrc": f"registry=http://{registry}/\n//{registry}/:_authToken=anybody\ncache=/tmp/npm\n"})
    process = await asyncio.create_subprocess_exec("npm", "publish", "--loglevel=error", cwd=folder)
    if await process.wait():
        sys.exit("npm publish failed")


async def main() -> None:
    """Make everything, then serve for good."""
    WORK.mkdir()
    packages.write(WORK, {"verdaccio.yaml": VERDACCIO})
    dist = packages.python(WORK / "python")
    pypiserver = (
        sys.executable,
        "-m",
        "pypiserver",
        "run",
        "-i",
        "127.0.0.1",
        "-p",
        f"{PYTHON_PORT}",
        "--disable-fallback",
        dist,
    )
    await start(*pypiserver, port=PYTHON_PORT)
    verdaccio = ("node", "/opt/registries/node_modules/verdaccio/bin/verdaccio", "--config", WORK / "verdaccio.yaml")
    await start(*verdaccio, "--listen", f"127.0.0.1:{NPM_PORT}", port=NPM_PORT)
    await publish(packages.node(WORK / "node"))
    repositories = packages.git(WORK / "git")
    (private := WORK / "private").mkdir()
    packages.git(WORK / "github").rename(private / OWNER)

    packages.git(WORK / "held").rename(repositories / HELD)

    async def git(request: web.Request) -> web.StreamResponse:
        if request.path.startswith(f"/{HELD}/") and request.path.endswith("/git-upload-pack"):
            await asyncio.Event().wait()
        return await backend(request, await request.read(), repositories)

    async def page(_: web.Request) -> web.StreamResponse:
        return web.Response(text=GREETING + "\n")

    session = aiohttp.ClientSession(auto_decompress=False)
    serve: dict[str, Serve] = {
        GIT: git,
        PYTHON: handed_on(session, PYTHON_PORT),
        NPM: handed_on(session, NPM_PORT),
        CRATES: files(packages.crates(WORK / "crates")),
        GO: files(packages.go(WORK / "go")),
        PAGE: page,
        INDEX: handed_on(session, PYTHON_PORT),
        **apis.serving(private),
    }

    async def dispatch(request: web.Request) -> web.StreamResponse:
        return await serve[request.host](request) if request.host in serve else web.Response(status=421)

    app = web.Application(client_max_size=1 << 26)
    app.router.add_route("*", "/{path:.*}", dispatch)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(Path(os.environ["TLS"]) / "tls.crt", Path(os.environ["TLS"]) / "tls.key")
    runner = web.AppRunner(app, access_log=None, auto_decompress=False)
    await runner.setup()
    await web.TCPSite(runner, "0.0.0.0", PORT, ssl_context=tls).start()  # noqa: S104
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
