"""Waiting for what a decision lacks: the mirror, or the cluster's word on a pod's token. Bounded by time, and by a count per peer.

Goes in: a Wait, and how to decide anew. Comes out: a decision. Made by run.py, one for both ports; called by gateway.py and
forwarder.py.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from time import monotonic as now
from typing import Final, TypeVar

from .admission import For, Refuse, Subject, Wait
from .refusals import Refusal
from .reviews import Reviewer
from .state import State

WAITERS_PER_PEER: Final = 64
REVIEW_SECONDS: Final = 2.0
"""What a TokenReview may take beyond the wait."""

D = TypeVar("D")


class Waiting:
    """Who waits."""

    def __init__(self, state: State, reviewer: Reviewer, seconds: float) -> None:
        self._state = state
        self._reviewer = reviewer
        self._seconds = seconds
        self._waiting: Counter[str] = Counter()

    def renew(self, subject: Subject) -> None:
        """Ask the cluster in the background."""
        self._reviewer.renew(*subject)

    async def wait(self, peer: str, decision: D | Wait, decide: Callable[[], D | Wait]) -> D | Refuse:
        """Once there is something to decide with, or the time is over."""
        deadline = now() + self._seconds
        while isinstance(decision, Wait):
            left = deadline - now()
            if left <= 0:
                return decision.otherwise
            try:
                if decision.what is For.MIRROR:
                    # Nobody has vouched for this request yet: a bound on what it may hold.
                    if self._waiting[peer] >= WAITERS_PER_PEER:
                        return Refuse(Refusal.TOO_MANY_WAITING, decision.otherwise.caller)
                    await self._for_mirror(peer, left)
                elif decision.subject is not None:
                    async with asyncio.timeout(left + REVIEW_SECONDS):  # a review has a time-out of its own
                        await self._reviewer.review(*decision.subject)
            except TimeoutError:
                return decision.otherwise
            decision = decide()
        return decision

    async def _for_mirror(self, peer: str, seconds: float) -> None:
        self._waiting[peer] += 1
        try:
            await self._state.changed(seconds)
        finally:
            self._waiting[peer] -= 1
            if not self._waiting[peer]:
                del self._waiting[peer]
