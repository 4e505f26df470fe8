"""A git host over TLS: `git http-backend`, an LFS server, and answers that a test plans.

Goes in: a folder of bare repositories, certificates. Comes out: a `GitServer` with its address and what it was asked. For tests of clones;
what it serves may be as hostile as they like.
"""

import base64
import contextlib
import hashlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from .standins.git_host import backend

LFS_JSON = "application/vnd.git-lfs+json"
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class GitServer:
    """What a test sees of it."""

    root: Path
    url: str = ""
    """https://localhost:port, without a slash at its end. (A test may give it another name.)"""
    password: str = ""
    """What is asked for, by Basic, with any user; empty: nothing."""
    asked: list[str] = field(default_factory=list)
    """Paths with their queries, in their order."""
    planned: dict[str, Answer] = field(default_factory=dict)
    """By the beginning of the path: in place of what would be answered."""
    objects: dict[str, bytes] = field(default_factory=dict)
    """Large files, by their SHA-256."""

    def large(self, content: bytes) -> str:
        """Keep a large file; returns the text of its pointer."""
        oid = hashlib.sha256(content).hexdigest()
        self.objects[oid] = content
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(content)}\n"

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """One request."""
        self.asked.append(request.path_qs)
        body = await request.read()
        for beginning, answer in self.planned.items():
            if request.path.startswith(beginning):
                return await answer(request)
        if self.password and not self._knows(request):
            headers = {"WWW-Authenticate": 'Basic realm="git"'}
            return web.Response(status=401, text="Authentication required\n", headers=headers)
        if request.path.endswith("/info/lfs/objects/batch"):
            return self._batch(await request.json())
        if "/lfs-objects/" in request.path:
            content = self.objects.get(request.path.rpartition("/")[2])
            return web.Response(status=404) if content is None else web.Response(body=content)
        if not any((self.root / request.path.lstrip("/")).is_relative_to(one) for one in self.root.rglob("*.git")):
            return web.Response(status=404, text="Repository not found.\n")
        return await backend(request, body, self.root)

    def _knows(self, request: web.Request) -> bool:
        kind, _, value = request.headers.get("Authorization", "").partition(" ")
        return kind == "Basic" and base64.b64decode(value).decode().partition(":")[2] == self.password

    def _batch(self, asked: dict[str, Any]) -> web.Response:
        objects = [
            {"oid": one["oid"], "size": one["size"], "actions": {"download": {"href": f"{self.url}/lfs-objects/{one['oid']}"}}}
            if one["oid"] in self.objects
            else {"oid": one["oid"], "size": one["size"], "error": {"code": 404, "message": "no such object"}}
            for one in asked["objects"]
        ]
        return web.json_response({"transfer": "basic", "objects": objects}, content_type=LFS_JSON)


@contextlib.asynccontextmanager
async def git_server(root: Path, tls: ssl.SSLContext, address: str = "127.0.0.1", port: int = 0) -> AsyncIterator[GitServer]:
    """A running one, on a free port unless one is given."""
    server = GitServer(root)
    app = web.Application(client_max_size=1 << 28)
    app.router.add_route("*", "/{path:.*}", server.serve)
    # A body is kept as it was sent: git compresses its own.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0, handler_cancellation=True, auto_decompress=False)
    await runner.setup()
    try:
        site = web.TCPSite(runner, address, port, ssl_context=tls)
        await site.start()
        server.url = f"https://localhost:{runner.addresses[0][1]}"
        yield server
    finally:
        await runner.cleanup()
