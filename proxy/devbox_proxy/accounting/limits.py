"""How much there is at a time, of both ports, and how much there may be.

Goes in: requests and tunnels that begin and end. Comes out: None, or the refusal of one that there is no room for.
"""

from devbox_api.judge.refusals import Refusal
from devbox_proxy.accounting.activity import Activity
from devbox_proxy.decide.caller import Caller
from devbox_proxy.kit.memory import Memory


class Load:
    """What this process carries: its memory is shared by all of it."""

    __slots__ = ("activity", "draining", "memory", "requests", "sockets", "tunnels")

    def __init__(self, memory: Memory, *, requests: tuple[int, int], tunnels: tuple[int, int]) -> None:
        """`requests`, `tunnels`: at most, in all and of one pod."""
        self.activity = Activity()
        self.memory = memory
        self.sockets = 0
        """Clients' connections on both ports."""
        self.draining = False
        """Answers tell clients to connect anew, which leads them to another replica."""
        self.requests = UnderWay(self, *requests, too_many=Refusal.TOO_MANY_REQUESTS)
        self.tunnels = UnderWay(self, *tunnels, too_many=Refusal.TOO_MANY_TUNNELS)

    @property
    def under_way(self) -> int:
        """Requests and tunnels."""
        return self.requests.total + self.tunnels.total


class UnderWay:
    """Requests, or tunnels, that have begun and not ended."""

    __slots__ = ("_by_pod", "_load", "_most", "_most_per_pod", "_too_many", "total")

    def __init__(self, load: Load, most: int, most_per_pod: int, *, too_many: Refusal) -> None:
        """`too_many`: of one pod."""
        self.total = 0
        self._load = load
        self._most = most
        self._most_per_pod = most_per_pod
        self._too_many = too_many
        self._by_pod: dict[str, int] = {}
        """By pod UID; none of it is 0."""

    def enter(self, caller: Caller) -> Refusal | None:
        """Count one that begins; or why there is no room for it. `leave` must follow in either case."""
        uid = caller.pod_uid
        count = self._by_pod[uid] = self._by_pod.get(uid, 0) + 1
        self.total += 1
        if count > self._most_per_pod:
            return self._too_many
        if self.total > self._most or not self._load.memory.room(self._load.under_way):
            return Refusal.OVERLOADED
        return None

    def leave(self, caller: Caller) -> None:
        """One has ended."""
        uid = caller.pod_uid
        self.total -= 1
        if self._by_pod[uid] == 1:
            del self._by_pod[uid]
        else:
            self._by_pod[uid] -= 1
