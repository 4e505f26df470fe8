"""How much time has passed, also while this machine stood still: what every bound on "the last state stays" is counted by.

CLOCK_MONOTONIC, which loops and timers go by, stands still while a machine sleeps. CLOCK_BOOTTIME goes on, but not in a guest that its
hypervisor holds (a snapshot, a migration). What tells it then is other clocks: that of the day, which somebody sets right in the end, and
the API server's, by the `Date` of its answers. Where one of these is further ahead of ours than it was in the last minutes, so much time is
taken to have passed. That makes things older, never younger: a clock that is wrong costs a new look at things.

Goes in: clocks, and what the API server says. Comes out: `now()`, and a call for whoever has to look anew after a pause: a connection may
be dead without anybody knowing, and what was to come on it may have come for somebody else. One for a process (`CLOCK`); its `follow` is
run by both programs' run.py. What is timed for its own sake (time-outs, pauses, paces) stays with time.monotonic.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from math import inf
from typing import Final

import structlog

from .servertime import ServerTime

TICK_SECONDS: Final = 0.2
PAUSE_SECONDS: Final = 3.0
"""What is shorter is no pause. (An HTTP date has whole seconds, and may be ANSWER_SECONDS old.)"""
ANSWER_SECONDS: Final = 1.0
"""An answer that took longer tells too little of when it was dated."""
LATELY_SECONDS: Final = 600.0
"""A clock that is set to and fro, or several that answer in turn and differ, have gone ahead once in such a time."""

Told = Callable[[float], None]

log = structlog.get_logger()


def boottime(which: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)) -> float:
    """Seconds that this machine knows to have passed: it never goes ahead of time."""
    return time.clock_gettime(which)


class _Other:
    """Another clock: how far it was ahead of ours lately, at the most."""

    def __init__(self) -> None:
        self._before = self._lately = -inf
        self._since = -inf

    def missed(self, ahead: float, present: float) -> float:
        """Seconds that it has seen pass and ours has not; 0 if there is nothing to tell."""
        if present - self._since > LATELY_SECONDS:
            self._before, self._lately, self._since = self._lately, -inf, present
        most = max(self._before, self._lately)
        missed = ahead - most if -inf < most < ahead - PAUSE_SECONDS else 0.0
        self._lately = max(self._lately, ahead - missed)  # ours goes ahead by that
        return missed

    def forget(self) -> None:
        """Ours has gone ahead by what another one said, and this one perhaps not."""
        self._before = self._lately = -inf


class Clock:
    """The time that bounds go by."""

    def __init__(self, boot: Callable[[], float] = boottime, wall: Callable[[], float] = time.time) -> None:
        """`boot`: seconds that this machine knows to have passed; `wall`: its time of day."""
        self._boot, self._wall = boot, wall
        self._missed = 0.0
        """By other clocks."""
        self._looked = boot()
        self._day, self._api_server = _Other(), _Other()
        self.server = ServerTime(boot)
        """The API server's own time."""
        self._told: list[Told] = []
        self._waking = asyncio.Event()
        self.pauses = 0
        """That were noticed."""

    def now(self) -> float:
        """Seconds. It never goes back, and may go ahead."""
        return self._boot() + self._missed

    @contextlib.contextmanager
    def telling(self, told: Told) -> Iterator[None]:
        """`told(before)` is called after each pause, with the last moment that is known to be before it; in the order of coming."""
        self._told.append(told)
        try:
            yield
        finally:
            self._told.remove(told)

    async def rest(self, seconds: float) -> None:
        """Sleep, but not beyond a pause."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._waking.wait()

    async def follow(self) -> None:
        """Look for pauses, for ever."""
        self._looked = self.now()
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self.look()

    def look(self) -> None:
        """Was there a pause since the last look? (Of the machine, or of this process.)"""
        day = self._wall()  # first: a pause between the two looks like a clock that is behind
        present, before = self.now(), self._looked
        missed = self._day.missed(day - present, present)
        if missed:
            # (Not the other way round: the time of day is set right after a pause, which the API server may have told by then.)
            self._api_server.forget()
            self._tell(missed, "time of day")
        elif present - before > PAUSE_SECONDS:
            self._tell(0.0, "", present - before)
        self._looked = self.now()

    def heard(self, date: str | None, asked: float) -> None:
        """The API server has dated an answer to what was asked then."""
        present = self.now()
        if date is None:
            return
        try:
            dated = parsedate_to_datetime(date).timestamp()
        except (ValueError, TypeError, OverflowError):
            return
        self.server.heard(dated)
        if present - asked > ANSWER_SECONDS:
            return
        if missed := self._api_server.missed(dated - present, present):
            self._tell(missed, "API server")

    def _tell(self, missed: float, by: str, seconds: float = 0.0) -> None:
        before = self._looked
        self._missed += missed
        self._looked = self.now()
        self.pauses += 1
        log.warning("paused", seconds=round(missed or seconds, 1), seen_by=by or "this machine's own clock")
        for told in list(self._told):
            told(before)
        self._waking.set()
        self._waking = asyncio.Event()


CLOCK: Final = Clock()
now: Final = CLOCK.now
