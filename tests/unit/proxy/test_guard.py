"""Requests that two servers could read differently are refused."""

import pytest

from devbox_api.judge.refusals import Refusal
from devbox_proxy.wire.guard import RequestHead, check


def head(target: bytes = b"/v1/messages", method: str = "POST", version=(1, 1), **headers: str) -> RequestHead:  # type: ignore[no-untyped-def]
    lines = [(b"Host", b"gateway.system.svc")] + [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]
    return RequestHead(method, target, version, tuple(lines), "10.0.0.1")


@pytest.mark.parametrize(
    "target",
    [
        b"/",
        b"/v1/messages?beta=true",
        b"/v1/models/gpt-4.1",
        b"/api/v4/projects/group%2Fproject/repository/files/a%2Eb",
        b"/a/...",
        b"/a/..b",
        b"/a;x=1",
        b"/a?next=/../b",
        b"/caf%C3%A9",
        b"/%C0",
        b"/%E2%82%AC/%F0%9F%98%80/%E0%A4%85",
        b"/a//b",
        b"/?x=%00",
    ],
)
def test_plain_targets_pass(target: bytes) -> None:
    assert check(head(target)) is None


@pytest.mark.parametrize(
    "target",
    [
        b"/..",
        b"/a/../b",
        b"/a/./b",
        b"/%2e%2e/admin",
        b"/a/%2E%2E%2Fadmin",
        b"/a/..%2fadmin",
        b"/a/..;/admin",
        b"/a/..;x=1/admin",
        b"/a/%2e%2e;/admin",
        b"/a/..%5cadmin",
        b"/a\\..\\b",
        b"/a%00b",
        b"/a%0d%0aX: y",
        b"/a/%c0%ae%c0%ae/b",
        b"/a/..%c0%afb",
        b"/a/%C1%9C",
        b"/a/%e0%80%ae",
        b"/a/%f0%80%80%ae",
        b"/a%zz",
        b"/a%2",
        b"/a b",
        b"/a\x7f",
        b"/a#b",
    ],
)
def test_treacherous_paths_are_refused(target: bytes) -> None:
    assert check(head(target)) is Refusal.PATH_INVALID


@pytest.mark.parametrize("target", [b"http://evil.example/", b"*", b"evil.example:443", b"", b"?x", b"\\v1"])
def test_only_paths_are_targets(target: bytes) -> None:
    assert check(head(target)) is Refusal.TARGET_INVALID


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"//v1/models", b"/v1/models"),
        (b"////v1//models?a=//b", b"/v1//models"),
        (b"//evil.example/x", b"/evil.example/x"),
        (b"//", b"/"),
        (b"/%2F/x", b"/%2F/x"),
    ],
)
def test_slashes_at_the_beginning_are_one(target: bytes, path: bytes) -> None:
    assert check(head(target)) is None
    assert head(target).path == path


@pytest.mark.parametrize(
    "target", [b"//../admin", b"///./x", b"//%2e%2e/admin", b"//..;/admin", b"//a\\b", b"/\\evil.example/x"]
)
def test_what_stands_behind_them_is_judged_as_ever(target: bytes) -> None:
    assert check(head(target)) is Refusal.PATH_INVALID


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "get", "FOO", "PRI"])
def test_other_methods_are_refused(method: str) -> None:
    assert check(head(method=method)) is Refusal.METHOD_UNSUPPORTED


@pytest.mark.parametrize("version", [(0, 9), (2, 0), (1, 2)])
def test_other_versions_are_refused(version: tuple[int, int]) -> None:
    assert check(head(version=version)) is Refusal.VERSION_UNSUPPORTED


@pytest.mark.parametrize(
    ("headers", "version"),
    [
        ({"Transfer_Encoding": "chunked", "Content_Length": "3"}, (1, 1)),
        ({"Transfer_Encoding": "cow, chunked"}, (1, 1)),
        ({"Transfer_Encoding": "Chunked"}, (1, 1)),
        ({"Transfer_Encoding": "chunked"}, (1, 0)),
        ({"Content_Length": "+3"}, (1, 1)),
        ({"Content_Length": "3, 3"}, (1, 1)),
        ({"Content_Length": ""}, (1, 1)),
        ({"Content_Length": "9" * 19}, (1, 1)),
        ({"Content_Length": "0" * 5000}, (1, 1)),
    ],
)
def test_ambiguous_framing_is_refused(headers: dict[str, str], version: tuple[int, int]) -> None:
    assert check(head(b"/v1", "POST", version, **headers)) is Refusal.FRAMING_INVALID


def test_host_and_authorization_come_once() -> None:
    twice = RequestHead("GET", b"/", (1, 1), ((b"Host", b"a"), (b"host", b"b")), "10.0.0.1")
    assert check(twice) is Refusal.HEADER_DUPLICATE
    lines = ((b"Host", b"a"), (b"Authorization", b"Bearer x"), (b"authorization", b"Bearer y"))
    assert check(RequestHead("GET", b"/", (1, 1), lines, "10.0.0.1")) is Refusal.HEADER_DUPLICATE


