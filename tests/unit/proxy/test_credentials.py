"""What the API gets: the credential exactly once, in the right place, and nothing of the token."""

import base64
from urllib.parse import quote

import pytest

from devbox_api.names import token_digest
from devbox_api.route import Auth, GatewayDocument
from devbox_common.redacted import Redacted
from devbox_proxy.decide.injection import prepare
from devbox_proxy.known.apis import compile_gateway
from devbox_proxy.known.credentials import Credential
from devbox_proxy.wire.guard import RequestHead
from devbox_proxy.wire.messages import ApiTimeouts, UpstreamRequest
from devbox_proxy.wire.redact import MIN_LENGTH
from devbox_proxy.wire.tokens import Found, find

from .whole_token import TOKEN

BEARER = Auth(type="Bearer")


def prepared(
    endpoint: str,
    secret: str,
    *headers: tuple[bytes, bytes],
    auth: Auth = BEARER,
    target: bytes = b"/v1/messages",
) -> tuple[bytes, dict[bytes, list[bytes]]]:
    head = RequestHead("POST", target, (1, 1), ((b"Host", b"gateway.system.svc"), *headers), "10.0.0.1")
    found = find(head)
    assert isinstance(found, Found)
    api = compile_gateway(GatewayDocument(name="g", namespace="n", uid="u", endpoint=endpoint, auth=auth))
    request = prepare(head, found, Credential("credential-1", "1", Redacted(secret), ("*",)).at(api))
    assert secret not in repr(request)
    result: dict[bytes, list[bytes]] = {}
    for name, value in request.headers:
        result.setdefault(name.lower(), []).append(value)
    assert not any(b"gws_" in value for values in result.values() for value in values)
    assert sum(secret.encode() in value for values in result.values() for value in values) == 1
    return request.target, result


KEY = (b"x-api-key", TOKEN)
AUTHORIZATION = (b"Authorization", b"Bearer " + TOKEN)


