"""A head that was read before is taken for what it was, and nothing else is taken for it."""

import asyncio
import gc
import tracemalloc
from dataclasses import replace
from typing import Any

import pytest
from httptools import HttpRequestParser
from hypothesis import given, settings
from hypothesis import strategies as st

from devbox_common.redacted import Redacted
from devbox_proxy.decide.identity import Forward, decide
from devbox_proxy.known.credentials import Credential
from devbox_proxy.known.facts import ReviewTimes
from devbox_proxy.wire import head_cache, reader
from devbox_proxy.wire.guard import RequestHead
from devbox_proxy.wire.head_cache import LONGEST, Heads

from .identities import CURRENT, NOW, POD, known
from .playbook import PEER, Play, request

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def kept(play: Play) -> int:
    return len(play.path.heads._kept)


def ask(play: Play, raw: bytes) -> tuple[bytes, bytes]:
    """What the API gets, and what the client gets."""
    play.pools.idle_ones = [play.api]
    sent = play.send(raw)
    return sent, play.answer(OK) if sent else play.to_client.take()


@pytest.mark.interpreted
async def test_the_second_request_with_a_head_is_the_same_with_another_body(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = []

    class Parser(HttpRequestParser):
        def feed_data(self, data: Any) -> None:
            parsed.append(data)
            super().feed_data(data)

    monkeypatch.setattr(reader, "HttpRequestParser", Parser)
    play = Play()
    first, _ = ask(play, request(body=b"hello"))
    assert kept(play) == 1
    assert parsed
    parsed.clear()
    second, answer = ask(play, request(body=b"hello, world"))
    assert not parsed, "llhttp is not asked again"
    assert second == first.replace(b"Content-Length: 5", b"Content-Length: 12") + b", world"
    assert answer.endswith(b"ok")


@pytest.mark.parametrize(
    "raw",
    [
        request("GET", "/", "Expect: 100-continue"),
        request("GET", "/", "Connection: close"),
        request("GET", "/", version="HTTP/1.0"),
        request("POST", "/", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
        request("POST", "/", "content-length:5") + b"hello",
        request("POST", "/", "Content-Length:  5") + b"hello",
        request("POST", "/", "CONTENT-LENGTH: 5") + b"hello",
        b"\r\n" + request("GET"),
        request("GET", "/", "X: " + "a" * LONGEST),
        request("GET", "/", token="gws_none.of.them"),
        request("GET", "/../x"),
    ],
)
async def test_what_depends_on_more_is_read_anew_each_time(raw: bytes) -> None:
    play = Play()
    ask(play, raw)
    assert kept(play) == 0


async def test_a_length_that_is_hidden_from_us_is_not_taken_for_none() -> None:
    play = Play()
    ask(play, request("POST", "/"))
    sent, _ = ask(play, request("POST", "/", "content-length:5") + b"hello")
    assert sent.endswith(b"Content-Length: 5\r\n\r\nhello")


async def test_a_head_counts_for_its_own_address_only() -> None:
    one = Play()
    other = Play(peer="10.244.0.8", path=one.path)
    assert ask(one, request())[0]
    sent, answer = ask(other, request())
    assert sent == b""
    assert b"token_elsewhere" in answer


async def test_what_a_head_leads_to_is_decided_each_time() -> None:
    play = Play()
    assert ask(play, request())[0]
    assert ask(play, request())[0]
    play.world.pods["uid-1"] = replace(POD, host_network=True)
    assert b"pod_on_host_network" in ask(play, request())[1]


async def test_another_credential_goes_into_the_very_next_request() -> None:
    play = Play()
    assert b"sk-real" in ask(play, request())[0]
    old = play.world.credentials["credential-c"]
    play.world.credentials["credential-c"] = Credential("credential-c", "8", Redacted("sk-new"), old.allowed_hosts)
    sent = ask(play, request())[0]
    assert b"sk-new" in sent
    assert b"sk-real" not in sent


async def test_an_empty_length_is_not_taken_for_one_whose_digits_were_left_out() -> None:
    play = Play()
    assert ask(play, request("POST", "/", "Content-Length: 0"))[0]
    assert kept(play) == 1
    sent, answer = ask(play, request("POST", "/", "Content-Length: "))
    assert sent == b""
    assert b"malformed_request" in answer


def head_of(number: int, lines: int) -> tuple[head_cache.SplitRead, RequestHead]:
    headers = [(b"x%d" % at, b"v%d" % at) for at in range(lines)]
    raw = b"GET /%d HTTP/1.1\r\n%b\r\n" % (number, b"".join(b"%b: %b\r\n" % line for line in headers))
    read = head_cache.split(PEER, raw)
    assert read is not None
    return read, RequestHead("GET", b"/%d" % number, (1, 1), tuple(headers), PEER)


def test_only_so_many_are_kept() -> None:
    store, costs = Heads(40_000), []
    for number in range(300):
        read, head = head_of(number, number % 5)
        for _ in range(2):
            store.keep(read, head)
        costs.append(head_cache._cost(read.key[2]))
    kept = len(store._kept)
    assert sum(costs[-kept:]) <= 40_000 < sum(costs[-kept - 1 :]), "the oldest went, and no more than had to"


@pytest.mark.parametrize("lines", [3, 20, 95])
def test_what_is_kept_costs_what_is_counted(lines: int) -> None:
    """Whatever a devbox sends: one that invents heads must not take the memory of all."""
    store, world, token = Heads(), known(), (b"x-api-key", f"gws_{CURRENT}".encode())
    gc.collect()
    tracemalloc.start()
    for number in range(100):
        headers = (token, *[(b"x%d" % at, b"v%d" % at) for at in range(lines)], (b"Host", b"g"))
        raw = b"GET /%d HTTP/1.1\r\n%b\r\n" % (number, b"".join(b"%b: %b\r\n" % line for line in headers))
        read = head_cache.split(PEER, raw)
        assert read is not None
        store.keep(read, RequestHead("GET", b"/%d" % number, (1, 1), headers, PEER))
        assert isinstance(decide(store._kept[read.key], world, NOW, ReviewTimes(review=1e12)), Forward)
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert used < 1.3 * store._bytes


_pieces = st.lists(
    st.sampled_from(
        [
            request(body=b"hello"),
            request(body=b"hello, world"),
            request("GET"),
            request("GET", "/v1", "X-A: 1"),
            request("GET", "/v1", f"Authorization: Bearer gws_{CURRENT}"),
            request("POST", "/", "Transfer-Encoding: chunked") + b"3\r\nabc\r\n0\r\n\r\n",
            b"\r\n",
            request("POST", "/v1", "content-length:5") + b"hello",
        ]
    ),
    min_size=1,
    max_size=6,
)


@pytest.mark.interpreted
@settings(max_examples=150)
@given(_pieces, st.integers(0, 2**32))
def test_with_heads_kept_and_without_the_api_gets_the_same(requests: list[bytes], seed: int) -> None:
    async def run(*, keeping: bool) -> bytes:
        play = Play()
        if not keeping:
            play.path.heads.keep = lambda read, head: None  # type: ignore[method-assign]
        got = b""
        for raw in requests * 2:
            cut = seed % len(raw)
            for part in (raw[:cut], raw[cut:]) if seed % 3 == 0 else (raw,):
                play.pools.idle_ones = [play.api]
                got += play.send(part)
            play.answer(OK)
        play.audit_log.close()
        return got

    assert asyncio.run(run(keeping=True)) == asyncio.run(run(keeping=False))
