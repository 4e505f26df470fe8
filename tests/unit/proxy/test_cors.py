"""Browsers: a preflight is answered by the gateway, for devboxes' addresses alone; refusals and answers may be read by the page."""

from dataclasses import replace
from typing import Any

import pytest

from devbox_api.judge.refusals import Refusal
from devbox_proxy.decide.identity import Preflight, decide
from devbox_proxy.known.facts import Known
from devbox_proxy.wire import cors
from devbox_proxy.wire.guard import RequestHead

from .identities import CURRENT, NOW, POD, TIMES, known, refused
from .playbook import TOKEN, Play, request
from .websockets import code

ORIGIN = "http://localhost:5173"
ASKS = ("OPTIONS", "/v1/messages", f"Origin: {ORIGIN}", "Access-Control-Request-Method: POST")
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n%b\r\nok"


def head(peer: str = "10.244.0.7", *more: tuple[bytes, bytes], method: str = "OPTIONS", target: bytes = b"/v1") -> RequestHead:
    lines = ((b"Host", b"g"), (b"Origin", ORIGIN.encode()), (b"Access-Control-Request-Method", b"POST"), *more)
    return RequestHead(method, target, (1, 1), lines, peer)


def placed(**pod: Any) -> Known:
    """A devbox whose address is known."""
    world = known()
    world.pods["uid-1"] = replace(POD, **pod)
    world.addresses = {"10.244.0.7": "uid-1", "fd00::7": "uid-1"}
    return world


@pytest.mark.parametrize("peer", ["10.244.0.7", "::ffff:10.244.0.7", "fd00::7", "fd00:0::0007"])
@pytest.mark.row("S16")
def test_a_devboxs_browser_is_answered(peer: str) -> None:
    assert isinstance(decide(head(peer), placed(), NOW, TIMES), Preflight)
    in_query = head(peer, target=f"/v1?key=gws_{CURRENT}".encode())
    assert isinstance(decide(in_query, placed(), NOW, TIMES), Preflight), "the key of the request that comes next"


@pytest.mark.parametrize(
    ("world", "peer"),
    [
        (placed(), "10.244.0.8"),
        (placed(), "no address"),
        (known(), "10.244.0.7"),
        (placed(deleting=True), "10.244.0.7"),
        (placed(phase="Succeeded"), "10.244.0.7"),
        (placed(host_network=True), "10.244.0.7"),
        (placed(node=""), "10.244.0.7"),
    ],
)
@pytest.mark.row("S16")
def test_others_are_refused_as_before(world: Known, peer: str) -> None:
    assert refused(decide(head(peer), world, NOW, TIMES)) is Refusal.TOKEN_MISSING


def test_a_devbox_that_is_served_nothing_gets_no_preflight_either() -> None:
    world = placed()
    world.routes["uid-1"] = world.routes["uid-1"].model_copy(update={"confined": False})
    assert refused(decide(head(), world, NOW, TIMES)) is Refusal.TOKEN_MISSING
    world = placed()
    world.unsupported = frozenset({"uid-1"})
    assert refused(decide(head(), world, NOW, TIMES)) is Refusal.TOKEN_MISSING
    world = placed()
    world.pods_as_of = NOW - 1000
    assert refused(decide(head(), world, NOW, TIMES)) is Refusal.STATE_STALE


@pytest.mark.parametrize(
    "asked",
    [
        head(method="POST"),
        head("10.244.0.7", (b"Authorization", b"Basic eA==")),
        head("10.244.0.7", (b"x-api-key", f"gws_{CURRENT}".encode())),
        head("10.244.0.7", (b"Content-Length", b"3")),
        head("10.244.0.7", (b"Transfer-Encoding", b"chunked")),
        head("10.244.0.7", (b"Origin", b"http://b.example")),
        RequestHead("OPTIONS", b"/v1", (1, 1), ((b"Host", b"g"), (b"Origin", ORIGIN.encode())), "10.244.0.7"),
    ],
)
def test_what_is_no_preflight(asked: RequestHead) -> None:
    assert not isinstance(decide(asked, placed(), NOW, TIMES), Preflight)


@pytest.mark.parametrize(
    "origin",
    [
        b"",
        b"http://a b",
        b"http://a.example/",
        b"http://a.example\t",
        b"javascript:x",
        b"http://" + b"a" * 300,
        b"http://\xe4.example",
    ],
)
def test_what_is_no_origin_is_not_echoed(origin: bytes) -> None:
    asked = RequestHead("GET", b"/v1", (1, 1), ((b"Host", b"g"), (b"Origin", origin)), "10.244.0.7")
    assert cors.origin_of(asked) == b""


@pytest.mark.row("S16")
async def test_a_preflight_goes_nowhere_and_the_connection_stays() -> None:
    play = Play(placed())
    for _ in range(2):
        assert play.send(request(*ASKS, "Access-Control-Request-Headers: authorization,x-stainless-os", token="")) == b""
        said = play.to_client.take()
        assert said.startswith(b"HTTP/1.1 204 No Content\r\n")
        assert f"Access-Control-Allow-Origin: {ORIGIN}\r\n".encode() in said
        assert b"Access-Control-Allow-Headers: authorization,x-stainless-os\r\n" in said
        assert b"POST" in said
        assert b"Credentials" not in said
        assert b"Content-Length" not in said
    assert play.send(request("GET", "/v1", f"Origin: {ORIGIN}")), "and serves the request that follows"
    assert not play.to_client.is_closing()


@pytest.mark.row("S16")
async def test_a_page_reads_why_it_was_refused() -> None:
    play = Play(placed())
    play.send(request("POST", "/v1", f"Origin: {ORIGIN}", token="none"))
    said = play.to_client.take()
    assert code(said) == "token_missing"
    assert f"Access-Control-Allow-Origin: {ORIGIN}\r\n".encode() in said
    assert b"Vary: Origin\r\n" in said
    other = Play(placed())
    other.send(request("POST", "/v1", token="none"))
    assert b"Access-Control" not in other.to_client.take(), "where no browser asks, nothing of it is said"


@pytest.mark.parametrize(
    ("sent", "own", "expected"),
    [
        (ORIGIN, b"", [ORIGIN.encode()]),
        ("null", b"", [b"null"]),
        (ORIGIN, b"Access-Control-Allow-Origin: https://console.example\r\n", [b"https://console.example"]),
        (ORIGIN, b"access-control-allow-origin: *\r\n", [b"*"]),
        ("", b"", []),
    ],
)
@pytest.mark.row("S16")
async def test_a_page_reads_the_answer_unless_the_api_says_who_may(sent: str, own: bytes, expected: list[bytes]) -> None:
    play = Play()
    play.send(request("GET", "/v1", *([f"Origin: {sent}"] if sent else []), token=TOKEN))
    lines = play.answer(ANSWER % own).split(b"\r\n")
    assert [line.partition(b": ")[2] for line in lines if line.lower().startswith(b"access-control-allow-origin")] == expected
    assert (b"Vary: Origin" in lines) is (bool(sent) and not own)
    assert not any(line.lower().startswith(b"access-control-allow-credentials") for line in lines)
