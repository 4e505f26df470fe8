"""Questions that wait for their turn: those that requests wait for, then renewals, then those that nobody has asked for yet.

Goes in: questions, one for a pod, and times (monotonic seconds). Comes out: whose turn it is.
"""

import asyncio
from enum import Enum
from typing import Final

from devbox_api.route import Route
from devbox_proxy.known.facts import TokenOwner

PATIENCE_SECONDS: Final = 0.1
"""Then a renewal takes its turn all the same: ten a second there always are, whatever waits."""


class Urgency(Enum):
    """Whom a question is for, in the order of their turns."""

    REQUEST = "request"
    RENEWAL = "renewal"
    SPARE = "spare"


_ORDER: Final = tuple(Urgency)


class Question:
    """Whether one pod's token is good."""

    __slots__ = ("owner", "queued_at", "route", "tries", "urgency", "waiting", "woken")

    def __init__(self, route: Route, owner: TokenOwner, urgency: Urgency) -> None:
        self.route, self.owner, self.urgency = route, owner, urgency
        self.queued_at = 0.0
        self.tries = 0
        """That failed."""
        self.waiting = 0
        """Requests."""
        self.woken = asyncio.Event()
        """Set when it is over, or the API server went away: whoever waits decides anew."""

    @property
    def uid(self) -> str:
        """The pod's."""
        return self.route.pod.uid

    def wake(self) -> None:
        """Those who wait decide anew; whoever comes from now on waits for the next time."""
        self.woken.set()
        self.woken = asyncio.Event()


class Queues:
    """Who waits for a turn."""

    def __init__(self) -> None:
        self._queues: dict[Urgency, dict[str, Question]] = {urgency: {} for urgency in _ORDER}
        """By pod UID, as they came."""
        self._renewed_at = 0.0

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def count(self, urgency: Urgency) -> int:
        """Of one sort."""
        return len(self._queues[urgency])

    def put(self, question: Question, present: float) -> None:
        """At the end of its queue."""
        question.queued_at = present
        self._queues[question.urgency][question.uid] = question

    def raise_to(self, question: Question, urgency: Urgency, present: float) -> None:
        """It is more urgent than it was; less urgent it never gets."""
        if _ORDER.index(urgency) < _ORDER.index(question.urgency):
            queued = self._queues[question.urgency].pop(question.uid, None)
            question.urgency = urgency
            if queued is not None:
                self.put(question, present)

    def take(self, present: float) -> Question:
        """Whose turn it is. Raises StopIteration if nobody waits."""
        queue = next(queue for queue in self._queues.values() if queue)
        renewals = self._queues[Urgency.RENEWAL]
        if renewals and present - max(next(iter(renewals.values())).queued_at, self._renewed_at) >= PATIENCE_SECONDS:
            queue = renewals
        if queue is renewals:
            self._renewed_at = present
        return queue.pop(next(iter(queue)))
