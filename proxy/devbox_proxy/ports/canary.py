"""The canary port: it says one line to whoever comes, and ends. A devbox that is confined does not get here.

Nothing is read, nothing is known, nothing is behind it: a pod's first act is to see that it can't reach this port, which no
NetworkPolicy of a devbox opens, while the ports beside it can be reached. Started by run.py.
"""

import asyncio
from collections.abc import Callable
from typing import Final, cast

from devbox_common.door import BriefDoor
from devbox_common.seats import Seats

GREETING: Final = b"devbox-gateway: a devbox that reads this is not confined\n"
SECONDS: Final = 2.0
"""For a client to take the line."""


class _Canary(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # The kernel takes so few bytes at once: nothing waits here for a client.
        client = cast(asyncio.Transport, transport)
        client.write(GREETING)
        client.close()


def canary(host: str, port: int, connections: int, *, refused: Callable[[str], None] = lambda why: None) -> BriefDoor:
    """The port; at most so many connections are being told at a time."""
    # Its door has the data port's backlog: while this process takes no connections, the kernel answers for both ports, until a queue is
    # full. Were the canary's the shorter one, it would fall silent beside a data port that answers: what a policy at work looks like.
    # One that is taken only to be closed counts as an answer, too (devbox-init). Where somebody sends it more than this process takes, its
    # queue is full and the data port's is not: whereabouts.py says nothing then.
    seats = Seats(connections, connections, strangers=connections)
    return BriefDoor("canary", (host, port), seats, _Canary, seconds=SECONDS, refused=refused)
