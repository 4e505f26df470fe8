"""Headers with '_' and its like: what an API gets of them, whose server may take '_' and '-' for one character."""

import itertools
from typing import Final

import pytest

from devbox_api.route import Auth, GatewayDocument
from devbox_common.redacted import Redacted
from devbox_proxy.decide.injection import prepare
from devbox_proxy.known.apis import compile_gateway
from devbox_proxy.known.credentials import Credential
from devbox_proxy.wire.guard import RequestHead, check
from devbox_proxy.wire.tokens import Found, find

from .whole_token import TOKEN

MINE: Final = b"of-the-clients-own"
SEPARATORS: Final = b"_.~!#$%&'*+^`|"
"""What may stand in a name in the place of '-' (RFC 9110 5.6.2)."""
HANDSHAKE: Final = (
    (b"Connection", b"Upgrade"),
    (b"Upgrade", b"websocket"),
    (b"Sec-WebSocket-Version", b"13"),
    (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
)


def sent(
    *headers: tuple[bytes, bytes], auth: Auth | None = None, endpoint: str = "https://api.example", method: str = "POST"
) -> list[tuple[bytes, bytes]]:
    """The headers that the API gets, names in lower case."""
    lines = ((b"Host", b"g"), (b"Authorization", b"Bearer " + TOKEN), *headers)
    head = RequestHead(method, b"/v1/x", (1, 1), lines, "10.0.0.1")
    assert check(head) is None
    found = find(head)
    assert isinstance(found, Found)
    document = GatewayDocument(name="g", namespace="n", uid="u", endpoint=endpoint, auth=auth or Auth(type="Bearer"))
    request = prepare(head, found, Credential("c", "1", Redacted("k-1"), ("*",)).at(compile_gateway(document)))
    return [(name.lower(), value) for name, value in request.headers]


def folded(headers: list[tuple[bytes, bytes]]) -> dict[bytes, list[bytes]]:
    """As a server of the CGI family sees them (RFC 3875 4.1.18, at its laxest)."""
    seen: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        seen.setdefault(bytes(byte if chr(byte).isalnum() else ord("_") for byte in name), []).append(value)
    return seen


def spelled(name: bytes) -> list[bytes]:
    """Its twins: with each character in the place of every '-', and of the first alone."""
    twins = [name.replace(b"-", bytes([each])) for each in SEPARATORS]
    return twins + [name.replace(b"-", bytes([each]), 1) for each in SEPARATORS] + [name.replace(b"-", b"_").upper()]


@pytest.mark.parametrize(
    "name",
    [b"user_id", b"x-amz-meta-realm_id", b"__RequestVerificationToken", b"session_id", b"_", b"X.Trace.Id", b"x_api_keys"],
)
def test_what_is_no_twin_goes_through(name: bytes) -> None:
    for endpoint in ("https://api.example", "https://api.openai.com"):
        assert (name.lower(), b"4_2") in sent((name, b"4_2"), endpoint=endpoint)


@pytest.mark.row("S3", "S8")
@pytest.mark.parametrize(
    "name",
    [
        *(b"x-api-key", b"api-key", b"x-goog-api-key", b"proxy-authorization", b"content-length", b"transfer-encoding"),
        *(
            b"keep-alive",
            b"proxy-connection",
            b"http2-settings",
            b"alt-svc",
            b"x-real-ip",
            b"x-forwarded-for",
            b"x-forwarded-x",
        ),
        *(b"true-client-ip", b"x-original-url", b"x-rewrite-url", b"x-http-method-override", b"x-method-override"),
        *(b"sec-websocket-key", b"sec-websocket-version", b"sec-websocket-protocol", b"sec-websocket-extensions"),
    ],
)
def test_no_twin_of_what_is_removed_set_or_judged_goes_through(name: bytes) -> None:
    for twin in spelled(name):
        assert MINE not in [value for _, value in sent((twin, MINE))], twin


@pytest.mark.parametrize("name", [b"accept-encoding", b"accept-charset", b"if-range"])
def test_what_asks_for_another_form_has_no_twin_where_bodies_are_searched(name: bytes) -> None:
    for twin in spelled(name):
        assert MINE not in [value for _, value in sent((twin, MINE))], twin
        assert (twin.lower(), MINE) in sent((twin, MINE), endpoint="https://api.openai.com"), (
            "there the client's own passes, too"
        )


KEYS: Final = (
    "X-Internal-Token",
    "X.Internal~Token",
    "x~token",
    "Api-Token",
    "Authorization",
    "X-Api-Key",
    "Private-Token",
    "K",
)


@pytest.mark.parametrize("key", KEYS)
def test_the_header_that_holds_the_credential_has_no_twin(key: str) -> None:
    auth, plain = Auth(type="Header", key=key), key.encode().lower()
    for one, other in itertools.product((*SEPARATORS, ord("-")), repeat=2):
        name = plain.translate(bytes.maketrans(b"-.~", bytes([one, other, one])))
        seen = folded(
            sent((name, MINE), auth=auth) if plain != b"authorization" else sent((b"authorization_", MINE), auth=auth)
        )
        (place,) = folded([(plain, b"")])
        assert seen[place] == [b"k-1"], name


@pytest.mark.parametrize("key", [name for name in KEYS if name != "Authorization"])
def test_an_accepted_key_header_has_no_twin(key: str) -> None:
    auth, plain = Auth(type="Bearer", accepted_key_headers=(key,)), key.encode().lower()
    for each in (*SEPARATORS, ord("-")):
        name = plain.translate(bytes.maketrans(b"-.~", bytes([each]) * 3))
        assert MINE not in [value for _, value in sent((name, MINE), auth=auth)], name
        taken = folded(sent((key.encode(), TOKEN), (name, MINE), auth=auth)) if name != plain else {}
        assert MINE not in [value for values in taken.values() for value in values], name


def test_a_twin_that_holds_the_token_is_a_carrier_and_no_place_for_the_credential() -> None:
    headers = sent((b"X_Api_Key", TOKEN), endpoint="https://api.anthropic.com")
    assert [line for line in headers if b"k-1" in line[1]] == [(b"authorization", b"Bearer k-1")]
    assert not [line for line in headers if b"gws_" in line[1] or line[0] == b"x_api_key"]


def test_a_providers_further_key_headers_have_no_twin() -> None:
    for twin in spelled(b"ocp-apim-subscription-key"):
        assert MINE not in [value for _, value in sent((twin, MINE), endpoint="https://x.openai.azure.com")]


def test_a_key_in_the_twin_of_a_subprotocol_does_not_get_through() -> None:
    own = (b"Sec_WebSocket_Protocol", b"realtime, openai-insecure-api-key.sk-mine")
    headers = sent(*HANDSHAKE, own, endpoint="https://api.openai.com", method="GET")
    assert (b"sec-websocket-key", HANDSHAKE[3][1]) in headers
    assert b"sk-mine" not in b"".join(value for _, value in headers)


@pytest.mark.parametrize("option", [b"user_id", b"User-Id", b"user.id"])
def test_what_connection_lists_goes_no_further_however_it_is_written(option: bytes) -> None:
    assert not [name for name, _ in sent((b"Connection", option), (b"user_id", b"1"), (b"User-Id", b"2")) if b"user" in name]
