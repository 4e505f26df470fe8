"""Which answers are searched for the credential, by playbook: all of them but those of well-known APIs, whatever a client asks for."""

from dataclasses import replace
from typing import Literal

import pytest

from devbox_api.route import Auth, GatewayDocument
from devbox_common.redacted import Redacted
from devbox_proxy.kit import metrics
from devbox_proxy.known.apis import compile_gateway
from devbox_proxy.known.credentials import Credential

from .identities import known
from .playbook import Play, request
from .websockets import ACCEPT, HANDSHAKE, SWITCH, code

SECRET = "sk-real-reflected-1"
HIDDEN = b"*" * len(SECRET)


def play(said: Literal["Headers", "All"] | None = None, host: str = "api.example") -> Play:
    world = known()
    document = GatewayDocument(
        name="api", namespace="agents", uid="g", endpoint=f"https://{host}", auth=Auth(type="Bearer"), redact_responses=said
    )
    world.gateways["gateway-g"] = compile_gateway(document)
    world.credentials["credential-c"] = Credential("credential-c", "7", Redacted(SECRET), (host,))
    return Play(replace(world))


def answer(*headers: str, status: str = "200 OK", body: bytes = b"you sent " + SECRET.encode()) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]).encode() + body


ASKING = (
    "Range: bytes=0-20",
    "If-Range: x",
    "A-IM: range",
    "Accept-Charset: utf-16",
    "Accept-Encoding: gzip",
    "Accept: image/png",
)


async def test_no_part_and_no_other_form_of_it_can_be_asked_for() -> None:
    sent = play().send(request("GET", "/v1", *ASKING))
    assert sent == (
        b"GET /v1 HTTP/1.1\r\nHost: api.example\r\nAccept: image/png\r\nAccept-Encoding: identity\r\n"
        b"Authorization: Bearer " + SECRET.encode() + b"\r\n\r\n"
    )
    plain = play("Headers").send(request("GET", "/v1", *ASKING))
    assert all(line.encode() in plain for line in ASKING), "where only headers are searched, everything may be asked for"


@pytest.mark.parametrize(
    "told",
    [
        answer("Content-Type: application/octet-stream"),
        answer("Content-Type: image/png", "ETag: x"),
        answer("Content-Type: application/grpc-web+proto"),
        answer("Content-Type: multipart/byteranges; boundary=x", status="206 Partial Content"),
        answer("Content-Range: bytes 0-27/28", status="206 Partial Content"),
        answer("Content-Encoding: identity", status="418 x"),
        answer("Content-Encoding: utf-8", "Content-Encoding: none", status="500 x"),
        answer(),
    ],
)
async def test_every_answer_that_is_not_encoded_is_searched(told: bytes) -> None:
    one = play()
    one.send(request("GET", "/v1"))
    got = one.answer(told)
    assert got.endswith(b"you sent " + HIDDEN)
    assert b"\r\nContent-Length: %d\r\n" % len(b"you sent " + HIDDEN) in got


PACK = "Content-Type: application/x-git-upload-pack-result"


@pytest.mark.row("S23")
@pytest.mark.parametrize(
    ("host", "said", "lines", "searched"),
    [
        ("github.com", None, (PACK,), False),
        ("gitlab.com", None, (PACK.upper() + "; charset=x",), False),
        # What an LFS server says may hold the client's own Authorization.
        ("gitlab.com", None, ("Content-Type: application/vnd.git-lfs+json",), True),
        ("github.com", None, (), True),
        ("github.com", None, (PACK, "Content-Type: text/plain"), True),
        ("github.com", "All", (PACK,), True),
        ("github.com", "Headers", (), False),
        ("api.github.com", None, (PACK,), True),
        ("evil-github.com", None, (PACK,), True),
        ("git.example", None, (PACK,), True),
    ],
)
async def test_of_a_git_host_all_is_searched_but_packs(
    host: str, said: Literal["Headers", "All"] | None, lines: tuple[str, ...], searched: bool
) -> None:
    one = play(said, host)
    one.send(request("POST", "/o/r.git/git-upload-pack", "Content-Length: 0"))
    assert one.answer(answer(*lines)).endswith(b"you sent " + (HIDDEN if searched else SECRET.encode()))


@pytest.mark.parametrize("codings", [("gzip",), ("identity", "gzip"), ("identity, br",), ("zstd",), ("x-unheard-of",)])
async def test_an_encoded_answer_passes_and_is_counted_or_is_refused_where_all_are_to_be_searched(
    codings: tuple[str, ...],
) -> None:
    told = answer(*(f"Content-Encoding: {coding}" for coding in codings), body=b"coded")
    before = metrics.UNSEARCHED._value.get()
    for said, passes in ((None, True), ("Headers", True), ("All", False)):
        one = play(said)  # type: ignore[arg-type]
        one.send(request("GET", "/v1"))
        got = one.answer(told)
        if passes:
            assert got.endswith(b"\r\n\r\ncoded")
        else:
            assert code(got) == "upstream_encoded"
            assert one.to_api.aborted
            assert one.pools.released == []
    assert metrics.UNSEARCHED._value.get() == before + 1


async def test_what_has_no_body_is_not_refused_for_its_encoding() -> None:
    for method, status in (("HEAD", "200 OK"), ("GET", "304 Not Modified")):
        one = play("All")
        one.send(request(method, "/v1"))
        assert one.answer(answer("Content-Encoding: gzip", status=status, body=b"")).startswith(b"HTTP/1.1 " + status.encode())


async def test_a_websocket_is_counted_where_bodies_are_searched() -> None:
    before = metrics.UNSEARCHED._value.get()
    for said in (None, "Headers"):
        one = play(said)
        one.send(request("GET", "/v1", *HANDSHAKE))
        assert one.answer(SWITCH % ACCEPT + b"\r\n").startswith(b"HTTP/1.1 101 ")
    assert metrics.UNSEARCHED._value.get() == before + 1


async def test_every_value_of_every_header_is_searched_and_the_phrase_is_not_passed_on() -> None:
    one = play("Headers")
    one.send(request("GET", "/v1"))
    lines = (f"X-Echo: a {SECRET}", f"x-echo: {SECRET}b", "X-Other: sk%2Dreal%2Dreflected%2D1", f"Location: /x?k={SECRET}")
    got = one.answer(b"HTTP/1.1 103 x\r\nLink: <" + SECRET.encode() + b">\r\n\r\n" + answer(*lines, status=f"200 {SECRET}"))
    assert SECRET.encode() not in got[: -len(SECRET)]
    assert got.count(HIDDEN) == 5
