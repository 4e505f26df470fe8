"""Connections to APIs that are at rest: which there are, and whose goes where there are too many.

Goes in: connections that were released, taken, closed. Comes out: the one of a key that was used last, and whoever has to make room. Pure.
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

from devbox_proxy.known.credentials import PoolKey
from devbox_proxy.upstreams.connection import UpstreamConnection

KEPT: Final = 4096
"""In all; the one that was used longest ago goes first, of the namespace that has most. (Fewer where there are few file descriptors:
open_files.py.)"""
LONG_PART: Final = 8
"""Of these a namespace may have such a part for longer than a few seconds (`long`)."""
LONG_LEAST: Final = 16


class Resting:
    """In the order in which they came to rest."""

    __slots__ = ("_all", "_by_key", "_by_namespace", "kept", "long")

    def __init__(self, kept: int = KEPT) -> None:
        """`kept`: at most."""
        self.kept = kept
        self.long = max(min(kept, LONG_LEAST), kept // LONG_PART)
        """So many of a namespace may rest for long."""
        self._all: OrderedDict[UpstreamConnection, None] = OrderedDict()
        self._by_key: dict[PoolKey, OrderedDict[UpstreamConnection, None]] = {}
        self._by_namespace: dict[str, OrderedDict[UpstreamConnection, None]] = {}
        """None of both is empty."""

    def add(self, connection: UpstreamConnection) -> UpstreamConnection | None:
        """One more. Returns the one that has to go for it, which is taken out already."""
        key = connection.key
        self._all[connection] = None
        self._by_key.setdefault(key, OrderedDict())[connection] = None
        own = self._by_namespace.setdefault(key.namespace, OrderedDict())
        own[connection] = None
        if len(self._all) <= self.kept:
            return None
        if len(own) * len(self._by_namespace) <= self.kept:  # no more than its share
            own = max(self._by_namespace.values(), key=len)
        oldest = next(iter(own))
        self.take(oldest)
        return oldest

    def take(self, connection: UpstreamConnection) -> None:
        """It rests no more."""
        key = connection.key
        del self._all[connection]
        same = self._by_key[key]
        del same[connection]
        if not same:
            del self._by_key[key]
        own = self._by_namespace[key.namespace]
        del own[connection]
        if not own:
            del self._by_namespace[key.namespace]

    def latest(self, key: PoolKey) -> UpstreamConnection | None:
        """Of those with this key, the one that was used last."""
        same = self._by_key.get(key)
        return next(reversed(same)) if same else None

    def of(self, namespace: str) -> list[UpstreamConnection]:
        """A namespace's, the one that has rested longest first."""
        return list(self._by_namespace.get(namespace, ()))

    def __contains__(self, connection: UpstreamConnection) -> bool:
        return connection in self._all

    def __iter__(self) -> Iterator[UpstreamConnection]:
        return iter(list(self._all))

    def __len__(self) -> int:
        return len(self._all)
