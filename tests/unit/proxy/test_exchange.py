"""The state machine by playbook: bytes in, bytes out, no sockets. Every state, and every way out of it."""

import asyncio
import gc
import time

import orjson
import pytest

from devbox_api.judge.refusals import Refusal
from devbox_proxy.requests.connection import FAREWELL_SECONDS, Connection
from devbox_proxy.requests.exchange import Exchange
from devbox_proxy.upstreams.connection import UpstreamConnection, UpstreamError
from devbox_proxy.wire.reader import RequestReader
from devbox_proxy.wire.rendering import DISCARDED

from .playbook import Play, request
from .websockets import code

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
async def play() -> Play:
    return Play()


def later(seconds: float) -> float:
    return time.monotonic() + seconds


async def test_a_request_and_its_answer_go_through_in_one_piece_each(play: Play) -> None:
    sent = play.send(request(body=b"hello"))
    assert sent == (
        b"POST /v1 HTTP/1.1\r\nHost: api.example\r\nAccept-Encoding: identity\r\nAuthorization: Bearer sk-real\r\n"
        b"Content-Length: 5\r\n\r\nhello"
    )
    play.api.data_received(OK)
    assert len(play.to_client.written) == 1
    assert play.to_client.take().endswith(b"\r\n\r\nok")
    assert play.pools.released == [play.api]
    assert not play.to_client.closing


async def test_one_byte_at_a_time_is_the_same(play: Play) -> None:
    raw = request("POST", "/v1", "Transfer-Encoding: chunked") + b"5;x=y\r\nhello\r\n0\r\nTrailer: gone\r\n\r\n"
    sent = b"".join(play.send(raw[at : at + 1]) for at in range(len(raw)))
    assert sent.endswith(b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(b"1\r\n%c\r\n" % c for c in b"hello") + b"0\r\n\r\n")
    got = b"".join(play.answer(OK[at : at + 1]) for at in range(len(OK)))
    assert got.startswith(b"HTTP/1.1 200 OK\r\n")
    assert got.endswith(b"\r\n\r\nok")


async def test_pipelined_requests_are_answered_in_their_order(play: Play) -> None:
    first = play.send(request(target="/1", body=b"a") + request(target="/2", body=b"b") + request("GET", "/3"))
    assert first.startswith(b"POST /1 ")
    assert b"/2" not in first
    for target in (b"POST /2 ", b"GET /3 "):
        play.pools.idle_ones.append(play.api)
        play.answer(OK)
        assert play.to_api.take().startswith(target)
    assert play.answer(OK).endswith(b"ok")
    assert not play.to_client.closing


async def test_what_is_wrong_behind_a_good_request_is_answered_in_its_turn(play: Play) -> None:
    play.send(request() + b"BAD\r\n\r\n")
    assert play.to_client.take() == b""
    answer = play.answer(OK)
    assert answer.count(b"HTTP/1.1 ") == 2
    assert code(answer.split(b"ok", 1)[1]) == "malformed_request"
    assert play.to_client.eof


CHUNKED = request("POST", "/1", "Transfer-Encoding: chunked")


@pytest.mark.parametrize("between", [b"\n", b"\r", b" "])
@pytest.mark.parametrize(
    "first",
    [
        request("GET", "/1"),
        request("POST", "/1", body=b"\r\n\r\nhello\r\n\r\n"),
        CHUNKED + b"8\r\na\r\n\r\nb\r\n\r\n0\r\n\r\n",
        CHUNKED + b"1\r\na\r\n0\r\nTrailer: x\r\n\r\n",
    ],
)
@pytest.mark.parametrize("size", [1_000_000, 3, 1])
async def test_what_stands_between_requests_is_looked_at_like_what_stands_before_the_first(
    play: Play, first: bytes, between: bytes, size: int
) -> None:
    raw = first + between + request("GET", "/2")
    for at in range(0, len(raw), size):
        play.send(raw[at : at + size])
    answer = play.answer(OK)
    assert code(answer.split(b"ok", 1)[1]) == "malformed_request"
    assert play.to_api.take() == b""


async def test_too_many_pipelined_requests_end_the_connection(play: Play) -> None:
    play.send(request("GET") * 100)
    assert play.to_client.paused
    for _ in range(65):
        play.pools.idle_ones.append(play.api)
        last = play.answer(OK)
    assert code(last.split(b"ok", 1)[1]) == "too_many_pipelined"


