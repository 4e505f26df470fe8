"""A client that speaks something else to the forward proxy is told what it did."""

import re
from pathlib import Path

import pytest

from devbox_api.judge.refusals import Refusal
from devbox_proxy.wire import connect_head, mistaken
from devbox_proxy.wire.connect_head import HeadReader

AXIOS = b"GET https://api.github.com/user?x=1 HTTP/1.1\r\nAccept: application/json\r\nHost: api.github.com"
HELLO = bytes.fromhex("16030102000100 01fc0303")


def refusal_of(data: bytes) -> tuple[Refusal, str]:
    """As a connection does it: what is no head at all, else the head."""
    reader = HeadReader(4096)
    found = reader.feed(data)
    if isinstance(found, Refusal):
        return found, mistaken.said(found, reader.seen)
    assert found is not None
    refusal = connect_head.read(found[0], "10.0.0.1")
    assert isinstance(refusal, Refusal)
    return refusal, mistaken.said(refusal, found[0])


@pytest.mark.parametrize(
    ("data", "refusal", "words"),
    [
        (AXIOS, Refusal.CONNECT_ONLY, "sends requests for https:// (api.github.com) in clear to its proxy"),
        (AXIOS, Refusal.CONNECT_ONLY, "axios does so before 1.16.1"),
        (b"POST https://u:p@X.Example:8443/a HTTP/1.1", Refusal.CONNECT_ONLY, "https:// (x.example)"),
        (b"GET HTTPS://x.example HTTP/1.0", Refusal.CONNECT_ONLY, "https:// (x.example) in clear"),
        (b"GET https://[2001:db8::1]/ HTTP/1.1", Refusal.CONNECT_ONLY, "https:// (2001:db8::1) in clear"),
        (b"GET https://<script>/ HTTP/1.1", Refusal.CONNECT_ONLY, "https:// (a host) in clear"),
        (b"GET wss://x.example/ HTTP/1.1", Refusal.CONNECT_ONLY, "wss:// (x.example) in clear"),
        (b"GET ws://x.example/ HTTP/1.1", Refusal.CONNECT_ONLY, "use wss://"),
        (b"GET http://deb.example/x HTTP/1.1", Refusal.CONNECT_ONLY, "http:// (deb.example) is passed on to nobody"),
        (b"GET http://deb.example/x HTTP/1.1", Refusal.CONNECT_ONLY, "use https://"),
        (b"GET /v1/models HTTP/1.1\r\nHost: x", Refusal.CONNECT_ONLY, mistaken.NO_PROXYS_URL),
        (b"PRI * HTTP/2.0\r\n\r\nSM", Refusal.VERSION_UNSUPPORTED, mistaken.HTTP2),
        (HELLO, Refusal.MALFORMED_REQUEST, mistaken.OVER_TLS),
        (HELLO[:1], Refusal.MALFORMED_REQUEST, mistaken.OVER_TLS),
        (b"\x05\x02\x00\x02", Refusal.MALFORMED_REQUEST, mistaken.SOCKS),
        (b"\x04\x01\x01\xbb\x7f\x00\x00\x02\x00", Refusal.MALFORMED_REQUEST, mistaken.SOCKS),
    ],
)
def test_it_is_told_what_it_did(data: bytes, refusal: Refusal, words: str) -> None:
    found, said = refusal_of(data + b"\r\n\r\n" if data[:1].isalpha() else data)
    assert found is refusal
    assert words in said


@pytest.mark.parametrize(
    "data",
    [
        b"OPTIONS * HTTP/1.1",
        b"CONNECT https://x.example/ HTTP/1.1\r\nHost: x",
        b"CONNECT x.example:443 HTTP/1.1\r\nHost: x",
        b"GET https://x.example/ HTTP/2.0",
        b"GET https://x.example/ y HTTP/1.1",
        b"GET",
    ],
)
def test_where_the_message_says_all_nothing_is_added(data: bytes) -> None:
    assert refusal_of(data + b"\r\n\r\n")[1] == ""


@pytest.mark.parametrize("host", [b"a" * 5000, b"x.example\xe2\x80\xae", b"x%0d%0aSet-Cookie:a=b"])
def test_what_is_no_host_is_not_repeated(host: bytes) -> None:
    said = mistaken.said(Refusal.CONNECT_ONLY, b"GET https://" + host + b"/ HTTP/1.1")
    assert "(a host)" in said


def test_a_status_line_takes_the_words() -> None:
    for words in (
        mistaken.OVER_TLS,
        mistaken.SOCKS,
        mistaken.HTTP2,
        mistaken.NO_PROXYS_URL,
        refusal_of(AXIOS + b"\r\n\r\n")[1],
    ):
        line = connect_head.answer(Refusal.CONNECT_ONLY, "req_1", said=words).partition(b"\r\n")[0]
        assert words.encode("ascii") in line
        assert len(line) < 400


def test_the_page_has_the_words(project_root: Path) -> None:
    page = (project_root / "docs" / "egress-clients.md").read_text(encoding="utf-8").partition("## What a client did")[2]
    words = re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)
    urls = [refusal_of(f"GET {scheme}://- HTTP/1.1\r\n\r\n".encode())[1] for scheme in ("https", "http")]
    told = [mistaken.OVER_TLS, mistaken.SOCKS, mistaken.HTTP2, mistaken.NO_PROXYS_URL, *urls]
    assert len(words) == len(told)
    for said in told:
        assert any(said.replace("a host", "…").startswith(begin) for begin in words), said
