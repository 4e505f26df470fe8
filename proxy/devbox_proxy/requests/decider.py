"""Who decides about the requests on a connection. The data port's asks for a token; whatever else serves requests brings another one.

Goes in: heads. Comes out: decisions, now or after some waiting, and whether what is under way may go on.
"""

from devbox_api.judge.refusals import Refusal
from devbox_common.clock import now
from devbox_proxy.accounting.limits import Load
from devbox_proxy.decide import admission, identity
from devbox_proxy.decide.admission import Refuse, Wait
from devbox_proxy.decide.identity import Decision, Forward
from devbox_proxy.known.facts import ReviewTimes
from devbox_proxy.known.state import ClusterState
from devbox_proxy.reviews.waiting import Waiting
from devbox_proxy.wire.guard import RequestHead


class Decider:
    """What a connection and its exchanges ask."""

    def decide(self, head: RequestHead) -> Decision:
        """Now, with what is known."""
        raise NotImplementedError

    async def wait(self, head: RequestHead, decision: Decision) -> Decision:
        """Once there is something to decide with, or the time is over."""
        raise NotImplementedError

    def forbidden(self, pod_uid: str, *, endless: bool) -> Refusal | None:
        """Why a request that is under way may not go on. An answer ends by itself, what is `endless` (a WebSocket) need not: it ends where
        nobody knows any more whether it may."""
        raise NotImplementedError


class TokenDecider(Decider):
    """By the token in the head, and what is known of the cluster."""

    def __init__(self, state: ClusterState, waiting: Waiting, load: Load, times: ReviewTimes) -> None:
        self._state = state
        self._waiting = waiting
        self._load = load
        self._times = times

    def decide(self, head: RequestHead) -> Decision:
        """Now, with what is known."""
        decision = identity.decide(head, self._state.known, now(), self._times)
        if isinstance(decision, Forward) and decision.refresh is not None:
            self._waiting.renew(decision.refresh)
        return decision

    async def wait(self, head: RequestHead, decision: Decision) -> Decision:
        """Once there is something to decide with, or the time is over."""
        if isinstance(decision, Wait) and not self._load.memory.room(0):
            return Refuse(Refusal.OVERLOADED, decision.otherwise.caller)
        return await self._waiting.wait(head.peer, decision, lambda: self.decide(head))

    def forbidden(self, pod_uid: str, *, endless: bool) -> Refusal | None:
        """Why a request that is under way may not go on: its pod, its Route or its confinement is gone."""
        why = admission.ended(self._state.known, pod_uid)
        return why or (admission.blind(self._state.known, now(), self._times) if endless else None)
