"""What answers hold back for the sake of the search is let go in time: one timer for all of them, and none while nothing is held.

Goes in: exchanges that hold something. Comes out: a call on each, every TICK_SECONDS, for as long as it does.
"""

import asyncio
from typing import Final, Protocol

import structlog

TICK_SECONDS: Final = 0.02
"""A byte waits for one tick at least and two at most."""

log = structlog.get_logger()


class Holder(Protocol):
    """What holds something."""

    def let_go(self) -> bool:
        """Pass on what has been held since the last call. Whether more is held."""


class Ticks:
    """Who holds something."""

    def __init__(self) -> None:
        self._holders: dict[Holder, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, holder: Holder) -> None:
        """It holds something now; perhaps it did before."""
        self._holders[holder] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick)

    def drop(self, holder: Holder) -> None:
        """It has ended."""
        self._holders.pop(holder, None)

    def _tick(self) -> None:
        self._timer = None
        holders, self._holders = self._holders, {}
        for holder in holders:
            try:
                if holder.let_go():
                    self.add(holder)
            except Exception as error:  # one answer's trouble must not hold the others back
                log.error("let_go_failed", error=type(error).__name__)
