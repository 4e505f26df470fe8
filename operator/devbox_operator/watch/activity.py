"""Asking the gateways when devboxes were last in use, while any Devbox has spec.lifecycle.idle.

Goes in: where the gateways are, what they are asked with. Comes out: when a pod was in use (`Use`), Devboxes that are to be looked at, and
a record for whoever works next, which goes with the Lease. What follows from the answers is activity.py's of the wing `seen`.
"""

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from math import isfinite
from typing import Final

import structlog

from devbox_api import names
from devbox_common.clock import boottime
from devbox_operator.kit import metrics
from devbox_operator.seen.activity import Answer, Known, Record, answer_of
from devbox_operator.seen.floor import Asked
from devbox_operator.seen.keys import Key
from devbox_operator.watch.asking import Asker, Unanswered

PERIOD_SECONDS: Final = 15.0
"""Between two rounds."""
PACE_SECONDS: Final = 1.0
"""The least between two."""
SAY_SECONDS: Final = 60.0
"""Between two lines of the log about gateways that do not answer."""

log = structlog.get_logger()


class ActivityWatch:
    """Rounds of questions, and what is known by them."""

    def __init__(
        self,
        gateways: Callable[[], Iterable[Asked]],
        asker: Asker,
        *,
        server_time: Callable[[], datetime | None],
        news: Callable[[Key], None],
        noted: Callable[[], str],
        note: Callable[[str], None],
    ) -> None:
        """`gateways()`: all that stand in the EndpointSlices; `news(devbox)`: it is to be looked at; `noted()`, `note(text)`: the record
        that goes with the Lease."""
        self._gateways, self._asker = gateways, asker
        self._server_time, self._news, self._noted, self._note = server_time, news, noted, note
        self._known: Known | None = None
        """None: nobody has asked."""
        self._wanted, self._hurry = asyncio.Event(), asyncio.Event()
        self._asked, self._over = float("-inf"), asyncio.Condition()
        self._said = float("-inf")

    @property
    def asked(self) -> float | None:
        """When the last round began; None: there was none."""
        return self._asked if isfinite(self._asked) else None

    def follows(self, devbox: Key, uid: str) -> bool:
        """That pod of the Devbox is asked about."""
        return self._known is not None and self._known.follows(devbox, uid)

    def follow(self, devbox: Key, uid: str, last: datetime, now: datetime) -> None:
        """Ask about it from now on. It was in use at `last`, of the API server's clock."""
        present = boottime()
        if self._known is None:
            self._known = Known.after(Record.of(self._noted()), now, present)
        self._known.follow(devbox, uid, min(present, present - (now - last).total_seconds()))
        self._wanted.set()

    def forget(self, devbox: Key) -> None:
        """Nobody asks about its pod any more."""
        if self._known is not None:
            self._known.forget(devbox)

    def use(self, uid: str, now: datetime, asked: float | None = None) -> tuple[datetime, datetime, tuple[str, ...]]:
        """Of a pod that is followed: when it was last seen in use, since when it is idle for certain, and which gateways have not answered
        what they were asked at `asked` (of `fresh`) or later. `now`: by the API server's clock."""
        assert self._known is not None  # noqa: S101 (it is followed)
        present = boottime()

        def at(moment: float) -> datetime:
            return now - timedelta(seconds=max(0.0, present - moment))

        doubt = () if asked is None else tuple(self._known.doubt(asked, present))
        return at(self._known.last(uid)), at(self._known.since(uid)), doubt

    def wake(self, uid: str, moment: datetime, now: datetime) -> None:
        """Use of the pod from that moment on (of the API server's clock) is news."""
        if self._known is not None:
            self._known.wake(uid, boottime() + (moment - now).total_seconds())

    async def fresh(self) -> float:
        """Ask all of them once more. Returns when that began."""
        wanted = boottime()
        self._hurry.set()
        async with self._over:
            await self._over.wait_for(lambda: self._asked >= wanted)
        return self._asked

    def look_again(self) -> None:
        """Gateways came or went. (One that comes and goes between two rounds has been seen.)"""
        if self._known is not None:
            self._known.listed([one.address for one in self._gateways()], boottime())
        self._hurry.set()

    def paused(self) -> None:
        """This machine stood still: whichever gateways there were meanwhile, nobody has asked them."""
        if self._known is not None:
            self._known.miss(boottime())
        self._hurry.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._wanted.wait()
            self._hurry.clear()
            await self._round()
            if self._known is not None and not self._known.wanted:
                self._known = None  # (gateways that come and go from now on are not noticed)
                self._wanted.clear()
            await asyncio.sleep(PACE_SECONDS)
            try:
                async with asyncio.timeout(PERIOD_SECONDS - PACE_SECONDS):
                    await self._hurry.wait()
            except TimeoutError:
                continue

    async def _round(self) -> None:
        known, asked = self._known, boottime()
        if known is not None:
            gateways = {one.address: one for one in self._gateways()}
            known.listed(gateways, asked)
            answers = await asyncio.gather(*(self._ask(one, known.question(one.address)) for one in gateways.values()))
            now = boottime()
            failed = {}
            for address, answer in zip(gateways, answers, strict=True):
                if isinstance(answer, Answer):
                    known.answered(address, answer, asked, now)
                else:
                    failed[address] = answer
            known.settle(now)
            self._tell(known, failed, asked, now)
            for devbox in known.news():
                self._news(devbox)
        self._asked = asked
        async with self._over:
            self._over.notify_all()

    def _tell(self, known: Known, failed: dict[str, str], asked: float, now: float) -> None:
        for answer, count in known.counts(asked, now).items():
            metrics.ACTIVITY.labels(answer).set(count)
        if failed and now - self._said > SAY_SECONDS:
            self._said = now
            log.warning(
                "activity_not_told",
                gateways=failed,
                advice="devboxes are not idle for certain until they answer, or five minutes long",
            )
        if (server_time := self._server_time()) is not None:
            self._note(known.record(server_time, now).text())

    async def _ask(self, gateway: Asked, question: tuple[str, int] | None) -> Answer | str:
        """The answer, or why there is none."""
        query = {} if question is None else {"instance": question[0], "since": str(question[1])}
        try:
            return answer_of(await self._asker.ask(gateway, names.ACTIVITY_PATH, query))
        except Unanswered as why:
            return str(why)
        except ValueError as error:
            return type(error).__name__
