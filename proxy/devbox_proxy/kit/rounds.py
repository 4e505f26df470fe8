"""One at a time: of the answers that are searched, one brings a large piece in each round of the event loop, in turn.

What a round takes is what all others wait for: with eight such downloads in each round, another devbox's request took sixteen times as
long. Goes in: connections that have brought such a piece. Comes out: their reading stopped, and gone on with when it is their turn.
"""

import asyncio
from collections import deque
from typing import Protocol


class Paused(Protocol):
    """What can be made to wait."""

    def wait_turn(self, *, waits: bool) -> None:
        """Read nothing, or go on. It may be closed by then."""


class Rounds:
    """Who waits for a turn."""

    def __init__(self) -> None:
        self._waiting: deque[Paused] = deque()
        self._next: asyncio.Handle | None = None

    def took(self, one: Paused) -> None:
        """It has had its turn; the others have theirs before its next one."""
        one.wait_turn(waits=True)
        self._waiting.append(one)
        if self._next is None:
            self._next = asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        # (What is called soon is called in the next round, with a look at all sockets before.)
        self._next = asyncio.get_running_loop().call_soon(self._turn) if len(self._waiting) > 1 else None
        self._waiting.popleft().wait_turn(waits=False)
