"""What time it is at the API server, at the least: for what ends so long after a time that the API server wrote.

Goes in: the `Date` of its answers. Comes out: a moment that has passed there for certain. The node's time of day has no part in it, which
may be wrong. A `Date` has whole seconds and is on its way for a while, so that what is told is behind by a second or so; of several API
servers whose clocks differ it is the last one's; and after a pause in which this machine's clock stood still it is behind by so much, for
LATELY_SECONDS at most.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from math import inf
from typing import Final

LATELY_SECONDS: Final = 300.0
"""An answer counts for at most this long: the one by which it is earliest."""


class ServerTime:
    """The API server's clock, from below."""

    def __init__(self, boot: Callable[[], float]) -> None:
        """`boot`: seconds that this machine knows to have passed, which never goes ahead."""
        self._boot = boot
        self._before = self._lately = inf
        """How far the API server's time is ahead of `boot`, at the least: in the last half of LATELY_SECONDS, and in the half before."""
        self._since = -inf

    def heard(self, dated: float) -> None:
        """An answer of that time (of the epoch) has just come."""
        present = self._boot()
        if present - self._since > LATELY_SECONDS / 2:
            # (What is older than that says nothing of today.)
            self._before = self._lately if present - self._since <= LATELY_SECONDS else inf
            self._lately, self._since = inf, present
        self._lately = min(self._lately, dated - present)

    def now(self) -> datetime | None:
        """None: no answer has told the time."""
        ahead = min(self._before, self._lately)
        return None if ahead == inf else datetime.fromtimestamp(self._boot() + ahead, UTC)
