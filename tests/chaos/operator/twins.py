"""The API server is two on one etcd, one of them behind, and who asks gets now the one and now the other.

Goes in: a stage. Comes out: rows. The second one hears of everything half a second late, since etcd's words come late to it; and lists and
watches are refused now and then as one whose cache is behind refuses them ("too large resource version", 504). Operator and gateway talk to
both, each request and each watch to the next one. Nothing is made twice, nothing is taken back, nothing is served that is gone.
"""

import random
from time import monotonic as now
from typing import Final

from tests.chaos.report import Row, timed
from tests.chaos.world import eventually
from tests.support.fleet import Fleet

from devbox_operator import paths

from .proxy import Call, Proxy
from .stage import CONVERGE_SECONDS, Stage
from .traffic import Agent, Traffic, traffic

LATE_SECONDS: Final = 0.5
LIVE_SECONDS: Final = 5.0
REFUSED_SECONDS: Final = 5.0
ONE_IN: Final = 4
"""Of the lists and watches."""


class _Behind:
    """Two API servers behind a proxy; one in so many lists and watches is refused."""

    def __init__(self, url: str) -> None:
        self.refused = 0
        self._url = url

    def prepare(self, proxy: Proxy) -> None:
        """Before anybody asks."""
        proxy.urls.append(self._url)
        proxy.fault.refuse = self._list
        proxy.fault.refuse_watch = lambda _: self._next()

    def _list(self, call: Call) -> int:
        return self._next() if call.method == "GET" and "limit=" in call.path else 0

    def _next(self) -> int:
        if random.randrange(ONE_IN):  # noqa: S311 (by turns, the same one might be met again and again)
            return 0
        self.refused += 1
        return 504


async def twins(stage: Stage, long: bool) -> list[Row]:
    """Devboxes begin, call, change and end; watches are cut meanwhile, and the operator is begun anew."""
    count = 20 if long else 4
    fleet = Fleet(stage.api)
    async with stage.release.plane.another(LATE_SECONDS) as url, Proxy(stage.release.plane) as gateway:
        behind = _Behind(url)
        behind.prepare(gateway)
        replica = await stage.alone(prepare=behind.prepare)
        async with traffic(stage, gateway.url) as cars, fleet.watching():
            space, start = await stage.namespace(), now()
            for number in range(count):
                await fleet.create((space, f"agent-{number}"))
            agents = {f"agent-{number}": await cars.agent(space, f"agent-{number}") for number in range(count)}
            made = now() - start
            answers = [await cars.answers(agent) for agent in agents.values()]
            failed = [answer.kind for answer in answers if not answer.fine]
            for proxy in (replica.proxy, gateway):
                proxy.cut_watches()
            live = await _rotated(stage, space)
            await stage.alone(prepare=behind.prepare)
            kept = {pod["metadata"]["uid"] for pod in await stage.pods(space)}
            late = [await _refused(stage, cars, agent, name) for name, agent in agents.items()]
            gone = await stage.gone(space)
        stage.stop()
    twice = fleet.duplicates()
    same = {agent.uid for agent in agents.values()}
    what = f"two API servers, one {LATE_SECONDS:g} s behind"
    return [
        timed(
            f"{what}: {count} Devboxes, lists and watches refused one in {ONE_IN} (504, ResourceVersionTooLarge)",
            f"all run ≤{CONVERGE_SECONDS:g} s, no pod twice",
            f"{made:.1f} s, {len(twice)} twice; {behind.refused} refused",
            made <= CONVERGE_SECONDS,
            right=not twice and behind.refused > 0,
        ),
        Row("the same: the first request of each", "answered", f"{len(failed)} failed {failed[:3]}", not failed),
        timed(
            "the same: watches cut, a credential rotated",
            f"live ≤{LIVE_SECONDS:g} s",
            "not within 60 s" if live is None else f"{live:.1f} s",
            live is not None and live <= LIVE_SECONDS,
        ),
        Row(
            "the same: the operator begun anew",
            "the same pods",
            f"{len(kept & same)} of {count}",
            kept == same,
        ),
        timed(
            "the same: Devboxes deleted",
            f"each refused ≤{REFUSED_SECONDS:g} s, nothing left",
            f"{max((one for one in late if one is not None), default=0):.1f} s, {late.count(None)} never; left: "
            f"{'nothing' if gone is not None else 'something'}",
            max(one or 0 for one in late) <= REFUSED_SECONDS,
            right=None not in late and gone is not None,
        ),
    ]


async def _rotated(stage: Stage, space: str) -> float | None:
    """Seconds until a Secret's new value is the credential; None if it is not."""
    await stage.patch(paths.secrets(space, "anthropic"), {"stringData": {"key": "sk-two"}})
    start = now()
    try:
        await eventually(lambda: stage.holds(space, "anthropic", "sk-two"), CONVERGE_SECONDS, every=0.1)
    except TimeoutError:
        return None
    return now() - start


async def _refused(stage: Stage, cars: Traffic, agent: Agent, name: str) -> float | None:
    """Seconds from the Devbox's deletion until its token is refused."""
    await stage.api.request("DELETE", paths.devboxes(agent.namespace, name))
    return await cars.refused(agent)
