"""What the stand-in received, as it was received.

Goes in: one `Seen` per request, whether it was let in or not. Comes out: the list, oldest first. Written by the server's
middleware, read by the admin port. Header values are kept whole: a test has to see that the real key arrived.
"""

import hashlib
from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final

LIMIT: Final = 5000
"""Requests kept; the oldest go first."""


@dataclass(frozen=True)
class Seen:
    """One request."""

    number: int
    """Counts from 1 and never repeats, so that a reader can ask for what came after."""
    time: float
    """Unix time at which the request's head was there, in seconds."""
    host: str
    peer: str
    method: str
    path: str
    """As received: with query, undecoded."""
    headers: list[tuple[str, str]]
    """In the order received, names in the case received."""
    body_bytes: int
    body_sha256: str
    status: int
    owner: str | None
    """Whose key it carried; None if it was refused."""


class Record:
    """The last `LIMIT` requests."""

    def __init__(self) -> None:
        self._seen: deque[Seen] = deque(maxlen=LIMIT)
        self._count = 0

    def next_number(self) -> int:
        """The number for a request that has just arrived."""
        self._count += 1
        return self._count

    def add(self, seen: Seen) -> None:
        """Keep `seen`."""
        self._seen.append(seen)

    def since(self, number: int) -> dict[str, Any]:
        """`{"last": <highest number given out>, "requests": [...]}` with the requests after `number`."""
        requests = sorted((seen for seen in self._seen if seen.number > number), key=lambda seen: seen.number)
        return {"last": self._count, "requests": [asdict(seen) for seen in requests]}


def header_pairs(raw: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    """aiohttp's raw headers as text; bytes that are not UTF-8 survive as surrogates."""
    return [(name.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape")) for name, value in raw]


def digest(body: bytes) -> str:
    """Hex SHA-256 of a body."""
    return hashlib.sha256(body).hexdigest()
