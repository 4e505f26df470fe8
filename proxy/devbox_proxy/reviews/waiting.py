"""Waiting for what a decision lacks: the mirror, or the cluster's word on a pod's token. Bounded by time, and by counts.

Goes in: a Wait, and how to decide anew. Comes out: a decision.

The mirror either has what is missing within a moment or never. A question to the cluster is another thing: where many come at once it
has its turn after the others, and there will be an answer. So its patience is longer; and if the cluster does not answer any more, that
is found out (presence.py), and nobody waits for it.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from time import monotonic as now
from typing import Final, TypeVar

from devbox_api.judge.refusals import Refusal
from devbox_proxy.decide.admission import For, Refuse, Subject, Wait
from devbox_proxy.known.state import ClusterState
from devbox_proxy.reviews.reviewer import Reviewer

WAITERS_PER_PEER: Final = 64
"""For the mirror: nobody has vouched for such a request yet."""
REVIEW_SECONDS: Final = 30.0
MOST: Final = 16_384
"""Requests that wait, in all."""

D = TypeVar("D")


class Waiting:
    """Who waits."""

    def __init__(
        self, state: ClusterState, reviewer: Reviewer, seconds: float, review_seconds: float = REVIEW_SECONDS, most: int = MOST
    ) -> None:
        """`seconds`: for the mirror; `review_seconds`: for a review; `most`: in all."""
        self._state = state
        self._reviewer = reviewer
        self._seconds, self._review_seconds = seconds, review_seconds
        self._most = most
        self._waiting: Counter[str] = Counter()
        self.count = 0
        """Requests that wait."""

    def renew(self, subject: Subject) -> None:
        """Ask the cluster in the background."""
        self._reviewer.renew(*subject)

    async def wait(self, peer: str, decision: D | Wait, decide: Callable[[], D | Wait]) -> D | Refuse:
        """Once there is something to decide with, or the time is over."""
        if isinstance(decision, Wait) and self.count >= self._most:
            return Refuse(Refusal.OVERLOADED, decision.otherwise.caller)
        self.count += 1
        try:
            return await self._decided(peer, decision, decide)
        finally:
            self.count -= 1

    async def _decided(self, peer: str, decision: D | Wait, decide: Callable[[], D | Wait]) -> D | Refuse:
        began = now()
        while isinstance(decision, Wait):
            left = began + (self._seconds if decision.what is For.MIRROR else self._review_seconds) - now()
            if left <= 0:
                return decision.otherwise
            try:
                if decision.what is For.MIRROR:
                    if self._waiting[peer] >= WAITERS_PER_PEER:
                        return Refuse(Refusal.TOO_MANY_WAITING, decision.otherwise.caller)
                    await self._for_mirror(peer, left)
                elif decision.subject is not None:
                    async with asyncio.timeout(left):
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
