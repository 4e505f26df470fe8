"""The positive control: the working replica calls every gateway's data port and canary, as a pod that no devbox's policy holds.

Goes in: where the gateways are (their EndpointSlices). Comes out: `Visibility`, and a call when it is another one. Started by leader.py;
ends with it.
"""

import asyncio
import errno
from collections.abc import Callable, Mapping
from typing import Final

import structlog

from devbox_common.clock import now
from devbox_operator.kit import metrics
from devbox_operator.seen.floor import Place
from devbox_operator.seen.visibility import NOT_YET, Look, Looks, Visibility

EVERY_SECONDS: Final = 30.0
"""Between two looks, while all is well: what closes the canary is known so much later, and within a few seconds of another look."""
SOON_SECONDS: Final = 3.0
"""Where it is not, or not known to be."""
PATIENCE: Final = 2.0
"""Seconds for one answer."""
TRIES: Final = 3
"""Of the canary: a packet that is lost is no firewall."""
AT_ONCE: Final = 16
_OURS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})
"""Errors of this process, which say nothing of the network."""

log = structlog.get_logger()


class Control:
    """Looks, again and again."""

    def __init__(
        self, gateways: Callable[[], Mapping[str, Place]], changed: Callable[[Visibility], None], *, patience: float = PATIENCE
    ) -> None:
        """`gateways()`: those that are ready, by address; `changed()`: is told of another result."""
        self._gateways, self._changed, self._patience = gateways, changed, patience
        self._looks = Looks(now())
        self._news = asyncio.Event()
        self._turns = asyncio.Semaphore(AT_ONCE)
        self.visibility = NOT_YET

    def look_again(self) -> None:
        """Gateways came or went."""
        self._news.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._news.clear()
            await self.look()
            well = self.visibility.seen and not self._looks.doubtful
            try:
                async with asyncio.timeout(EVERY_SECONDS if well else SOON_SECONDS):
                    await self._news.wait()
            except TimeoutError:
                continue

    async def look(self) -> None:
        """At all of them."""
        gateways = self._gateways()
        found = dict(zip(gateways, await asyncio.gather(*map(self._one, gateways.values())), strict=True))
        for kind in Look:
            metrics.CANARIES.labels(kind.value).set(sum(look is kind for look in found.values()))
        visibility = self._looks.take(found, now())
        if visibility != self.visibility:
            say = log.info if visibility.seen else log.warning
            say("canaries_looked_at", result=visibility.sight.value, closed=list(visibility.closed), gateways=len(found))
            self.visibility = visibility
            self._changed(visibility)

    async def _one(self, place: Place) -> Look:
        async with self._turns:
            if not await self._answers(place.address, place.data):
                return Look.SILENT
            for _ in range(TRIES):
                answered = await self._answers(place.address, place.canary)
                if answered:
                    return Look.OPEN
                if answered is None:
                    return Look.SILENT
            return Look.CLOSED if await self._answers(place.address, place.data) else Look.SILENT

    async def _answers(self, address: str, port: int) -> bool | None:
        """None: this process could not call."""
        try:
            async with asyncio.timeout(self._patience):
                _, writer = await asyncio.open_connection(address, port)
        except TimeoutError:
            return False
        except OSError as error:
            return None if error.errno in _OURS else False
        writer.transport.abort()
        return True
