"""The one token of a request is found wherever it is, and nothing of it is left."""

import base64
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox_api.judge.refusals import Refusal
from devbox_api.names import token_digest
from devbox_proxy.wire import grammar
from devbox_proxy.wire.guard import RequestHead
from devbox_proxy.wire.tokens import IN_QUERY, Found, find

from .whole_token import JWT, TOKEN, part

OTHER = f"{part({'alg': 'RS256'})}.{part({'x': 1})}.c2ln"


def head(*headers: tuple[bytes, bytes], target: bytes = b"/v1") -> RequestHead:
    return RequestHead("POST", target, (1, 1), ((b"Host", b"g"), *headers), "10.0.0.1")


def basic(user: bytes, password: bytes) -> bytes:
    return b"Basic " + base64.b64encode(user + b":" + password)


@pytest.mark.row("S16")
@pytest.mark.parametrize(
    "request_head",
    [
        head((b"x-api-key", TOKEN)),
        head((b"Authorization", b"Bearer " + TOKEN)),
        head((b"authorization", b"bearer  " + TOKEN)),
        head((b"Authorization", basic(b"x", TOKEN))),
        head((b"Authorization", basic(TOKEN, b""))),
        head((b"Authorization", basic(b"x", TOKEN).rstrip(b"="))),
        head((b"Authorization", basic(b"x", TOKEN).replace(b"+", b"-").replace(b"/", b"_"))),
        head((b"Authorization", b"bAsIc  " + basic(b"xy", TOKEN)[6:])),
        head((b"X-Escaped", TOKEN.replace(b"_", b"%5f").replace(b".", b"%2E"))),
        head((b"X-Internal-Token", TOKEN)),
        head((b"X-Any", b"key=" + TOKEN + b";v=1")),
        head(target=b"/v1?key=" + TOKEN),
        head(target=b"/v1?a=1&key=" + TOKEN.replace(b"_", b"%5F") + b"&b=2"),
        head((b"x-api-key", TOKEN), (b"Authorization", b"Bearer " + TOKEN), target=b"/v1?key=" + TOKEN),
    ],
)
def test_every_carrier_is_found_and_removed(request_head: RequestHead) -> None:
    found = find(request_head)
    assert isinstance(found, Found)
    assert found.digest == token_digest(JWT)
    assert found.pod_uid == "pod-1"
    assert found.headers == ((b"Host", b"g"),)
    assert b"gws_" not in (found.query or b"")


def test_the_rest_of_the_query_stays_byte_for_byte() -> None:
    found = find(head(target=b"/v1?b=%7E&key=" + TOKEN + b"&a=+&&c"))
    assert isinstance(found, Found)
    assert found.query == b"b=%7E&a=+&&c"
    assert isinstance(only := find(head(target=b"/v1?key=" + TOKEN)), Found)
    assert only.query is None
    assert isinstance(empty := find(head((b"x-api-key", TOKEN), target=b"/v1?")), Found)
    assert empty.query == b""


def test_cookies_pass_but_the_one_with_a_token() -> None:
    found = find(head((b"Cookie", b"a=1; t=" + TOKEN + b"; b=2"), (b"Cookie", b"c=3")))
    assert isinstance(found, Found)
    assert found.headers == ((b"Host", b"g"), (b"Cookie", b"a=1; b=2"), (b"Cookie", b"c=3"))


@pytest.mark.parametrize(
    ("offered", "left"),
    [
        (b"realtime, openai-insecure-api-key." + TOKEN, [b"realtime"]),
        (
            b"realtime,openai-insecure-api-key." + TOKEN + b" ,  openai-beta.realtime-v1",
            [b"realtime,  openai-beta.realtime-v1"],
        ),
        (b"openai-insecure-api-key." + TOKEN + b", realtime, openai-organization.o", [b"realtime, openai-organization.o"]),
        (TOKEN + b", realtime", [b"realtime"]),
        (b"a, " + TOKEN + b", b, key." + TOKEN, [b"a, b"]),
        (b"openai-insecure-api-key." + TOKEN, []),
        (TOKEN, []),
        (TOKEN + b", ", []),
    ],
)
def test_subprotocols_pass_but_the_one_with_a_token(offered: bytes, left: list[bytes]) -> None:
    found = find(head((b"Sec-WebSocket-Protocol", offered), (b"Sec-WebSocket-Protocol", b"last")))
    assert isinstance(found, Found)
    assert found.digest == token_digest(JWT)
    assert found.headers == ((b"Host", b"g"), *((b"Sec-WebSocket-Protocol", value) for value in [*left, b"last"]))
    assert not found.key_headers, "a subprotocol is no place for a credential"


def test_headers_that_carry_it_alone_are_key_headers() -> None:
    found = find(head((b"X-Api-Key", TOKEN), (b"Authorization", b"Bearer " + TOKEN)))
    assert isinstance(found, Found)
    assert found.key_headers == {b"x-api-key"}


