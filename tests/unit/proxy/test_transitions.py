"""The tables in the docstrings of the state machines are whole: each row happens here, and in no test of the data path anything else."""

from typing import Final

import pytest

from devbox_api.judge.refusals import Refusal
from devbox_proxy.upstreams.connection import UpstreamError

from . import playbook, tunnel_playbook
from .hellos import retry
from .playbook import request
from .transitions import COMPILED, MACHINES, recorded, table
from .tunnel_playbook import HELLO
from .websockets import ACCEPT, HANDSHAKE, SWITCH

pytestmark = [pytest.mark.interpreted, pytest.mark.skipif(COMPILED, reason="machine code's attributes can't be watched")]
OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"


async def whole() -> None:
    play = playbook.Play()
    play.send(request())
    play.answer(OK + b"ok")
    play.client.close_idle()


async def refused() -> None:
    playbook.Play().send(request(token="gws_unknown"))


async def dialled() -> None:
    play = playbook.Play(connected=False)
    play.send(request())
    await play.dialled()
    play.client.connection_lost(None)


async def dial_failed() -> None:
    play = playbook.Play(connected=False)
    play.send(request())
    await play.dialled(UpstreamError(Refusal.UPSTREAM_UNREACHABLE, ""))


async def websocket() -> None:
    play = playbook.Play()
    play.send(request("GET", "/v1", *HANDSHAKE))
    assert b" 101 " in play.answer(SWITCH % ACCEPT + b"\r\n")
    play.api_lost()


async def no_websocket() -> None:
    play = playbook.Play()
    play.send(request("GET", "/v1", *HANDSHAKE))
    play.answer(OK + b"ok")


async def tunnel_whole() -> None:
    play = tunnel_playbook.Play()
    await play.open()
    play.client.eof_received()
    play.far.eof_received()
    play.far.connection_lost(None)
    play.client.connection_lost(None)


async def tunnel_cut() -> None:
    play = tunnel_playbook.Play()
    await play.open()
    play.client.connection_lost(None)


async def tunnel_asked_again() -> None:
    play = tunnel_playbook.Play()
    await play.tunnel()
    play.send(HELLO)
    play.answer(retry())
    play.client.connection_lost(None)


async def tunnel_lost_before_an_answer() -> None:
    play = tunnel_playbook.Play()
    await play.tunnel()
    play.send(HELLO)
    play.far.connection_lost(None)


SCENES: Final = (
    *(whole, refused, dialled, dial_failed, websocket, no_websocket),
    *(tunnel_whole, tunnel_cut, tunnel_asked_again, tunnel_lost_before_an_answer),
)


async def test_each_row_happens_and_nothing_else() -> None:
    with recorded() as found:
        for scene in SCENES:
            await scene()
    assert found == {name: table(name) for name in MACHINES}
