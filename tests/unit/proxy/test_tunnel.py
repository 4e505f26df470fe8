"""The tunnel without sockets: what each side says, in every order that matters, and what the other one gets."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from devbox_api.judge.policies import compile_egress
from devbox_api.judge.refusals import Refusal
from devbox_api.names import token_digest
from devbox_proxy.accounting.audit import AuditFull
from devbox_proxy.decide.admission import Refuse
from devbox_proxy.known.facts import Known, Review
from devbox_proxy.tunnels.client import CHALLENGES
from devbox_proxy.tunnels.tunnel import ACCESS_DENIED, HELD
from devbox_proxy.wire.client_hello import alert

from .egress_world import DOCUMENT, world
from .hellos import client_hello, retry, server_hello, with_extensions
from .identities import NOW, POD, jwt
from .playbook import CALLER
from .tunnel_playbook import HELLO, Play, connect


async def test_bytes_pass_once_the_hello_was_read_and_answered() -> None:
    play = Play()
    await play.open()
    assert play.send(b"up") == b"up"
    assert play.answer(b"down") == b"down"
    play.client.eof_received()
    assert play.to_far.eof
    assert play.answer(b"and more") == b"and more"
    play.far.eof_received()
    assert play.to_client.eof
    assert play.to_client.closing
    assert play.to_far.closing
    play.far.connection_lost(None)
    play.client.connection_lost(None)
    start, end = play.lines()
    assert (start["audit"], start["target"], start["address"]) == ("start", "api.github.com:443", "140.82.112.5:443")
    assert (end["audit"], end["ended"]) == ("end", "complete")
    assert (end["received"], end["sent"]) == (len(HELLO) + 2, len(server_hello()) + 12)
    assert play.ended() == "complete"
    assert play.made == play.lost == [play.client]


async def test_the_host_may_say_its_last_word_first() -> None:
    play = Play()
    await play.open()
    play.far.eof_received()
    assert play.to_client.eof
    assert play.send(b"still") == b"still"
    play.client.eof_received()
    play.client.connection_lost(None)
    play.far.connection_lost(None)
    assert play.ended() == "complete"


async def test_no_byte_reaches_the_host_before_the_hello_is_whole_and_right() -> None:
    play = Play()
    await play.tunnel()
    for byte in HELLO[:-1]:
        assert play.send(bytes([byte])) == b""
    assert play.send(HELLO[-1:]) == HELLO


async def test_what_comes_with_the_connect_is_the_hello() -> None:
    play = Play()
    await play.tunnel(HELLO)
    assert play.to_far.take() == HELLO


@pytest.mark.parametrize(
    ("first", "code", "said"),
    [
        (b"hello", "not_tls", b""),
        (b"GET / HTTP/1.1\r\n\r\n", "not_tls", b""),
        (client_hello("evil.example"), "sni_mismatch", alert(ACCESS_DENIED)),
        (client_hello(None), "sni_missing", alert(ACCESS_DENIED)),
        (with_extensions(HELLO, (0xFE0D, b"")), "ech_not_allowed", alert(ACCESS_DENIED)),
    ],
)
@pytest.mark.parametrize("early", [True, False])
async def test_tls_that_asks_for_something_else_does_not_begin(first: bytes, code: str, said: bytes, *, early: bool) -> None:
    play = Play()
    if early:
        play.send(connect() + first)
        await asyncio.sleep(0)
        assert await play.dialled() == b"HTTP/1.1 200 Connection established\r\n\r\n" + said
    else:
        await play.tunnel()
        play.send(first)
        assert play.to_client.take() == said
    assert play.to_far.take() == b""
    assert play.to_far.aborted
    assert play.to_client.eof
    assert play.send(HELLO) == b""
    play.check(2)
    assert play.to_client.aborted
    assert play.ended() == code


async def test_settings_let_ech_and_no_name_begin() -> None:
    play = Play(allow_ech=True)
    await play.tunnel()
    hidden = with_extensions(HELLO, (0xFE0D, b""))
    assert play.send(hidden) == hidden
    other = Play(allow_no_sni=True)
    await other.tunnel()
    assert other.send(client_hello(None))


async def test_a_second_hello_must_ask_for_the_same_host() -> None:
    play = Play()
    await play.tunnel()
    assert play.send(HELLO + client_hello("evil.example")) == HELLO  # what follows waits for the server's answer
    assert play.answer(retry()) == retry() + alert(ACCESS_DENIED)
    assert play.to_far.take() == b""
    assert play.to_far.aborted
    good = Play()
    await good.tunnel()
    assert good.send(HELLO) == HELLO
    assert good.answer(retry()[:20]) == b""
    assert good.answer(retry()[20:]) == retry()
    second = b"\x14\x03\x03\x00\x01\x01" + HELLO
    assert good.send(second) == second
    assert good.answer(server_hello()) == server_hello()
    assert good.send(b"data") == b"data"


async def test_what_follows_the_hello_waits_for_the_answer_within_bounds() -> None:
    play = Play()
    await play.tunnel()
    early = b"\x17\x03\x03\x00\x05early"
    assert play.send(HELLO + early) == HELLO
    assert not play.to_client.paused
    play.send(bytes(HELD))
    assert play.to_client.paused
    assert play.answer(server_hello()) == server_hello()
    assert play.to_far.take() == early + bytes(HELD)
    assert not play.to_client.paused


async def test_a_server_that_speaks_first_is_not_heard_before_the_hello() -> None:
    play = Play()
    await play.tunnel()
    assert play.answer(b"220 mail.example ESMTP\r\n") == b""
    assert play.to_far.paused
    play.send(HELLO)
    assert play.to_client.take() == b"220 mail.example ESMTP\r\n"


async def test_a_slow_reader_slows_its_writer_down() -> None:
    play = Play()
    await play.open()
    play.client.pause_writing()
    assert play.to_far.paused
    play.client.resume_writing()
    assert not play.to_far.paused
    play.far.pause_writing()
    assert play.to_client.paused
    play.check(99)
    assert not play.to_client.aborted
    play.check(101)
    assert play.to_client.aborted
    assert play.to_far.aborted
    assert play.ended() == "stuck_reader"


async def test_deadlines() -> None:
    late = Play()
    await late.tunnel()
    late.check(11)
    assert late.to_client.eof
    assert late.ended() == "hello_timeout"
    idle = Play()
    await idle.open()
    idle.check(1)
    idle.send(b"x")
    idle.check(800)
    idle.check(1600)
    assert not idle.to_client.aborted
    idle.check(1701)
    assert idle.ended() == "idle"
    silent = Play()
    silent.check(4)
    assert not silent.to_client.aborted
    silent.check(6)
    assert silent.to_client.aborted
    slow = Play()
    slow.send(b"CONNECT a")
    slow.check(6)
    assert slow.to_client.take().startswith(b"HTTP/1.1 408 ")


async def test_an_end_of_one_side_is_the_end() -> None:
    gone = Play()
    await gone.open()
    gone.client.connection_lost(ConnectionResetError())
    assert gone.to_far.aborted
    assert gone.ended() == "client_gone"
    cut = Play()
    await cut.open()
    cut.far.connection_lost(ConnectionResetError())
    assert cut.to_client.closing
    assert cut.ended() == "upstream_gone"
    closed = Play()
    await closed.tunnel()
    closed.far.eof_received()
    assert closed.to_client.eof
    assert closed.ended() == "upstream_gone"


def _not_confined(known: Known) -> None:
    other = world(confined=False)
    known.routes, known.egress_tokens = other.routes, other.egress_tokens


def _route_of_a_young_pod_gone(known: Known) -> None:
    known.pods["uid-1"] = replace(POD, seen_at=NOW)
    known.routes.clear()
    known.egress_tokens.clear()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda known: known.pods.clear(), "pod_gone"),
        (lambda known: known.egress.clear(), "policy_gone"),
        (lambda known: known.egress.update({"egress-p": None}), "route_unsupported"),
        (
            lambda known: known.egress.update({"egress-p": compile_egress(DOCUMENT.model_copy(update={"hostnames": ()}))}),
            "host_not_allowed",
        ),
        (
            lambda known: known.egress.update({"egress-p": compile_egress(DOCUMENT.model_copy(update={"ports": (8443,)}))}),
            "port_not_allowed",
        ),
        (lambda known: known.egress_tokens.clear() or known.routes.clear(), "token_unknown"),
        (_route_of_a_young_pod_gone, "token_unknown"),
        (_not_confined, "devbox_not_confined"),
        (lambda known: known.reviews.update({"uid-1": Review(NOW, False, token_digest(jwt(7)))}), "token_refused"),
    ],
)
async def test_a_tunnel_is_cut_when_what_it_rests_on_is_gone(change: Any, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devbox_proxy.tunnels.forwarder.now", lambda: NOW)
    play = Play()
    await play.open()
    play.check(0)
    assert not play.to_client.aborted
    change(play.world)
    play.check(0.5)
    assert play.to_client.aborted
    assert play.to_far.aborted
    assert play.ended() == code


async def test_a_changed_policy_that_still_allows_it_cuts_nothing_and_addresses_count_too() -> None:
    play = Play()
    await play.open()
    play.world.egress["egress-p"] = compile_egress(DOCUMENT)
    play.check(0.5)
    assert not play.to_client.aborted
    assert play.client.tunnel is not None
    play.client.tunnel.address = "10.1.2.3:443"  # which the settings do not permit
    play.world.egress["egress-p"] = compile_egress(DOCUMENT)
    play.check(1)
    assert play.ended() == "address_not_allowed"


async def test_an_old_review_is_renewed_and_an_unanswered_question_cuts_nothing() -> None:
    play = Play()
    await play.open()
    play.world.reviews["uid-1"] = Review(-1e13, True, token_digest(jwt(7)))
    play.check(1)
    assert play.renewed
    assert not play.to_client.aborted


async def test_a_connect_without_a_token_keeps_the_connection_a_few_times() -> None:
    play = Play()
    for _ in range(CHALLENGES):
        play.send(connect(auth=None))
        said = play.to_client.take()
        assert said.startswith(b"HTTP/1.1 407 ")
        assert b"Proxy-Authenticate: Basic" in said
        assert not play.to_client.eof
    await play.tunnel()
    other = Play()
    other.send(connect(auth=None) * CHALLENGES + connect(auth=None))
    assert other.to_client.take().count(b"HTTP/1.1 407 ") == CHALLENGES + 1
    assert other.to_client.eof


async def test_refusals_close_and_nothing_behind_them_is_read() -> None:
    play = Play()
    play.send(connect("evil.example:443") + connect())
    said = play.to_client.take()
    assert said.startswith(b"HTTP/1.1 403 host_not_allowed: evil.example; ")
    assert said.count(b"HTTP/1.1") == 1
    assert play.to_client.eof
    play.send(connect())
    assert play.to_client.take() == b""
    assert not play.forwarder.dialled
    (line,) = play.lines()
    assert (line["audit"], line["code"], line["target"], line["status"]) == (
        "refused",
        "host_not_allowed",
        "evil.example:443",
        403,
    )


async def test_a_dial_that_fails_is_told() -> None:
    play = Play()
    play.send(connect())
    await asyncio.sleep(0)
    said = await play.dialled(Refuse(Refusal.UPSTREAM_UNREACHABLE, None, "api.github.com:443 can't be reached"))
    assert said.startswith(b"HTTP/1.1 502 upstream_unreachable: api.github.com:443 can't be reached\r\n")
    assert play.load.tunnels.total == 0


async def test_a_devbox_that_leaves_while_it_is_dialled_leaves_nothing() -> None:
    play = Play()
    play.send(connect())
    await asyncio.sleep(0)
    assert play.load.tunnels.total == 1
    play.client.connection_lost(None)
    for _ in range(3):
        await asyncio.sleep(0)
    assert play.load.tunnels.total == 0
    assert not play.load.tunnels._by_pod


async def test_so_many_tunnels_and_no_more() -> None:
    play = Play(tunnels_per_devbox=1)
    play.load.tunnels.enter(CALLER)
    play.send(connect())
    await asyncio.sleep(0)
    said = play.to_client.take()
    assert said.startswith(b"HTTP/1.1 429 ")
    assert b"Retry-After: 15\r\n" in said
    assert b"egress.tunnelsPerDevbox" in said
    assert play.load.tunnels._by_pod == {"uid-1": 1}
    full = Play(tunnels=1)
    full.load.tunnels.total = 1
    full.send(connect())
    await asyncio.sleep(0)
    assert full.to_client.take().startswith(b"HTTP/1.1 503 ")


async def test_what_counts_as_no_tunnel_keeps_nobodys_place() -> None:
    open_one = Play()
    assert not open_one.client.busy
    await open_one.open()
    assert open_one.client.busy
    open_one.client.eof_received()
    open_one.far.eof_received()
    assert open_one.client.busy, "what was said last is on its way"
    refused = Play(tunnels_per_devbox=1)
    refused.load.tunnels.enter(CALLER)
    refused.send(connect())
    assert refused.client.busy
    await asyncio.sleep(0)
    assert refused.to_client.take().startswith(b"HTTP/1.1 429 ")
    assert not refused.client.busy, "though the connection is there for another second"
    turned_away = Play()
    await turned_away.tunnel()
    turned_away.send(b"GET / HTTP/1.1\r\n\r\n")
    assert not turned_away.client.busy
    not_read = Play()
    await not_read.open()
    not_read.client.pause_writing()
    not_read.answer(b"x" * 1000)
    not_read.far.connection_lost(None)
    assert not not_read.to_client.aborted
    assert not not_read.client.busy, "though a devbox may take its time to read what came"
    for play in (refused, turned_away, not_read):
        play.client.abort()
        assert play.to_client.aborted


async def test_there_is_no_tunnel_that_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    play = Play(drop=False, queue=1)
    monkeypatch.setattr(play.log, "tunnel_start", _full)
    play.send(connect())
    await asyncio.sleep(0)
    assert (await play.dialled()).startswith(b"HTTP/1.1 503 audit_full")
    assert play.to_far.aborted
    assert play.load.tunnels.total == 0


def _full(*_: object) -> None:
    raise AuditFull


async def test_the_gateways_end_is_the_end_of_tunnels_and_idle_connections_go_first() -> None:
    idle = Play()
    idle.client.close_idle()
    assert idle.to_client.eof
    play = Play()
    await play.open()
    play.client.close_idle()
    assert not play.to_client.eof
    play.client.abort()
    assert play.to_client.aborted
    assert play.ended() == "shutdown"


async def test_a_pod_that_goes_and_comes_back_as_another_object_is_judged_anew() -> None:
    play = Play()
    await play.open()
    play.world.pods["uid-1"] = POD
    play.check(0)
    assert not play.to_client.aborted
