"""How many questions may be under way, and how many a second: as many as the API server answers with ease, below a bound.

Goes in: what became of each question, and times (monotonic seconds). Comes out: how long the next one has to wait. Pure.

The number under way grows by one whenever as many were answered as there may be, all of them were in use, and answers took no longer than
lately at best. It shrinks by a quarter when the API server says that it has too much to do (429), fails (5xx) or says nothing, and when its
answers take twice as long. (Additive increase, multiplicative decrease, as TCP has it: several gateways find a fair share each.) How long
answers take, a gateway that is busy itself measures too high; so by that alone it never goes below what it began with.
"""

from math import inf
from typing import Final

FEWEST: Final = 4
START: Final = 16
MOST: Final = 64
"""With this many a TokenReview may take 160 ms, and 400 a second are still asked."""
TOO_MANY: Final = 4
"""Times in a row that fewer were asked, and not one of them got more than 429."""
LESS: Final = 0.75
EASY: Final = 1.5
"""Times as long as lately at best: still no sign of a burden."""
HARD: Final = 2.0
"""And from here on it is one."""
NOISE: Final = 0.02
"""Seconds that mean nothing."""
LATELY: Final = 30.0
"""Seconds after which the best that was seen is forgotten; at most twice as many."""
BURST: Final = 0.1
"""Seconds of the pace that may be made up for, where the process had other things to do."""
GENTLE_PER_SECOND: Final = 30
GENTLE_SECONDS: Final = 1.0
"""After the API server came back: everybody asks it then, and not only us."""
MOST_HELD: Final = 30.0
"""Seconds of a Retry-After that are obeyed."""


class Limiter:
    """One API server's."""

    def __init__(self, per_second: float, most: int = MOST) -> None:
        """`per_second`: the bound; `most`: under way, at any time."""
        self._per_second = per_second
        self._most = most
        self._at_once = float(min(START, most))
        self._due = 0.0
        """When the next one's turn would be, if all had kept to the pace."""
        self._held_until = self._gentle_until = 0.0
        self._lowered_at = -inf
        """What was asked before says nothing of the number that there is now."""
        self._too_many = 0
        """429, each to fewer than the one before, and no answer in between."""
        self._full = False
        """There were as many under way as there may be, since the last look."""
        self._sum, self._count = 0.0, 0
        """Of the answers since the last look: seconds, and how many."""
        self._best, self._best_before, self._best_since = inf, inf, 0.0

    @property
    def at_once(self) -> int:
        """So many may be under way."""
        return int(self._at_once)

    def wait(self, under_way: int, present: float) -> float:
        """Seconds until one more may be asked; infinite: not before one of those is over."""
        if under_way >= self.at_once:
            self._full = True
            return inf
        return max(0.0, self._due - present, self._held_until - present)

    def asked(self, present: float) -> None:
        """One more is on its way."""
        gentle = present < self._gentle_until
        step = 1 / (min(GENTLE_PER_SECOND, self._per_second) if gentle else self._per_second)
        self._due = max(self._due, present if gentle else present - BURST) + step

    def answered(self, asked: float, present: float) -> None:
        """One was answered, whatever the answer says. `asked`: when it was."""
        self._too_many = 0
        self._sum, self._count = self._sum + present - asked, self._count + 1
        if self._count >= self.at_once:
            self._judge(self._sum / self._count, present)
            self._sum, self._count, self._full = 0.0, 0, False

    def burdened(self, asked: float, present: float) -> None:
        """One failed as it does where there is too much to do: 5xx, or silence."""
        if asked >= self._lowered_at:
            self._lower(FEWEST, present)

    def too_many(self, asked: float, present: float, retry_after: float) -> None:
        """One was answered 429. That one waits by itself; where nothing else comes, everybody does."""
        if asked >= self._lowered_at:  # else it went out with the one that was counted
            self._too_many += 1
            self._lower(FEWEST, present)
        if self._too_many >= TOO_MANY:
            self._held_until = present + min(retry_after, MOST_HELD)

    def returned(self, present: float) -> None:
        """The API server was away, and is back."""
        self._due, self._gentle_until = present, present + GENTLE_SECONDS
        self._at_once = min(self._at_once, float(START))
        self._held_until, self._too_many = 0.0, 0

    def _judge(self, mean: float, present: float) -> None:
        if present - self._best_since > LATELY:
            self._best_before, self._best, self._best_since = self._best, inf, present
        self._best = min(self._best, mean)
        best = min(self._best, self._best_before)
        if mean > HARD * best + NOISE:
            if self._at_once > START:
                self._lower(START, present)
        elif self._full and mean <= EASY * best + NOISE:
            self._at_once = min(self._at_once + 1, float(self._most))

    def _lower(self, least: int, present: float) -> None:
        self._at_once = max(min(float(least), float(self._most)), self._at_once * LESS)
        self._lowered_at = present
        self._sum, self._count, self._full = 0.0, 0, False
