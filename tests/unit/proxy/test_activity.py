"""When a pod was active, by what passes: requests, WebSockets, tunnels, and what is refused."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox_api.judge.policies import compile_egress
from devbox_api.route import Auth, GatewayDocument, Rule
from devbox_proxy.accounting.activity import KEPT_SECONDS, Activity, cursor
from devbox_proxy.known.apis import compile_gateway

from .egress_world import DOCUMENT, world
from .identities import known
from .playbook import Play, request
from .tunnel_playbook import Play as TunnelPlay
from .tunnel_playbook import connect
from .websockets import ACCEPT, HANDSHAKE, SWITCH

pytestmark = pytest.mark.row("S23")

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
UID = "uid-1"
LATER = 100.0


def ages(play: Play | TunnelPlay, seconds: float = LATER, since: int | None = None) -> dict[str, float]:
    """As asked so many seconds from now."""
    return play.load.activity.ages(since, time.monotonic() + seconds)


def old(age: float) -> bool:
    return LATER - 10 < age <= LATER


async def test_a_request_is_activity_from_its_head_to_its_answers_end() -> None:
    play = Play()
    assert ages(play) == {}
    play.send(request("POST", "/v1", "Content-Length: 5"))
    assert ages(play) == {UID: 0.0}
    play.send(b"hello")
    play.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
    assert ages(play) == {UID: 0.0}, "an answer that pauses is one that is under way"
    play.answer(b"k")
    assert old(ages(play)[UID])


async def test_a_request_that_breaks_off_was_activity_up_to_then() -> None:
    gone, cut = Play(), Play()
    for play in (gone, cut):
        play.send(request())
        assert ages(play) == {UID: 0.0}
    gone.client.connection_lost(None)
    cut.api_lost()
    assert old(ages(gone)[UID])
    assert old(ages(cut)[UID])


async def test_one_of_two_requests_that_goes_on_is_activity() -> None:
    first = Play(requests_per_devbox=2)
    second = Play(path=first.path)
    second.pools.idle_ones.clear()
    first.send(request())
    first.pools.idle_ones.append(second.api)
    second.send(request())
    first.answer(OK)
    assert ages(first) == {UID: 0.0}
    second.answer(OK)
    assert old(ages(first)[UID])


async def test_a_websocket_counts_by_its_bytes_alone() -> None:
    play = Play()
    play.send(request("GET", "/v1/realtime", *HANDSHAKE))
    assert ages(play) == {UID: 0.0}
    play.answer(SWITCH % ACCEPT + b"\r\n")
    assert old(ages(play)[UID]), "that it is open says nothing"
    for pass_on in (play.send, play.answer):
        before = cursor(time.monotonic())
        assert ages(play, since=before) == {}
        pass_on(b"\x81\x02hi")
        assert UID in ages(play, since=before)
    before = cursor(time.monotonic())
    play.api_lost()
    assert ages(play, since=before) == {}, "its end is none of the devbox's doing"


async def test_a_tunnel_counts_by_its_bytes_alone() -> None:
    play = TunnelPlay()
    await play.open()
    assert old(ages(play)[UID])
    for pass_on in (play.send, play.answer):
        before = cursor(time.monotonic())
        play.check(LATER)
        assert ages(play, since=before) == {}
        pass_on(b"bytes")
        assert UID in ages(play, since=before)


async def test_what_a_verified_pod_is_refused_is_activity_and_what_nobody_vouched_for_is_not() -> None:
    ruled = known()
    document = GatewayDocument(
        name="anthropic",
        namespace="agents",
        uid="g",
        endpoint="https://api.example",
        auth=Auth(type="Bearer"),
        rules=(Rule(methods=("GET",), paths=("/v2",)),),
    )
    ruled.gateways["gateway-g"] = compile_gateway(document)
    verified, elsewhere, unknown = Play(ruled), Play(peer="10.244.0.99"), Play()
    for play in (verified, elsewhere):
        play.send(request())
    unknown.send(request(token="gws_eyJhbGciOiJub25lIn0.e30.c2ln"))
    assert b" 403 " in verified.to_client.take()
    assert old(ages(verified)[UID])
    assert b" 403 " in elsewhere.to_client.take()
    assert ages(elsewhere) == {}
    assert b" 401 " in unknown.to_client.take()
    assert ages(unknown) == {}


async def test_a_refused_connect_counts_likewise() -> None:
    what = world()
    what.egress = {"egress-p": compile_egress(DOCUMENT.model_copy(update={"hostnames": ("other.example",)}))}
    verified, unknown = TunnelPlay(what), TunnelPlay()
    verified.send(connect())
    assert old(ages(verified)[UID])
    unknown.send(connect(auth="Basic ZGV2Ym94Omd3c19lMzAuZTMwLmMybG4="))
    assert ages(unknown) == {}


async def test_too_many_requests_are_activity_and_leave_nothing_open() -> None:
    play = Play(requests_per_devbox=1)
    other = Play(path=play.path)
    play.send(request())
    other.send(request())
    assert b" 429 " in other.to_client.take()
    assert ages(play) == {UID: 0.0}
    play.answer(OK)
    assert old(ages(play)[UID])


def test_an_answer_after_a_cursor_has_what_was_active_since_and_what_still_is() -> None:
    book = Activity()
    for uid, last in (("before", 10.0), ("at once", 20.0), ("after", 20.5)):
        book.of(uid).last = last
    book.of("open").begin()
    book.of("open").last = 0.0
    assert book.ages(None, 30.05) == {"before": 20.0, "at once": 10.0, "after": 9.5, "open": 0.0}
    assert book.ages(cursor(20.0), 30.05) == {"at once": 10.0, "after": 9.5, "open": 0.0}


def test_a_pod_that_is_gone_is_told_for_a_while_and_one_that_is_there_for_ever() -> None:
    book = Activity()
    for uid in ("gone", "there", "gone at work"):
        book.of(uid).last = 100.0
    book.of("gone at work").begin()
    book.forget({"there"}, 100.0 + KEPT_SECONDS)
    assert len(book) == 3
    book.forget({"there"}, 100.1 + KEPT_SECONDS)
    assert set(book.ages(None, 200.0)) == {"there", "gone at work"}


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_an_age_is_never_more_than_the_truth_and_no_activity_is_lost_between_two_answers(last: float, more: float) -> None:
    book = Activity()
    book.of(UID).last = last
    present = last + more
    age = book.ages(None, present)[UID]
    assert 0 <= age <= max(0.0, present - last)
    assert UID in book.ages(cursor(last), present)
