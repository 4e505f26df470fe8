"""So many at a time for each key: what one devbox starts must not take what all of them share.

Goes in: a key. Comes out: one's turn.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator


class Turns:
    """So many at a time for each key; the others wait."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._of: dict[str, tuple[asyncio.Semaphore, list[None]]] = {}
        """And who is there or waits."""

    @contextlib.asynccontextmanager
    async def turn(self, key: str) -> AsyncIterator[None]:
        """Within it one is counted."""
        semaphore, there = self._of.setdefault(key, (asyncio.Semaphore(self._most), []))
        there.append(None)
        try:
            async with semaphore:
                yield
        finally:
            there.pop()
            if not there:
                del self._of[key]
