"""Addresses of the API's own in an answer's headers: what a client is told instead, and what stays as it is."""

import pytest

from devbox_api.judge.endpoints import parse_endpoint
from devbox_common.redacted import Redacted
from devbox_proxy.wire import rendering
from devbox_proxy.wire.messages import UpstreamRequest
from devbox_proxy.wire.redact import Redactor
from devbox_proxy.wire.rendering import Framing, ResponseHead

SECRET = "sk-a-real-credential"
API = "https://api.example"
GATEWAY = "https://gateway.system.svc"


def told(name: str, value: str, endpoint: str = API, *, status: int = 200, keyless: frozenset[bytes] = frozenset()) -> str:
    """The header as the client gets it."""
    headers = ((name.encode(), value.encode()),)
    head = ResponseHead(status, headers, rendering.fields_of(headers), Framing.NONE, None)
    redactor = Redactor(Redacted(SECRET))
    sent = UpstreamRequest(
        parse_endpoint(endpoint), "GET", b"/", (), redactor, redact_body=False, keyless=keyless, token=b"gws_token"
    )
    if status < 200:
        out = rendering.informational(head, sent, public_url=GATEWAY.encode())
    else:
        out, _ = rendering.response_head(head, sent, public_url=GATEWAY.encode(), request_id="r", http10=False, connection=b"")
    (line,) = [line for line in out.decode().split("\r\n") if line.startswith(f"{name}: ")]
    return line.removeprefix(f"{name}: ")


@pytest.mark.parametrize(
    "name",
    [
        *("Location", "Content-Location", "Operation-Location", "Azure-AsyncOperation", "X-Goog-Upload-URL"),
        *("X-Goog-Upload-Control-URL", "X-Next-Page", "OData-EntityId", "SourceMap", "upload_url"),
    ],
)
@pytest.mark.parametrize(
    ("endpoint", "origin"),
    [
        (API, "https://api.example"),
        (API, "https://api.example:443"),
        (API, "HTTPS://API.Example"),
        (API, "https://somebody@api.example"),
        ("https://api.example:8443/base/v1", "https://api.example:8443"),
        ("http://api.example", "http://api.example"),
        ("http://api.example", "http://api.example:80"),
        ("https://[2001:db8::1]", "https://[2001:db8::1]"),
    ],
)
def test_the_apis_own_origin_is_the_gateway(name: str, endpoint: str, origin: str) -> None:
    for rest in ("/jobs/1?x=%2F&y=http://o.example/", "/"):
        assert told(name, origin + rest, endpoint) == GATEWAY + rest


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("Location", "https://api.example", GATEWAY),
        ("Location", "//api.example/x", f"{GATEWAY}/x"),
        ("Link", '<https://api.example/p2>; rel="next", <https://other.example/>; rel="x"', None),
        ("Link", "<https://api.example?page=2>; rel=next", f"<{GATEWAY}?page=2>; rel=next"),
        ("Refresh", "5; url=https://api.example/x", f"5; url={GATEWAY}/x"),
        ("Refresh", "0;URL='https://api.example/x'", f"0;URL='{GATEWAY}/x'"),
        ("WWW-Authenticate", 'Bearer realm="https://api.example/token",service="x"', None),
        ("X-Pagination", '{"next":"https://api.example/a?p=2","last":"https://api.example/a?p=9"}', None),
        ("X-Urls", "https://api.example/a, https://other.example/b, https://api.example/c", None),
        ("Content-Security-Policy", "default-src https://api.example; report-uri https://api.example/csp", None),
    ],
)
def test_where_addresses_stand_in_other_forms(name: str, value: str, expected: str | None) -> None:
    if expected is None:
        expected = value.replace("https://api.example/", f"{GATEWAY}/")
    assert told(name, value) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Location", "/relative"),
        ("Location", "https://other.example/x"),
        ("Location", "http://api.example/x"),
        ("Location", "https://api.example:8443/x"),
        ("Location", "https://api.example.evil.example/x"),
        ("Location", "https://api.example@evil.example/x"),
        ("Location", "https://api.exam\tple/x"),
        ("Location", "https://login.example/?back=https://api.example/x"),
        ("Location", 'https://login.example/?back="https://api.example/x"'),
        ("Operation-Location", "https://login.example/?back=https://api.example/x"),
        ("Operation-Location", "https://evil.example/api.example/x"),
        ("Operation-Location", "//api.example/x"),
        ("Refresh", "0; url=https://login.example/;url=https://api.example/x"),
        ("Access-Control-Allow-Origin", "https://api.example"),
        ("Timing-Allow-Origin", "https://api.example, https://other.example"),
        ("Set-Cookie", "back=https://api.example/x"),
        ("Set-Cookie", 'back="https://api.example/x"'),
        ("ETag", '"https://api.example/x"'),
        ("X-Amz-Meta-Source", "https://api.example/x"),
        ("x-goog-meta-from_url", "https://api.example/x"),
        ("X-Note", "see xhttps://api.example/x"),
        ("X-Bad", "https://api.example:port/x"),
        ("X-Bad", "https://[api.example/x"),
    ],
)
def test_everything_else_stays_as_it_is(name: str, value: str) -> None:
    assert told(name, value) == value


def test_early_hints_name_the_gateway_too() -> None:
    assert told("Link", "<https://api.example/s.css>; rel=preload", status=103) == f"<{GATEWAY}/s.css>; rel=preload"


def test_the_credential_in_an_address_is_taken_out_of_it() -> None:
    assert told("Operation-Location", f"https://api.example/x?key={SECRET}") == f"{GATEWAY}/x?key={'*' * len(SECRET)}"


def test_an_address_that_is_called_without_a_key_holds_the_callers_token() -> None:
    called = frozenset({b"x-upload"})
    assert told("X-Upload", "https://api.example/up?id=1", keyless=called) == f"{GATEWAY}/up?id=1&key=gws_token"
    assert told("X-Upload", "https://api.example/up", keyless=called) == f"{GATEWAY}/up?key=gws_token"
    assert told("X-Upload", "https://other.example/up?id=1", keyless=called) == "https://other.example/up?id=1", "nobody else's"
    assert told("Location", "https://api.example/up?id=1", keyless=called) == f"{GATEWAY}/up?id=1"
