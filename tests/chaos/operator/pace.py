"""Many Devboxes are deleted at once, in the background, and the garbage collector takes their pods at its default pace.

Goes in: a stage. Comes out: rows. With an operator their Routes go at once. Without one a devbox is served until the collector has come to
its pod: what is promised is that it is refused once that pod's deletion begins; how long the way there takes is measured.
"""

import asyncio
from time import monotonic as now
from typing import Any, Final

from tests.chaos.client import Client
from tests.chaos.report import Row, p, timed
from tests.support.fleet import leftovers

from devbox_api import names
from devbox_common.kube import Object
from devbox_common.mirror import Mirror
from devbox_operator.kit import paths

from .stage import Stage
from .traffic import Agent, Traffic, traffic

AT_WORK_SECONDS: Final = 20.0
"""(Most of it is the machine's: all of them ask four times a second meanwhile.)"""
PENDING_SECONDS: Final = 2.0
"""From the moment at which a pod's deletion was seen to begin. (The machine is one for all of them, who ask without a pause.)"""
COLLECTED_SECONDS: Final = {True: 60.0, False: 10.0}
LEFT_SECONDS: Final = 180.0
ASK_SECONDS: Final = 0.25


class Crowd:
    """Devboxes of one namespace that ask again and again, and when what happened to each."""

    def __init__(self, stage: Stage, cars: Traffic, space: str) -> None:
        self._stage, self._cars, self._space = stage, cars, space
        self.deleted: dict[str, float] = {}
        """Devbox to when the API server had answered its deletion."""
        self.ending: dict[str, float] = {}
        """And to when its pod was first seen to be deleted."""
        self.refused: dict[str, float] = {}
        """And to when it was first refused: after the answer."""
        self._pods: Mirror[Object] = Mirror(
            stage.api, paths.pods(space), lambda item: item, on_change=self._pod, label_selector=names.DEVBOX_LABEL
        )

    def _pod(self, _: object, old: Object | None, new: Object | None) -> None:
        item = new or old
        if item is not None and (new is None or "deletionTimestamp" in new["metadata"]):
            self.ending.setdefault(item["metadata"]["labels"][names.DEVBOX_LABEL], now())

    async def deleted_at_once(self, agents: dict[str, Agent], seconds: float) -> None:
        """Until all are refused, or the time is over."""
        watching = asyncio.create_task(self._pods.run())
        clients = {name: self._cars.client(agent) for name, agent in agents.items()}
        try:
            await self._pods.synced.wait()
            asking = [asyncio.create_task(self._ask(name, client, now() + seconds)) for name, client in clients.items()]
            await asyncio.gather(*(self._delete(name) for name in agents))
            await asyncio.gather(*asking)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            for client in clients.values():
                client.close()

    async def _delete(self, name: str) -> None:
        await self._stage.api.request("DELETE", paths.devboxes(self._space, name), timeout=60)
        self.deleted[name] = now()

    async def _ask(self, name: str, client: Client, until: float) -> None:
        while now() < until:
            if (await client.request()).status in (401, 403):
                self.refused[name] = now()
                return
            await asyncio.sleep(ASK_SECONDS)

    def after(self, since: dict[str, float]) -> list[float]:
        """Seconds from then until each was refused; none for what the gateway heard of before we did."""
        return sorted(max(0.0, refused - since.get(name, refused)) for name, refused in self.refused.items())


async def pace(stage: Stage, long: bool) -> list[Row]:
    """With an operator at work (in the long form), and without one. (So few as in the short form the collector has done at once.)"""
    count = 300 if long else 16
    await stage.alone()
    async with traffic(stage) as cars:
        await stage.collector_is_ready()
        rows = []
        for working in (True, False) if long else (False,):
            space = await stage.namespace()
            agents = await _agents(stage, cars, space, count)
            if not working:
                stage.stop()
            rows += await _deleted(stage, cars, space, agents, working=working, long=long)
        return rows


async def _agents(stage: Stage, cars: Traffic, space: str, count: int) -> dict[str, Agent]:
    made = [f"agent-{number}" for number in range(count)]
    for name in made:
        await stage.create(space, name)
    agents = {name: await cars.agent(space, name) for name in made}
    for agent in agents.values():
        assert (await cars.answers(agent)).fine
    return agents


async def _deleted(
    stage: Stage, cars: Traffic, space: str, agents: dict[str, Agent], *, working: bool, long: bool
) -> list[Row]:
    crowd, bound = Crowd(stage, cars, space), AT_WORK_SECONDS if working else COLLECTED_SECONDS[long]
    start = now()
    await crowd.deleted_at_once(agents, 3 * bound)
    served, begun = crowd.after(crowd.deleted), crowd.after(crowd.ending)
    missing = len(agents) - len(served)
    what = f"{'operator at work' if working else 'no operator'}: {len(agents)} Devboxes deleted at once"
    rows = [
        timed(
            f"{what}, the collector at its default pace",
            f"each is refused ≤{bound:g} s after its deletion",
            f"p50 {p(50, served):.1f} s, worst {served[-1] if served else 0:.1f} s; {missing} never",
            bool(served) and served[-1] <= bound,
            right=not missing,
        )
    ]
    if working:
        return rows
    rows.append(
        timed(
            "the same: once a pod's deletion begins",
            f"refused ≤{PENDING_SECONDS:g} s",
            f"p50 {p(50, begun):.2f} s, worst {begun[-1] if begun else 0:.2f} s",
            bool(begun) and begun[-1] <= PENDING_SECONDS,
            right=not missing,
        )
    )
    kept: dict[str, Any] = {}
    while now() - start < LEFT_SECONDS:
        found = await leftovers(stage.api, of_namespace=space)
        kept = {kind: number for kind, number in found.items() if kind in ("Pod", "NetworkPolicy", "token Secret")}
        if not kept:
            break
        await asyncio.sleep(0.5)
    rows.append(
        timed(
            "the same: what is theirs in their namespace",
            f"gone ≤{LEFT_SECONDS:g} s, without an operator",
            f"{now() - start:.0f} s" if not kept else f"left: {kept}",
            not kept,
        )
    )
    return rows
