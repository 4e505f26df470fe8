"""From rounds of two connection attempts to a verdict: is this pod confined?

Goes in: round by round, did the gateway's data port answer, did the canary. Comes out: a `Verdict`. Pure. Called by probe.py.

The data port is allowed by the pod's NetworkPolicy, the canary is not, and one process listens on both: so an answer from the first
and none from the second is the policy at work, and not a network that is not there yet. How a canary fails to answer (reset,
unreachable, silence) is the CNI's affair.
"""

from enum import Enum
from typing import Final

ROUNDS: Final = 3
"""Running, that have to show confinement: some CNIs put a policy in force more than once while they start a pod."""


class Verdict(Enum):
    """What is known so far."""

    WAITING = "the gateway does not answer yet"
    OPEN = "the canary answers: no NetworkPolicy is in force yet"
    CLOSING = "the gateway answers and the canary does not"
    CONFINED = "confined"
    NOT_ENFORCED = "not enforced"


class Judge:
    """Takes the rounds in their order."""

    def __init__(self, seconds: float) -> None:
        """`seconds`: for so long the canary may go on answering."""
        self._seconds = seconds
        self._passed = 0
        self._open_since: float | None = None

    def take(self, began: float, *, data: bool, canary: bool) -> Verdict:
        """One round, begun at that monotonic time."""
        if canary:
            self._passed = 0
            self._open_since = began if self._open_since is None else self._open_since
            return Verdict.NOT_ENFORCED if began - self._open_since >= self._seconds else Verdict.OPEN
        self._open_since = None
        if not data:
            self._passed = 0
            return Verdict.WAITING
        self._passed += 1
        return Verdict.CONFINED if self._passed >= ROUNDS else Verdict.CLOSING
