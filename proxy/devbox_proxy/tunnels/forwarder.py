"""What all tunnels share: the decision, where they may lead, how many there may be, and the books.

Goes in: CONNECTs and what became of them. Comes out: decisions, connections to checked addresses, audit lines, metrics. What it has in
common with requests (memory, waiting, the audit log) is data_path.py's.
"""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import structlog

from devbox_api.judge.refusals import Refusal
from devbox_common.clock import now
from devbox_proxy.accounting.audit import AuditFull, End
from devbox_proxy.decide import connect_decision
from devbox_proxy.decide.admission import Refuse, Subject, Wait
from devbox_proxy.decide.caller import Caller
from devbox_proxy.decide.connect_decision import Decision, Grant
from devbox_proxy.kit import metrics
from devbox_proxy.kit.dialling import Attempts, Pair, first
from devbox_proxy.kit.turns import Turns
from devbox_proxy.known.facts import Known, Limits
from devbox_proxy.known.state import State
from devbox_proxy.requests.data_path import DataPath
from devbox_proxy.reviews.waiting import Waiting
from devbox_proxy.settings import Egress
from devbox_proxy.tunnels.whereabouts import NOWHERE
from devbox_proxy.upstreams.dial_check import Refused, Resolver, Unready, WayOut
from devbox_proxy.wire.connect_head import ConnectRequest

if TYPE_CHECKING:
    from devbox_proxy.tunnels.client import ConnectConnection

DIALS_PER_DEVBOX: Final = 32
"""Names and dials of one devbox at a time; more wait. That a silent server's name takes a thread for longer, lookups.py counts."""

log = structlog.get_logger()