@pytest.mark.parametrize("host", ["a b", "a/b", "u@a", "a?b", "a\\b", "a:b", "[::1", "a, b", "é", '"a"'])
def test_a_host_that_is_none_is_refused(host: str) -> None:
    assert check(RequestHead("GET", b"/", (1, 1), ((b"Host", host.encode()),), "10.0.0.1")) is Refusal.MALFORMED_REQUEST
    assert check(RequestHead("GET", b"/", (1, 0), ((b"Host", host.encode()),), "10.0.0.1")) is Refusal.MALFORMED_REQUEST


@pytest.mark.parametrize("host", ["", "a", "a.b:8443", "[::1]", "[::1]:8443", "10.0.0.1", "a_b.svc", "a."])
def test_any_other_host_will_do(host: str) -> None:
    assert check(RequestHead("GET", b"/", (1, 1), ((b"Host", host.encode()),), "10.0.0.1")) is None


@pytest.mark.parametrize("value", ["a\0b", "a\x0bb", "a\x1b[31mb", "a\x7fb", "a\rb"])
def test_control_characters_in_a_header_are_refused(value: str) -> None:
    assert check(head(X_Any=value)) is Refusal.MALFORMED_REQUEST
    assert check(head(X_Any="a\tb é")) is None


@pytest.mark.parametrize("name", [b"X Any", b"X-Any ", b"", b"X:Any", b"X\x00", "Xé".encode(), b'"X"', b"(X)"])
def test_a_name_that_is_no_token_is_refused(name: bytes) -> None:
    lines = ((b"Host", b"g"), (name, b"1"))
    assert check(RequestHead("GET", b"/", (1, 1), lines, "10.0.0.1")) is Refusal.MALFORMED_REQUEST


KEY = "dGhlIHNhbXBsZSBub25jZQ=="
HANDSHAKE = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec_WebSocket_Version": "13", "Sec_WebSocket_Key": KEY}


def handshake(method: str = "GET", version=(1, 1), **change: str | None) -> RequestHead:  # type: ignore[no-untyped-def]
    headers = {name: value for name, value in {**HANDSHAKE, **change}.items() if value is not None}
    return head(b"/v1/realtime?model=gpt", method, version, **headers)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"Upgrade": "WebSocket"},
        {"Connection": "keep-alive, upgrade"},
        {"Content_Length": "0"},
        {"Sec_WebSocket_Protocol": "realtime"},
        {"Sec_WebSocket_Extensions": "permessage-deflate; client_max_window_bits"},
    ],
)
def test_a_whole_websocket_handshake_passes(change: dict[str, str]) -> None:
    request = handshake(**change)
    assert check(request) is None
    assert request.websocket


@pytest.mark.parametrize(
    "request_head",
    [
        handshake(Upgrade="h2c"),
        handshake(Upgrade="h2c", HTTP2_Settings="AAMAAABkAARAAAAAAAIAAAAA", Connection="Upgrade, HTTP2-Settings"),
        handshake(Upgrade="foo"),
        handshake(Upgrade="websocket, h2c"),
        handshake(Upgrade="websocket/13"),
        handshake(Upgrade=""),
        handshake("POST"),
        handshake(version=(1, 0)),
        handshake(Content_Length="5"),
        handshake(Content_Length="00"),
        handshake(Transfer_Encoding="chunked"),
        handshake(Sec_WebSocket_Version="8"),
        handshake(Sec_WebSocket_Version=None),
        handshake(Sec_WebSocket_Key=None),
        handshake(Sec_WebSocket_Key="short=="),
        handshake(Sec_WebSocket_Key=KEY + "=="),
        handshake(Sec_WebSocket_Key=f"{KEY}, {KEY}"),
        RequestHead("GET", b"/", (1, 1), (*handshake().headers, (b"upgrade", b"websocket")), "10.0.0.1"),
        RequestHead("GET", b"/", (1, 1), (*handshake().headers, (b"Sec-WebSocket-Key", KEY.encode())), "10.0.0.1"),
        RequestHead("GET", b"/", (1, 1), (*handshake().headers, (b"Sec-WebSocket-Version", b"13")), "10.0.0.1"),
    ],
)
def test_every_other_upgrade_is_refused(request_head: RequestHead) -> None:
    assert check(request_head) is Refusal.UPGRADE_UNSUPPORTED


@pytest.mark.parametrize("connection", [None, "keep-alive", "upgraded", "x-upgrade"])
def test_an_upgrade_that_connection_does_not_list_asks_for_nothing(connection: str | None) -> None:
    request = handshake(Upgrade="h2c", Connection=connection)
    assert check(request) is None
    assert not request.websocket
