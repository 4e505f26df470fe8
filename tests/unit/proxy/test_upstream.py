"""Connections to APIs over real sockets: what is never dialled, how long it may take, and what is no answer."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from devbox_common.redacted import Redacted
from devbox_proxy.credentials import UpstreamRequest, parse_endpoint
from devbox_proxy.destinations import Policy, Resolver
from devbox_proxy.redact import Redactor
from devbox_proxy.refusals import Refusal
from devbox_proxy.settings import Timeouts
from devbox_proxy.upstream import UpstreamCut, UpstreamError, Upstreams, tls_context

from .raw_api import answering, raw_api

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Anywhere:
    """In place of the dial check, for APIs on loopback."""

    async def resolve(self, host: str, port: int) -> list[tuple[str, int]]:
        return [("127.0.0.1", port)]


@contextlib.asynccontextmanager
async def upstreams(resolver: object | None = None, **timeouts: float) -> AsyncIterator[Upstreams]:
    result = Upstreams(resolver or Anywhere(), Timeouts(**timeouts), tls_context(""))  # type: ignore[arg-type]
    try:
        yield result
    finally:
        await result.close()


def request(url: str, method: str = "GET", **headers: bytes) -> UpstreamRequest:
    endpoint = parse_endpoint(url)
    lines = ((b"Host", endpoint.host.encode()), *((name.encode(), value) for name, value in headers.items()))
    return UpstreamRequest(endpoint, method, b"/v1", lines, Redactor(Redacted("")), False)


async def answer(pools: Upstreams, sent: UpstreamRequest, body: AsyncIterator[bytes] | None = None) -> bytes:
    async with pools.send(("pool",), sent, body, None) as response:
        return await response.read()


replying = answering(b"200 OK\r\nContent-Length: 2", b"ok")


@pytest.mark.parametrize(
    ("host", "policy"),
    [
        ("127.0.0.1", Policy(allowed_cidrs=("0.0.0.0/0",), allowed_hosts=("127.0.0.1",))),
        ("127.0.0.1", Policy()),
        ("[::ffff:127.0.0.1]", Policy(allowed_cidrs=("::/0",))),
        ("localhost", Policy(allowed_hosts=("localhost",))),
        ("2130706433", Policy()),
        ("127.1", Policy()),
        ("0", Policy()),
        ("0x7f000001", Policy()),
        ("0177.0.0.1", Policy()),
    ],
)
async def test_an_endpoint_that_is_an_address_is_checked_like_a_name(host: str, policy: Policy) -> None:
    async with raw_api(replying) as server, upstreams(Resolver(policy, frozenset)) as pools:
        with pytest.raises(UpstreamError) as caught:
            await answer(pools, request(f"http://{host}:{server.port}"))
        assert caught.value.refusal is Refusal.ENDPOINT_REFUSED
        assert server.connections == 0


async def test_nothing_is_dialled_that_was_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    async with raw_api(replying) as server, upstreams() as pools:
        # As if aiohttp knew another way around the resolver.
        monkeypatch.setattr("devbox_proxy.upstream.is_ip_address", lambda _: False)
        with pytest.raises(UpstreamError) as caught:
            await answer(pools, request(f"http://127.0.0.1:{server.port}"))
        assert caught.value.refusal is Refusal.ENDPOINT_REFUSED
        assert server.connections == 0


async def test_connections_are_kept_and_never_shared_between_keys() -> None:
    async def twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await writer.drain()

    async with raw_api(twice) as server, upstreams() as pools:
        sent = request(f"http://api.example:{server.port}")
        assert await answer(pools, sent) == await answer(pools, sent) == b"ok"
        assert server.connections == 1
        async with pools.send(("another",), sent, None, None) as response:
            assert await response.read() == b"ok"
        assert server.connections == 2


@pytest.mark.parametrize(
    ("reply", "refusal"),
    [
        (b"", Refusal.UPSTREAM_CLOSED),
        (b"nonsense\r\n\r\n", Refusal.UPSTREAM_INVALID),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", Refusal.UPSTREAM_INVALID),
        (b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok", Refusal.UPSTREAM_INVALID),
        (b"HTTP/1.1 099 x\r\nContent-Length: 2\r\n\r\nok", Refusal.UPSTREAM_INVALID),
        (b"HTTP/1.1 200 OK\r\nX: a\x1b[31m\r\nContent-Length: 2\r\n\r\nok", Refusal.UPSTREAM_INVALID),
        (b"HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b\r\nContent-Length: 2\r\n\r\nok", Refusal.UPSTREAM_INVALID),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", Refusal.UPSTREAM_INVALID),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: x\r\n\r\nok", Refusal.UPSTREAM_INVALID),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Refusal.UPSTREAM_INVALID),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", Refusal.UPSTREAM_INVALID),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", Refusal.UPSTREAM_INVALID),
    ],
)
async def test_what_is_no_answer(reply: bytes, refusal: Refusal) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)
        await writer.drain()

    async with raw_api(serve) as server, upstreams() as pools:
        with pytest.raises(UpstreamError) as caught:
            await answer(pools, request(f"http://api.example:{server.port}"))
        assert caught.value.refusal is refusal


async def test_nothing_is_sent_twice() -> None:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await reader.readuntil(b"\r\n\r\n")  # the second request on this connection reached us, and gets no answer

    async with raw_api(once) as server, upstreams() as pools:
        sent = request(f"http://api.example:{server.port}", "PUT")
        assert await answer(pools, sent) == b"ok"
        with pytest.raises(UpstreamError) as caught:
            await answer(pools, sent)
        assert caught.value.refusal is Refusal.UPSTREAM_CLOSED
        assert server.connections == 1


async def test_the_wait_for_an_answer_may_be_longer_than_any_later_pause() -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.3)
        writer.write(OK)
        await writer.drain()

    async with raw_api(slow) as server, upstreams(first_byte_seconds=5, idle_seconds=0.1) as pools:
        assert await answer(pools, request(f"http://api.example:{server.port}")) == b"ok"
    async with raw_api(slow) as server, upstreams(first_byte_seconds=0.1, idle_seconds=5) as pools:
        with pytest.raises(UpstreamError) as caught:
            await answer(pools, request(f"http://api.example:{server.port}"))
        assert caught.value.refusal is Refusal.UPSTREAM_TIMEOUT


async def test_an_upload_may_take_longer_than_the_wait_for_an_answer() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(6):
            await asyncio.sleep(0.1)
            yield b"x" * 10

    async def reading(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reader.readuntil(b"0\r\n\r\n")
        writer.write(OK)
        await writer.drain()

    async with raw_api(reading) as server, upstreams(first_byte_seconds=0.3) as pools:
        assert await answer(pools, request(f"http://api.example:{server.port}", "POST"), pieces()) == b"ok"


@pytest.mark.parametrize("rest", [b"Content-Length: 9\r\n\r\nbody", b"Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n"])
async def test_a_body_that_stops_is_cut(rest: bytes) -> None:
    async def stopping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n" + rest)
        await writer.drain()
        await reader.read()

    async with raw_api(stopping) as server, upstreams(idle_seconds=0.1) as pools:
        got: list[bytes] = []
        with pytest.raises(UpstreamCut):
            await collect(pools, request(f"http://api.example:{server.port}"), got)
        assert got == [b"body"]


async def collect(pools: Upstreams, sent: UpstreamRequest, got: list[bytes]) -> None:
    async with pools.send(("pool",), sent, None, None) as response:
        async for chunk in pools.chunks(response):
            got.append(chunk)  # noqa: PERF401 (what came before the cut counts)


async def test_header_bytes_stay_as_they_are() -> None:
    heads: list[bytes] = []
    async with raw_api(answering(b"200 OK\r\nContent-Length: 2", b"ok", heads)) as server, upstreams() as pools:
        await answer(pools, request(f"http://api.example:{server.port}", x="café".encode()))
        assert "x: café\r\n".encode() in heads[0]
        assert not any(name in heads[0].lower() for name in (b"user-agent", b"accept", b"content-type", b"connection"))


async def test_what_follows_an_answer_is_nobodys_answer() -> None:
    poisoned = answering(b"200 OK\r\nContent-Length: 2", b"okHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
    async with raw_api(poisoned) as server, upstreams() as pools:
        sent = request(f"http://api.example:{server.port}")
        assert [await answer(pools, sent) for _ in range(3)] == [b"ok"] * 3
        assert server.connections == 3, "a connection that says more than it was asked is not used again"
