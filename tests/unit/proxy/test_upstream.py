"""Connections to APIs over real sockets: what is never dialled, what is kept, and what is no answer."""

import asyncio
import contextlib
import gc
import socket
import struct
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from devbox_api.judge.endpoints import Endpoint, parse_endpoint
from devbox_api.judge.policies import networks
from devbox_api.judge.refusals import Refusal
from devbox_api.route import Auth, GatewayDocument
from devbox_common.redacted import Redacted
from devbox_proxy.kit.dialling import Pair
from devbox_proxy.known.apis import Api, compile_gateway
from devbox_proxy.known.credentials import PoolKey
from devbox_proxy.known.facts import Known
from devbox_proxy.known.floor import Floor
from devbox_proxy.settings import UpstreamTimeouts
from devbox_proxy.upstreams import pool
from devbox_proxy.upstreams.connection import UpstreamConnection, UpstreamError
from devbox_proxy.upstreams.current import Current
from devbox_proxy.upstreams.dial_check import Resolver, UpstreamReach
from devbox_proxy.upstreams.pool import Upstreams, tls_context
from devbox_proxy.wire import rendering
from devbox_proxy.wire.messages import UpstreamRequest
from devbox_proxy.wire.redact import Redactor
from devbox_proxy.wire.rendering import Framing, ResponseHead

from .playbook import POOL as KEY
from .playbook import Transport
from .raw_api import answering, raw_api

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Anywhere:
    """In place of the dial check, for APIs on loopback."""

    async def resolve(self, host: str, port: int, owner: str) -> list[tuple[str, int]]:
        return [("127.0.0.1", port)]


@contextlib.asynccontextmanager
async def upstreams(
    resolver: object | None = None, current: Current | None = None, **timeouts: float
) -> AsyncIterator[Upstreams]:
    result = Upstreams(resolver or Anywhere(), UpstreamTimeouts(**timeouts), tls_context(""), current=current)  # type: ignore[arg-type]
    try:
        yield result
    finally:
        result.close()


def request(url: str, method: str = "GET", **headers: bytes) -> UpstreamRequest:
    endpoint = parse_endpoint(url)
    lines = ((b"Host", endpoint.host.encode()), *((name.encode(), value) for name, value in headers.items()))
    return UpstreamRequest(endpoint, method, b"/v1", lines, Redactor(Redacted("")), False)


def api(endpoint: Endpoint) -> Api:
    """Of a GatewayConfig that says no more than this."""
    document = GatewayDocument(
        name="g", namespace="n", uid="u", endpoint=endpoint.origin, auth=Auth(type="Bearer"), redact_responses="Headers"
    )
    return compile_gateway(document)


class Answer:
    """Takes one answer, as an exchange does."""

    def __init__(self) -> None:
        self.heads: list[ResponseHead] = []
        self.informed_of: list[int] = []
        self.body = b""
        self.end: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        """Whether the connection may be used again, or the error."""

    def informed(self, head: ResponseHead) -> None:
        self.informed_of.append(head.status)

    def answered(self, head: ResponseHead) -> None:
        self.heads.append(head)

    def answer_data(self, data: bytes) -> None:
        self.body += data

    def flush_answer(self) -> None: ...

    def answer_ended(self, *, reusable: bool) -> None:
        self.end.set_result(reusable)

    def switched(self, head: ResponseHead, data: bytes) -> None:
        raise AssertionError(head)

    def tunnel_data(self, data: bytes) -> None:
        raise AssertionError

    def upstream_failed(self, error: UpstreamError) -> None:
        self.end.set_exception(error)

    def upstream_writable(self, *, writable: bool) -> None: ...


async def ask(pools: Upstreams, sent: UpstreamRequest, key: PoolKey = KEY) -> Answer:
    """One request and its whole answer. Raises UpstreamError."""
    connection = pools.idle(key) or await pools.dial(key, api(sent.endpoint))
    answer, reusable = await ask_on(connection, sent)
    if reusable:
        pools.release(connection)
    else:
        connection.abort()
    return answer


async def ask_on(connection: UpstreamConnection, sent: UpstreamRequest) -> tuple[Answer, bool]:
    """The whole answer, and whether the connection may be used again. Raises UpstreamError."""
    answer = Answer()
    connection.start(answer, sent.method, websocket=False)
    connection.write(rendering.request_head(sent, Framing.NONE, None))
    async with asyncio.timeout(5):
        return answer, await answer.end


