"""Bytes in, bytes out: WebSockets through the data port."""

import time

import orjson
import pytest

from .identities import known
from .playbook import Play, request
from .websockets import ACCEPT, HANDSHAKE, SWITCH, code


@pytest.fixture
async def play() -> Play:
    return Play()


def later(seconds: float) -> float:
    return time.monotonic() + seconds


async def test_a_websocket_is_a_tunnel_once_the_api_agrees(play: Play) -> None:
    extension = "Sec-WebSocket-Extensions: permessage-deflate"
    sent = play.send(request("GET", "/v1/realtime?model=x", *HANDSHAKE, extension) + b"early")
    assert sent.count(b"Connection: Upgrade\r\n") == sent.count(b"Upgrade: websocket\r\n") == 1
    assert extension.encode() in sent
    assert b"early" not in sent
    got = play.answer(SWITCH % ACCEPT + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n\x81\x02hi")
    assert got.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert b"permessage-deflate" in got
    assert got.endswith(b"\r\n\r\n\x81\x02hi")
    assert play.to_api.take() == b"early"
    assert play.send(b"\x81\x80GET / HTTP/1.1") == b"\x81\x80GET / HTTP/1.1"
    assert play.answer(b"\x88\x00") == b"\x88\x00"
    assert play.api_lost() == b""
    assert play.to_client.eof
    end = orjson.loads(play.lines()[-1])
    assert (end["status"], end["ended"], end["sent"]) == (101, "complete", 6)


@pytest.mark.parametrize("watch", ["routes_as_of", "pods_as_of"])
async def test_a_websocket_ends_where_nobody_knows_any_more_whether_it_may_go_on(watch: str) -> None:
    play, answering = Play(known()), Play(known())
    play.send(request("GET", "/v1/realtime", *HANDSHAKE))
    play.answer(SWITCH % ACCEPT + b"\r\n")
    answering.send(request())
    answering.answer(b"HTTP/1.1 200 OK\r\n\r\nx")
    for one in (play, answering):
        setattr(one.world, watch, time.monotonic() - 290)
        one.client.check(later(0))
        assert not one.to_client.aborted
        setattr(one.world, watch, time.monotonic() - 301)
        one.client.check(later(0))
    assert play.to_client.take().endswith(b"\x88\x0d\x03\xe9state_stale")
    assert play.to_client.eof
    assert play.to_api.closing
    assert orjson.loads(play.lines()[-1])["ended"] == "state_stale"
    assert not answering.to_client.aborted, "an answer ends by itself"


@pytest.mark.parametrize(
    "answer",
    [
        SWITCH % b"d3Jvbmc=" + b"\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        + ACCEPT
        + b"\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: " + ACCEPT + b"\r\n\r\n",
    ],
)
async def test_a_switch_that_is_not_the_one_asked_for_opens_nothing(play: Play, answer: bytes) -> None:
    play.send(request("GET", "/v1/realtime", *HANDSHAKE))
    assert code(play.answer(answer)) == "upstream_invalid"
    assert play.to_api.aborted
    assert play.send(b"raw") == b""


async def test_a_refused_handshake_is_an_answer_like_any_other_and_the_last(play: Play) -> None:
    play.send(request("GET", "/v1/realtime", *HANDSHAKE) + b"\x81\x80frames")
    got = play.answer(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
    assert got.startswith(b"HTTP/1.1 401 ")
    assert b"Connection: close" in got
    assert play.to_api.take() == b""
    assert play.to_client.eof
    assert play.to_api.aborted, "what stands between may wait for frames on it"


async def open_socket(first: bytes = b"\x81\x02hi") -> Play:
    """A WebSocket over which the API has said `first`."""
    play = Play()
    play.send(request("GET", "/v1/realtime", *HANDSHAKE))
    play.answer(SWITCH % ACCEPT + b"\r\n" + first)
    return play


async def test_silence_has_a_limit_of_its_own() -> None:
    play = await open_socket()
    play.client.check(later(3599))
    assert play.to_client.take() == play.to_api.take() == b""
    play.client.check(later(3601))
    assert play.to_client.take() == b"\x88\x06\x03\xe9idle"
    assert play.to_client.eof
    assert play.to_api.take()[:2] == b"\x88\x86"
    assert play.to_api.closing
    assert orjson.loads(play.lines()[-1])["ended"] == "idle"


async def test_an_api_that_takes_nothing_is_waited_for_no_longer_than_otherwise() -> None:
    play = await open_socket()
    play.api.pause_writing()
    play.client.check(later(6))
    assert play.to_api.aborted
    assert play.to_client.eof
    assert play.to_client.take() == b""
    assert orjson.loads(play.lines()[-1])["ended"] == "upstream_cut"


async def test_a_client_that_takes_nothing_is_told_nothing() -> None:
    play = await open_socket()
    play.client.pause_writing()
    play.client.shut_down()
    assert play.to_client.aborted
    assert orjson.loads(play.lines()[-1])["ended"] == "shutdown"


@pytest.mark.parametrize(
    ("said", "answered", "ended"),
    [
        (b"\x88\x80\x00\x00\x00\x00", b"", "complete"),
        (b"", b"\x88\x00", "complete"),
        (b"\x81\x80\x00\x00\x00\x00", b"\x81\x00", "upstream_cut"),
        (b"", b"\x81\x05hel", "upstream_cut"),
    ],
)
async def test_an_end_of_the_apis_is_a_cut_unless_somebody_said_good_bye(said: bytes, answered: bytes, ended: str) -> None:
    play = await open_socket()
    play.send(said)
    play.answer(answered)
    assert play.api_lost(ConnectionResetError()) == b"", "a farewell would make it look whole"
    assert play.to_client.eof
    assert orjson.loads(play.lines()[-1])["ended"] == ended
