"""The first few of a kind in a while are told one by one, the rest by their number.

Goes in: what happened, as a key, and when. Comes out: whether to tell it, and later how many of which key were not told. Pure.
Whoever makes thousands of refusals or log messages a second pays for it himself, and nothing is kept quiet.
"""

from collections.abc import Hashable
from typing import Final, Generic, TypeVar

MOST: Final = 100
"""Told one by one of each key, in each span of SECONDS."""
SECONDS: Final = 10.0
KEYS: Final = 4096
"""Kept at a time; what comes then is told one by one no more, and counted together."""
K = TypeVar("K", bound=Hashable)


class Sparing(Generic[K]):
    """Counts by key."""

    def __init__(self, others: K) -> None:
        """`others`: the key of what there was no room for."""
        self._others = others
        self._since = 0.0
        self._told: dict[K, int] = {}
        """In the present span."""
        self._untold: dict[K, int] = {}

    def tells(self, key: K, now: float) -> bool:
        """It happened (monotonic seconds): is it to be told by itself? If not it is counted."""
        if now - self._since >= SECONDS:
            self._since, self._told = now, {}
        told = self._told.get(key, 0)
        if told < MOST and (told or len(self._told) < KEYS):
            self._told[key] = told + 1
            return True
        self.count(key)
        return False

    def count(self, key: K, times: int = 1) -> None:
        """So many were not told."""
        known = key in self._untold or len(self._untold) < KEYS
        key = key if known else self._others
        self._untold[key] = self._untold.get(key, 0) + times

    def untold(self, now: float) -> list[tuple[K, int]]:
        """How many of which were not told, once the span is over in which that was; each is given once."""
        if not self._untold or now - self._since < SECONDS:
            return []
        untold, self._untold = self._untold, {}
        return list(untold.items())
