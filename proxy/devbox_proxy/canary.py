"""The canary port: it says one line to whoever comes, and ends. A devbox that is confined does not get here.

Nothing is read, nothing is known, nothing is behind it: a pod's first act is to see that it can't reach this port, which no
NetworkPolicy of a devbox opens, while the ports beside it can be reached. Started by run.py.
"""

import asyncio
from typing import Final, cast

from .server import BACKLOG

SONG: Final = b"devbox-gateway: a devbox that reads this is not confined\n"


class _Canary(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # The kernel takes so few bytes at once: nothing waits here for a client.
        song = cast(asyncio.Transport, transport)
        song.write(SONG)
        song.close()


async def canary(host: str, port: int) -> asyncio.Server:
    """Listening."""
    # With the data port's backlog: while this process takes no connections, the kernel answers for both ports, until a queue is full. Were
    # the canary's the shorter one, it would fall silent beside a data port that answers, which is what a policy at work looks like.
    return await asyncio.get_running_loop().create_server(_Canary, host or None, port, backlog=BACKLOG)


def port_of(server: asyncio.Server) -> int:
    """Where it listens."""
    return int(server.sockets[0].getsockname()[1])
