"""Asking the gateways what they found at their last dials, and having one of them dial where somebody asked for it.

Goes in: where the gateways are. Comes out: `Dial`s, and GatewayConfigs that are to be looked at, since what is known of them is another.
Rounds are half a minute apart, and an outcome that stays wakes nobody: so much, and no more, can an API that comes and goes have written.
"""

import asyncio
import random
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final, NamedTuple

import structlog

from devbox_api import names
from devbox_common.clock import boottime
from devbox_operator.seen.dials import Answer, Dial, Dials, answer_of
from devbox_operator.seen.floor import Asked
from devbox_operator.seen.keys import Key
from devbox_operator.watch.asking import Asker, Unanswered

PERIOD_SECONDS: Final = 30.0
"""Between two rounds."""
PROBES: Final = 4
"""At once, in all."""
PAUSE_SECONDS: Final = 2.0
"""Behind each, for its namespace, which has one at a time: whoever may write GatewayConfigs gets no port scanner with it."""
TRIED: Final = 3
"""Gateways that are asked for a probe, until one answers."""

log = structlog.get_logger()


class _Wanted(NamedTuple):
    """A probe."""

    requested: str
    """The annotation's value."""
    document: bytes


class DialWatch:
    """Rounds of questions, probes, and what is known by them."""

    def __init__(self, gateways: Callable[[], Iterable[Asked]], asker: Asker, news: Callable[[Key], None]) -> None:
        """`gateways()`: all that stand in the EndpointSlices; `news(GatewayConfig)`: it is to be looked at."""
        self._gateways, self._asker, self._news = gateways, asker, news
        self._known = Dials()
        self._cursors: dict[str, tuple[str, int]] = {}
        """By address: instance and cursor of the last answer."""
        self._wanted: dict[Key, _Wanted] = {}
        self._answered: dict[Key, str] = {}
        """What was asked for and is done, until the status says so."""
        self._busy: set[str] = set()
        """Namespaces."""
        self._turns = asyncio.Semaphore(PROBES)
        self._hurry = asyncio.Event()

    def of(self, key: Key, uid: str, dialled: str) -> Dial | None:
        """What is known of that endpoint of that GatewayConfig."""
        return self._known.of(key, uid, dialled)

    def probe(self, key: Key, requested: str, document: bytes) -> None:
        """Have a gateway dial it, once for each value of `requested`; the GatewayConfig is looked at again when that is done."""
        if self._answered.get(key) != requested:
            self._wanted[key] = _Wanted(requested, document)
            self._hurry.set()

    def answered(self, key: Key) -> str | None:
        """The value of the last request that was answered, or that no gateway would answer."""
        return self._answered.get(key)

    def forget(self, key: Key) -> None:
        """The GatewayConfig is gone."""
        self._known.forget(key)
        self._wanted.pop(key, None)
        self._answered.pop(key, None)

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._rounds())
            while True:
                await self._hurry.wait()
                self._hurry.clear()
                for namespace in {key[0] for key in self._wanted} - self._busy:
                    self._busy.add(namespace)
                    tasks.create_task(self._probe_all(namespace))

    async def _rounds(self) -> None:
        while True:
            gateways = {one.address: one for one in self._gateways()}
            self._cursors = {address: said for address, said in self._cursors.items() if address in gateways}
            await asyncio.gather(*(self._ask(one) for one in gateways.values()))
            await asyncio.sleep(PERIOD_SECONDS)

    async def _ask(self, gateway: Asked) -> None:
        known = self._cursors.get(gateway.address)
        query = {} if known is None else {"instance": known[0], "since": str(known[1])}
        answer = await self._answer(gateway, names.DIALS_PATH, query)
        if answer is not None:
            self._cursors[gateway.address] = (answer.instance, answer.cursor)
            self._learn(answer)

    async def _answer(self, gateway: Asked, path: str, query: dict[str, str], body: bytes | None = None) -> Answer | None:
        """None: a gateway that comes or goes, or is older than these questions."""
        try:
            return answer_of(await self._asker.ask(gateway, path, query, body), boottime(), datetime.now(UTC))
        except (Unanswered, ValueError) as error:
            log.debug("dials_not_told", gateway=gateway.address, why=str(error))
            return None

    def _learn(self, answer: Answer) -> None:
        for key, dial in answer.dials:
            if self._known.learn(key, dial):
                self._news(key)

    async def _probe_all(self, namespace: str) -> None:
        """One after the other."""
        try:
            while (key := next((key for key in self._wanted if key[0] == namespace), None)) is not None:
                async with self._turns:
                    wanted = self._wanted.pop(key, None)
                    if wanted is not None:
                        await self._probe(key, wanted)
                await asyncio.sleep(PAUSE_SECONDS)
        finally:
            self._busy.discard(namespace)

    async def _probe(self, key: Key, wanted: _Wanted) -> None:
        gateways, answer = list(self._gateways()), None
        for gateway in random.sample(gateways, min(TRIED, len(gateways))):
            answer = await self._answer(gateway, names.PROBE_PATH, {}, wanted.document)
            if answer is not None:
                self._learn(answer)
                break
        log.info("probe", gatewayconfig="/".join(key), tried=answer is not None)
        self._answered[key] = wanted.requested
        self._news(key)
