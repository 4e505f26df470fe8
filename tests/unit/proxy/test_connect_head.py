"""A CONNECT's head: read strictly, whole, and whatever the segments are."""

import base64
import time

import pytest

from devbox_api.judge.refusals import Refusal
from devbox_api.judge.targets import Target, parse
from devbox_api.names import token_digest
from devbox_proxy.wire import connect_head
from devbox_proxy.wire.connect_head import ConnectRequest, HeadReader

from .identities import CURRENT, OLD

TOKEN = f"gws_{CURRENT}"
BASIC = base64.b64encode(f"devbox:{TOKEN}".encode()).decode()


OWN = (
    *(
        b"http://localhost:3000/",
        b"http://LocalHost./x?y#z",
        b"http://app.localhost",
        b"HTTP://127.0.0.9:8000/",
        b"http://0.0.0.0:8000",
    ),
    *(b"http://[::1]:5173/", b"http://[::]/", b"http://[::ffff:127.0.0.1]/", b"http://10.0.0.1:80/"),
)
"""Addresses of the devbox itself, whose own is 10.0.0.1."""
OTHERS = (
    *(b"http://10.0.0.2/", b"http://notlocalhost/", b"http://localhost.example/", b"http://127.0.0.1.example/", b"/localhost"),
    *(b"http://user@localhost/", b"ftp://localhost/", b"http://[::2]/", b"http://[::1", b"http://", b"http://127.1/"),
)


def head(
    *lines: str, target: str = "api.github.com:443", version: str = "HTTP/1.1", auth: str | None = f"Basic {BASIC}"
) -> bytes:
    first = [f"CONNECT {target} {version}", "Host: api.github.com:443"]
    carrier = [f"Proxy-Authorization: {auth}"] if auth else []
    return "\r\n".join([*first, *carrier, *lines]).encode("latin-1")


def read(data: bytes) -> ConnectRequest | Refusal:
    return connect_head.read(data, "10.0.0.1")


@pytest.mark.parametrize(
    "data",
    [
        head(),
        head(auth=f"basic {BASIC}"),
        head(auth=f"Bearer {TOKEN}"),
        head(auth="Basic " + base64.b64encode(f":{TOKEN}".encode()).decode()),
        head(auth="Basic " + base64.b64encode(f"{TOKEN}:{TOKEN}".encode()).decode()),
        head(version="HTTP/1.0").replace(b"Host: api.github.com:443\r\n", b""),
        head("Content-Length: 0"),
        head("User-Agent: git/2.39", "Proxy-Connection: Keep-Alive"),
        head().replace(b"Host: api.github.com:443", b"Host: evil.example"),
        head().replace(b"Host: ", b"HOST:"),
    ],
)
def test_what_clients_send_is_read(data: bytes) -> None:
    assert read(data) == ConnectRequest(read_target(), token_digest(CURRENT), "uid-1", "10.0.0.1")


def read_target() -> Target:
    target = parse(b"api.github.com:443")
    assert target is not None
    return target


@pytest.mark.parametrize(
    ("data", "refusal"),
    [
        (head(auth=None), Refusal.PROXY_TOKEN_MISSING),
        (head(auth="Basic eDp5"), Refusal.PROXY_TOKEN_MISSING),
        (head(auth="Bearer sk-1"), Refusal.PROXY_TOKEN_MISSING),
        (head(auth="Negotiate " + TOKEN), Refusal.PROXY_TOKEN_MISSING),
        (head(f"Authorization: Bearer {TOKEN}", auth=None), Refusal.PROXY_TOKEN_MISSING),
        (head(auth="Bearer gws_half"), Refusal.TOKEN_MALFORMED),
        (head(auth="Basic " + base64.b64encode(f"gws_{OLD}:{TOKEN}".encode()).decode()), Refusal.TOKEN_AMBIGUOUS),
        (head(f"Proxy-Authorization: Basic {BASIC}"), Refusal.HEADER_DUPLICATE),
        (head("Host: api.github.com:443"), Refusal.HEADER_DUPLICATE),
        (head("Content-Length: 0", "Content-Length: 0"), Refusal.HEADER_DUPLICATE),
        (head("Content-Length: 5"), Refusal.CONNECT_WITH_BODY),
        (head("Content-Length: +0"), Refusal.CONNECT_WITH_BODY),
        (head("Content-Length: 00"), Refusal.CONNECT_WITH_BODY),
        (head("Transfer-Encoding: chunked"), Refusal.CONNECT_WITH_BODY),
        (head().replace(b"Host: api.github.com:443\r\n", b""), Refusal.MALFORMED_REQUEST),
        (head("X-A : b"), Refusal.MALFORMED_REQUEST),
        (head(" folded: x"), Refusal.MALFORMED_REQUEST),
        (head("no colon"), Refusal.MALFORMED_REQUEST),
        (head(": x"), Refusal.MALFORMED_REQUEST),
        (head("X-A: a\x01b"), Refusal.MALFORMED_REQUEST),
        (head(target="api.github.com"), Refusal.CONNECT_TARGET_INVALID),
        (head(target="api.github.com:443%0d%0aX:y"), Refusal.CONNECT_TARGET_INVALID),
        (head(target="http://api.github.com:443"), Refusal.CONNECT_TARGET_INVALID),
        (head(target="api.github.com:443 evil.example:443"), Refusal.MALFORMED_REQUEST),
        (head(target="\xe9.example:443"), Refusal.MALFORMED_REQUEST),
        (head().replace(b"CONNECT ", b"CONNECT  "), Refusal.MALFORMED_REQUEST),
        (head().replace(b"CONNECT ", b"CONNECT\t"), Refusal.MALFORMED_REQUEST),
        (head().replace(b"CONNECT", b"connect"), Refusal.CONNECT_ONLY),
        (head().replace(b"CONNECT api.github.com:443", b"GET http://api.github.com/"), Refusal.CONNECT_ONLY),
        (head().replace(b"CONNECT api.github.com:443", b"OPTIONS *"), Refusal.CONNECT_ONLY),
        *((head().replace(b"CONNECT api.github.com:443", b"GET " + own), Refusal.LOCAL_ADDRESS) for own in OWN),
        *((head().replace(b"CONNECT api.github.com:443", b"GET " + other), Refusal.CONNECT_ONLY) for other in OTHERS),
        (head(version="HTTP/2.0"), Refusal.VERSION_UNSUPPORTED),
        (head(version="HTTP/0.9"), Refusal.VERSION_UNSUPPORTED),
        (head(version="http/1.1"), Refusal.MALFORMED_REQUEST),
        (b"CONNECT api.github.com:443", Refusal.MALFORMED_REQUEST),
        (head(target="a" * 3000 + ":443"), Refusal.CONNECT_TARGET_INVALID),
        (head(*(f"X-{number}: v" for number in range(100))), Refusal.HEAD_TOO_LARGE),
    ],
)
def test_what_two_readers_could_read_differently_is_refused(data: bytes, refusal: Refusal) -> None:
    assert read(data) is refusal