def test_the_query_is_told_apart() -> None:
    found = find(head(target=b"/v1?key=" + TOKEN))
    assert isinstance(found, Found)
    assert found.key_headers == {IN_QUERY}


def test_a_token_does_not_print_itself() -> None:
    assert JWT not in repr(find(head((b"x-api-key", TOKEN))))


def test_a_path_may_hold_the_prefix_as_a_word() -> None:
    found = find(head((b"x-api-key", TOKEN), target=b"/repos/a/contents/docs/gws_notes.md"))
    assert isinstance(found, Found)


@pytest.mark.parametrize(
    ("request_head", "refusal"),
    [
        (head(), Refusal.TOKEN_MISSING),
        (head((b"Authorization", b"Bearer sk-ant-api03-real")), Refusal.TOKEN_MISSING),
        (head((b"Authorization", b"Basic %%%")), Refusal.TOKEN_MISSING),
        (head((b"x-api-key", b"gws_")), Refusal.TOKEN_MALFORMED),
        (head((b"x-api-key", TOKEN[:40])), Refusal.TOKEN_MALFORMED),
        (head((b"x-api-key", TOKEN), (b"X-Other", b"gws_half")), Refusal.TOKEN_MALFORMED),
        (head((b"x-api-key", TOKEN), target=b"/v1?key=gws_half"), Refusal.TOKEN_MALFORMED),
        (head((b"x-api-key", TOKEN), (b"Authorization", f"Bearer gws_{OTHER}".encode())), Refusal.TOKEN_AMBIGUOUS),
        (head((b"x-api-key", TOKEN), target=f"/v1?key=gws_{OTHER}".encode()), Refusal.TOKEN_AMBIGUOUS),
        (head((b"Sec-WebSocket-Protocol", TOKEN + b", key.gws_" + OTHER.encode())), Refusal.TOKEN_AMBIGUOUS),
        (head((b"x-api-key", TOKEN), (b"Sec-WebSocket-Protocol", b"a, key.gws_" + OTHER.encode())), Refusal.TOKEN_AMBIGUOUS),
        (head((b"Sec-WebSocket-Protocol", b"realtime, key.gws_half")), Refusal.TOKEN_MALFORMED),
        (head((b"X-Two", TOKEN + b" " + f"gws_{OTHER}".encode())), Refusal.TOKEN_AMBIGUOUS),
        (head(target=b"/v1/" + TOKEN), Refusal.TOKEN_IN_PATH),
        (head(target=b"/v1/%67ws_%65yJx"), Refusal.TOKEN_IN_PATH),
    ],
)
def test_everything_else_is_refused(request_head: RequestHead, refusal: Refusal) -> None:
    assert find(request_head) is refusal


@pytest.mark.parametrize(
    ("extra", "target", "refusal"),
    [
        ([(b"X-Jwt", JWT.encode())], b"/v1", Refusal.TOKEN_MALFORMED),
        ([(b"X-Upper", b"GWS_" + JWT.encode())], b"/v1", Refusal.TOKEN_MALFORMED),
        ([(b"X-Twice", b"gws%255f" + JWT.encode())], b"/v1", Refusal.TOKEN_MALFORMED),
        ([(b"Cookie", b"a=1; b=" + JWT.encode())], b"/v1", Refusal.TOKEN_MALFORMED),
        ([], b"/v1?k=gws%255f" + JWT.encode(), Refusal.TOKEN_MALFORMED),
        ([], b"/v1/" + JWT.encode(), Refusal.TOKEN_IN_PATH),
    ],
)
def test_nor_does_the_token_pass_without_its_prefix(extra: list[tuple[bytes, bytes]], target: bytes, refusal: Refusal) -> None:
    assert find(head((b"x-api-key", TOKEN), *extra, target=target)) is refusal


@pytest.mark.parametrize("value", [b"gws_" * 2047, b"gws_a." * 1000 + b"gws_" * 500, b"gws_" * 1000 + b"." + b"gws_" * 1000])
def test_no_value_makes_the_search_slow(value: bytes) -> None:
    started = time.perf_counter()
    for _ in range(10):
        find(head(*((b"X-%d" % number, value + b"%") for number in range(4))))
    assert time.perf_counter() - started < 0.2, "it was 2.5 s when each start was searched up to the end"


@given(st.lists(st.sampled_from([b"gws_", b"a", b".", b"-", b"_", b" ", b"gws_a.b.c", b"g"]), max_size=24).map(b"".join))
def test_the_search_finds_what_a_plain_one_finds(value: bytes) -> None:
    plain = re.findall(rb"gws_[\w-]+\.[\w-]+\.[\w-]+", value)
    assert [b"gws_" + jwt for jwt in grammar.TOKEN.findall(value) if jwt] == plain
