"""To checked addresses, one after the other: the part of a dial that both ports share.

Goes in: addresses that were checked, and how to connect to one. Comes out: the first that answers, or an OSError. Called by pool.py
(connections to APIs) and forwarder.py (tunnels).
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

Pair = tuple[str, int]
C = TypeVar("C")


async def first(pairs: Sequence[Pair], seconds: float, connect: Callable[[Pair], Awaitable[C]]) -> C:
    """The first address that answers; each has its part of the time, so that a dead one leaves some for the next."""
    for number, pair in enumerate(pairs, 1):
        try:
            async with asyncio.timeout(seconds / len(pairs)):
                return await connect(pair)
        except OSError as error:  # a TimeoutError is one
            if isinstance(error, ssl.SSLError) or number == len(pairs):
                raise
    raise OSError("no address")


async def plain_socket(pair: Pair) -> socket.socket:
    """Connected to this very address: it was checked, and no name is looked up again. Raises OSError."""
    plain = socket.socket(socket.AF_INET6 if ":" in pair[0] else socket.AF_INET, socket.SOCK_STREAM)
    try:
        plain.setblocking(False)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(plain, pair)
    except BaseException:
        plain.close()
        raise
    return plain