replying = answering(b"200 OK\r\nContent-Length: 2", b"ok")


@pytest.mark.parametrize(
    ("host", "policy"),
    [
        ("127.0.0.1", UpstreamReach(networks(("0.0.0.0/0",)), allowed_hosts=("127.0.0.1",))),
        ("127.0.0.1", UpstreamReach()),
        ("[::ffff:127.0.0.1]", UpstreamReach(networks(("::/0",)))),
        ("localhost", UpstreamReach(allowed_hosts=("localhost",))),
        ("2130706433", UpstreamReach()),
        ("127.1", UpstreamReach()),
        ("0", UpstreamReach()),
        ("0x7f000001", UpstreamReach()),
        ("0177.0.0.1", UpstreamReach()),
    ],
)
async def test_an_endpoint_that_is_an_address_is_checked_like_a_name(host: str, policy: UpstreamReach) -> None:
    async with raw_api(replying) as server, upstreams(Resolver(policy, Floor)) as pools:
        with pytest.raises(UpstreamError) as caught:
            await ask(pools, request(f"http://{host}:{server.port}"))
        assert caught.value.refusal is Refusal.ENDPOINT_REFUSED
        assert server.connections == 0


async def test_a_lookup_is_the_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver = Resolver(UpstreamReach(), Floor)
    owners: list[str] = []

    async def addresses(host: str, owner: str) -> list[str]:
        owners.append(owner)
        raise OSError("no such name")

    monkeypatch.setattr(resolver._lookups, "addresses", addresses)
    async with upstreams(resolver) as pools:
        with pytest.raises(UpstreamError):
            await ask(
                pools, request("http://api.example"), PoolKey("http://api.example", "config", "credential", "1", "", "team-a")
            )
    assert owners == ["team-a"]


async def test_a_connection_with_bytes_of_the_request_left_is_not_kept() -> None:
    async with upstreams() as pools:
        for unsent, kept in ((1, False), (0, True)):
            connection = UpstreamConnection(KEY, pools)
            transport = Transport()
            transport.unsent = unsent
            connection.connection_made(transport)
            pools.release(connection)
            assert transport.aborted is not kept
            assert (pools.idle(KEY) is connection) is kept


async def test_a_dead_address_leaves_time_for_the_next() -> None:
    class Two:
        async def resolve(self, host: str, port: int, owner: str) -> list[tuple[str, int]]:
            return [("127.0.0.1", 9), ("127.0.0.1", port)]

    async with raw_api(replying) as server, upstreams(Two()) as pools:
        assert (await ask(pools, request(f"http://api.example:{server.port}"))).body == b"ok"


async def test_connections_are_kept_and_never_shared_between_keys() -> None:
    async def twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await writer.drain()

    async with raw_api(twice) as server, upstreams() as pools:
        sent = request(f"http://api.example:{server.port}")
        assert [(await ask(pools, sent)).body for _ in range(2)] == [b"ok"] * 2
        assert server.connections == 1
        assert (await ask(pools, sent, KEY._replace(version="2"))).body == b"ok"
        assert server.connections == 2


@pytest.mark.parametrize(
    ("hint", "connections"),
    [
        (b"", 1),
        (b"\r\nKeep-Alive: timeout=1", 2),
        (b"\r\nKEEP-ALIVE: max=5 , TIMEOUT=0", 2),
        (b"\r\nKeep-Alive: timeout=0000000000", 2),
        (b"\r\nKeep-Alive: timeout=1\r\nKeep-Alive: timeout=600", 2),
        (b"\r\nKeep-Alive: timeout=\xb2", 1),
        (b"\r\nKeep-Alive: timeout=-5", 1),
        (b"\r\nKeep-Alive: timeout=nan", 1),
        (b"\r\nKeep-Alive: timeout=inf, timeout=1e9", 1),
        (b"\r\nKeep-Alive: timeout=" + b"9" * 5000, 1),
        (b"\r\nKeep-Alive: " + b"," * 5000 + b"timeout", 1),
        (b"\r\nConnection: close", 2),
    ],
)
async def test_an_api_says_how_long_it_keeps_a_connection(hint: bytes, connections: int) -> None:
    async with raw_api(answering(b"200 OK\r\nContent-Length: 2" + hint, b"ok")) as server, upstreams() as pools:
        for _ in range(2):
            await ask(pools, request(f"http://api.example:{server.port}"))
            await asyncio.sleep(0.01)
        assert server.connections == connections


