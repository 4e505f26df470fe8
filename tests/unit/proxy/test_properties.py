"""Whatever a client mixes into a request: what is forwarded holds the credential once and no token, else it is refused."""

import base64
import re
from urllib.parse import parse_qsl, quote, unquote_to_bytes

from hypothesis import given, settings
from hypothesis import strategies as st

from devbox_api.route import Auth, GatewayDocument
from devbox_proxy.decide import injection
from devbox_proxy.decide.admission import Refuse
from devbox_proxy.decide.identity import Forward, decide
from devbox_proxy.known.apis import compile_gateway
from devbox_proxy.wire import grammar
from devbox_proxy.wire.guard import RequestHead

from .identities import CURRENT, NOW, OLD, TIMES, jwt, known

TOKENS = [f"gws_{text}" for text in (CURRENT, OLD, jwt(99), "half", "eyJ.a.b")]
token = st.sampled_from(TOKENS)
junk = st.text(alphabet=st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=12)
form = st.sampled_from(
    [
        lambda text: text,
        lambda text: f"Bearer {text}",
        lambda text: "Basic " + base64.b64encode(f"x:{text}".encode()).decode(),
        lambda text: "basic " + base64.urlsafe_b64encode(f"{text}:".encode()).decode().rstrip("="),
        lambda text: f"a=1; t={text}; b=2",
        lambda text: quote(text, safe="").replace("_", "%5F"),
        lambda text: f"openai-insecure-api-key.{text}, realtime",
    ]
)
name = st.sampled_from(
    "Authorization authorization X-Api-Key x_api_key api-key Cookie Proxy-Authorization X-Any Sec-WebSocket-Protocol Connection "
    "Host TE Expect Forwarded X-Forwarded-For Content-Length Transfer-Encoding User-Agent Via Upgrade Api-Key "
    "X-Internal-Token X_Internal_Token X.Internal-Token x_any user_id Content_Length Transfer_Encoding Sec_WebSocket_Protocol".split()
)
value = st.one_of(st.builds(lambda shape, held: shape(held), form, token), junk)
header = st.tuples(name, value).map(lambda pair: (pair[0].encode(), pair[1].encode()))
key = st.sampled_from(["api_key", "API_key", "%61pi_key", "api%5Fkey", "x;api_key", "+api_key", "k"])
segment = st.one_of(junk, st.sampled_from(["v1", "..", ".", "%2e%2e", "..;x", "%2F", "%5c..", "gws_notes", "a%20b"]))
target = st.builds(
    lambda parts, query: ("/" + "/".join(parts) + query).encode(),
    st.lists(segment, max_size=4),
    st.one_of(st.just(""), st.builds(lambda key, text: f"?{key}={text}&z=%7E", st.one_of(key, junk), st.one_of(token, junk))),
)


auth = st.sampled_from(
    [
        Auth(type="Bearer"),
        Auth(type="Bearer", accepted_key_headers=("x-any",)),
        Auth(type="Header", key="X-Internal-Token", prefix="Token "),
        Auth(type="Header", key="Authorization"),
        Auth(type="Basic", username="git"),
        Auth(type="Query", key="api_key"),
    ]
)
HANDSHAKE = (
    (b"Connection", b"Upgrade"),
    (b"Upgrade", b"websocket"),
    (b"Sec-WebSocket-Version", b"13"),
    (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
)
SECRET = b"sk-real"


@settings(max_examples=1500)
@given(st.lists(header, max_size=6), target, auth, st.booleans())
def test_one_credential_no_token_or_a_refusal(
    headers: list[tuple[bytes, bytes]], path: bytes, mechanism: Auth, handshake: bool
) -> None:
    world = known()
    document = GatewayDocument(name="g", namespace="n", uid="g", endpoint="https://api.example", auth=mechanism)
    world.gateways["gateway-g"] = compile_gateway(document)
    lines = ((b"Host", b"g"), (b"x-api-key", TOKENS[0].encode()), *headers, *(HANDSHAKE if handshake else ()))
    head = RequestHead("GET", path, (1, 1), lines, "10.244.0.7")
    decision = decide(head, world, NOW, TIMES)
    if isinstance(decision, Refuse):
        return
    assert isinstance(decision, Forward)
    sent = injection.render(head, decision)
    names = [name.lower() for name, _ in sent.headers]
    basic = base64.b64encode(b"git:" + SECRET)
    places = [*(value for _, value in sent.headers), sent.target]
    assert sum(place.count(SECRET) + place.count(basic) for place in places) == 1, "the credential, once"
    in_query = mechanism.type == "Query"
    assert names.count(b"host") == 1
    assert len(set(names) & grammar.CREDENTIAL_HEADERS) <= 1
    if in_query:
        assert not set(names) & grammar.CREDENTIAL_HEADERS
        parameters = [name.lower() for name, _ in parse_qsl(sent.target.partition(b"?")[2].decode("latin-1"), True)]
        assert parameters.count("api_key") == 1
    assert sent.websocket is handshake
    of_connection = grammar.HOP_BY_HOP & set(names)
    assert of_connection == ({b"connection", b"upgrade"} if handshake else set())
    assert b"content-length" not in names
    folded = [re.sub(rb"[^a-z0-9]", b"-", name) for name in names]
    assert len(set(folded) & grammar.CREDENTIAL_HEADERS) <= 1, "nor as a server reads them that takes '_' for '-'"
    own = [(mechanism.key or "").lower().encode(), *(name.encode() for name in mechanism.accepted_key_headers)]
    for place in (*(own if mechanism.type in ("Bearer", "Header") else ()), *grammar.CREDENTIAL_HEADERS):
        assert folded.count(place) == names.count(place)
    assert not {name for name in folded if name not in names} & (grammar.HOP_BY_HOP | grammar.NOT_FORWARDED)
    for place in places:
        assert not any(grammar.TOKEN.findall(place))
        assert not any(grammar.TOKEN.findall(unquote_to_bytes(place)))
    path_sent = sent.target.partition(b"?")[0]
    assert path_sent == re.sub(rb"\A/+", b"/", path.partition(b"?")[0]), "byte for byte, but for slashes at its beginning"
    parts = [part for whole in path_sent.split(b"/") for part in unquote_to_bytes(whole).replace(b"\\", b"/").split(b"/")]
    assert not any(part in (b".", b"..") or part.startswith(b"..;") for part in parts)
