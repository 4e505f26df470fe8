"""What all requests share: the decision, what is known, how much there may be at a time, and the books.

Goes in: heads of requests and what became of them. Comes out: decisions, audit lines, metrics. Nothing of a request is ever logged but
what audit.py writes.
"""

import sys
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Protocol

import structlog

from devbox_api.judge import paths
from devbox_api.judge.refusals import Refusal
from devbox_common.clock import now
from devbox_proxy.accounting.audit import AuditFull, AuditLog, End
from devbox_proxy.decide import admission, identity
from devbox_proxy.decide.admission import Refuse, Wait
from devbox_proxy.decide.caller import Caller
from devbox_proxy.decide.identity import Decision, Forward
from devbox_proxy.kit import metrics
from devbox_proxy.kit.memory import Memory
from devbox_proxy.kit.ticks import Ticks
from devbox_proxy.known.facts import Limits
from devbox_proxy.known.state import State
from devbox_proxy.reviews.waiting import Waiting
from devbox_proxy.settings import Bounds, Timeouts
from devbox_proxy.wire.guard import RequestHead
from devbox_proxy.wire.head_cache import Heads
from devbox_proxy.wire.messages import ApiTimeouts, UpstreamRequest
from devbox_proxy.wire.reader import HeadLimits

if TYPE_CHECKING:
    from devbox_proxy.requests.connection import Connection
    from devbox_proxy.upstreams.connection import UpstreamConnection

log = structlog.get_logger()


class Connections(Protocol):
    """Those to APIs: pool.py's."""

    def idle(self, key: tuple[str, ...]) -> "UpstreamConnection | None":
        """One that is at rest."""

    def dial(self, key: tuple[str, ...], request: UpstreamRequest) -> "Awaitable[UpstreamConnection]":
        """A new one. Raises OSError or Refused."""

    def release(self, connection: "UpstreamConnection") -> None:
        """Its answer was whole."""

    def sweep(self) -> None:
        """Close what was at rest for too long."""


class DataPath:
    """What requests share: the decision, what is known, the connections to APIs, the books."""

    def __init__(
        self,
        state: State,
        waiting: Waiting,
        upstreams: Connections,
        audit: AuditLog,
        *,
        limits: Limits,
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
        self._waiting = waiting
        self.audit = audit
        self._limits = limits
        self._timeouts = timeouts or Timeouts()
        self._under_way: dict[str, int] = {}
        """By pod UID."""
        self._total = 0
        self.tunnels = 0
        """Of the forward proxy: they share the memory with requests."""
        self.sockets = 0
        """Clients' connections on both ports."""
        self.ticks = Ticks()
        self.memory = Memory(self.bounds.memory_percent)

    # deciding

    def decide(self, head: RequestHead) -> Decision:
        """Now, with what is known."""
        decision = identity.decide(head, self._state.known, now(), self._limits)
        if isinstance(decision, Forward) and decision.refresh is not None:
            self._waiting.renew(decision.refresh)
        return decision

    async def wait(self, head: RequestHead, decision: Decision) -> Decision:
        """Once there is something to decide with, or the time is over."""
        if isinstance(decision, Wait) and not self.memory.room(0):
            return Refuse(Refusal.OVERLOADED, decision.otherwise.caller)
        return await self._waiting.wait(head.peer, decision, lambda: self.decide(head))

    @property
    def waiting(self) -> int:
        """Requests and tunnels that wait for a decision."""
        return self._waiting.count

    @property
    def requests(self) -> int:
        """Under way."""
        return self._total

    @property
    def under_way(self) -> int:
        """Requests and tunnels."""
        return self._total + self.tunnels

    def ended(self, pod_uid: str) -> Refusal | None:
        """Why a request that is under way may not go on: its pod, its Route or its confinement is gone."""
        return admission.ended(self._state.known, pod_uid)

    def blind(self) -> Refusal | None:
        """Why nothing can be decided now."""
        return admission.blind(self._state.known, now(), self._limits)

    def patience(self, own: ApiTimeouts | None, *, answered: bool) -> float:
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
        if self._total > self.bounds.requests or not self.memory.room(self.under_way):
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

    def audit_start(self, request_id: str, forward: Forward) -> bool:
        """The line before the first byte to the API. False: it can't be written, so the request must not go."""
        try:
            self.audit.start(request_id, forward.caller.pod_uid, forward.about)
        except AuditFull:
            return False
        return True

    def answered(self, caller: Caller, seconds: float) -> None:
        """An API's answer has begun."""
        metrics.REQUESTS.observe(caller.namespace, caller.gateway, seconds)

    def audit_end(self, request_id: str, forward: Forward, end: End) -> None:
        """The line at a request's end, and its metrics."""
        metrics.REQUESTS.count(forward.caller.namespace, forward.caller.gateway, end.status)
        try:
            self.audit.end(request_id, forward.caller.pod_uid, forward.about, end)
        except AuditFull:
            metrics.LINES_LOST.inc()
            log.error("audit_line_lost", request_id=request_id, pod=forward.caller.pod)

    def refused(
        self, refusal: Refusal, peer: str, request_id: str, caller: Caller | None = None, method: str = "", **facts: str
    ) -> None:
        """The line and the metric of a refusal. Where no line can be taken the client is refused all the same, and counted."""
        metrics.REFUSALS.labels(refusal.code).inc()
        status = refusal.proxy_status if method == "CONNECT" else refusal.status
        named = method if method in paths.METHODS or method == "CONNECT" else "OTHER"
        self.audit.refused(request_id, caller, peer, refusal.code, method=named, status=status, **facts)