@pytest.mark.row("S3", "S6", "S7", "S8", "S18")
@pytest.mark.parametrize(
    ("endpoint", "secret", "carrier", "auth", "expected"),
    [
        ("https://api.anthropic.com", "sk-ant-api03-k", KEY, BEARER, (b"x-api-key", b"sk-ant-api03-k")),
        ("https://api.anthropic.com", "sk-ant-api03-k", AUTHORIZATION, BEARER, (b"x-api-key", b"sk-ant-api03-k")),
        ("https://api.anthropic.com", "sk-ant-oat01-k", AUTHORIZATION, BEARER, (b"authorization", b"Bearer sk-ant-oat01-k")),
        ("https://api.anthropic.com", "sk-ant-oat01-k", KEY, BEARER, (b"x-api-key", b"sk-ant-oat01-k")),
        ("https://api.openai.com", "sk-proj-k", AUTHORIZATION, BEARER, (b"authorization", b"Bearer sk-proj-k")),
        ("https://api.openai.com", "sk-proj-k", KEY, BEARER, (b"authorization", b"Bearer sk-proj-k")),
        ("https://x.openai.azure.com", "azure-k", (b"api-key", TOKEN), BEARER, (b"api-key", b"azure-k")),
        (
            "https://generativelanguage.googleapis.com",
            "AIza-k",
            (b"x-goog-api-key", TOKEN),
            BEARER,
            (b"x-goog-api-key", b"AIza-k"),
        ),
        (
            "https://api.example",
            "k-1",
            (b"X-Key", TOKEN),
            Auth(type="Bearer", accepted_key_headers=("x-key",)),
            (b"x-key", b"k-1"),
        ),
        ("https://api.example", "k-1", (b"X-Key", TOKEN), BEARER, (b"authorization", b"Bearer k-1")),
        (
            "https://api.example",
            "k-1",
            AUTHORIZATION,
            Auth(type="Header", key="X-Internal-Token"),
            (b"x-internal-token", b"k-1"),
        ),
        (
            "https://api.example",
            "k-1",
            AUTHORIZATION,
            Auth(type="Header", key="Authorization", prefix="Token "),
            (b"authorization", b"Token k-1"),
        ),
    ],
)
def test_where_the_credential_goes(
    endpoint: str, secret: str, carrier: tuple[bytes, bytes], auth: Auth, expected: tuple[bytes, bytes]
) -> None:
    _, headers = prepared(endpoint, secret, carrier, auth=auth)
    name, value = expected
    assert headers[name] == [value]
    credential_headers = {b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key", b"x-internal-token", b"x-key"}
    assert {header for header in headers if header in credential_headers} == {name}


@pytest.mark.parametrize(
    ("endpoint", "auth", "expected"),
    [
        ("https://generativelanguage.googleapis.com", BEARER, (b"x-goog-api-key", b"AIza-k")),
        ("https://generativelanguage.googleapis.com", Auth(type="Header", key="X-Key"), (b"x-key", b"AIza-k")),
        ("https://api.openai.com", BEARER, (b"authorization", b"Bearer AIza-k")),
    ],
)
def test_where_it_goes_for_a_token_in_the_query(endpoint: str, auth: Auth, expected: tuple[bytes, bytes]) -> None:
    target, headers = prepared(endpoint, "AIza-k", auth=auth, target=b"/v1beta/models?key=" + TOKEN + b"&alt=sse")
    assert target.endswith(b"/v1beta/models?alt=sse")
    name, value = expected
    assert headers[name] == [value]
    assert {header for header in headers if header in {b"authorization", b"x-goog-api-key", b"x-key"}} == {name}


def sent(auth: Auth, secret: str, *headers: tuple[bytes, bytes], target: bytes = b"/v1") -> UpstreamRequest:
    head = RequestHead("GET", target, (1, 1), ((b"Host", b"g"), *headers), "10.0.0.1")
    found = find(head)
    assert isinstance(found, Found)
    api = compile_gateway(GatewayDocument(name="g", namespace="n", uid="u", endpoint="https://api.example", auth=auth))
    return prepare(head, found, Credential("c", "1", Redacted(secret), ("*",)).at(api))


@pytest.mark.parametrize(("username", "secret"), [("x-access-token", "ghp_secret"), ("", "pat"), ("jürgen", "pässword:1")])
def test_basic_takes_the_credential_as_the_password(username: str, secret: str) -> None:
    git = b"Basic " + base64.b64encode(b"git:" + TOKEN)
    request = sent(Auth(type="Basic", username=username), secret, (b"Authorization", git), KEY)
    rendered = base64.b64encode(f"{username}:{secret}".encode())
    lines = [line for line in request.headers if line[0].lower() in (b"authorization", b"x-api-key")]
    assert lines == [(b"Authorization", b"Basic " + rendered)]
    if len(rendered) >= MIN_LENGTH:
        for form in (rendered, rendered.replace(b"/", b"\\/"), quote(rendered, safe="").encode()):
            assert request.redact(b"echo: " + form + b".") == b"echo: " + b"*" * len(form) + b"."
    assert rendered.decode() not in repr(request)


@pytest.mark.parametrize(
    ("secret", "hidden"),
    [
        ("x-access-token:ghp_0123456789", b"ghp_0123456789"),
        ("me:pässword:number:1", "pässword:number:1".encode()),
        ("sk_live_0123456789:", b"sk_live_0123456789"),
        (":pat-0123456789", b"pat-0123456789"),
    ],
)
def test_basic_takes_user_and_password_from_the_secret(secret: str, hidden: bytes) -> None:
    """Both are taken out of answers: the password alone (or a user that has none), in base64 too, and what Basic made of them."""
    request = sent(Auth(type="Basic", user_in_secret=True), secret, KEY, (b"Authorization", b"Basic bWU6bWluZQ=="))
    rendered = base64.b64encode(secret.encode())
    lines = [line for line in request.headers if line[0].lower() in (b"authorization", b"x-api-key")]
    assert lines == [(b"Authorization", b"Basic " + rendered)]
    assert base64.b64encode(hidden)[:-4] not in request.redact(b"echo: " + base64.b64encode(hidden))
    for form in (hidden, rendered, quote(rendered, safe="").encode()):
        assert request.redact(b"echo: " + form + b".") == b"echo: " + b"*" * len(form) + b"."
    assert secret not in repr(request)
    assert rendered.decode() not in repr(request)
    if secret.startswith("me:"):
        assert request.redact(b"hello me, and me again") == b"hello me, and me again", "a user's name is no secret"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"/v1", b"/v1?api_key=a%2Fb%26c%20d"),
        (b"/v1?", b"/v1?api_key=a%2Fb%26c%20d"),
        (b"/v1?b=%7E&&a=+", b"/v1?b=%7E&&a=+&api_key=a%2Fb%26c%20d"),
        (b"/v1?api_key=mine", b"/v1?api_key=a%2Fb%26c%20d"),
        (b"/v1?x=1&api_key=mine&y=2", b"/v1?x=1&y=2&api_key=a%2Fb%26c%20d"),
        (b"/v1?api_key&y=2", b"/v1?y=2&api_key=a%2Fb%26c%20d"),
        (b"/v1?api_key%00x=mine&y=2", b"/v1?y=2&api_key=a%2Fb%26c%20d"),
        (b"/v1?%61pi%5Fkey=mine&api%5fkey=mine&y=2", b"/v1?y=2&api_key=a%2Fb%26c%20d"),
        (b"/v1?y=2;api_key=mine;z=3&Api_Key=mine&+api_key%20=mine", b"/v1?y=2;z=3&api_key=a%2Fb%26c%20d"),
        (b"/v1?my_api_key=1&api_key2=2&x=api_key=3", b"/v1?my_api_key=1&api_key2=2&x=api_key=3&api_key=a%2Fb%26c%20d"),
        (b"/v1?api_key=" + TOKEN + b"&y=2", b"/v1?y=2&api_key=a%2Fb%26c%20d"),
    ],
)
def test_query_takes_the_credential_once_and_no_other_of_its_name(target: bytes, expected: bytes) -> None:
    request = sent(Auth(type="Query", key="api_key"), "a/b&c d", KEY, AUTHORIZATION, target=target)
    assert request.target == expected
    assert not {b"authorization", b"x-api-key"} & {name.lower() for name, _ in request.headers}
    assert "a%2Fb" not in repr(request)


