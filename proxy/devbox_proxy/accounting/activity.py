"""When each devbox was last active, of this process: what the operator asks for, who suspends those that are idle.

Goes in: requests that begin and end, bytes of tunnels. Comes out: how many seconds ago each pod was active.

A pod is active while a request of its is under way, from when its token was found good to its answer's end. A tunnel or a WebSocket counts
by the bytes that pass, either way: that it is open says nothing. A request that is refused counts for its moment, if it was the pod's own:
its token had been found good.

Seconds are the monotonic clock's. It stands still while the machine does, so that a pod looks younger for it: the clock that counts pauses
(clock.py) may be ahead, and would have a devbox suspended that is at work.
"""

import asyncio
from collections.abc import Container
from math import floor
from time import monotonic as now
from typing import Final

KEPT_SECONDS: Final = 60.0
"""What was seen of a pod that is gone is told for so long: the operator asks every 15 s."""
LOOK_SECONDS: Final = 15.0
"""Between two looks at which pods are gone."""
MICROSECONDS: Final = 1_000_000
TENTHS: Final = 10


class PodActivity:
    """One pod's. Requests and tunnels keep it at hand, so that a byte that passes costs one store."""

    __slots__ = ("last", "requests")

    def __init__(self, present: float) -> None:
        self.last = present
        """When something last ended, or passed."""
        self.requests = 0
        """Under way."""

    def begin(self) -> None:
        """A request is under way. `end` must follow."""
        self.requests += 1

    def end(self, present: float) -> None:
        """It is not any more."""
        self.requests -= 1
        self.last = present


class Activity:
    """All pods'."""

    __slots__ = ("_pods",)

    def __init__(self) -> None:
        self._pods: dict[str, PodActivity] = {}
        """By UID."""

    def of(self, uid: str) -> PodActivity:
        """A pod's: one whose token was found good, or it is active by somebody else's doing."""
        pod = self._pods.get(uid)
        if pod is None:
            pod = self._pods[uid] = PodActivity(now())
        return pod

    def seen(self, uid: str) -> None:
        """It did something that is over."""
        self.of(uid).last = now()

    def ages(self, since: int | None, present: float) -> dict[str, float]:
        """Seconds since each pod was active, by UID, 0 for one that is: of all, or of those that were since that cursor. Rounded down."""
        after = -1.0 if since is None else since / MICROSECONDS
        return {
            uid: 0.0 if pod.requests else max(0.0, floor((present - pod.last) * TENTHS) / TENTHS)
            for uid, pod in self._pods.items()
            if pod.requests or pod.last >= after
        }

    def forget(self, alive: Container[str], present: float) -> None:
        """Of pods that are gone, what has been told for long enough."""
        old = [uid for uid, pod in self._pods.items() if not pod.requests and present - pod.last > KEPT_SECONDS]
        for uid in old:
            if uid not in alive:
                del self._pods[uid]

    async def follow(self, alive: Container[str]) -> None:
        """Forget, for ever. `alive`: the pods that there are, by UID, as they are at any time."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.forget(alive, now())

    def __len__(self) -> int:
        return len(self._pods)


def cursor(present: float) -> int:
    """What was active since then is in the next answer."""
    return int(present * MICROSECONDS)
