"""The data port over real sockets, in front of an API that does what the test says: leaving, waiting, draining, expecting."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import aiohttp
import pytest

from devbox_api import names
from devbox_proxy.reviews.waiting import WAITERS_PER_PEER
from devbox_proxy.settings import Limits

from .conftest import Running, until
from .identities import jwt
from .raw_api import Serve, answering, raw_api

SECRET = "k-plain-credential-1"


@contextlib.asynccontextmanager
async def plain_api(gateway: Running, serve: Serve) -> AsyncIterator[str]:
    """A gateway to an API on loopback, in clear; gives the token."""
    async with raw_api(serve) as api:
        gateway.loopback_port(api.port)
        token = gateway.cluster.bind("PLAIN", "http://plain.example", SECRET, {"type": "Bearer"})
        await until(lambda: names.token_digest(token.removeprefix("gws_")) in gateway.state.known.tokens)
        yield token


@contextlib.asynccontextmanager
async def connected(gateway: Running) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def test_a_client_that_leaves_ends_its_request_to_the_api(gateway: Running) -> None:
    ended = asyncio.Event()

    async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        await writer.drain()
        assert await reader.read() == b""
        ended.set()

    async with plain_api(gateway, stream) as token:
        async with connected(gateway) as (reader, writer):
            writer.write(f"GET / HTTP/1.1\r\nHost: g\r\nx-api-key: {token}\r\n\r\n".encode())
            assert await reader.readuntil(b"data: 1\n\n")
        async with asyncio.timeout(2):
            await ended.wait()
        await until(lambda: any(line["audit"] == "end" for line in gateway.lines()))
        assert gateway.lines()[-1]["ended"] == "client_gone"


async def test_continue_is_said_after_the_checks_only(gateway: Running) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"expect" not in head.lower()
        body = await reader.readexactly(5)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + body)
        await writer.drain()

    head = "PUT / HTTP/1.1\r\nHost: g\r\nx-api-key: {}\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    async with plain_api(gateway, echo) as token:
        async with connected(gateway) as (reader, writer):
            writer.write(head.format(token).encode())
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b"hello")
            assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200 OK\r\n")
        async with connected(gateway) as (reader, writer):
            writer.write(head.format(f"gws_{jwt(99)}").encode())
            refusal = await reader.readuntil(b"\r\n\r\n")
            assert refusal.startswith(b"HTTP/1.1 401 ")
            assert b"Connection: close" in refusal


async def test_what_an_api_reflects_holds_no_credential(gateway: Running, http: aiohttp.ClientSession) -> None:
    body = f'{{"you sent": "Bearer {SECRET}"}}'.encode()
    head = f"200 OK\r\nContent-Type: application/json\r\nX-Echo: {SECRET}\r\nContent-Length: {len(body)}".encode()
    async with (
        plain_api(gateway, answering(head, body)) as token,
        http.get(gateway.url, headers={"x-api-key": token}) as response,
    ):
        assert response.headers["X-Echo"] == "*" * len(SECRET)
        assert await response.json() == {"you sent": "Bearer " + "*" * len(SECRET)}


async def test_response_headers_are_the_apis_own_but_for_those_of_the_connection(gateway: Running) -> None:
    head = (
        b"201 Made By Me\r\nContent-Length: 2\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nConnection: X-Hop\r\nX-Hop: 1\r\n"
        b"Keep-Alive: timeout=5\r\nAlt-Svc: h3\r\nLocation: http://plain.example/jobs/1?x=%2F\r\n"
        b'Link: <http://plain.example/p2>; rel="next", <https://other.example/>; rel="x"\r\nX-Name: caf\xc3\xa9'
    )
    async with plain_api(gateway, answering(head, b"ok")) as token, connected(gateway) as (reader, writer):
        writer.write(f"GET / HTTP/1.1\r\nHost: g\r\nx-api-key: {token}\r\n\r\n".encode())
        lines = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 201 Created"
    assert [line for line in lines[1:-2] if not line.startswith(b"X-Request-Id: ")] == [
        b"Set-Cookie: a=1",
        b"set-cookie: b=2",
        b"Location: https://gateway.system.svc/jobs/1?x=%2F",
        b'Link: <https://gateway.system.svc/p2>; rel="next", <https://other.example/>; rel="x"',
        "X-Name: café".encode(),
        b"Content-Length: 2",
        b"Connection: keep-alive",
        b"Keep-Alive: timeout=114",
    ]


@pytest.mark.parametrize(
    ("method", "head"),
    [("HEAD", b"200 OK\r\nContent-Length: 1000"), ("GET", b"204 No Content"), ("GET", b"304 Not Modified\r\nETag: x")],
)
async def test_answers_without_a_body_end_with_their_head(gateway: Running, method: str, head: bytes) -> None:
    async with plain_api(gateway, answering(head)) as token, connected(gateway) as (reader, writer):
        for _ in range(2):
            writer.write(f"{method} / HTTP/1.1\r\nHost: g\r\nx-api-key: {token}\r\n\r\n".encode())
            async with asyncio.timeout(5):
                answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 " + head[:3])
            assert (b"Content-Length: 1000" in answer) is (method == "HEAD")
            assert b"chunked" not in answer


async def test_requests_that_wait_for_the_unknown_are_bounded(gateway: Running, http: aiohttp.ClientSession) -> None:
    gateway.cluster.delete("secrets", "route-uid-1")
    await until(lambda: not gateway.state.known.routes)

    async def ask() -> tuple[int, str]:
        async with http.get(gateway.url, headers={"x-api-key": f"gws_{jwt(7)}"}) as response:
            return response.status, (await response.json())["error"]["code"]

    answers = await asyncio.gather(*(ask() for _ in range(WAITERS_PER_PEER + 20)))
    assert answers.count((503, "too_many_waiting")) == 20
    assert answers.count((401, "token_unknown")) == WAITERS_PER_PEER


async def test_many_first_requests_of_a_known_pod_all_pass(gateway: Running) -> None:
    async with (
        plain_api(gateway, answering(b"200 OK\r\nContent-Length: 2", b"ok")) as token,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
    ):

        async def ask() -> int:
            async with http.get(gateway.url, headers={"x-api-key": token}) as response:
                return response.status

        many = Limits().requests_per_devbox
        assert await asyncio.gather(*(ask() for _ in range(many))) == [200] * many
    assert len(gateway.cluster.reviews) == 1


async def test_an_upgrade_is_refused_and_nothing_behind_it_is_read(gateway: Running) -> None:
    seen: list[bytes] = []

    async def record(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))

    async with plain_api(gateway, record) as token, connected(gateway) as (reader, writer):
        key = f"x-api-key: {token}\r\n"
        writer.write(f"GET / HTTP/1.1\r\nHost: g\r\n{key}Connection: Upgrade\r\nUpgrade: foo\r\n\r\n".encode())
        writer.write(f"GET /behind HTTP/1.1\r\nHost: g\r\n{key}\r\n".encode())
        async with asyncio.timeout(5):
            answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert answer.count(b"HTTP/1.1 4") == 1
        assert b"Connection: close" in answer
        assert seen == []


@pytest.mark.parametrize("version", ["HTTP/2.0", "HTTP/0.9", "HTTP/1.2"])
async def test_an_unknown_version_is_refused_in_a_known_one(gateway: Running, version: str) -> None:
    async with connected(gateway) as (reader, writer):
        writer.write(f"GET / {version}\r\nHost: g\r\nx-api-key: {gateway.tokens['ANTHROPIC']}\r\n\r\n".encode())
        async with asyncio.timeout(5):
            answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 400 ") or answer.startswith(b"HTTP/1.0 400 ")
