"""A list+watch mirror of one kind of object: what the API server has, in memory, and whether that is still true.

Goes in: a path and a function from the API's object to what the caller keeps of it. Comes out: `objects`, `synced`, `live`,
and a call per change. A relist replaces everything, so that what was deleted while a watch was down is gone (kopf's indices
keep such ghosts, which for an authorisation cache would be a hole); one is made every few minutes in any case.
"""

import asyncio
import contextlib
import math
import random
import time
from collections.abc import AsyncGenerator, Callable, Hashable, Mapping
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar

import structlog

from .clock import CLOCK, Clock
from .kube import ApiError, KubeApi, Object

T = TypeVar("T")
Key = tuple[str, str]
"""(namespace, name); the namespace of a cluster-scoped object is the empty string."""
OnChange = Callable[[Key, T | None, T | None], None]

RELIST_SECONDS: Final = 300.0
BACKOFF_SECONDS: Final = (0.1, 0.3, 1.0, 2.0, 5.0)
SELDOM_SECONDS: Final = (*BACKOFF_SECONDS, 30.0, RELIST_SECONDS)
"""For what the API server may well never have."""
LACKING: Final = (403, 404)
"""It does not serve the kind, or not to us."""

log = structlog.get_logger()


class Mirror(Generic[T]):
    """One watched collection. Start `run()` as a task; stop it by cancelling the task."""

    def __init__(
        self,
        api: KubeApi,
        path: str,
        convert: Callable[[Object], T | None],
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
        on_change: OnChange[T] | None = None,
        on_recovery: Callable[[ApiError], None] | None = None,
        on_failure: Callable[[ApiError], None] | None = None,
        group: Callable[[Key, T], Hashable] | None = None,
        relist_seconds: float = RELIST_SECONDS,
        optional: bool = False,
        metadata_only: bool = False,
        clock: Clock = CLOCK,
    ) -> None:
        """`convert` returns None for objects to leave out; if it raises, the object is left out and the fact is logged.

        `on_change(key, old, new)` is called synchronously, after `objects` holds the new state. `group(key, object)`: what `within`
        finds it by; the namespace if it is not given. `on_recovery(error)`: the watch is live again, and `error` is why it was not;
        `on_failure(error)`: a try to get there failed.
        `optional`: the kind is one that the API server need not have, or show us. That it has not is an answer, too: `synced` is set,
        nothing changes in `objects`, and the question comes back ever more seldom. `metadata_only`: `convert` gets neither spec nor status
        nor data.
        """
        self._api = api
        self._path = path
        self._convert = convert
        self._on_change = on_change
        self._on_recovery, self._on_failure = on_recovery, on_failure
        self._group = group or (lambda key, _: key[0])
        self._relist_seconds = relist_seconds
        self._optional = optional
        self._metadata_only = metadata_only
        self._params: dict[str, str] = {}
        if label_selector:
            self._params["labelSelector"] = label_selector
        if field_selector:
            self._params["fieldSelector"] = field_selector
        self._objects: dict[Key, T] = {}
        self._by_group: dict[Hashable, dict[Key, T]] = {}
        self._noted: dict[Key, int] = {}
        """Versions of what was noted, until the watch is as far."""
        self._told = 0
        """The version that the watch, or the last list, is as far as."""
        self._live = False
        self._clock = clock
        self._outdated = False
        """What is under way began before a pause."""
        self._round: asyncio.Timeout | None = None
        """Of the list and watch that are under way."""
        self._true_at = clock.now()
        """When `objects` was last known to be what the API server has, while the watch is not live."""
        self.away_since: float | None = self._true_at
        """Since when the watch is not live (by the clock that counts pauses); None: it is."""
        self.objects: Mapping[Key, T] = MappingProxyType(self._objects)
        self.synced = asyncio.Event()
        """Set once the first list is in, and never cleared."""
        self.last_error: ApiError | None = None
        """Why the watch is not live, for a status or a log."""
        self.last_event = time.monotonic()
        """When the API server last said anything (monotonic seconds), bookmarks included."""

    @property
    def live(self) -> bool:
        """The watch is open: changes arrive as they happen."""
        return self._live

    @property
    def as_of(self) -> float:
        """Up to when `objects` is known to be what the API server has (by the clock that counts pauses): infinity while the watch is live,
        else when it ceased to be, or the last list since. While there was no list at all: when the first one was asked for."""
        return math.inf if self._live else self._true_at

    def within(self, group: Hashable) -> Mapping[Key, T]:
        """The objects of one group (namespace), without a look at the others."""
        return self._by_group.get(group, {})

    def note(self, item: Object) -> None:
        """What the API server answered to a write of our own: it is in `objects` at once, and older events do not undo it.

        Nobody is told of the change, since whoever made it knows. An answer that comes after the watch told of that version, and perhaps of
        newer ones, is no news. (resourceVersions are numbers that grow: KEP-5504.)
        """
        if int(item["metadata"]["resourceVersion"]) > self._told:
            self.again(item)

    def again(self, item: Object) -> None:
        """The same for what was read anew since `convert` would keep more of it by now. The caller sees to it that it is none older."""
        key, version = self._key(item), int(item["metadata"]["resourceVersion"])
        if version > self._told:
            self._noted[key] = version
        self._put(key, self._converted(item))

    async def run(self) -> None:
        """List, then watch, for ever; every failure is retried with a back-off and ends with a new list where needed."""
        with self._clock.telling(self._paused):
            await self._run()

    async def _run(self) -> None:
        failures = 0
        while True:
            pauses: tuple[float, ...] = BACKOFF_SECONDS
            try:
                await self._list_and_watch()
                failures = 0
            except ApiError as error:
                before, self.last_error = self.last_error, error
                if self._on_failure is not None:
                    self._on_failure(error)
                failures = 0 if error.status == 410 else failures + 1
                if lacking := self._optional and error.status in LACKING:
                    pauses = SELDOM_SECONDS
                    self.synced.set()
                if not lacking or before is None or before.status != error.status:
                    log.warning("watch_failed", path=self._path, status=error.status, reason=error.reason, tries=failures)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                # Something in between answered in the API server's place. (The text may quote an object, which may be a Secret.)
                self.last_error = ApiError(0, "BadAnswer", "what came is not what an API server says")
                failures += 1
                log.warning("watch_failed", path=self._path, reason="BadAnswer", error=type(error).__name__, tries=failures)
            finally:
                self._ceased()
            if failures:
                pause = pauses[min(failures, len(pauses)) - 1]
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 (jitter)

    async def _list_and_watch(self) -> None:
        self._outdated = False
        try:
            async with asyncio.timeout(None) as self._round:
                await self._one_round()
        except TimeoutError:
            return  # a pause: from the beginning, at once
        finally:
            self._round = None

    async def _one_round(self) -> None:
        version = await self._replace()
        self._told = int(version)
        self.synced.set()
        deadline = time.monotonic() + self._relist_seconds * random.uniform(0.8, 1.2)  # noqa: S311 (jitter)
        while (left := deadline - time.monotonic()) > 0:
            try:
                async with asyncio.timeout(left), contextlib.aclosing(self._events(version)) as events:
                    async for latest in events:
                        version = latest  # the next watch starts where this one ended
            except TimeoutError:
                return

    async def _events(self, version: str) -> AsyncGenerator[str]:
        watch = self._api.watch(
            self._path, version, self._params, opened=self._opened, metadata_only=self._metadata_only
        )  # fmt: skip
        async with contextlib.aclosing(watch) as stream:
            async for event in stream:
                self.last_event = time.monotonic()
                if event["type"] != "BOOKMARK":
                    self._take(event["object"], deleted=event["type"] == "DELETED")
                latest = event["object"]["metadata"]["resourceVersion"]
                self._told = max(self._told, int(latest))
                del event  # it may be large, and the next one far away
                yield latest

    def _paused(self, before: float) -> None:
        """The watch's connection may be dead, and what changed in the pause still on its way: what is known is as old as the pause."""
        if self._live:
            self._live = False
            self._true_at = self.away_since = before
        if self._round is not None and not self._outdated:
            self._outdated = True
            self._round.reschedule(asyncio.get_running_loop().time())

    def _ceased(self) -> None:
        if self._live:
            self._live = False
            self._true_at = self.away_since = self._clock.now()

    def _opened(self) -> None:
        self.last_event = time.monotonic()
        if self._outdated:
            return
        self._live, self.away_since = True, None
        error, self.last_error = self.last_error, None
        if error is not None and self._on_recovery is not None:
            self._on_recovery(error)

    async def _replace(self) -> str:
        """Take a whole list, page by page: what it is made from is several times what is kept. Returns its version."""
        listed, version, began = set[Key](), "", self._clock.now()
        async with contextlib.aclosing(self._api.pages(self._path, self._params, metadata_only=self._metadata_only)) as pages:
            async for page in pages:
                self.last_event = time.monotonic()
                listed.update([self._take(item, deleted=False) for item in page.items])
                version = page.version
        # What was written while the list was on its way comes with the watch.
        gone = {key for key in self._objects if key not in self._noted or self._noted[key] <= int(version)} - listed
        for key in gone:
            self._noted.pop(key, None)
            self._set(key, None)
        self._true_at = began
        return version

    def _take(self, item: Object, *, deleted: bool) -> Key:
        key = self._key(item)
        if key in self._noted:
            if int(item["metadata"]["resourceVersion"]) < self._noted[key]:
                return key
            del self._noted[key]
        self._set(key, None if deleted else self._converted(item))
        return key

    @staticmethod
    def _key(item: Object) -> Key:
        metadata: dict[str, Any] = item["metadata"]
        return (metadata.get("namespace", ""), metadata["name"])

    def _converted(self, item: Object) -> T | None:
        try:
            return self._convert(item)
        except Exception as error:  # one broken object must not blind us to the rest
            # The error's text may quote the object, which may be a Secret.
            log.error("object_unreadable", path=self._path, key="/".join(self._key(item)), error=type(error).__name__)
            return None

    def _set(self, key: Key, new: T | None) -> None:
        old = self._put(key, new)
        if self._on_change is not None and old != new:
            self._on_change(key, old, new)

    def _put(self, key: Key, new: T | None) -> T | None:
        """Returns what was there."""
        old = self._objects.pop(key, None)
        if old is not None:
            group = self._group(key, old)
            near = self._by_group[group]
            del near[key]
            if not near:
                del self._by_group[group]
        if new is not None:
            self._objects[key] = new
            self._by_group.setdefault(self._group(key, new), {})[key] = new
        return old
