"""A git host: `git http-backend` over bare repositories, whose output goes to the client as it is printed.

Goes in: a request of git's smart HTTP. Comes out: the backend's answer.
"""

import asyncio
import contextlib
import os
from pathlib import Path

from aiohttp import web


async def backend(request: web.Request, body: bytes, root: Path, user: str = "") -> web.StreamResponse:
    """The answer, sent. `root`: the folder of the repositories; `user`: who may push, already known."""
    environment = {
        "PATH": os.environ["PATH"],
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_HTTP_EXPORT_ALL": "1",
        "GIT_PROJECT_ROOT": str(root),
        "PATH_INFO": request.path,
        "QUERY_STRING": request.query_string,
        "REQUEST_METHOD": request.method,
        "REMOTE_USER": user,
        "CONTENT_TYPE": request.headers.get("Content-Type", ""),
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
        "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
    }
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec("git", "http-backend", stdin=pipe, stdout=pipe, env=environment)
    assert process.stdin is not None
    assert process.stdout is not None
    feeding = asyncio.create_task(_feed(process.stdin, body))
    response = await _head(process.stdout)
    await response.prepare(request)
    while data := await process.stdout.read(1 << 16):
        await response.write(data)
    await feeding
    await process.wait()
    await response.write_eof()
    return response


async def _feed(stdin: asyncio.StreamWriter, body: bytes) -> None:
    # A backend that has said everything may be gone before it was given everything. An error here would close the connection behind an
    # answer that is whole, and the next request on it would fail.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
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
