"""Bytes in, bytes out: how much one devbox may have at a time, and how slowly either side may go."""

import asyncio
import sys
import time
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from devbox_proxy.requests.exchange import LINGER_SECONDS
from devbox_proxy.wire.rendering import DISCARDED

from .identities import POD, known
from .playbook import CALLER, Play, request, scarce
from .websockets import code

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
async def play() -> Play:
    return Play()


def later(seconds: float) -> float:
    return time.monotonic() + seconds


async def test_more_requests_than_one_devbox_may_have_get_429() -> None:
    play = Play(requests_per_devbox=1)
    play.load.requests.enter(CALLER)
    play.send(request())
    answer = play.to_client.take()
    assert b"Retry-After: 15\r\n" in answer
    assert b"limits.requestsPerDevbox" in answer
    assert code(answer) == "too_many_requests"
    assert play.load.requests._by_pod["uid-1"] == 1


async def test_what_comes_to_a_connection_that_closes_is_not_kept(play: Play) -> None:
    """Though a long read was being worked through in turns when it closed, and reading goes on."""
    pieces = [bytes([number]) * 2**16 for number in range(1, 9)]
    held = [sys.getrefcount(piece) for piece in pieces]
    play.send(b"no request\r\n\r\n" + b"z" * 2**16)
    assert code(play.to_client.take()) == "malformed_request"
    assert play.to_client.eof
    assert not play.to_client.paused
    for at in range(len(pieces)):
        play.send(pieces[at])
    assert [sys.getrefcount(piece) for piece in pieces] == held
    await asyncio.sleep(0)  # a turn that was still to come
    assert not play.to_client.take()


@pytest.mark.parametrize("length", [0, 3, DISCARDED])
async def test_too_many_requests_leave_the_connection_open(length: int) -> None:
    play = Play(requests_per_devbox=1)
    play.load.requests.enter(CALLER)
    raw = request(body=b"x" * length)
    for at in (len(raw), len(raw) - length, 20):
        play.send(raw[:at])
        play.send(raw[at:])
        for _ in range(20):
            await asyncio.sleep(0)  # a long read is taken in turns
        answer = play.to_client.take()
        assert code(answer) == "too_many_requests"
        assert b"\r\nConnection: keep-alive\r\nKeep-Alive: timeout=114\r\n" in answer
        assert not play.to_client.closing
    play.load.requests.leave(CALLER)
    assert play.send(request(target="/free")).startswith(b"POST /free ")


@pytest.mark.parametrize(
    "header",
    [
        f"Content-Length: {DISCARDED + 1}",
        "Transfer-Encoding: chunked",
        "Content-Length: 3\r\nExpect: 100-continue",
        "Connection: close",
    ],
)
async def test_too_many_requests_close_it_where_more_may_follow_than_is_read(header: str) -> None:
    play = Play(requests_per_devbox=1)
    play.load.requests.enter(CALLER)
    play.send(request("POST", "/v1", header))
    answer = play.to_client.take()
    assert code(answer) == "too_many_requests"
    assert b"\r\nConnection: close" in answer
    assert play.to_client.closing or play.to_client.eof


async def test_too_many_requests_with_a_body_that_does_not_come() -> None:
    play = Play(requests_per_devbox=1)
    play.load.requests.enter(CALLER)
    play.send(request("POST", "/v1", "Content-Length: 3"))
    assert not play.to_client.closing
    play.client.check(later(LINGER_SECONDS + 1))
    play.client.check(later(2 * LINGER_SECONDS + 2))
    assert play.to_client.closing or play.to_client.aborted


async def test_more_requests_than_the_gateway_may_have_and_little_memory_get_503(tmp_path: Path) -> None:
    play = Play(requests=1)
    play.load.requests.total = 1
    play.send(request())
    assert code(play.to_client.take()) == "overloaded"
    play = Play()
    play.load.memory = scarce(tmp_path)
    play.send(request())
    assert code(play.to_client.take()) == "overloaded"


async def test_a_head_that_does_not_come_and_one_that_does_not_end(play: Play) -> None:
    play.client.check(later(19))
    assert not play.to_client.closing
    play.client.check(later(21))
    assert play.to_client.aborted
    play = Play()
    play.send(b"GET / HTTP/1.1\r\nHo")
    play.client.check(later(21))
    assert code(play.to_client.take()) == "request_timeout"


async def test_an_idle_connection_is_kept_for_a_while(play: Play) -> None:
    play.send(request())
    play.answer(OK)
    play.client.check(later(119))
    assert not play.to_client.eof
    play.client.check(later(121))
    assert play.to_client.eof
    play.client.check(later(125))
    assert play.to_client.aborted


@pytest.mark.parametrize(("kept", "told"), [(120.0, 114), (75.0, 71), (2.0, 1), (1.0, None)])
async def test_what_is_announced_is_less_than_what_is_kept(kept: float, told: int | None) -> None:
    play = Play(keepalive_seconds=kept)
    play.send(request())
    assert (b"Keep-Alive: timeout=%d\r\n" % (told or 0) in play.answer(OK)) == (told is not None)


async def test_a_body_below_the_minimum_rate_ends(play: Play) -> None:
    play.send(request("POST", "/v1", "Content-Length: 100000") + b"x" * 10)
    play.client.check(later(0))
    play.send(b"x")
    play.client.check(later(54))
    assert play.to_client.take() == b"", "whoever pauses is waited for, whatever the API's own time"
    play.client.check(later(56))
    assert code(play.to_client.take()) == "request_timeout"
    assert play.to_api.aborted


async def test_a_body_that_the_api_does_not_take_is_not_slow(play: Play) -> None:
    play.send(request("POST", "/v1", "Content-Length: 100000") + b"x" * 10)
    play.api.pause_writing()
    play.client.check(later(9))
    assert play.to_client.take() == b""
    play.client.check(later(11))
    assert code(play.to_client.take()) == "upstream_timeout"


@pytest.mark.parametrize(
    ("answer", "seconds", "ended"), [(b"", 11, "upstream_timeout"), (b"HTTP/1.1 200 OK\r\n\r\nx", 6, "upstream_cut")]
)
async def test_an_api_that_falls_silent(play: Play, answer: bytes, seconds: float, ended: str) -> None:
    play.send(request())
    play.answer(answer)
    play.client.check(later(seconds - 2))
    assert not play.to_api.aborted
    play.client.check(later(seconds))
    assert play.to_api.aborted
    assert orjson.loads(play.lines()[-1])["ended"] == ended
    assert play.to_client.aborted == bool(answer)


async def test_a_client_that_reads_nothing_is_cut_and_the_silence_is_not_the_apis(play: Play) -> None:
    play.send(request())
    play.answer(b"HTTP/1.1 200 OK\r\n\r\nx")
    play.client.pause_writing()
    play.client.check(later(299))
    assert not play.to_client.aborted
    play.client.check(later(301))
    assert play.to_client.aborted
    assert play.to_api.aborted


@pytest.mark.row("S4")
async def test_a_stream_ends_with_its_pod() -> None:
    play = Play(known())
    play.send(request())
    play.answer(b"HTTP/1.1 200 OK\r\n\r\nx")
    play.client.check(later(0))
    assert not play.to_client.aborted
    play.world.pods["uid-1"] = replace(POD, deleting=True)
    play.client.check(later(0))
    assert play.to_client.aborted
    assert play.to_api.aborted
    assert orjson.loads(play.lines()[-1])["ended"] == "pod_gone"