GOOGLE = "https://generativelanguage.googleapis.com"
AZURE = "https://x.openai.azure.com"


@pytest.mark.parametrize("where", ["https://api.example", "https://api.openai.com", "https://api.anthropic.com", GOOGLE, AZURE])
@pytest.mark.parametrize(
    "parameter",
    [
        b"key=mine",
        b"KEY=mine",
        b"k%65y=mine",
        b"%6B%65%79=mine",
        b"+key=mine",
        b"key%00x=mine",
        b"key[]=mine",
        b"key%5B0%5D=mine",
        b"key",
        b"$key=mine",
        b"access_token=mine",
        b"oauth%5Ftoken=mine",
        b"api-key=mine",
        b"Api%2Dkey=mine",
        b"subscription-key=mine",
    ],
)
def test_the_clients_own_credential_goes_to_no_api_that_takes_one_there(where: str, parameter: bytes) -> None:
    """In whatever way its name is written, first, last and twice. To other APIs a parameter of that name is a parameter."""
    google = b"api" not in parameter.lower() and b"subscription" not in parameter
    taken = (where == GOOGLE and google) or (where == AZURE and not google)
    for separator in (b"&", b";"):
        query = separator.join((parameter, b"alt=sse", parameter, b"keys=1", b"x=key%3Dmine", parameter))
        target, _ = prepared(where, "sk-real-k", AUTHORIZATION, target=b"/v1/x?" + query)
        kept = separator.join((b"alt=sse", b"keys=1", b"x=key%3Dmine"))
        assert target.partition(b"?")[2] == (kept if taken else query)
    alone, _ = prepared(where, "sk-real-k", AUTHORIZATION, target=b"/v1/x?" + parameter)
    assert (b"?" in alone) is not taken


