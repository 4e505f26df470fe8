"""The first message of TLS, as far as a tunnel has to know it: which server does the client ask for, and can that be seen?

Goes in: the first bytes of a client's side of a tunnel; and the first of the server's. Comes out: a `Hello`, None while it is not
whole, or a `NotHello`. Pure. RFC 8446 4.1.2 and 5.1, RFC 6066 3, RFC 9849 (encrypted hellos). Read strictly: whatever two readers
could take differently is refused.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

MAX_HELLO: Final = 16 * 1024
"""Bytes of the message. With post-quantum keys and a session ticket it is about 2 KiB."""
MAX_RECORDS: Final = 64
"""So many records may the message be cut into."""
MAX_EARLY: Final = 64 * 1024
"""Bytes of all that comes before a second hello: early data that the server will not take."""
ANSWER_BYTES: Final = 43
"""Of a server's first record, up to the end of its random: what `asks_again` looks at."""
_CHANGE_CIPHER_SPEC, HANDSHAKE, _APPLICATION_DATA = 20, 22, 23
_MAX_RECORD: Final = 1 << 14
_CLIENT_HELLO: Final = 1
_SERVER_NAME: Final = 0
_ENCRYPTED: Final = frozenset({0xFE0D, 0xFFCE})
"""encrypted_client_hello (what imitates it, GREASE, looks the same), and its forerunner encrypted_server_name."""
_RETRY: Final = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
"""The random that makes a ServerHello a HelloRetryRequest: RFC 8446 4.1.3."""


class NotHello(Exception):
    """What came is no ClientHello, or not one that everybody reads the same way."""


@dataclass(frozen=True, slots=True)
class Hello:
    """What was read."""

    server_name: str | None
    """As it was sent; None if there was none."""
    encrypted: bool
    """There may be another name inside, for a server that has the key."""
    length: int
    """Bytes up to its end, record headers included."""


def read(data: bytes | bytearray, *, again: bool = False) -> Hello | None:
    """A ClientHello at the start of `data`. `again`: one that answers a HelloRetryRequest, before which other records may stand.

    Raises NotHello.
    """
    message, position = bytearray(), 0
    for _ in range(MAX_RECORDS):
        kind = _record_type(data, position)
        if kind is None:
            return None
        end = position + 5 + int.from_bytes(data[position + 3 : position + 5], "big")
        if again and not message and kind in (_CHANGE_CIPHER_SPEC, _APPLICATION_DATA):
            if end > MAX_EARLY:
                raise NotHello("too much before the second hello")
        elif kind != HANDSHAKE:
            raise NotHello("another record")
        else:
            message += data[position + 5 : end]
            size = _size(message)
            if size is not None and len(message) > size:
                raise NotHello("more in the record")
            if len(message) == size and len(data) >= end:
                name, encrypted = _body(bytes(message[4:]))
                return Hello(name, encrypted, end)
        if len(data) < end:
            return None
        position = end
    raise NotHello("too many records")


def asks_again(answer: bytes) -> bool:
    """The server's first record, of which there are at least ANSWER_BYTES, is a HelloRetryRequest: another ClientHello will follow."""
    return answer[0] == HANDSHAKE and answer[5] == 2 and answer[11:ANSWER_BYTES] == _RETRY


def alert(description: int) -> bytes:
    """A fatal alert, as a server would send it (RFC 8446 6)."""
    return bytes((21, 3, 3, 0, 2, 2, description))


def _record_type(data: bytes | bytearray, position: int) -> int | None:
    """The type of the record at `position`; None if its header is not whole. Raises NotHello as early as it can be told."""
    header = data[position : position + 5]
    if header and header[0] not in (_CHANGE_CIPHER_SPEC, HANDSHAKE, _APPLICATION_DATA):
        raise NotHello("no TLS record")
    if len(header) > 1 and header[1] != 3:
        raise NotHello("another protocol")
    if len(header) < 5:
        return None
    length = int.from_bytes(header[3:5], "big")
    # What is encrypted may be 256 bytes longer (RFC 8446 5.2), and empty only if it is.
    limit = _MAX_RECORD + 256 if header[0] == _APPLICATION_DATA else _MAX_RECORD
    if not 0 < length <= limit or header[2] > 4:
        raise NotHello("no TLS record")
    return header[0]


def _size(message: bytearray) -> int | None:
    """Bytes of the message with its header; None if that is not whole."""
    if message and message[0] != _CLIENT_HELLO:
        raise NotHello("another message")
    if len(message) < 4:
        return None
    size = 4 + int.from_bytes(message[1:4], "big")
    if size > MAX_HELLO:
        raise NotHello("too long")
    return size


class _Bytes:
    """What is left of a part, which must be used up."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        """The next bytes."""
        end = self._at + count
        if end > len(self._data):
            raise NotHello("cut short")
        part = self._data[self._at : end]
        self._at = end
        return part

    def number(self, count: int) -> int:
        """The next bytes as a number."""
        return int.from_bytes(self.take(count), "big")

    def vector(self, count: int, least: int = 0) -> bytes:
        """What the next `count` bytes say the length of, at least `least` bytes."""
        part = self.take(self.number(count))
        if len(part) < least:
            raise NotHello("too short")
        return part

    @property
    def left(self) -> bool:
        """There is more."""
        return self._at < len(self._data)


def _body(message: bytes) -> tuple[str | None, bool]:
    """The server's name, and whether another may be encrypted."""
    rest = _Bytes(message)
    if rest.number(2) >> 8 != 3:
        raise NotHello("another protocol")
    rest.take(32)
    session, ciphers, compressions = rest.vector(1), rest.vector(2, 2), rest.vector(1, 1)
    if len(session) > 32 or len(ciphers) % 2 or 0 not in compressions:
        raise NotHello("not well made")
    name: str | None = None
    encrypted = False
    seen: set[int] = set()
    for kind, content in _extensions(rest):
        if kind in seen:
            raise NotHello("an extension twice")
        seen.add(kind)
        encrypted = encrypted or kind in _ENCRYPTED
        if kind == _SERVER_NAME:
            name = _name(content)
    return name, encrypted


def _extensions(rest: _Bytes) -> Iterator[tuple[int, bytes]]:
    if not rest.left:
        return  # before TLS 1.3 there may be none
    extensions = _Bytes(rest.vector(2))
    if rest.left:
        raise NotHello("more behind the extensions")
    while extensions.left:
        kind = extensions.number(2)
        yield kind, extensions.vector(2)


def _name(content: bytes) -> str:
    """The one host name of a server_name extension: RFC 6066 3 knows no other kind, and OpenSSL takes no second."""
    whole = _Bytes(content)
    entries = _Bytes(whole.vector(2, 1))
    kind, name = entries.number(1), entries.vector(2, 1)
    if whole.left or entries.left or kind != 0 or len(name) > 255 or not all(0x21 <= byte <= 0x7E for byte in name):
        raise NotHello("no host name")
    return name.decode("ascii")
