"""github.com, as far as git sees it: `git http-backend` over bare repositories, behind Basic authentication. Called by world.py.

What the backend prints goes to the client as it is printed, so that a hook's words arrive while the hook is at work.
"""

import asyncio
import base64
import os
from pathlib import Path
from typing import ClassVar, Final

from aiohttp import web

from devbox_common.redacted import Redacted

from .api import Api, Call

USERNAME: Final = "x-access-token"
MESSAGES: Final = {
    401: "Authentication required",
    404: "Repository not found.",
    429: "Too many requests",
    500: "Internal error",
}


class GitHub(Api):
    """Repositories under `root`, as /<name>.git."""

    host = "github.com"
    header: ClassVar = "authorization"

    def __init__(self, credential: Redacted, root: Path) -> None:
        super().__init__(credential)
        self.root = root

    def expected(self) -> str:
        return "Basic " + base64.b64encode(f"{USERNAME}:{self.credential.reveal()}".encode()).decode()

    def error(self, status: int) -> web.Response:
        headers = {"WWW-Authenticate": 'Basic realm="GitHub"'} if status == 401 else {}
        return web.Response(text=MESSAGES[status] + "\n", status=status, headers=headers)

    async def answer(self, call: Call) -> web.StreamResponse:
        request = call.request
        if not (self.root / request.path.strip("/").partition("/")[0]).is_dir():
            return self.error(404)
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROJECT_ROOT": str(self.root),
            "PATH_INFO": request.path,
            "QUERY_STRING": request.query_string,
            "REQUEST_METHOD": request.method,
            "REMOTE_USER": USERNAME,
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(call.body)),
            "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
        }
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec("git", "http-backend", stdin=pipe, stdout=pipe, env=environment)
        assert process.stdin is not None
        assert process.stdout is not None
        feeding = asyncio.create_task(_feed(process.stdin, call.body))
        response = await _head(process.stdout)
        await response.prepare(request)
        while data := await process.stdout.read(1 << 16):
            await response.write(data)
        await response.write_eof()
        await feeding
        await process.wait()
        return response


async def _feed(stdin: asyncio.StreamWriter, body: bytes) -> None:
    stdin.write(body)
    await stdin.drain()
    stdin.close()


async def _head(stdout: asyncio.StreamReader) -> web.StreamResponse:
    """As CGI has it."""
    response = web.StreamResponse()
    while line := (await stdout.readline()).decode().strip():
        name, _, value = line.partition(":")
        if name == "Status":
            response.set_status(int(value.split()[0]))
        else:
            response.headers[name] = value.strip()
    return response