def test_the_clients_own_credential_in_a_header_or_subprotocol_goes_to_no_api_that_takes_one_there() -> None:
    own = (
        (b"Ocp-Apim-Subscription-Key", b"mine"),
        (b"X-Goog-IAM-Authorization-Token", b"mine"),
        (b"Sec-WebSocket-Protocol", b"realtime, OpenAI-Insecure-API-Key.mine, openai-beta.realtime-v1"),
    )
    _, azure = prepared(AZURE, "sk-real-k", AUTHORIZATION, *own)
    assert (b"ocp-apim-subscription-key" in azure, b"x-goog-iam-authorization-token" in azure) == (False, True)
    assert azure[b"sec-websocket-protocol"] == [b"realtime, openai-beta.realtime-v1"]
    _, google = prepared(GOOGLE, "sk-real-k", AUTHORIZATION, *own)
    assert (b"ocp-apim-subscription-key" in google, b"x-goog-iam-authorization-token" in google) == (True, False)
    _, openai = prepared("https://api.openai.com", "sk-real-k", AUTHORIZATION, own[2], (b"OpenAI-Organization", b"org-1"))
    assert openai[b"sec-websocket-protocol"] == [b"realtime, openai-beta.realtime-v1"]
    assert openai[b"openai-organization"] == [b"org-1"], "that is no credential"
    alone = (b"Sec-WebSocket-Protocol", b"openai-insecure-api-key.mine")
    _, nothing = prepared("https://api.openai.com", "sk-real-k", AUTHORIZATION, alone)
    assert b"sec-websocket-protocol" not in nothing
    _, other = prepared("https://api.example", "sk-real-k", AUTHORIZATION, alone)
    assert other[b"sec-websocket-protocol"] == [alone[1]]


def test_a_credential_that_was_sent_in_the_query_is_found_in_an_answer() -> None:
    request = sent(Auth(type="Query", key="key"), "se/cret key 1", KEY)
    for form in (b"se/cret key 1", b"se%2Fcret%20key%201", b"se%2fcret+key+1"):
        assert request.redact(b"<a href='?key=" + form + b"'>") == b"<a href='?key=" + b"*" * len(form) + b"'>"


@pytest.mark.parametrize(
    "auth",
    [
        Auth(type="Header"),
        Auth(type="Header", key="a b"),
        Auth(type="Query"),
        Auth(type="Query", key="a&b"),
        Auth(type="Query", key="a="),
    ],
)
def test_a_credential_without_a_place_is_no_gateway(auth: Auth) -> None:
    with pytest.raises(ValueError, match="no name"):
        compile_gateway(GatewayDocument(name="g", namespace="n", uid="u", endpoint="https://api.example", auth=auth))


def test_what_is_stripped() -> None:
    _, headers = prepared(
        "https://api.example:8443",
        "k-1",
        KEY,
        (b"Authorization", b"Bearer of-the-client"),
        (b"X_Api_Key", b"smuggled"),
        (b"X.Api~Key", b"smuggled"),
        (b"Transfer.Encoding", b"chunked"),
        (b"X-Forwarded.For", b"127.0.0.1"),
        (b"X-Rewrite-URL", b"/admin"),
        (b"Client-IP", b"127.0.0.1"),
        (b"Connection", b"close, X-Secret-Hop"),
        (b"X-Secret-Hop", b"1"),
        (b"Keep-Alive", b"5"),
        (b"TE", b"trailers"),
        (b"Expect", b"100-continue"),
        (b"X-Forwarded-For", b"127.0.0.1"),
        (b"X-Real-IP", b"127.0.0.1"),
        (b"True-Client-IP", b"127.0.0.1"),
        (b"Forwarded", b"for=127.0.0.1"),
        (b"Via", b"1.1 x"),
        (b"Proxy-Authorization", b"Basic eA=="),
        (b"Cookie", b"a=1"),
        (b"anthropic-version", b"2023-06-01"),
        (b"X-Same", b"1"),
        (b"X-Same", b"2"),
    )
    assert headers == {
        b"host": [b"api.example:8443"],
        b"cookie": [b"a=1"],
        b"anthropic-version": [b"2023-06-01"],
        b"x-same": [b"1", b"2"],
        b"authorization": [b"Bearer k-1"],
        b"accept-encoding": [b"identity"],
    }