class Forwarder:
    """The forward proxy, but for its sockets."""

    def __init__(
        self,
        gateway: DataPath,
        state: State,
        waiting: Waiting,
        resolver: Resolver,
        *,
        limits: Limits,
        settings: Egress,
        way_out: WayOut,
        attempts: Attempts | None = None,
    ) -> None:
        self.gateway = gateway
        self.settings = settings
        self.connections: set[ConnectConnection] = set()
        self.whereabouts = NOWHERE
        """Said to whoever asks; set when the ports are open."""
        self.crowded: Callable[[], bool] = lambda: False
        """The canary might not answer for the crowd before it; likewise."""
        self._state = state
        self._waiting = waiting
        self._resolver = resolver
        self._limits = limits
        self._way_out = way_out
        self._open: dict[str, int] = {}
        """Tunnels by pod UID."""
        self._turns = Turns(DIALS_PER_DEVBOX)
        self._attempts = attempts or Attempts()

    # deciding

    @property
    def known(self) -> Known:
        """What decisions rest on."""
        return self._state.known

    def decide(self, request: ConnectRequest) -> Decision:
        """Now, with what is known."""
        decision = connect_decision.decide(request, self.known, now(), self._limits)
        if isinstance(decision, Grant) and decision.refresh is not None:
            self._waiting.renew(decision.refresh)
        return decision

    def renew(self, subject: Subject) -> None:
        """Ask the cluster about an open tunnel's pod."""
        self._waiting.renew(subject)

    async def wait(self, request: ConnectRequest, decision: Decision) -> Grant | Refuse:
        """Once there is something to decide with, or the time is over."""
        if isinstance(decision, Wait) and not self.gateway.memory.room(0):
            return Refuse(Refusal.OVERLOADED, decision.otherwise.caller)
        return await self._waiting.wait(request.peer, decision, lambda: self.decide(request))

    # how much at a time

    def enter(self, caller: Caller) -> Refusal | None:
        """Count a tunnel, from before its dial; or why there is no room for it. `leave` must follow in either case."""
        uid = caller.pod_uid
        count = self._open[uid] = self._open.get(uid, 0) + 1
        self.gateway.tunnels += 1
        if count > self.settings.tunnels_per_devbox:
            return Refusal.TOO_MANY_TUNNELS
        if self.gateway.tunnels > self.settings.tunnels or not self.gateway.memory.room(self.gateway.under_way):
            return Refusal.OVERLOADED
        return None

    def leave(self, caller: Caller) -> None:
        """A tunnel is over."""
        uid = caller.pod_uid
        self.gateway.tunnels -= 1
        if self._open[uid] == 1:
            del self._open[uid]
        else:
            self._open[uid] -= 1

    # where to

    async def dial(self, grant: Grant, make: Callable[[], Any]) -> tuple[Any, str] | Refuse:
        """A connection to one of the target's addresses, all of which were checked, and that address. `make`: its protocol."""
        target, seconds = grant.target, self.settings.connect_seconds
        way_out = replace(self._way_out, policy=grant.policy)

        async def connect(plain: socket.socket, pair: Pair) -> tuple[Any, str]:
            try:
                _, protocol = await asyncio.get_running_loop().create_connection(make, sock=plain)
            except BaseException:
                plain.close()
                raise
            return protocol, f"[{pair[0]}]:{pair[1]}" if ":" in pair[0] else f"{pair[0]}:{pair[1]}"

        try:
            async with self._turns.turn(grant.caller.pod_uid), asyncio.timeout(seconds):
                pairs = await self._resolver.target(target, way_out, grant.caller.pod_uid)
                return await first(pairs, seconds, connect, self._attempts, grant.caller.pod_uid)
        except Unready as unready:
            refuse, detail = Refuse(Refusal.NOT_READY, grant.caller), str(unready)
        except Refused as refused:
            said = f"{target.host}; it is, or leads to, an address that may not be dialled"
            refuse, detail = Refuse(Refusal.ADDRESS_NOT_ALLOWED, grant.caller, said), str(refused)
        except TimeoutError:
            said = f"{target.text} took no connection in time"
            refuse, detail = Refuse(Refusal.UPSTREAM_CONNECT_TIMEOUT, grant.caller, said), ""
        except OSError as error:
            refuse = Refuse(Refusal.UPSTREAM_UNREACHABLE, grant.caller, f"{target.text} can't be reached")
            detail = type(error).__name__
        log.warning("tunnel_failed", code=refuse.refusal.code, target=target.text, pod=grant.caller.pod, detail=detail)
        return refuse

    def may_stay(self, grant: Grant, address: str) -> bool:
        """What was dialled may be dialled as the policy, the settings and the floor are now."""
        host = address.rpartition(":")[0].strip("[]")
        return self._resolver.permits(grant.target, host, replace(self._way_out, policy=grant.policy))

    # the books

    def started(self, request_id: str, grant: Grant, address: str) -> bool:
        """The line before the first byte. False: it can't be written, so there must be no tunnel."""
        try:
            self.gateway.audit.tunnel_start(request_id, grant.caller, grant.target.text, address)
        except AuditFull:
            return False
        return True

    def ended(self, request_id: str, grant: Grant, address: str, end: End) -> None:
        """The line at a tunnel's end, and its metrics."""
        namespace = grant.caller.namespace
        metrics.TUNNELS_ENDED.labels(namespace, end.ended).inc()
        metrics.TUNNEL_BYTES.labels(namespace, "up").inc(end.received)
        metrics.TUNNEL_BYTES.labels(namespace, "down").inc(end.sent)
        try:
            self.gateway.audit.tunnel_end(request_id, grant.caller, grant.target.text, address, end)
        except AuditFull:
            metrics.LINES_LOST.inc()
            log.error("audit_line_lost", request_id=request_id, pod=grant.caller.pod)

    def refused(self, refuse: Refuse, request_id: str, peer: str, target: str) -> None:
        """The line and the metric of a refusal; `target` only if it is one."""
        facts = {"target": target} if target else {}
        self.gateway.refused(refuse.refusal, peer, request_id, refuse.caller, "CONNECT", **facts)
