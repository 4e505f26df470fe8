"""Reviews that no request has asked for: of all live pods before the gateway is ready, later, slowly, of those that it does not serve.

Goes in: what is known of the cluster. Comes out: questions (reviewer.py), and whether the start is over.

A Route holds its pod's current token, so a replica can ask about every pod by itself. Else the first to learn that a replica has gone are
the devboxes that it served, all at once; and with the API server away, too, nobody could be asked about them.
"""

import asyncio
import heapq
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

import structlog

from devbox_common.clock import now
from devbox_proxy.decide.admission import Subject
from devbox_proxy.known.facts import Known
from devbox_proxy.known.state import ClusterState
from devbox_proxy.reviews.questions import Urgency
from devbox_proxy.reviews.reviewer import Reviewer, holders
from devbox_proxy.settings import Identity

LEISURE: Final = 0.95
"""Part of a review's age from which it is renewed here. Those that requests use are renewed before (view.Limits.refresh)."""
LOOK_SECONDS: Final = 0.05
"""Between two looks whether the start is over."""
TURN_SECONDS: Final = 1.0
"""Between two looks at what has grown old."""

log = structlog.get_logger()


class Warmth:
    """Which pods this gateway could serve at once."""

    def __init__(self, state: ClusterState, reviewer: Reviewer, settings: Identity) -> None:
        self._state = state
        self._reviewer = reviewer
        self._settings = settings
        self._left: set[str] = set()
        """Pods whose answer the start waits for."""
        self.started = settings.warm_seconds <= 0
        """The start is over: all are reviewed, or as many as there was time for."""

    def said(self) -> str:
        """What the start waits for."""
        return f"the tokens of {len(self._left)} devboxes are still to be reviewed"

    async def follow(self) -> None:
        """Review what is there, then keep it, for ever."""
        while not self._state.known.synced:  # noqa: ASYNC110 (set by several)
            await asyncio.sleep(LOOK_SECONDS)
        if not self.started:
            await self._start()
        while True:
            await asyncio.sleep(TURN_SECONDS)
            self._keep()

    async def _start(self) -> None:
        known, reviewer = self._state.known, self._reviewer
        began = time.monotonic()
        for route, owner in subjects(known, known.routes):
            self._left.add(route.pod.uid)
            reviewer.spare(route, owner)
        count = len(self._left)
        while self._left and time.monotonic() - began < self._settings.warm_seconds:
            await asyncio.sleep(LOOK_SECONDS)
            self._left = set(filter(reviewer.open, self._left))
        log.info("warm", pods=count, left=len(self._left), seconds=round(time.monotonic() - began, 1))
        self._left.clear()
        self.started = True

    def _keep(self) -> None:
        """A second's part of what has grown old, the oldest first, unless what was begun is not done."""
        most = int(self._settings.spare_reviews_per_second * TURN_SECONDS)
        age = self._settings.review_seconds * LEISURE
        if self._reviewer.queued(Urgency.SPARE):
            return
        for route, owner in oldest(self._state.known, now() - age, most):
            self._reviewer.spare(route, owner)


def subjects(known: Known, uids: Iterable[str]) -> Iterator[Subject]:
    """Those pods that may call, each with one of its tokens: a yes to one counts for all of them."""
    for uid in uids:
        pod, route = known.pods.get(uid), known.routes[uid]
        if pod is None or pod.deleting or pod.host_network or pod.phase not in ("Pending", "Running"):
            continue
        found = holders(route)
        if found and route.confined and uid not in known.unsupported:
            yield route, found[0]


def oldest(known: Known, before: float, most: int) -> list[Subject]:
    """So many pods whose review was made before, or never: the oldest first."""
    # (With thousands of devboxes this is most of what they cost a second; what few things are looked at come first.)
    reviews = known.reviews
    old = [
        (review.at if review else 0.0, uid)
        for uid in known.routes
        if (review := reviews.get(uid)) is None or review.at < before
    ]
    heapq.heapify(old)
    found = subjects(known, (heapq.heappop(old)[1] for _ in range(len(old))))
    return list(islice(found, most))