HANDSHAKE = (
    (b"connection", b"keep-alive, Upgrade"),
    (b"upgrade", b"WebSocket"),
    (b"Sec-WebSocket-Version", b"13"),
    (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
    (b"Sec-WebSocket-Extensions", b"permessage-deflate"),
    (b"Sec-WebSocket-Protocol", b"realtime, openai-insecure-api-key." + TOKEN),
    (b"Origin", b"https://app.example"),
)


def test_a_websocket_handshake_is_made_anew_for_the_next_hop() -> None:
    _, headers = prepared("https://api.openai.com", "sk-proj-k", *HANDSHAKE)
    assert headers == {
        b"host": [b"api.openai.com"],
        b"connection": [b"Upgrade"],
        b"upgrade": [b"websocket"],
        b"sec-websocket-version": [b"13"],
        b"sec-websocket-key": [b"dGhlIHNhbXBsZSBub25jZQ=="],
        b"sec-websocket-extensions": [b"permessage-deflate"],
        b"sec-websocket-protocol": [b"realtime"],
        b"origin": [b"https://app.example"],
        b"authorization": [b"Bearer sk-proj-k"],
    }


def test_an_upgrade_that_is_not_asked_for_is_not_passed_on() -> None:
    _, headers = prepared("https://api.openai.com", "sk-proj-k", KEY, (b"Upgrade", b"websocket"), (b"HTTP2-Settings", b"AAMA"))
    assert not {b"upgrade", b"connection", b"http2-settings"} & set(headers)


def test_a_grant_covers_its_hosts_alone() -> None:
    credential = Credential("c", "1", Redacted("k"), ("api.example", "*.corp.example"))
    assert [credential.granted_to(host) for host in ("api.example", "a.b.corp.example", "corp.example", "evil.example")] == [
        True,
        True,
        False,
        False,
    ]
    assert token_digest("x") != token_digest("y")


def test_the_request_says_how_it_is_to_be_treated() -> None:
    document = {"name": "g", "namespace": "n", "uid": "u", "endpoint": "https://api.openai.com", "auth": {"type": "Bearer"}}
    treated = document | {"timeouts": {"idle": 5}, "max_request_body": 1024, "redact_responses": "All"}
    apis, requests = [], []
    for fields in (document, treated):
        head = RequestHead("GET", b"/v1", (1, 1), ((b"Host", b"g"), KEY), "10.0.0.1")
        found = find(head)
        assert isinstance(found, Found)
        api = compile_gateway(GatewayDocument.model_validate(fields))
        apis.append(api)
        requests.append(prepare(head, found, Credential("c", "1", Redacted("k"), ("*",)).at(api)))
    assert [request.redact_body for request in requests] == [False, True]
    assert (b"Accept-Encoding", b"identity") in requests[1].headers
    plain, special = apis
    assert (plain.timeouts, plain.max_body, plain.redact_body, plain.ca_bundle) == (None, None, False, "")
    assert (special.timeouts, special.max_body, special.redact_body) == (ApiTimeouts(idle=5), 1024, True)


def test_what_two_documents_lead_to_is_worked_out_once_and_anew_when_one_changes() -> None:
    document = GatewayDocument(name="g", namespace="n", uid="u", endpoint="https://api.example", auth=BEARER)
    credential, api = Credential("c", "1", Redacted("k-1"), ("api.example",)), compile_gateway(document)
    access = credential.at(api)
    assert credential.at(api) is access
    assert access.granted
    moved = compile_gateway(document.model_copy(update={"endpoint": "https://other.example"}))
    assert not credential.at(moved).granted
    assert credential.at(moved).pool != access.pool
    assert "k-1" not in repr(access)
