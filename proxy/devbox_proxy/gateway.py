"""What all requests share: the decision, what is known, how much there may be at a time, and the books.

Goes in: heads of requests and what became of them. Comes out: decisions, audit lines, metrics. Nothing of a request is ever logged but
what audit.py writes. Made by __main__.py; called by connection.py and exchange.py.
"""

import asyncio
import contextlib
import sys
from collections import Counter
from time import monotonic as now
from typing import TYPE_CHECKING, Final

import structlog

from . import grammar, identity, metrics
from .audit import AuditFull, AuditLog, End
from .credentials import UpstreamRequest
from .gateways import Timeouts as OwnTimeouts
from .guard import RequestHead
from .heads import Heads
from .identity import Caller, Decision, For, Refuse, Wait
from .memory import Memory
from .pool import Upstreams
from .reader import HeadLimits
from .refusals import Refusal
from .reviews import Reviewer
from .settings import Bounds, Timeouts
from .state import State
from .view import Limits

if TYPE_CHECKING:
    from .connection import Connection

WAITERS_PER_PEER: Final = 64
REVIEW_SECONDS: Final = 2.0
"""What a TokenReview may take beyond the wait."""

log = structlog.get_logger()


class Gateway:
    """What requests share: the decision, what is known, the connections to APIs, the books."""

    def __init__(
        self,
        state: State,
        reviewer: Reviewer,
        upstreams: Upstreams,
        audit: AuditLog,
        *,
        limits: Limits,
        wait_seconds: float,
        public_url: str,
        timeouts: Timeouts | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        self.upstreams = upstreams
        self.bounds = bounds or Bounds()
        self.public_url = public_url.rstrip("/").encode()
        self.heads = Heads()
        sizes = self.bounds
        self._body_limit = sizes.body_bytes or sys.maxsize
        self.head_limits = HeadLimits(sizes.target_bytes, sizes.header_bytes, sizes.headers, sizes.head_bytes)
        self.connections: set[Connection] = set()
        self.draining = False
        """Answers tell clients to connect anew, which leads them to another replica."""
        self._state = state
        self._reviewer = reviewer
        self._audit = audit
        self._limits = limits
        self._wait_seconds = wait_seconds
        self._timeouts = timeouts or Timeouts()
        self._waiting: Counter[str] = Counter()
        self._under_way: dict[str, int] = {}
        """By pod UID."""
        self._total = 0
        self.memory = Memory(self.bounds.memory_percent)

    # deciding

    def decide(self, head: RequestHead) -> Decision:
        """Now, with what is known."""
        decision = identity.decide(head, self._state.known, now(), self._limits)
        if isinstance(decision, identity.Forward) and decision.refresh is not None:
            self._reviewer.start(*decision.refresh)
        return decision

    async def wait(self, head: RequestHead, decision: Decision) -> Decision:
        """Once there is something to decide with, or the time is over."""
        deadline = now() + self._wait_seconds
        while isinstance(decision, Wait):
            left = deadline - now()
            if left <= 0:
                return decision.otherwise
            try:
                if decision.what is For.MIRROR:
                    # Nobody has vouched for this request yet: a bound on what it may hold.
                    if self._waiting[head.peer] >= WAITERS_PER_PEER:
                        return Refuse(Refusal.TOO_MANY_WAITING, decision.otherwise.caller)
                    await self._wait_for_mirror(head.peer, left)
                elif decision.subject is not None:
                    async with asyncio.timeout(left + REVIEW_SECONDS):  # a review has a time-out of its own
                        await self._reviewer.review(*decision.subject)
            except TimeoutError:
                return decision.otherwise
            decision = self.decide(head)
        return decision

    async def _wait_for_mirror(self, peer: str, seconds: float) -> None:
        self._waiting[peer] += 1
        try:
            await self._state.changed(seconds)
        finally:
            self._waiting[peer] -= 1
            if not self._waiting[peer]:
                del self._waiting[peer]

    @property
    def requests(self) -> int:
        """Under way."""
        return self._total

    def still_there(self, pod_uid: str) -> bool:
        """Whether a request that is under way may go on: its pod is there, and its Route."""
        known = self._state.known
        pod = known.pods.get(pod_uid)
        return pod is not None and not pod.deleting and pod_uid in known.routes and pod.phase in ("Pending", "Running")

    def patience(self, own: OwnTimeouts | None, *, answered: bool) -> float:
        """Seconds without a byte from the API: the GatewayConfig's own, or the chart's."""
        if answered:
            return (own and own.idle) or self._timeouts.idle_seconds
        return (own and own.first_byte) or self._timeouts.first_byte_seconds

    # how much at a time

    def enter(self, caller: Caller) -> Refusal | None:
        """Count a request that begins; or why there is no room for it. `leave` must follow in either case."""
        uid = caller.pod_uid
        count = self._under_way[uid] = self._under_way.get(uid, 0) + 1
        self._total += 1
        if count > self.bounds.requests_per_devbox:
            return Refusal.TOO_MANY_REQUESTS
        if self._total > self.bounds.requests or not self.memory.room(self._total):
            return Refusal.OVERLOADED
        return None

    def too_long(self, request: UpstreamRequest, length: int) -> bool:
        """A body of so many bytes is more than the GatewayConfig or the settings allow."""
        limit = self._body_limit if request.max_body is None else min(request.max_body, self._body_limit)
        return length > limit

    def leave(self, caller: Caller) -> None:
        """A request has ended."""
        uid = caller.pod_uid
        self._total -= 1
        if self._under_way[uid] == 1:
            del self._under_way[uid]
        else:
            self._under_way[uid] -= 1

    # the books

    def audit_start(self, request_id: str, caller: Caller, head: RequestHead) -> bool:
        """The line before the first byte to the API. False: it can't be written, so the request must not go."""
        try:
            self._audit.start(request_id, caller, head.method, head.path)
        except AuditFull:
            return False
        return True

    def answered(self, caller: Caller, seconds: float) -> None:
        """An API's answer has begun."""
        metrics.REQUESTS.observe(caller, seconds)

    def audit_end(self, request_id: str, caller: Caller, head: RequestHead, end: End) -> None:
        """The line at a request's end, and its metrics."""
        metrics.REQUESTS.count(caller, end.status)
        try:
            self._audit.end(request_id, caller, head.method, head.path, end)
        except AuditFull:
            log.error("audit_line_lost", request_id=request_id)

    def refused(self, refusal: Refusal, peer: str, request_id: str, caller: Caller | None = None, method: str = "") -> None:
        """The line and the metric of a refusal. Where no line can be taken the client is refused all the same."""
        metrics.REFUSALS.labels(refusal.code).inc()
        facts = {"method": method if method in grammar.METHODS else "OTHER", "peer": peer, "code": refusal.code}
        with contextlib.suppress(AuditFull):
            self._audit.refused(request_id, caller, **facts, status=refusal.status)