@pytest.mark.parametrize(
    ("reply", "refusal"),
    [
        (b"", Refusal.UPSTREAM_CLOSED),
        (b"HTTP/1.1 200 OK\r\nContent-Le", Refusal.UPSTREAM_CLOSED),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbody", Refusal.UPSTREAM_CLOSED),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n", Refusal.UPSTREAM_CLOSED),
        (b"nonsense\r\n\r\n", Refusal.UPSTREAM_INVALID),
        (b"RTSP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Refusal.UPSTREAM_INVALID),
        (b"ICE/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", Refusal.UPSTREAM_INVALID),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", Refusal.UPSTREAM_INVALID),
        (b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 1000 + b"\r\n", Refusal.UPSTREAM_INVALID),
        (b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok", Refusal.UPSTREAM_INVALID),
        (b"HTTP/1.1 099 x\r\nContent-Length: 2\r\n\r\nok", Refusal.UPSTREAM_INVALID),
        (b"HTTP/1.1 200 OK\r\nX: a\x1b[31m\r\nContent-Length: 2\r\n\r\nok", Refusal.UPSTREAM_INVALID),
        (b"HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b\r\nContent-Length: 2\r\n\r\nok", Refusal.UPSTREAM_INVALID),
        (b"HTTP/1.1 200 OK\r\nX: a\r\n folded\r\nContent-Length: 2\r\n\r\nok", Refusal.UPSTREAM_INVALID),
        (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", Refusal.UPSTREAM_INVALID),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", Refusal.UPSTREAM_INVALID),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: x\r\n\r\nok", Refusal.UPSTREAM_INVALID),
        (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", Refusal.UPSTREAM_INVALID),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Refusal.UPSTREAM_INVALID),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", Refusal.UPSTREAM_INVALID),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", Refusal.UPSTREAM_INVALID),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n" * 17 + OK, Refusal.UPSTREAM_INVALID),
    ],
)
async def test_what_is_no_answer(reply: bytes, refusal: Refusal) -> None:
    assert (await failure(reply)).refusal is refusal