async def test_a_slow_reader_slows_the_api_down_and_a_slow_api_the_client(play: Play) -> None:
    play.send(request("POST", "/v1", "Content-Length: 100") + b"x")
    play.client.pause_writing()
    assert play.to_api.paused
    play.client.resume_writing()
    assert not play.to_api.paused
    play.api.pause_writing()
    assert play.to_client.paused
    play.api.resume_writing()
    assert not play.to_client.paused


async def test_an_api_stays_paused_where_the_last_piece_that_waited_is_one_too_many_again(play: Play) -> None:
    play.send(request())
    play.answer(b"HTTP/1.1 200 OK\r\n\r\n")
    play.client.pause_writing()
    assert play.answer(b"x" * 50_000 + b"\n") == b""
    full, write = play.client.pause_writing, play.to_client.write

    def takes_no_more(data: bytes | bytearray | memoryview) -> None:
        write(data)
        full()

    play.to_client.write = takes_no_more  # type: ignore[method-assign]
    play.client.resume_writing()
    assert len(play.to_client.take()) > 50_000
    assert play.client.stalled_since is not None
    assert play.to_api.paused, "or all of the answer would wait here for a client that takes nothing"
    play.to_client.write = write  # type: ignore[method-assign]
    play.client.resume_writing()
    assert not play.to_api.paused


async def test_continue_is_said_once_there_is_a_connection() -> None:
    play = Play(connected=False)
    play.send(request("PUT", "/v1", "Expect: 100-continue", "Content-Length: 5"))
    assert play.to_client.take() == b""
    await play.dialled()
    assert play.to_client.take() == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert play.to_api.take().endswith(b"Content-Length: 5\r\n\r\n")
    assert play.send(b"hello") == b"hello"


async def test_a_body_waits_for_the_connection_and_the_client_with_it() -> None:
    play = Play(connected=False)
    play.send(request(body=b"hello"))
    assert play.to_client.paused
    await play.dialled()
    assert play.to_api.take().endswith(b"\r\n\r\nhello")


async def test_no_connection_no_answer() -> None:
    play = Play(connected=False)
    play.send(request())
    await play.dialled(UpstreamError(Refusal.UPSTREAM_TLS, "SSLError", "shows a certificate that has ended"))
    answer = play.to_client.take()
    assert code(answer) == "upstream_tls"
    assert (
        b"devbox-gateway: upstream_tls: the API of GatewayConfig agents/anthropic shows a certificate that has ended" in answer
    )
    assert orjson.loads(play.lines()[-1])["ended"] == "upstream_tls"


async def test_a_client_that_leaves_while_dialling_leaves_nothing_behind() -> None:
    play = Play(connected=False)
    play.send(request())
    play.client.connection_lost(None)
    await play.dialled()
    assert play.to_api.take() == b""
    assert play.load.requests.total == 0
    assert orjson.loads(play.lines()[-1])["ended"] == "client_gone"


async def test_a_client_that_leaves_ends_the_apis_work(play: Play) -> None:
    play.send(request())
    play.answer(b"HTTP/1.1 200 OK\r\n\r\ndata: 1\n\n")
    play.client.connection_lost(ConnectionResetError())
    assert play.to_api.aborted
    assert play.pools.released == []
    assert (play.load.requests.total, play.lost) == (0, [play.client])


@pytest.mark.parametrize(
    ("head", "ends"),
    [(b"Content-Length: 9\r\n\r\n", None), (b"Transfer-Encoding: chunked\r\n\r\n4\r\n", ConnectionResetError())],
)
async def test_half_an_answer_never_looks_whole(play: Play, head: bytes, ends: Exception | None) -> None:
    play.send(request())
    got = play.answer(b"HTTP/1.1 200 OK\r\n" + head + b"body") + play.api_lost(ends)
    assert got.startswith(b"HTTP/1.1 200 OK\r\n")
    assert not got.endswith(b"0\r\n\r\n")
    assert play.to_client.aborted
    assert orjson.loads(play.lines()[-1])["ended"] == "upstream_cut"


