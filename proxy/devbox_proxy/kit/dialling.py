"""To checked addresses, without waiting for one that is dead: the part of a dial that both ports share.

Goes in: addresses that were checked, and what to make of a connected socket. Comes out: what was made of the first that answers, or an
OSError. The caller bounds the time of it all.

Attempts overlap as in RFC 8305 (Happy Eyeballs): where a host has addresses of both families and one family leads nowhere, a connection
comes a quarter of a second later, and not once its time is over.
"""

import asyncio
import errno
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import aiohappyeyeballs

Pair = tuple[str, int]
C = TypeVar("C")

ATTEMPT_SECONDS: Final = 0.25
"""After so long without an answer the next address is tried beside it (RFC 8305 5)."""
OF_A_FAMILY: Final = 4
"""So many addresses of each are tried: the names of devboxes' choosing may have any number of silent ones."""
FREE_FOR_EACH: Final = 8
"""More than so many attempts must be free for each that an owner has (lookups.py has the same rule, and why)."""


class Attempts:
    """Connections that are tried beside the first one of a dial, which its request's or tunnel's own share of file descriptors holds."""

    def __init__(self, most: int = 512) -> None:
        """`most`: of all owners."""
        self._free = most
        self._busy: Counter[str] = Counter()

    def begin(self, owner: str) -> bool:
        """One more, if there is room; `end` must follow then."""
        if self._busy[owner] * FREE_FOR_EACH >= self._free:
            return False
        self._free -= 1
        self._busy[owner] += 1
        return True

    def end(self, owner: str, count: int) -> None:
        """So many are over."""
        self._free += count
        self._busy[owner] -= count
        if not self._busy[owner]:
            del self._busy[owner]


async def first(
    pairs: Sequence[Pair],
    seconds: float,
    make: Callable[[socket.socket, Pair], Awaitable[C]],
    attempts: Attempts,
    owner: str,
) -> C:
    """What `make` makes of a connected socket, which from then on is its own. Where that fails, or takes its part of `seconds`, the
    other addresses are tried; beside each other, as far as there are `attempts` for the owner. Raises OSError; a TLS error at once, since
    another address would say the same."""
    left = _some(pairs)
    while left:
        plain, pair = await _connected(left, attempts, owner)
        left.remove(pair)
        try:
            async with asyncio.timeout(seconds / (len(left) + 1)):
                return await make(plain, pair)
        except OSError as error:  # a TimeoutError is one
            if isinstance(error, ssl.SSLError) or not left:
                raise
    raise OSError("no address")


def _some(pairs: Sequence[Pair]) -> list[Pair]:
    families: dict[int, list[Pair]] = {}
    for pair in pairs:
        families.setdefault(_family(pair), []).append(pair)
    return [pair for pair in pairs if pair in families[_family(pair)][:OF_A_FAMILY]]


def _family(pair: Pair) -> int:
    return socket.AF_INET6 if ":" in pair[0] else socket.AF_INET


async def _connected(pairs: Sequence[Pair], attempts: Attempts, owner: str) -> tuple[socket.socket, Pair]:
    """To one of these very addresses: they were checked, and no name is looked up again. Raises OSError."""
    made: dict[socket.socket, Pair] = {}
    beside = 0

    def new(info: tuple[int, int, int, str, Pair]) -> socket.socket:
        nonlocal beside
        if any(one.fileno() >= 0 for one in made):  # the first may have failed already
            if not attempts.begin(owner):
                raise OSError(errno.EMFILE, "too many connections are being tried")
            beside += 1
        plain = socket.socket(info[0], socket.SOCK_STREAM)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made[plain] = info[4]
        return plain

    infos = [(_family(pair), int(socket.SOCK_STREAM), socket.IPPROTO_TCP, "", pair) for pair in pairs]
    try:
        plain = await aiohappyeyeballs.start_connection(infos, happy_eyeballs_delay=ATTEMPT_SECONDS, socket_factory=new)
    except RuntimeError as error:  # some of uvloop's are
        raise OSError(str(error)) from None
    finally:
        if beside:
            attempts.end(owner, beside)
    return plain, made[plain]