async def failure(reply: bytes) -> UpstreamError:
    """What comes of an API that answers so."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)
        await writer.drain()

    async with raw_api(serve) as server, upstreams() as pools:
        with pytest.raises(UpstreamError) as caught:
            await ask(pools, request(f"http://api.example:{server.port}"))
    return caught.value


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (b"nonsense\r\n\r\n", "Expected HTTP/, RTSP/ or ICE/"),
        (b"HTTP/1.1 200 OK\r\nX-A: a\r\nX-B: a\x01b\r\n\r\nok", "Invalid header value char, in or behind the header X-A"),
        (b"HTTP/1.1 200 OK\r\n" + b"X" * 99 + b": x\r\nY: \x01\r\n\r\n", f"in or behind the header {'X' * 64}"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n", "in or behind the header Content-Length"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: x\r\n\r\nok", "Transfer-Encoding that can be read in two ways"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", "a head that is too large"),
    ],
)
@pytest.mark.row("S16")
async def test_what_is_wrong_with_an_answer_is_told(reply: bytes, words: str) -> None:
    said = (await failure(reply)).said
    assert said.startswith("gave an answer that can't be passed on: ")
    assert said.endswith(words)


async def test_what_comes_before_the_answer_and_an_end_by_closing() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\n\r\nto the end"
        )
        await writer.drain()

    async with raw_api(serve) as server, upstreams() as pools:
        answer = await ask(pools, request(f"http://api.example:{server.port}"))
    assert (answer.informed_of, answer.body) == ([103], b"to the end")


async def test_nothing_is_sent_twice() -> None:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await reader.readuntil(b"\r\n\r\n")  # the second request on this connection reached us, and gets no answer

    async with raw_api(once) as server, upstreams() as pools:
        sent = request(f"http://api.example:{server.port}", "PUT")
        assert (await ask(pools, sent)).body == b"ok"
        with pytest.raises(UpstreamError) as caught:
            await ask(pools, sent)
        assert caught.value.refusal is Refusal.UPSTREAM_CLOSED
        assert server.connections == 1


async def test_header_bytes_stay_as_they_are() -> None:
    heads: list[bytes] = []
    async with raw_api(answering(b"200 OK\r\nContent-Length: 2", b"ok", heads)) as server, upstreams() as pools:
        await ask(pools, request(f"http://api.example:{server.port}", x="café".encode()))
        assert heads == ["GET /v1 HTTP/1.1\r\nHost: api.example\r\nx: café\r\n\r\n".encode()]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_what_follows_an_answer_is_nobodys_answer(method: str) -> None:
    body = b"" if method == "HEAD" else b"ok"
    poisoned = answering(b"200 OK\r\nContent-Length: 2", body + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
    async with raw_api(poisoned) as server, upstreams() as pools:
        sent = request(f"http://api.example:{server.port}", method)
        assert [(await ask(pools, sent)).body for _ in range(3)] == [body] * 3
        assert server.connections == 3, "a connection that says more than it was asked is not used again"


async def test_a_body_that_head_had_no_right_to_is_nobodys_answer() -> None:
    async with raw_api(answering(b"200 OK\r\nContent-Length: 2", b"")) as server, upstreams() as pools:
        for _ in range(2):
            await ask(pools, request(f"http://api.example:{server.port}", "HEAD"))
        assert server.connections == 2, "it could come once the next request is under way, so the connection is not used again"


async def test_what_comes_later_without_a_question_closes_the_connection() -> None:
    more = asyncio.Event()

    async def later(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await writer.drain()
        await more.wait()
        writer.write(OK)
        assert await reader.read() == b""

    async with raw_api(later) as server, upstreams() as pools:
        await ask(pools, request(f"http://api.example:{server.port}"))
        more.set()
        async with asyncio.timeout(5):
            while (connection := pools.idle(KEY)) is not None:
                pools.release(connection)
                await asyncio.sleep(0.01)


async def rested(pools: Upstreams, url: str, seconds: float, key: PoolKey = KEY) -> UpstreamConnection:
    """A connection that has been at rest for so long."""
    await ask(pools, request(url), key)
    connection = pools.idle(key)
    assert connection is not None
    pools.release(connection)
    connection.idle_since -= seconds
    return connection


async def test_what_is_idle_for_too_long_is_closed() -> None:
    async with raw_api(replying) as server, upstreams(rest_seconds=4) as pools:
        for seconds, kept in ((3.9, True), (4.1, False)):
            connection = await rested(pools, f"http://api.example:{server.port}", seconds)
            pools.sweep()
            assert (connection in pools.resting) is kept
            assert (pools.idle(KEY) is connection) is kept


async def test_what_may_not_be_used_yet_rests_on_and_what_it_survives_others_may() -> None:
    async with raw_api(replying) as server, upstreams() as pools:
        url = f"http://api.example:{server.port}"
        oldest = await rested(pools, url, 20)
        assert pools.idle(KEY) is None, "nothing is tried with a request"
        pools.sweep()
        assert pools.idle(KEY) is None
        pools.sweep()
        assert oldest in pools.resting
        younger = await pools.dial(KEY, api(parse_endpoint(url)))
        pools.release(younger)
        younger.idle_since -= 15
        assert pools.idle(KEY) is younger
        assert younger.rested == pytest.approx(15, abs=1)


async def test_few_rest_on_unused() -> None:
    async with raw_api(replying) as server, upstreams() as pools:
        endpoint = api(parse_endpoint(f"http://api.example:{server.port}"))
        all_of_one = [await pools.dial(KEY, endpoint) for _ in range(5)]
        for number, connection in enumerate(all_of_one):
            pools.release(connection)
            connection.idle_since -= 20 - number
        pools.sweep()
        assert [connection in pools.resting for connection in all_of_one] == [True, True, False, False, False]
        for number in range(40):
            other = await pools.dial(KEY._replace(origin=f"https://api-{number}.example"), endpoint)
            pools.release(other)
            other.idle_since -= 10
        pools.sweep()
        assert len(pools.resting) == 16, "of a namespace"
        young, busy = [await pools.dial(KEY, endpoint) for _ in range(2)]
        for connection, age in ((young, 1.0), (busy, 0.1)):
            pools.release(connection)
            connection.idle_since -= age
        pools.sweep(scarce=True)
        assert list(pools.resting) == [busy], "memory is for requests"


async def test_what_the_api_closes_at_rest_is_learned_at_once() -> None:
    async with raw_api(replying) as server, upstreams() as pools:
        endpoint = api(parse_endpoint(f"http://api.example:{server.port}"))
        first, second = [await pools.dial(KEY, endpoint) for _ in range(2)]
        for connection in (first, second):
            pools.release(connection)
            connection.idle_since -= 2
        first.connection_lost(None)
        assert pools.idle(KEY) is None, "the other one has rested as long"
        assert pools.times.limit(KEY.origin, None, 0.0) == pytest.approx(1.3, abs=0.2)


async def test_one_that_is_closed_under_a_request_after_a_rest_tells_the_same() -> None:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await reader.readuntil(b"\r\n\r\n")

    for seconds, limit in ((2.0, 1.3), (0.0, 4.0)):
        async with raw_api(once) as server, upstreams() as pools:
            url = f"http://api.example:{server.port}"
            await rested(pools, url, seconds)
            with pytest.raises(UpstreamError):
                await ask(pools, request(url))
            assert pools.times.limit(KEY.origin, None, 0.0) == pytest.approx(limit, abs=0.2)


async def test_one_that_died_in_silence_is_no_reason_to_rely_on_more_than_at_the_beginning() -> None:
    async with raw_api(replying) as server, upstreams() as pools:
        oldest = await rested(pools, f"http://api.example:{server.port}", 50)
        pools.times.survived(KEY.origin, 50)
        oldest.connection_lost(TimeoutError())
        assert pools.times.limit(KEY.origin, None, 0.0) == pytest.approx(4.0)


async def test_of_an_answer_nothing_is_kept_while_the_connection_rests() -> None:
    lines = b"".join(b"\r\nX-%d: %b" % (number, b"v" * 110) for number in range(200))
    async with raw_api(answering(b"200 OK\r\nContent-Length: 2" + lines, b"ok")) as server, upstreams() as pools:
        sent = request(f"http://api.example:{server.port}")
        await ask(pools, sent)
        tracemalloc.start()
        try:
            for _ in range(30):
                connection = await pools.dial(KEY, api(sent.endpoint))
                await ask_on(connection, sent)
                pools.release(connection)
            gc.collect()
            held, _peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert len(pools.resting) == 31
        assert held < 30 * len(lines) / 2


async def test_the_kernel_looks_after_what_rests() -> None:
    async with raw_api(replying) as server, upstreams() as pools:
        connection = await pools.dial(KEY, api(parse_endpoint(f"http://api.example:{server.port}")))
        assert connection.transport is not None
        plain = connection.transport.get_extra_info("socket")
        assert plain.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert plain.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 15
        assert (connection.host, connection.address) == ("api.example", "127.0.0.1")


async def test_what_is_never_at_rest_when_one_looks_is_not_used_at_an_address_of_yesterday() -> None:
    floor, reached = Floor(), True
    current = Current(Known(), lambda: floor, lambda host, address: reached)
    async with raw_api(replying) as server, upstreams(current=current) as pools:
        await ask(pools, request(f"http://api.example:{server.port}"))
        busy = pools.idle(KEY)
        assert busy is not None
        floor, reached = Floor(), False
        pools.sweep()
        pools.release(busy)
        assert pools.idle(KEY) is None
        assert len(pools.resting) == 0


async def test_an_api_that_ends_the_connection_at_rest_is_asked_nothing_on_it() -> None:
    async with upstreams() as pools:
        connection, transport = UpstreamConnection(KEY, pools), Transport()
        connection.connection_made(transport)
        pools.release(connection)
        connection.idle_since -= 2
        assert not connection.eof_received()
        assert transport.aborted
        assert pools.idle(KEY) is None
        assert pools.times.limit(KEY.origin, None, 0.0) == pytest.approx(1.3, abs=0.2)


@pytest.mark.interpreted
async def test_an_api_that_resets_what_it_accepted_is_one_that_closed_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the reset comes before all else: then the kernel has no name for the peer any more."""

    async def reset(
        pairs: list[Pair], seconds: float, make: Callable[[socket.socket, Pair], Awaitable[object]], *_: object
    ) -> object:
        with socket.create_server(("127.0.0.1", 0)) as server:
            plain = socket.create_connection(server.getsockname())
            accepted, _peer = server.accept()
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            accepted.close()
        plain.setblocking(False)
        return await make(plain, pairs[0])

    monkeypatch.setattr(pool, "first", reset)
    async with upstreams() as pools:
        with pytest.raises(UpstreamError) as caught:
            await ask(pools, request("http://api.example"))
        assert caught.value.refusal is Refusal.UPSTREAM_CLOSED


def test_a_connection_that_was_never_made_is_harmless() -> None:
    connection = UpstreamConnection(KEY, Upstreams(Anywhere(), UpstreamTimeouts(), tls_context("")))
    connection.write(b"x")
    connection.abort()
