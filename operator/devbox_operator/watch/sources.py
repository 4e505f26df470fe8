"""The Secrets that are referred to: watched from the first reference to the last, and what it means when they can't be read.

Goes in: which one. Comes out: a `SecretView`, or why there is none. They may be read only where somebody refers to one: all of a
namespace, or with `rbac.sourceSecrets: Named` one by one, by name.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from devbox_common.clock import now
from devbox_common.kube import ApiError, KubeApi, Object
from devbox_common.mirror import Mirror
from devbox_operator.kit import paths
from devbox_operator.seen.index import Index
from devbox_operator.seen.keys import Key
from devbox_operator.seen.secrets import SecretView
from devbox_operator.seen.snapshot import FORBIDDEN, NOT_FOUND, UNREADABLE
from devbox_operator.settings import Settings
from devbox_operator.watch.running import Running
from devbox_operator.watch.wake import Wake

SECRETS_SECONDS: Final = 3.0
"""The Secrets of a namespace are waited for by a worker, of which others want to have some, too; then its turn comes again."""
REFUSED: Final = (401, 403)
REFUSED_SECONDS: Final = 5.0
"""A refusal of no more is that of an API server that has just started: nothing is written for it."""
NO_HELM: Final = "type!=helm.sh/release.v1"
"""Helm's release Secrets are large and never a credential."""


class Sources:
    """Their mirrors, which come and go with what is referred to."""

    def __init__(self, api: KubeApi, settings: Settings, index: Index, wake: Wake, kept: Callable[[Key], bool]) -> None:
        """`kept(key)`: what was made from that Secret is kept though it does not bear it out."""
        self._api, self._settings, self._index, self._wake, self._kept = api, settings, index, wake, kept
        self._running = Running()
        self._mirrors: dict[Key, Mirror[SecretView]] = {}
        """By (namespace, ""), or with `Named` by (namespace, name)."""
        self._away: dict[Key, bool] = {}
        """Of those that can't be read: whether that is a refusal."""

    async def read(self, key: Key) -> SecretView | str:
        """A source Secret; `NotFound` or `Forbidden` if it can't be had. Starts to watch where nobody did before.

        Of most Secrets nothing is kept but that they are there: one that is referred to by now, or by another key, is read again."""
        namespace, name = key
        place = self._place(key)
        mirror = self._mirrors.get(place)
        if mirror is None:
            selector = f"metadata.name={name}" if place[1] else NO_HELM
            mirror = self._mirrors[place] = Mirror(
                self._api,
                paths.secrets(namespace),
                self._view,
                field_selector=selector,
                on_change=self._wake.secret,
                on_recovery=lambda error: self._back(place, error),
                on_failure=lambda error: self._gone(place, error),
            )
            self._running.start(mirror)
        try:
            async with asyncio.timeout(SECRETS_SECONDS):
                while not mirror.synced.is_set() and mirror.last_error is None:  # noqa: ASYNC110 (either of two things)
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise ApiError(0, "Timeout", f"Secrets of namespace {namespace} were not listed in time") from None
        # A watch that is refused means that what is mirrored is not true any more.
        if mirror.last_error is not None and mirror.last_error.status in REFUSED:
            return FORBIDDEN
        if mirror.last_error is not None and now() - mirror.as_of > self._settings.keeping.stale_seconds:
            return UNREADABLE
        if not mirror.synced.is_set() and mirror.last_error is not None:
            raise mirror.last_error
        view = mirror.objects.get(key)
        if view is None:
            return NOT_FOUND
        return view if self._index.keys_of(key) <= view.wanted else await self._read_again(mirror, key)

    def refused_for(self, key: Key) -> float:
        """Seconds for which a source Secret could not be had. (Where its watch is open and it is refused by itself, that is no API server
        which has just started: no moment is waited for.)"""
        mirror = self._mirrors.get(self._place(key))
        since = None if mirror is None else mirror.away_since
        return REFUSED_SECONDS if since is None else now() - since

    def of_namespace(self, namespace: str) -> Mirror[SecretView] | None:
        """The mirror that has all of its Secrets, token Secrets among them; None where they may not be read, or nobody needs one."""
        return self._mirrors.get((namespace, ""))

    def prune(self) -> None:
        """Stop to watch Secrets that nobody refers to any more."""
        used = self._index.namespaces() if self._settings.source_secrets == "All" else set()
        named = self._index.secrets() if self._settings.source_secrets == "Named" else set()
        for place in [place for place in self._mirrors if place[0] not in used and place not in named]:
            self._away.pop(place, None)
            self._running.cancel(self._mirrors.pop(place))

    async def stop(self) -> None:
        """All of them."""
        await self._running.stop()

    def _place(self, key: Key) -> Key:
        return (key[0], "" if self._settings.source_secrets == "All" else key[1])

    def _view(self, item: Object) -> SecretView:
        metadata = item["metadata"]
        return SecretView.of(item, self._index.keys_of((metadata["namespace"], metadata["name"])))

    async def _read_again(self, mirror: Mirror[SecretView], key: Key) -> SecretView | str:
        try:
            item = await self._api.request("GET", paths.secrets(*key))
        except ApiError as error:
            if error.not_found:
                return NOT_FOUND
            if error.status in REFUSED:
                return FORBIDDEN
            raise
        before = mirror.objects.get(key)
        if before is None or int(before.version) > int(item["metadata"]["resourceVersion"]):
            return before or NOT_FOUND  # the watch was faster than the answer, and looked at what is referred to
        mirror.again(item)
        view = mirror.objects.get(key)
        if view is not None and view.version != before.version:
            self._wake.source(key)  # the answer was faster, and the watch tells nobody any more
        return view or NOT_FOUND

    def _gone(self, place: Key, error: ApiError) -> None:
        """Secrets can't be read: what was made from them is looked at once that is more than a moment, or has lasted."""
        refused = error.status in REFUSED
        if self._away.get(place) == refused:
            return
        self._away[place] = refused
        after = REFUSED_SECONDS if refused else self._settings.keeping.stale_seconds + 1
        self._wake.sources(self._within(place), after)

    def _back(self, place: Key, error: ApiError) -> None:
        """Secrets may be read again. (An API server that has just started refuses everything for a moment.) Those that did not change
        meanwhile are news for whoever was told that they can't be had."""
        self._away.pop(place, None)
        for key in self._within(place):
            if error.status in REFUSED or self._kept(key):
                self._wake.source(key)

    def _within(self, place: Key) -> list[Key]:
        """The source Secrets that one watch covers."""
        namespace, name = place
        return [key for key in self._index.secrets() if key[0] == namespace and name in ("", key[1])]
