"""What became of requests and tunnels: their audit lines, and the metrics that count the same events.

Goes in: starts, ends and refusals. Comes out: lines (audit.py writes them) and metrics. Nothing else of a request is ever logged.
"""

import structlog

from devbox_api.judge import paths
from devbox_api.judge.refusals import Refusal
from devbox_proxy.accounting.audit import AuditFull, AuditLog, End
from devbox_proxy.decide.admission import Refuse
from devbox_proxy.decide.caller import Caller
from devbox_proxy.decide.connect_decision import Grant
from devbox_proxy.decide.identity import Forward
from devbox_proxy.kit import metrics

log = structlog.get_logger()


class Recorder:
    """For both ports."""

    __slots__ = ("_audit",)

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit

    def tell_rest(self, present: float) -> None:
        """Write how many refusals had no line of their own (monotonic seconds). Called now and then."""
        self._audit.tell_rest(present)

    # requests

    def request_starts(self, request_id: str, forward: Forward) -> bool:
        """The line before the first byte to the API. False: it can't be written, so the request must not go."""
        try:
            self._audit.start(request_id, forward.caller.pod_uid, forward.about)
        except AuditFull:
            return False
        return True

    def request_answered(self, caller: Caller, seconds: float) -> None:
        """An API's answer has begun, so many seconds after the request's head was read."""
        metrics.REQUESTS.observe(caller.namespace, caller.gateway, seconds)

    def request_ended(self, request_id: str, forward: Forward, end: End) -> None:
        """The line at a request's end, and its metrics."""
        metrics.REQUESTS.count(forward.caller.namespace, forward.caller.gateway, end.status)
        try:
            self._audit.end(request_id, forward.caller.pod_uid, forward.about, end)
        except AuditFull:
            _line_lost(request_id, forward.caller)

    def request_refused(
        self, refusal: Refusal, peer: str, request_id: str, caller: Caller | None = None, method: str = ""
    ) -> None:
        """The line and the metric of a refusal. Where no line can be taken the client is refused all the same, and counted."""
        metrics.REFUSALS.labels(refusal.code).inc()
        named = method if method in paths.METHODS or method == "CONNECT" else "OTHER"
        self._audit.refused(request_id, caller, peer, refusal.code, method=named, status=refusal.status)

    # tunnels

    def tunnel_starts(self, request_id: str, grant: Grant, address: str) -> bool:
        """The line before the first byte. False: it can't be written, so there must be no tunnel."""
        try:
            self._audit.tunnel_start(request_id, grant.caller, grant.target.text, address)
        except AuditFull:
            return False
        return True

    def tunnel_ended(self, request_id: str, grant: Grant, address: str, end: End) -> None:
        """The line at a tunnel's end, and its metrics."""
        namespace = grant.caller.namespace
        metrics.TUNNELS_ENDED.labels(namespace, end.ended).inc()
        metrics.TUNNEL_BYTES.labels(namespace, "up").inc(end.received)
        metrics.TUNNEL_BYTES.labels(namespace, "down").inc(end.sent)
        try:
            self._audit.tunnel_end(request_id, grant.caller, grant.target.text, address, end)
        except AuditFull:
            _line_lost(request_id, grant.caller)

    def tunnel_refused(self, refuse: Refuse, request_id: str, peer: str, target: str) -> None:
        """As `request_refused`; `target` only if it is one."""
        refusal, facts = refuse.refusal, {"target": target} if target else {}
        metrics.REFUSALS.labels(refusal.code).inc()
        self._audit.refused(
            request_id, refuse.caller, peer, refusal.code, method="CONNECT", status=refusal.proxy_status, **facts
        )


def _line_lost(request_id: str, caller: Caller) -> None:
    metrics.LINES_LOST.inc()
    log.error("audit_line_lost", request_id=request_id, pod=caller.pod)
