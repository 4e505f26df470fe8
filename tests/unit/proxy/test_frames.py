"""Frames of WebSockets, cut anywhere: between which of their bytes a farewell may be said."""

import random

import pytest

from devbox_proxy.wire.frames import Frames, farewell

TEXT, MORE, BINARY, CLOSE, PING = 1, 0, 2, 8, 9


def frame(code: int, payload: bytes, *, fin: bool = True, masked: bool = False, bits: int = 0) -> bytes:
    """One frame. `bits`: of extensions (RSV), as compression has them."""
    size = len(payload)
    mask = 0x80 if masked else 0
    head = bytes([(0x80 if fin else 0) | bits | code])
    if size < 126:
        head += bytes([mask | size])
    elif size < 1 << 16:
        head += bytes([mask | 126]) + size.to_bytes(2, "big")
    else:
        head += bytes([mask | 127]) + size.to_bytes(8, "big")
    return head + (b"\x01\x02\x03\x04" if masked else b"") + payload


SIZES = (0, 1, 125, 126, 127, 300, 65_535, 65_536, 70_000)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_only_behind_a_whole_frame_nothing_is_half_said(size: int, masked: bool) -> None:
    whole = frame(BINARY, b"x" * size, masked=masked, bits=0x40)
    for cut in {1, 2, 3, 5, len(whole) // 2, len(whole) - 1} & set(range(1, len(whole))):
        frames = Frames()
        assert frames.between
        frames.feed(whole[:cut])
        assert not frames.between, cut
        frames.feed(whole[cut:])
        assert frames.between, cut


def test_a_message_in_parts_is_half_said_until_its_last_whatever_comes_between() -> None:
    frames = Frames()
    frames.feed(frame(TEXT, b"a", fin=False))
    assert not frames.between
    frames.feed(frame(PING, b"p"))
    assert not frames.between
    frames.feed(frame(MORE, b"b", fin=False) + frame(MORE, b"c"))
    assert frames.between
    frames.feed(frame(PING, b""))
    assert frames.between


def test_behind_a_close_frame_nothing_follows() -> None:
    frames = Frames()
    frames.feed(frame(TEXT, b"a") + frame(CLOSE, b"\x03\xe8")[:1])
    assert not frames.closed
    assert not frames.between
    frames.feed(frame(CLOSE, b"\x03\xe8")[1:])
    assert frames.closed
    assert not frames.between
    frames.feed(b"whatever")
    assert not frames.between


@pytest.mark.parametrize("masked", [False, True])
def test_however_they_are_cut_the_same_comes_of_it(masked: bool) -> None:
    chance = random.Random(7)  # noqa: S311 (no secret)
    for _ in range(300):
        said, bounds, is_open = b"", {0}, False
        for _ in range(chance.randrange(1, 12)):
            if chance.random() < 0.3:
                said += frame(PING, b"p" * chance.randrange(5), masked=masked)
            else:
                fin = chance.random() < 0.6
                size = chance.choice((0, 1, 60, 125, 126, 200))
                said += frame(MORE if is_open else TEXT, b"t" * size, fin=fin, masked=masked)
                is_open = not fin
            if not is_open:
                bounds.add(len(said))
        frames, at = Frames(), 0
        while at < len(said):
            step = chance.choice((1, 2, 3, 7, 50, 1000))
            frames.feed(said[at : at + step])
            at = min(at + step, len(said))
            assert frames.between == (at in bounds)


@pytest.mark.parametrize("masked", [False, True])
def test_ours_is_a_frame_like_any_other(masked: bool) -> None:
    said = farewell("w" * 300, masked=masked)
    assert said[:2] == bytes([0x88, 102 | (0x80 if masked else 0)])
    payload = said[2:]
    if masked:
        payload = bytes(byte ^ payload[at % 4] for at, byte in enumerate(payload[4:]))
    assert payload == (1001).to_bytes(2, "big") + b"w" * 100
