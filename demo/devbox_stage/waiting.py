"""Waiting for a condition with a deadline, and saying now and then what is still missing.

Goes in: a function that gives a result, or raises `NotYet` with what is missing. Comes out: the result, or `TimedOut` whose
text is the last thing that was missing. Called wherever something takes its time; nothing here sleeps for a guess.
"""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class NotYet(Exception):
    """What is still missing, in words for a person."""


class TimedOut(Exception):
    """The deadline passed; the text says what was missing at the end."""


def wait_for(
    what: str,
    attempt: Callable[[], T],
    *,
    seconds: float,
    interval: float = 0.2,
    progress: Callable[[str], None] | None = None,
    every: float = 5.0,
) -> T:
    """Call `attempt` until it returns. `progress` hears every `every` seconds what is missing.

    Too late is what an attempt misses that began after the deadline: one that began before and took its time has not looked since.
    """
    start = time.monotonic()
    told = start
    while True:
        began = time.monotonic()
        try:
            return attempt()
        except NotYet as missing:
            now = time.monotonic()
            if began - start > seconds:
                raise TimedOut(f"{what}: not within {seconds:.0f} s: {missing}") from None
            if progress is not None and now - told >= every:
                progress(f"{what}: {missing} ({now - start:.0f} s)")
                told = now
            time.sleep(interval)
