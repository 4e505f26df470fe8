"""What is news for the Devboxes that use an object: not every look at it, but a change of what they go by.

Goes in: what each look found. Comes out: work for the queue.
"""

from collections.abc import Hashable, Iterable

from devbox_operator.kit.queue import WorkQueue
from devbox_operator.seen.keys import Key, Kind, WorkKey


class News:
    """The last look at each object of a kind."""

    def __init__(self, queue: WorkQueue[WorkKey]) -> None:
        self._queue = queue
        self._seen: dict[Key, Hashable] = {}

    def tell(self, key: Key, seen: Hashable | None, users: Iterable[Key]) -> None:
        """Have the users looked at if `seen` is not what it was. None: the object is not there, or can't be understood."""
        if self._seen.get(key) == seen:
            return
        if seen is None:
            self._seen.pop(key)
        else:
            self._seen[key] = seen
        for user in users:
            self._queue.add(WorkKey(Kind.DEVBOX, *user))
