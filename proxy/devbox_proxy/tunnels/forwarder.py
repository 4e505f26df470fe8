"""What all tunnels share: the decision, where they may lead, counts and records.

Goes in: CONNECTs. Comes out: decisions, connections to checked addresses.
"""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import structlog

from devbox_api.judge.refusals import Refusal
from devbox_common.clock import now
from devbox_proxy.accounting.limits import Load
from devbox_proxy.accounting.recorder import Recorder
from devbox_proxy.decide import connect_decision
from devbox_proxy.decide.admission import Refuse, Subject, Wait
from devbox_proxy.decide.connect_decision import Decision, Grant
from devbox_proxy.kit.dialling import Attempts, Pair, first
from devbox_proxy.kit.keepalive import Keepalive
from devbox_proxy.kit.turns import Turns
from devbox_proxy.known.facts import Known, ReviewTimes
from devbox_proxy.known.state import ClusterState
from devbox_proxy.reviews.waiting import Waiting
from devbox_proxy.settings import EgressSettings, Limits
from devbox_proxy.tunnels.whereabouts import NOWHERE
from devbox_proxy.upstreams.dial_check import AddressRefused, Resolver, Unready, WayOut
from devbox_proxy.upstreams.dial_failures import DialFailure, failed
from devbox_proxy.wire.connect_head import ConnectRequest

DIALS_PER_DEVBOX: Final = 32
"""Names and dials of one devbox at a time; more wait. That a silent server's name takes a thread for longer, lookups.py counts."""

log = structlog.get_logger()


class Forwarder:
    """The forward proxy, but for its sockets."""

    def __init__(
        self,
        load: Load,
        recorder: Recorder,
        state: ClusterState,
        waiting: Waiting,
        resolver: Resolver,
        *,
        times: ReviewTimes,
        settings: EgressSettings,
        limits: Limits,
        way_out: WayOut,
        attempts: Attempts | None = None,
        keepalive: Keepalive | None = None,
    ) -> None:
        self.load = load
        self.recorder = recorder
        self.settings = settings
        self.write_buffer = limits.write_buffer
        """Bytes that may wait for one side before the other is no longer read."""
        self.stall_seconds = limits.write_stall_seconds
        """After which a side that takes nothing is taken for gone."""
        self.keepalive = keepalive or Keepalive()
        self.whereabouts = NOWHERE
        """Said to whoever asks; set when the ports are open."""
        self.crowded: Callable[[], bool] = lambda: False
        """The canary might not answer for the crowd before it; likewise."""
        self._state = state
        self._waiting = waiting
        self._resolver = resolver
        self._times = times
        self._way_out = way_out
        self._turns = Turns(DIALS_PER_DEVBOX)
        self._attempts = attempts or Attempts()

    # deciding

    @property
    def known(self) -> Known:
        """What decisions rest on."""
        return self._state.known

    def decide(self, request: ConnectRequest) -> Decision:
        """Now, with what is known."""
        decision = connect_decision.decide(request, self.known, now(), self._times)
        if isinstance(decision, Grant) and decision.refresh is not None:
            self._waiting.renew(decision.refresh)
        return decision

    def renew(self, subject: Subject) -> None:
        """Ask the cluster about an open tunnel's pod."""
        self._waiting.renew(subject)

    async def wait(self, request: ConnectRequest, decision: Decision) -> Grant | Refuse:
        """Once there is something to decide with, or the time is over."""
        if isinstance(decision, Wait) and not self.load.memory.room(0):
            return Refuse(Refusal.OVERLOADED, decision.otherwise.caller)
        return await self._waiting.wait(request.peer, decision, lambda: self.decide(request))

    # where to

    async def dial(self, grant: Grant, make: Callable[[], Any]) -> tuple[Any, str] | Refuse:
        """A connection to one of the target's addresses, all of which were checked, and that address. `make`: its protocol."""
        target, seconds = grant.target, self.settings.connect_seconds
        way_out = replace(self._way_out, policy=grant.policy)

        async def connect(plain: socket.socket, pair: Pair) -> tuple[Any, str]:
            self.keepalive.begin(plain)
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
        except (AddressRefused, OSError) as error:
            end = failed(error)
            if end.why is DialFailure.ADDRESS_FORBIDDEN:
                said = f"{target.host}; it is, or leads to, an address that may not be dialled"
                refuse, detail = Refuse(Refusal.ADDRESS_NOT_ALLOWED, grant.caller, said), str(error)
            else:
                refuse = Refuse(end.refusal, grant.caller, f"{target.text} {end.words}")
                detail = f"{end.why.value}: {type(error).__name__}"
        log.warning("tunnel_failed", code=refuse.refusal.code, target=target.text, pod=grant.caller.pod, detail=detail)
        return refuse

    def may_stay(self, grant: Grant, address: str) -> bool:
        """What was dialled may be dialled as the policy, the settings and the floor are now."""
        host = address.rpartition(":")[0].strip("[]")
        return self._resolver.permits(grant.target, host, replace(self._way_out, policy=grant.policy))
