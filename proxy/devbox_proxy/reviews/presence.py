"""Is the API server there? What is away is not asked, and pods that were verified live on for a while (admission.py).

Goes in: looks at /livez, and what became of TokenReviews. Comes out: `known.api_away_since`.

An API server that was stopped takes connections and says nothing, which a TokenReview finds out after 5 s, if there is one. So it is
looked at once a second, and at once when a question was cut off: after two failed probes it is away. One question that fails says nothing
about the others. But an API server may answer looks and no TokenReview at all: several that failed, over seconds, with none answered
meanwhile, mean the same.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Final

import structlog

from devbox_common import clock
from devbox_common.kube import ApiError, KubeApi
from devbox_proxy.known.facts import Known

ALIVE: Final = "/livez"
"""Any answer will do, also a no. It is outside of the API server's priority and fairness: a busy one answers, too."""
LOOK_SECONDS: Final = 1.0
"""Between two looks, and for an answer."""
HURRIED_SECONDS: Final = 0.2
"""Between two looks, where a question was cut off."""
LOOKS_IN_VAIN: Final = 2
UNANSWERED: Final = 4
"""Questions that failed one after the other. (Where one in ten fails, so do four in a row of ten thousand, and these take no seconds.)"""
UNANSWERED_SECONDS: Final = 3.0

log = structlog.get_logger()


class Presence:
    """One API server's."""

    def __init__(self, api: KubeApi, known: Known, *, went: Callable[[], None], seen: Callable[[], None]) -> None:
        """`went()` is called when it is found to be away; `seen()` when a look was answered while it counts as away."""
        self._api = api
        self._known = known
        self._went, self._seen = went, seen
        self._hurry = asyncio.Event()
        self._in_vain_since: float | None = None
        self._in_vain = 0
        """Looks in a row that nobody answered."""
        self._failed_since, self._failed_at = 0.0, 0.0
        """By the clock that counts pauses, and by the one that does not: what went wrong for a pause went wrong at once."""
        self._failed = 0
        """Questions in a row."""

    @property
    def away(self) -> bool:
        """It counts as away."""
        return self._known.api_away_since is not None

    @property
    def silent(self) -> bool:
        """The last probe failed."""
        return self._in_vain > 0

    async def follow(self) -> None:
        """Look whether it is there, for ever."""
        while True:
            began = time.monotonic()
            await self.look()
            await asyncio.sleep(max(0.0, began + min(HURRIED_SECONDS, LOOK_SECONDS) - time.monotonic()))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, began + LOOK_SECONDS - time.monotonic())):
                    await self._hurry.wait()
            self._hurry.clear()

    async def look(self) -> None:
        """Once."""
        began = clock.now()
        try:
            await self._api.request("GET", ALIVE, timeout=LOOK_SECONDS)
        except ApiError as error:
            if not error.status:
                self._in_vain += 1
                self._in_vain_since = began if self._in_vain_since is None else self._in_vain_since
                if self._in_vain == LOOKS_IN_VAIN:
                    log.warning("api_server_silent", reason=error.reason)
                if self._in_vain >= LOOKS_IN_VAIN:
                    self._leave(self._in_vain_since)
                return
        self._in_vain, self._in_vain_since = 0, None
        if self.away:
            self._seen()

    def answered(self) -> None:
        """A question was."""
        self._failed = 0

    def failed(self, *, cut_off: bool) -> None:
        """A question was not. `cut_off`: nothing came, and not a no."""
        present = time.monotonic()
        if not self._failed:
            self._failed_since, self._failed_at = clock.now(), present
        self._failed += 1
        if cut_off:
            self._hurry.set()
        if self._failed >= UNANSWERED and present - self._failed_at >= UNANSWERED_SECONDS and not self.away:
            log.warning("tokenreviews_unanswered", failed=self._failed, seconds=round(present - self._failed_at, 1))
            self._leave(self._failed_since)

    def back(self) -> bool:
        """It is there again; False: it was all the time."""
        was_away, self._known.api_away_since = self.away, None
        self._failed = 0
        return was_away

    def _leave(self, since: float) -> None:
        if not self.away:
            self._known.api_away_since = since
            self._went()