def test_a_head_is_the_same_in_any_segments() -> None:
    whole = head() + b"\r\n\r\nrest"
    for cut in range(len(whole)):
        reader = HeadReader(4096)
        found = reader.feed(whole[:cut]) or reader.feed(whole[cut:])
        assert isinstance(found, tuple)
        assert found[0] == head()
        assert whole.startswith(head() + b"\r\n\r\n" + found[1])
    reader = HeadReader(4096)
    answers = [reader.feed(bytes([byte])) for byte in head() + b"\r\n\r\n"]
    assert answers[:-1] == [None] * (len(answers) - 1)
    assert answers[-1] == (head(), b"")
    assert not reader.begun


@pytest.mark.parametrize(
    "data",
    [
        b"CONNECT a.example:443 HTTP/1.1\nHost: a\n\n",
        b"CONNECT a.example:443 HTTP/1.1\r\nHost: a\n\r\n",
        b"CONNECT a.example:443 HTTP/1.1\rHost: a",
        b"CONNECT a.example:443 HTTP/1.1\r\r\n",
        b"CONNECT a.example:443\0 HTTP/1.1",
        b"\r\nCONNECT a.example:443 HTTP/1.1\r\n\r\n",
        b" CONNECT a.example:443 HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
    ],
)
def test_ends_of_lines_that_are_none_are_refused_at_once(data: bytes) -> None:
    assert HeadReader(4096).feed(data) is Refusal.MALFORMED_REQUEST
    reader = HeadReader(4096)
    assert Refusal.MALFORMED_REQUEST in [reader.feed(bytes([byte])) for byte in data]


def test_what_follows_a_head_is_not_looked_at() -> None:
    assert HeadReader(4096).feed(head() + b"\r\n\r\n\x16\x03\n\0") == (head(), b"\x16\x03\n\0")


def test_a_head_that_does_not_end_is_refused() -> None:
    reader = HeadReader(4096)
    answers = [reader.feed(b"CONNECT a:1 HTTP/1.1\r\n")] + [reader.feed(b"X: " + b"a" * 1000 + b"\r\n") for _ in range(5)]
    assert answers.index(Refusal.HEAD_TOO_LARGE) == 5


def test_a_head_is_as_long_as_it_may_be_and_what_follows_does_not_count() -> None:
    whole = head("X-A: " + "a" * 500) + b"\r\n\r\n"
    assert HeadReader(len(whole)).feed(whole + b"\x16" * 5000) == (whole[:-4], b"\x16" * 5000)
    assert HeadReader(len(whole) - 1).feed(whole) is Refusal.HEAD_TOO_LARGE


def test_a_long_token_passes() -> None:
    long = f"{CURRENT.split('.')[0]}.{CURRENT.split('.')[1]}{'A' * 1200}.c2ln"
    found = read(head(auth="Basic " + base64.b64encode(f"devbox:gws_{long}".encode()).decode()))
    assert isinstance(found, ConnectRequest)
    assert found.digest == token_digest(long)


def test_answers_say_what_to_do_where_clients_show_it() -> None:
    said = connect_head.answer(Refusal.HOST_NOT_ALLOWED, "req_1", said="example.com; set spec.egressPolicyRef")
    assert said.startswith(b"HTTP/1.1 403 host_not_allowed: example.com; set spec.egressPolicyRef\r\n")
    assert b"devbox-gateway: host_not_allowed: example.com; set spec.egressPolicyRef" in said.partition(b"\r\n\r\n")[2]
    assert b"Connection: close\r\n" in said
    kept = connect_head.answer(Refusal.PROXY_TOKEN_MISSING, "req_1", close=False)
    assert kept.startswith(b"HTTP/1.1 407 ")
    assert b'Proxy-Authenticate: Basic realm="devbox-gateway"\r\n' in kept
    assert b"close" not in kept
    unknown = connect_head.answer(Refusal.TOKEN_UNKNOWN, "req_1")
    assert unknown.startswith(b"HTTP/1.1 407 ")
    assert b"WWW-Authenticate" not in unknown
    assert b"Allow: CONNECT\r\n" in connect_head.answer(Refusal.CONNECT_ONLY, "req_1")


def test_many_spaces_take_no_time() -> None:
    started = time.process_time()
    for _ in range(3):
        assert isinstance(read(head(*(f"X-{number}: a{' ' * 8000}b" for number in range(3)))), ConnectRequest)
    assert time.process_time() - started < 0.5
