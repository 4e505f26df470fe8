"""Heads that were read before: a client sends the same one with most of its requests, but for the body's length.

Goes in: bytes at the start of a request. Comes out: the `RequestHead` that llhttp and the guard made of the very same bytes, sent from
the same address, with all that was concluded from it (`memo`). What differs in anything but the digits of Content-Length is read anew,
and so is whatever has another framing, or does not come whole in one read.
"""

import re
from dataclasses import replace
from typing import Final, NamedTuple

from devbox_proxy.wire.guard import RequestHead

KEPT: Final = 128 << 20
"""Bytes of memory for heads and what was made of them; the oldest goes first. Enough for 10,000 devboxes in turn."""
_HEAD, _LINE, _BYTE = 2048, 320, 3
"""Bytes of memory, measured: for a head, for each of its lines, for each byte that was read. Many short lines cost ten times what
few long ones do."""
LONGEST: Final = 4096
"""Bytes of a head that is kept."""
_NOT_KEPT: Final = frozenset({b"transfer-encoding", b"upgrade", b"expect"})
_END: Final = b"\r\n\r\n"
_LENGTH: Final = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: ([0-9]{1,18})\r\n")


Key = tuple[str, bool, bytes]


class SplitRead(NamedTuple):
    """A read, taken apart without judging it."""

    key: "Key"
    """The peer, whether there is a Content-Length, and the head without its digits."""
    length: bytes | None
    """These digits."""
    body_at: int
    """Where the body begins."""


def split(peer: str, data: bytes) -> SplitRead | None:
    """Take a read apart that begins with a head; None if the head is not whole, or too long to be kept."""
    end = data.find(_END, 0, LONGEST)
    if end < 0 or not data[:1].isalpha():  # empty lines before a request are skipped by llhttp, and would end the head here
        return None
    body_at = end + len(_END)
    found = _LENGTH.search(data, 0, end + 2)
    if found is None:
        return SplitRead((peer, False, data[:body_at]), None, body_at)
    start, stop = found.span(1)
    return SplitRead((peer, True, data[:start] + data[stop:body_at]), found[1], body_at)


class Heads:
    """What was read before."""

    def __init__(self, most: int = KEPT) -> None:
        """`most`: bytes of memory."""
        self._most = most
        self._kept: dict[Key, RequestHead] = {}
        self._bytes = 0
        """Of memory, as far as it is counted."""

    def known(self, read: SplitRead, data: bytes) -> RequestHead | None:
        """The head of a request that is whole in `data`, with nothing behind it, if it was read before."""
        length = 0 if read.length is None else int(read.length)
        return self._kept.get(read.key) if len(data) - read.body_at == length else None

    def keep(self, read: SplitRead, head: RequestHead) -> None:
        """Remember what llhttp made of it, where the body's framing is the one that `split` saw, and nothing depends on more."""
        lengths = [] if read.length is None else [read.length]
        raw = read.key[2]
        if (
            head.values(b"content-length") != lengths
            or not _NOT_KEPT.isdisjoint(head.fields)
            or head.version != (1, 1)
            or raw.count(b"\r\n") != len(head.headers) + 2
            or not raw.startswith(b"%b %b HTTP/1.1\r\n" % (head.method.encode(), head.target))
        ):
            return
        self._bytes += 0 if read.key in self._kept else _cost(raw)
        while self._bytes > self._most:
            oldest = next(iter(self._kept))
            del self._kept[oldest]
            self._bytes -= _cost(oldest[2])
        # Without a length, so that nobody can take this one's for that of another request.
        headers = tuple(line for line in head.headers if line[0].lower() != b"content-length")
        self._kept[read.key] = replace(head, headers=headers)


def _cost(raw: bytes) -> int:
    return _HEAD + _LINE * raw.count(b"\r\n") + _BYTE * len(raw)
