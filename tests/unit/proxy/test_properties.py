"""Whatever a client mixes into a request: what is forwarded holds the credential once and no token, else it is refused."""

import base64
from urllib.parse import quote, unquote_to_bytes

from hypothesis import given, settings
from hypothesis import strategies as st

from devbox_proxy import grammar
from devbox_proxy.guard import RequestHead
from devbox_proxy.identity import Forward, Refuse, decide

from .test_identity import CURRENT, LIMITS, NOW, OLD, jwt, known

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
    "Host TE Expect Forwarded X-Forwarded-For Content-Length Transfer-Encoding User-Agent Via".split()
)
value = st.one_of(st.builds(lambda shape, held: shape(held), form, token), junk)
header = st.tuples(name, value).map(lambda pair: (pair[0].encode(), pair[1].encode()))
segment = st.one_of(junk, st.sampled_from(["v1", "..", ".", "%2e%2e", "..;x", "%2F", "%5c..", "gws_notes", "a%20b"]))
target = st.builds(
    lambda parts, query: ("/" + "/".join(parts) + query).encode(),
    st.lists(segment, max_size=4),
    st.one_of(st.just(""), st.builds(lambda key, text: f"?{key}={text}&z=%7E", junk, st.one_of(token, junk))),
)


@settings(max_examples=600, deadline=None, derandomize=True)
@given(st.lists(header, max_size=6), target)
def test_one_credential_no_token_or_a_refusal(headers: list[tuple[bytes, bytes]], path: bytes) -> None:
    head = RequestHead("POST", path, (1, 1), ((b"Host", b"g"), (b"x-api-key", TOKENS[0].encode()), *headers), "10.244.0.7")
    decision = decide(head, known(), NOW, LIMITS)
    if isinstance(decision, Refuse):
        return
    assert isinstance(decision, Forward)
    sent = decision.upstream
    lines = [value for _, value in sent.headers]
    names = [name.lower() for name, _ in sent.headers]
    assert sum(value.count(b"sk-real") for value in lines) == 1
    assert names.count(b"host") == names.count(b"authorization") == 1
    assert not (grammar.HOP_BY_HOP | grammar.CREDENTIAL_HEADERS - {b"authorization"} | {b"content-length"}) & set(names)
    assert not any(b"_" in name for name in names)
    for text in (*lines, sent.target):
        assert not grammar.TOKEN.search(text)
        assert not grammar.TOKEN.search(unquote_to_bytes(text))
    path_sent = sent.target.partition(b"?")[0]
    assert path_sent == path.partition(b"?")[0], "byte for byte"
    parts = [part for whole in path_sent.split(b"/") for part in unquote_to_bytes(whole).replace(b"\\", b"/").split(b"/")]
    assert not any(part in (b".", b"..") or part.startswith(b"..;") for part in parts)
