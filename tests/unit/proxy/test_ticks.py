"""What an answer holds back goes on in time, by one timer for all, and by none while nothing is held."""

import asyncio

from devbox_proxy.kit.ticks import TICK_SECONDS, Ticks

from .playbook import Play, request

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"


class Holder:
    """Holds something for so many ticks."""

    def __init__(self, ticks: int, *, fails: bool = False) -> None:
        self.left, self.fails = ticks, fails

    def let_go(self) -> bool:
        self.left -= 1
        if self.fails:
            raise RuntimeError
        return self.left > 0


async def rest(ticks: Ticks) -> None:
    async with asyncio.timeout(5):
        while ticks._timer is not None:  # noqa: ASYNC110 (it ends by itself)
            await asyncio.sleep(TICK_SECONDS / 4)


async def test_one_timer_for_all_and_none_once_nothing_is_held() -> None:
    ticks, holders = Ticks(), [Holder(2) for _ in range(1000)]
    for holder in holders:
        ticks.add(holder)
        first = ticks._timer
        ticks.add(holder)
        assert ticks._timer is first
    await rest(ticks)
    assert {holder.left for holder in holders} == {0}
    assert ticks._holders == {}


async def test_ones_trouble_is_its_own() -> None:
    ticks, broken, other = Ticks(), Holder(5, fails=True), Holder(1)
    ticks.add(broken)
    ticks.add(other)
    await rest(ticks)
    assert (broken.left, other.left) == (4, 0)


async def test_a_piece_without_a_lines_end_goes_on_and_the_stream_is_then_at_rest() -> None:
    play = Play()
    play.send(request("GET", "/v1"))
    assert play.answer(HEAD + b"5\r\nHello\r\n").endswith(b"\r\n\r\n")
    await rest(play.path.ticks)
    assert play.to_client.take() == b"5\r\nHello\r\n"
    assert play.answer(b"2\r\n!\n\r\n") == b"2\r\n!\n\r\n"
    assert play.path.ticks._timer is None, "nothing is held"


async def test_an_answer_that_has_ended_has_nothing_left_to_let_go() -> None:
    play = Play()
    play.send(request("GET", "/v1"))
    play.answer(HEAD + b"5\r\nHello\r\n")
    assert play.answer(b"0\r\n\r\n") == b"5\r\nHello\r\n0\r\n\r\n"
    await rest(play.path.ticks)
    assert play.to_client.take() == b""


async def test_for_a_reader_that_is_stuck_it_goes_on_waiting() -> None:
    play = Play()
    play.send(request("GET", "/v1"))
    play.client.pause_writing()
    play.answer(HEAD + b"5\r\nHello\r\n")
    await rest(play.path.ticks)
    assert b"Hello" not in play.to_client.take()
    play.client.resume_writing()
    assert play.to_client.take().endswith(b"5\r\nHello\r\n")
