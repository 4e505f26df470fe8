"""Of the answers that are searched one brings a large piece in each round of the event loop: what others wait for is one piece."""

import asyncio
from typing import Any

import pytest

from devbox_proxy.kit.rounds import Rounds
from devbox_proxy.kit.transports import BUFFER, LARGE, SMALL
from devbox_proxy.upstreams.connection import BufferedUpstreamConnection

from .playbook import POOL, Pools, Transport


class Answers:
    """Takes whatever comes."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


class Api(Transport):
    """An API that always has more to send."""

    def __init__(self, pools: Pools, *, gentle: bool = True) -> None:
        super().__init__()
        self.connection = BufferedUpstreamConnection(POOL, pools)
        self.connection.connection_made(self)
        self.connection.start(Answers(), "GET", websocket=False, gentle=gentle)
        self.connection.write(b"GET / HTTP/1.1\r\n\r\n")
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n"
        self.piece(head)
        self.taken = 0
        """Large pieces."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """In clear."""
        return default

    def piece(self, data: bytes) -> None:
        """One read."""
        self.connection.get_buffer(-1)[: len(data)] = data
        self.connection.buffer_updated(len(data))

    def round(self) -> None:
        """It is read from, unless it was told to wait."""
        if not self.paused:
            self.piece(b"x" * len(SMALL))
            self.taken += 1


async def test_one_large_piece_in_each_round_and_everybody_has_turns() -> None:
    apis = [Api(pools) for pools in [Pools()] for _ in range(8)]
    for api in apis:
        api.round()
    for _ in range(80):
        before = sum(api.taken for api in apis)
        await asyncio.sleep(0)  # one round
        for api in apis:
            api.round()
        assert sum(api.taken for api in apis) - before <= 1
    assert {api.taken for api in apis} <= {10, 11}


async def test_small_pieces_never_wait() -> None:
    api = Api(Pools())
    for _ in range(100):
        api.piece(b"x" * (LARGE - 1))
    assert not api.paused


async def test_what_is_not_searched_comes_in_large_pieces_and_does_not_wait() -> None:
    api = Api(Pools(), gentle=False)
    assert len(api.connection.get_buffer(-1)) == len(BUFFER)
    api.piece(b"x" * len(BUFFER))
    assert not api.paused


async def test_a_turn_does_not_undo_that_the_client_takes_no_more() -> None:
    api = Api(Pools())
    api.round()
    api.connection.pause(paused=True)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert api.paused
    api.connection.pause(paused=False)
    assert not api.paused


async def test_nor_does_the_client_undo_that_it_is_not_its_turn() -> None:
    pools = Pools()
    apis = [Api(pools), Api(pools)]
    for api in apis:
        api.round()
    for api in apis:
        api.connection.pause(paused=False)
    assert all(api.paused for api in apis)


@pytest.mark.parametrize("ended", ["aborted", "lost"])
async def test_one_that_ends_while_it_waits_holds_nobody_up(ended: str) -> None:
    pools = Pools()
    first, second = Api(pools), Api(pools)
    for api in (first, second):
        api.round()
    if ended == "aborted":
        first.connection.abort()
    else:
        first.connection.connection_lost(None)
    for _ in range(3):
        await asyncio.sleep(0)
    assert not second.paused


async def test_nothing_is_called_when_nobody_waits() -> None:
    rounds = Rounds()
    api = Api(Pools())
    rounds.took(api.connection)
    for _ in range(3):
        await asyncio.sleep(0)
    assert rounds._next is None