async def test_an_answer_that_ends_with_its_connection_gets_a_last_chunk(play: Play) -> None:
    play.send(request("GET"))
    got = play.answer(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n\r\nbody") + play.api_lost()
    assert b"\r\nTransfer-Encoding: chunked\r\n" in got
    assert got.endswith(b"\r\nConnection: keep-alive\r\nKeep-Alive: timeout=114\r\n\r\n4\r\nbody\r\n0\r\n\r\n")
    assert not play.to_client.closing


async def test_http_1_0_gets_no_chunks_and_its_connection_closed(play: Play) -> None:
    play.send(request("GET", version="HTTP/1.0"))
    got = play.answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n")
    assert got.endswith(b"Connection: close\r\n\r\nbody")
    assert play.to_client.eof


async def test_http_1_0_is_promised_no_second_request(play: Play) -> None:
    play.send(request("GET", "/v1", "Connection: keep-alive", version="HTTP/1.0"))
    assert b"Connection: close" in play.answer(OK)
    assert play.to_client.eof


async def test_an_answer_before_the_uploads_end_closes_both(play: Play) -> None:
    play.send(request("POST", "/v1", "Content-Length: 1000000") + b"x" * 1000)
    assert b"Connection: close" in play.answer(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
    assert play.to_api.aborted
    assert play.send(b"x" * 1000) == b""
    assert not play.to_client.eof, "what is on its way is still read, else the answer would be reset"
    play.send(b"x" * DISCARDED)
    assert play.to_client.eof


async def test_early_hints_pass_and_continue_does_not(play: Play) -> None:
    play.send(request())
    assert play.answer(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n") == (
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    )
    assert play.answer(OK).endswith(b"ok")


async def test_a_broken_body_ends_the_request_at_the_api_too(play: Play) -> None:
    play.send(request("POST", "/v1", "Transfer-Encoding: chunked") + b"5\r\nhello\r\n")
    play.send(b"xyz\r\n")
    assert code(play.to_client.take()) == "malformed_request"
    assert play.to_api.aborted


@pytest.mark.parametrize(
    ("raw", "refusal"),
    [
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: g\r\n\r\n", "target_too_long"),
        (request("GET", "/", "X: " + "a" * 9000), "head_too_large"),
        (request("GET", "/", *(f"X{n}: 1" for n in range(101))), "head_too_large"),
        (request("GET", "/", *(f"X{n}: " + "a" * 5000 for n in range(9))), "head_too_large"),
        (b"GET / HTTP/1.1\r\nHost: g\r\nX: " + b"a" * 300_000, "head_too_large"),
        (b"\x16\x03\x01\x02\x00", "malformed_request"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "malformed_request"),
        (b"GET / HTTP/1.1\nHost: g\n\n", "malformed_request"),
        (b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", "method_unsupported"),
        (b"GET /\r\n\r\n", "version_unsupported"),
        (b"\n" + request("GET"), "malformed_request"),
        (b"\r\n\n" + request("GET"), "malformed_request"),
        (b"\r" + request("GET"), "malformed_request"),
        (request(version="RTSP/1.1"), "malformed_request"),
        (request(version="RTSP/1.0"), "malformed_request"),
        (request("OPTIONS", "HTTP/x", version="RTSP/1.1"), "malformed_request"),
        (b"SOURCE /x ICE/1.0\r\nHost: g\r\n\r\n", "malformed_request"),
        (b"GET  / HTTP/1.1\r\nHost: g\r\n\r\n", "malformed_request"),
        (b"GET /  HTTP/1.1\r\nHost: g\r\n\r\n", "malformed_request"),
        (b" GET / HTTP/1.1\r\nHost: g\r\n\r\n", "malformed_request"),
        (request("GET", "/", "Connection: Upgrade", "Upgrade: h2c") + b"PRI * HTTP/2.0\r\n\r\n", "upgrade_unsupported"),
    ],
)
@pytest.mark.parametrize("size", [1_000_000, 4096, 1])
async def test_what_is_no_request_gets_one_answer_and_reaches_nobody(play: Play, raw: bytes, refusal: str, size: int) -> None:
    if size == 1:
        raw = raw[:45_000]  # enough for each of them
    for at in range(0, len(raw), size):
        play.send(raw[at : at + size])
        await play.settled()
    answer = play.to_client.take()
    assert code(answer) == refusal
    assert answer.count(b"HTTP/1.1 4") == 1
    assert play.send(request()) == b""
    assert play.to_client.eof


async def test_a_flood_of_chunk_extensions_ends(play: Play) -> None:
    play.send(request("POST", "/v1", "Transfer-Encoding: chunked"))
    for _ in range(30):
        play.send(b"1;" + b"x" * 30_000 + b"\r\na\r\n")
        await play.settled()
    assert code(play.to_client.take()) == "framing_invalid"
    assert play.to_api.aborted


async def test_everything_in_one_loop_leaves_no_task(play: Play) -> None:
    play.send(request())
    play.answer(OK)
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize("how", ["between requests", "during an answer", "in a head", "the API first"])
async def test_connections_that_are_gone_leave_nothing_to_the_garbage_collector(how: str) -> None:
    def alive() -> int:
        return sum(isinstance(each, Connection | UpstreamConnection | RequestReader | Exchange) for each in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        before = alive()
        play = Play()
        if how == "in a head":
            play.send(request()[:-6])
        else:
            play.send(request())
            play.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe" + (b"" if how == "during an answer" else b"llo"))
        assert alive() > before
        for lose in (play.api, play.client) if how == "the API first" else (play.client, play.api):
            lose.connection_lost(None)
        play.lines()
        play.pools.__init__()  # type: ignore[misc] # it remembers connections, which refer to it
        play.made.clear()
        play.lost.clear()
        del play, lose
        await asyncio.sleep(0)
        assert alive() == before
    finally:
        gc.enable()


@pytest.mark.parametrize("tls", [False, True])
async def test_the_end_of_an_answer_that_is_read_slowly_is_not_cut(play: Play, *, tls: bool) -> None:
    play.to_client.tls = tls
    play.send(request("GET", "/v1", "Connection: close"))
    play.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
    play.to_client.unsent = 100_000
    assert play.answer(b"k").endswith(b"ok")
    for left in (80_000, 60_000, 1, 0):
        play.to_client.unsent = left
        play.client.check(later(250 if left else 0))
        assert not play.to_client.aborted
        assert play.to_client.closing is (tls and left == 0), "TLS says goodbye within seconds once it begins to"
    play.client.check(later(FAREWELL_SECONDS + 1))
    assert play.to_client.aborted


async def test_a_client_that_does_not_take_the_end_of_its_answer_is_cut(play: Play) -> None:
    play.send(request("GET", "/v1", "Connection: close"))
    play.to_client.unsent = 100_000
    play.answer(OK)
    play.client.check(later(0))
    play.client.check(later(301))
    assert play.to_client.aborted


async def test_a_refused_client_has_a_moment_to_stop_sending(play: Play) -> None:
    play.send(b"nonsense\r\n\r\n")
    play.client.check(later(0))
    assert not play.to_client.aborted
    play.client.check(later(1.1))
    assert play.to_client.aborted


async def test_an_answer_that_can_have_no_body_announces_none(play: Play) -> None:
    play.send(request("GET"))
    assert b"content-length" not in play.answer(b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n").lower()


async def test_a_body_that_its_method_does_not_define_is_the_last_on_its_connection(play: Play) -> None:
    sent = play.send(request("GET", "/1", body=b"hello"))
    assert b"\r\nConnection: close\r\nContent-Length: 5\r\n" in sent
    assert play.answer(OK).endswith(b"ok")
    assert play.to_api.aborted
    assert play.pools.released == []
    assert not play.to_client.closing, "the client may go on"


@pytest.mark.parametrize(
    "plain", [request("GET", "/1"), request("GET", "/1", "Content-Length: 0"), request("POST", "/1", body=b"x")]
)
async def test_a_body_that_is_defined_or_empty_is_not(play: Play, plain: bytes) -> None:
    assert b"Connection: close" not in play.send(plain)
    play.answer(OK)
    assert play.pools.released == [play.api]


async def test_a_method_that_has_a_body_says_that_it_has_none(play: Play) -> None:
    assert play.send(request("POST", "/1")).endswith(b"\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
        *(b"HTTP/1.1 %d x\r\nContent-Length: 2\r\n\r\nok" % status for status in (408, 411, 413, 417)),
        OK + b"H",
    ],
)
async def test_after_an_answer_that_more_may_follow_the_connection_is_not_used_again(play: Play, answer: bytes) -> None:
    play.send(request(body=b"x"))
    assert play.answer(answer).startswith(b"HTTP/1.1 ")
    assert play.pools.released == []
    assert play.to_api.aborted


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 0\r\n\r\n"]
)
async def test_after_an_answer_without_a_body_it_is(play: Play, answer: bytes) -> None:
    play.send(request("GET", "/1"))
    play.answer(answer)
    assert play.pools.released == [play.api]


async def test_an_answer_to_half_a_request_is_the_last_on_its_connection(play: Play) -> None:
    play.send(request("POST", "/v1", "Content-Length: 2") + b"a")
    play.answer(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n")
    play.send(b"b")
    play.answer(b"no")
    assert play.pools.released == []
    assert play.to_api.aborted


async def test_an_answer_before_the_request_is_another_ones(play: Play) -> None:
    play.send(request("POST", "/v1", "Transfer-Encoding: chunked"))
    assert play.to_api.take() == b"", "the head goes with the first chunk"
    assert code(play.answer(OK)) == "upstream_invalid"
    assert play.to_api.aborted
