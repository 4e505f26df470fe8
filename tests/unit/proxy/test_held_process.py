"""Answers that are searched for the credential are not held up by it: a real process, text that has no line's end in it."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from tests.support.gateway_process import HOST, Stage, stage
from tests.support.kube_api import Cluster

from .processes import own_address
from .raw_api import raw_api

SECRET = "sk-held-credential-1"
NAME = "api.example"
PAUSE = 0.25
"""Between two pieces: what waits for the next one comes this much later."""
LATEST = 0.2
"""Seconds: 0.04 are promised; the rest is for a machine that does something else meanwhile."""


@contextlib.asynccontextmanager
async def telling(pieces: list[bytes], sent_at: list[float]) -> AsyncIterator[tuple[Stage, str]]:
    """An API that says these, one after the other, each as a chunk; a gateway before it, and the token for it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in pieces:
            sent_at.append(time.monotonic())
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
            await asyncio.sleep(PAUSE)
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    cluster = Cluster()
    cluster.pod()
    token = cluster.bind("API", f"http://{NAME}", SECRET, {"type": "Bearer"})
    async with raw_api(serve, own_address()) as server:
        upstreams = {"addressOverrides": {NAME: f"{own_address()}:{server.port}"}}
        async with stage(cluster, hosts=(NAME,), upstreams=upstreams) as gateway:
            yield gateway, token


async def read(gateway: Stage, token: str) -> list[tuple[float, bytes]]:
    """When which chunks came."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, ssl=gateway.trust, server_hostname=HOST)
    writer.write(f"GET /x HTTP/1.1\r\nHost: {HOST}\r\nx-api-key: {token}\r\n\r\n".encode())
    came = []
    async with asyncio.timeout(20):
        await reader.readuntil(b"\r\n\r\n")
        while size := int(await reader.readuntil(b"\r\n"), 16):
            came.append((time.monotonic(), await reader.readexactly(size)))
            await reader.readexactly(2)
    writer.close()
    return came


async def test_what_has_no_line_end_arrives_at_once_whatever_follows() -> None:
    pieces = [b"Hello", b", world", b"data: 1\r\r", b"%", b"\\u00", b"sk-held-", b"end", b"x" * 3000, b"%41" * 9]
    sent_at: list[float] = []
    async with telling(pieces, sent_at) as (gateway, token):
        came = await read(gateway, token)
    body, late = b"", []
    for at, piece in zip(sent_at, pieces, strict=True):
        whole = len(body) + len(piece)
        body += piece
        total = 0
        for when, chunk in came:
            total += len(chunk)
            if total >= whole:
                late.append(when - at)
                break
    assert b"".join(chunk for _, chunk in came) == body
    assert max(late) < LATEST, [round(each, 3) for each in late]


async def test_the_credential_in_one_piece_is_hidden_and_the_rest_of_one_that_came_in_two() -> None:
    half = len(SECRET) // 2
    pieces = [b"a " + SECRET.encode() + b" b ", SECRET[:half].encode(), SECRET[half:].encode()]
    async with telling(pieces, []) as (gateway, token):
        came = b"".join(chunk for _, chunk in await read(gateway, token))
    # (Where this machine was so slow that both halves came at once, the first one is hidden, too.)
    first = {SECRET[:half].encode(), b"*" * half}
    assert came in {b"a " + b"*" * len(SECRET) + b" b " + one + b"*" * (len(SECRET) - half) for one in first}
