"""A keyed work queue: each key is worked on by one worker at a time, and once for many adds.

Goes in: keys (`add`). Comes out: calls of `work(key)`, which returns seconds after which the key is due again, or None. A call
that raises is repeated with a growing, jittered pause. Kopf's handlers and the mirrors feed it; it knows nothing of Kubernetes.
(client-go's workqueue does the same for controllers written in Go.)
"""

import asyncio
import heapq
import itertools
import random
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

K = TypeVar("K")

FIRST_PAUSE: Final = 0.2
"""Seconds before the first repetition."""
LONGEST_PAUSE: Final = 300.0


def pause(failures: int, first: float = FIRST_PAUSE) -> float:
    """Seconds to wait after so many failures in a row, without jitter: doubles up to five minutes."""
    return min(LONGEST_PAUSE, first * 2.0 ** min(failures - 1, 32)) if failures > 0 else 0.0


class WorkQueue(Generic[K]):
    """Deduplication, one worker a key, back-off, delayed adds."""

    def __init__(
        self,
        work: Callable[[K], Awaitable[float | None]],
        *,
        on_error: Callable[[K, Exception, float], None],
        clock: Callable[[], float] | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`on_error(key, error, pause)` is told of every failure; `jitter()` gives 0 to 1."""
        self._work = work
        self._on_error = on_error
        self._clock = clock or (lambda: asyncio.get_running_loop().time())
        self._jitter = jitter
        self._ready: deque[K] = deque()
        self._queued: set[K] = set()
        self._running: set[K] = set()
        self._again: set[K] = set()
        """Added while being worked on: due at once when that ends."""
        self._delayed: list[tuple[float, int, K]] = []
        self._due: dict[K, float] = {}
        """The earliest time of each delayed key; entries of the heap that don't match are stale."""
        self._failures: dict[K, int] = {}
        self._order = itertools.count()
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        """Keys that wait for a worker now."""
        return len(self._ready)

    def working(self) -> frozenset[K]:
        """Keys that are being worked on now, by what was seen when that began."""
        return frozenset(self._running)

    def add(self, key: K, after: float = 0.0) -> None:
        """Have the key worked on, now or after so many seconds (an earlier time that is already known stays)."""
        if after > 0:
            due = self._clock() + after
            if due < self._due.get(key, float("inf")):
                self._due[key] = due
                heapq.heappush(self._delayed, (due, next(self._order), key))
        elif key in self._running:
            self._again.add(key)
        elif key not in self._queued:
            self._queued.add(key)
            self._ready.append(key)
        self._wake.set()

    def forget(self, key: K) -> None:
        """The key's object is gone: no delayed work and no failures are kept for it."""
        self._due.pop(key, None)
        self._failures.pop(key, None)

    async def run(self, workers: int) -> None:
        """Work for ever with at most that many keys at a time."""
        free = asyncio.Semaphore(workers)
        async with asyncio.TaskGroup() as tasks:
            while True:
                await free.acquire()
                key = await self._next()
                tasks.create_task(self._one(key, free))

    async def _one(self, key: K, free: asyncio.Semaphore) -> None:
        try:
            await self.step(key)
        finally:
            free.release()

    def take(self) -> K | None:
        """The next key that is due, marked as being worked on; None if there is none."""
        now = self._clock()
        while self._delayed and self._delayed[0][0] <= now:
            due, _, key = heapq.heappop(self._delayed)
            if self._due.get(key) == due:
                del self._due[key]
                self.add(key)
        if not self._ready:
            return None
        key = self._ready.popleft()
        self._queued.discard(key)
        self._running.add(key)
        return key

    async def step(self, key: K) -> None:
        """Work on a key that `take` gave."""
        try:
            after = await self._work(key)
        except Exception as error:
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            seconds = pause(failures) * (0.5 + self._jitter() / 2)
            self._on_error(key, error, seconds)
            self._done(key, seconds)
        else:
            self._failures.pop(key, None)
            self._done(key, after)

    def _done(self, key: K, after: float | None) -> None:
        self._running.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)
        if after is not None:
            self.add(key, max(after, 0.001))

    async def _next(self) -> K:
        while True:
            key = self.take()
            if key is not None:
                return key
            self._wake.clear()
            left = self._delayed[0][0] - self._clock() if self._delayed else None
            try:
                async with asyncio.timeout(left):
                    await self._wake.wait()
            except TimeoutError:
                continue
