"""Where the frames of one direction of a WebSocket begin and end (RFC 6455 5.2), so that a farewell never falls into the midst of one.

Goes in: bytes as they pass, cut anywhere. Comes out: whether a message is half said, and whether its side has said good-bye. What is in
the frames is not read, and what a frame must not be is for whoever reads it: nothing is changed, nothing held. Pure.
"""

import os
from typing import Final

_CLOSE: Final = 8
_GOING_AWAY: Final = 1001
"""RFC 6455 7.4.1: a server that goes down, or a client that leaves."""
_WORD_BYTES: Final = 100
"""Of a reason; a control frame has room for 123 (5.5)."""


class Frames:
    """Of one direction."""

    __slots__ = ("_head", "_left", "_open", "closed")

    def __init__(self) -> None:
        self.closed = False
        """A Close frame has begun: nothing of this side's may follow it."""
        self._head = b""
        """Of a frame's, as far as it has come."""
        self._left = 0
        """Bytes of a frame that are still to come."""
        self._open = False
        """A message goes on in another frame."""

    @property
    def between(self) -> bool:
        """Nothing is half said: a frame of one's own may follow."""
        return not (self._left or self._head or self._open or self.closed)

    def feed(self, data: bytes) -> None:
        """Bytes that go on."""
        size, at = len(data), self._left
        if at >= size or self.closed:
            self._left = max(0, at - size)
            return
        if self._head:
            data = self._head + data
            size = len(data)
            self._head = b""
        while size - at >= 2:
            first, second = data[at], data[at + 1]
            length, end = second & 127, at + (6 if second > 127 else 2)  # with the mask of a client's
            if length == 126:
                if size - at < 4:
                    break
                length = data[at + 2] << 8 | data[at + 3]
                end += 2
            elif length == 127:
                if size - at < 10:
                    break
                length = int.from_bytes(data[at + 2 : at + 10], "big")
                end += 8
            if first & 15 == _CLOSE:
                self.closed = True
                at = size
                break
            if first & 15 < _CLOSE:  # (Control frames may come between those of a message.)
                self._open = first < 128
            at = end + length
        self._left = max(0, at - size)
        self._head = data[at:] if at < size else b""


def farewell(why: str, *, masked: bool = False) -> bytes:
    """A Close frame of ours: 1001, and a word. `masked`: as clients' are."""
    payload = _GOING_AWAY.to_bytes(2, "big") + why.encode()[:_WORD_BYTES]
    head = bytes((0x80 | _CLOSE, len(payload) | (0x80 if masked else 0)))
    if not masked:
        return head + payload
    key = os.urandom(4)
    return head + key + bytes([byte ^ key[at % 4] for at, byte in enumerate(payload)])


class WebSocket:
    """Both directions of one."""

    __slots__ = ("down", "up")

    def __init__(self) -> None:
        self.down = Frames()
        """From the API to the client."""
        self.up = Frames()

    @property
    def parted(self) -> bool:
        """A side has said good-bye: however the connections end now, it is over."""
        return self.down.closed or self.up.closed

    def to_client(self, why: str) -> bytes:
        """What may be said to the client at an end of ours."""
        return farewell(why) if self.down.between else b""

    def to_api(self, why: str) -> bytes:
        """Likewise to the API."""
        return farewell(why, masked=True) if self.up.between else b""
