"""The API server is two on one etcd, one of them behind, and who asks gets now the one and now the other.

Goes in: a stage. Comes out: rows. The second one hears of everything half a second late, since etcd's words come late to it; lists and
watches are refused now and then at their beginning, as one whose cache is behind refuses them ("too large resource version", 504); and now
and then one does not know Devboxes yet, and has no page for them (404). Operator and gateway talk to both, each request and each watch to
the next one. Nothing is made twice, nothing is taken back, nothing is served that is gone.
"""

import asyncio
import itertools
import random
import re
from time import monotonic as now
from typing import Final

from tests.chaos.client import Answer
from tests.chaos.report import Row, timed
from tests.chaos.world import eventually
from tests.support.fleet import Fleet

from devbox_operator.kit import paths

from .proxy import Call, Proxy
from .stage import CONVERGE_SECONDS, Stage
from .traffic import Agent, Traffic, traffic

LATE_SECONDS: Final = {True: 0.5, False: 0.2}
"""In the long form and in the short one."""
LIVE_SECONDS: Final = 5.0
REFUSED_SECONDS: Final = 5.0
ONE_IN: Final = 4
"""Of the lists and watches, and of the looks at one Devbox."""
HEARD_SECONDS: Final = 15.0
"""A watch that was refused for a while is tried every few seconds, and refused now and then still."""
TOGETHER: Final = 4
"""Devboxes that are deleted, and looked at until they are refused."""
KINDS: Final = paths.DEVBOXES
DEVBOX: Final = re.compile(rf"{KINDS}/namespaces/[^/]+/devboxes/[^/?]+")


class _Behind:
    """Two API servers behind a proxy; one in so many lists and watches is refused."""

    def __init__(self, url: str) -> None:
        self.refused = self.unknown = 0
        self._url = url
        self._asked = itertools.count()

    def prepare(self, proxy: Proxy) -> None:
        """Before anybody asks."""
        proxy.urls.append(self._url)
        self.refuses(proxy)

    def refuses(self, proxy: Proxy) -> None:
        """What it does as a rule."""
        proxy.fault.refuse = self._list
        proxy.fault.refuse_watch = lambda _: self._next()

    def _list(self, call: Call) -> int:
        if call.method != "GET":
            return 0
        if _first_page(call):
            return self._next()
        # (Of what is asked for once in a while each second question, else nobody might ever meet it.)
        if (call.path == KINDS and next(self._asked) % 2 == 0) or (DEVBOX.fullmatch(call.path) and _now_and_then()):
            self.unknown += 1
            return 404
        return 0

    def _next(self) -> int:
        if not _now_and_then():
            return 0
        self.refused += 1
        return 504


def _first_page(call: Call) -> bool:
    """(What is asked of a cache that is behind. The pages after it come from etcd.)"""
    return "limit=" in call.path and "continue=" not in call.path


def _now_and_then() -> bool:
    return not random.randrange(ONE_IN)  # noqa: S311 (by turns, the same one might be met again and again)


async def two_api_servers(stage: Stage, long: bool) -> list[Row]:
    """Devboxes begin, call, change and end; watches are cut meanwhile, and in the long form the operator is begun anew."""
    count, late = 20 if long else 4, LATE_SECONDS[long]
    fleet = Fleet(stage.api)
    async with stage.release.plane.another(late) as url, Proxy(stage.release.plane) as gateway:
        behind = _Behind(url)
        behind.prepare(gateway)
        replica = await stage.alone(prepare=behind.prepare)
        async with traffic(stage, gateway.url) as cars, fleet.watching():
            space, start = await stage.namespace(), now()
            for number in range(count):
                await fleet.create((space, f"agent-{number}"))
            agents = {f"agent-{number}": await cars.agent(space, f"agent-{number}") for number in range(count)}
            made = now() - start
            answers = [await _answer(cars, agent) for agent in agents.values()]
            failed = [f"{answer.kind} {answer.code}" for answer in answers if not answer.fine]
            for proxy in (replica.proxy, gateway):
                proxy.cut_watches()
            live = await _rotated(stage, space)
            ended = 0 if replica.operator.alive else 1
            if long:
                replica = await stage.alone(prepare=behind.prepare)
            kept = {pod["metadata"]["uid"] for pod in await stage.pods(space)}
            again = [await _answer(cars, agent) for agent in agents.values()]
            failed += [f"{answer.kind} {answer.code}" for answer in again if not answer.fine]
            refused: list[float | None] = []
            for first in range(0, count, TOGETHER):  # (each asks without a pause)
                some = list(agents.items())[first : first + TOGETHER]
                refused += await asyncio.gather(*(_refused(stage, cars, agent, name) for name, agent in some))
            unheard, heard = await _unheard(cars, gateway, behind, fleet, space)
            gone = await stage.gone(space)
            ended += 0 if replica.operator.alive else 1
        stage.stop()
    twice = fleet.duplicates()
    same = {agent.uid for agent in agents.values()}
    what = f"two API servers, one {late:g} s behind"
    return [
        timed(
            f"{what}: {count} Devboxes, lists and watches refused one in {ONE_IN} (504, ResourceVersionTooLarge), Devboxes not known (404)",
            f"all run ≤{CONVERGE_SECONDS:g} s, no pod twice",
            f"{made:.1f} s, {len(twice)} twice; {behind.refused} refused, {behind.unknown} not known",
            made <= CONVERGE_SECONDS,
            right=not twice and behind.refused > 0 and behind.unknown > 0,
        ),
        Row(
            "the same: requests with the token of each one's start, at first and in the end",
            "answered, where they are asked again after a 503",
            f"{len(failed)} failed {failed[:3]}",
            not failed,
        ),
        timed(
            "the same: watches cut, a credential rotated",
            f"live ≤{LIVE_SECONDS:g} s",
            "not within 60 s" if live is None else f"{live:.1f} s",
            live is not None and live <= LIVE_SECONDS,
        ),
        Row(
            "the same: a devbox begins while its gateway's watches and lists are refused",
            "503 until they are not, then answered; no other word",
            f"{', '.join(sorted(unheard))}; then {'answered' if heard else 'not answered'}",
            unheard == {"503 state_stale"} and heard,
        ),
        timed(
            f"the same: {'the operator begun anew' if long else 'its operator'}",
            "the same pods; it has not ended by itself",
            f"{len(kept & same)} of {count}; {ended} ended",
            not ended,  # (on a busy machine a Lease may be lost, which is an operator's end, and nobody begins it anew here)
            right=kept == same,
        ),
        timed(
            "the same: Devboxes deleted",
            f"each refused ≤{REFUSED_SECONDS:g} s, nothing left",
            f"{max((one for one in refused if one is not None), default=0):.1f} s, {refused.count(None)} never; left: "
            f"{'nothing' if gone is not None else 'something'}",
            max(one or 0 for one in refused) <= REFUSED_SECONDS,
            right=None not in refused and gone is not None,
        ),
    ]


async def _answer(cars: Traffic, agent: Agent) -> Answer:
    """To a client that asks again where the gateway has not heard of what is new."""
    until = now() + HEARD_SECONDS
    while (answer := await cars.answers(agent)).code == "state_stale" and now() < until:  # noqa: ASYNC110 (a client's pace)
        await asyncio.sleep(0.2)
    return answer


async def _rotated(stage: Stage, space: str) -> float | None:
    """Seconds until a Secret's new value is the credential; None if it is not."""
    await stage.patch(paths.secrets(space, "anthropic"), {"stringData": {"key": "sk-two"}})
    start = now()
    try:
        await eventually(lambda: stage.holds(space, "anthropic", "sk-two"), CONVERGE_SECONDS, every=0.1)
    except TimeoutError:
        return None
    return now() - start


async def _unheard(cars: Traffic, gateway: Proxy, behind: _Behind, fleet: Fleet, space: str) -> tuple[set[str], bool]:
    """What a new devbox is told by a gateway that hears nothing, and whether it is answered afterwards."""
    gateway.fault.refuse = lambda call: 504 if _first_page(call) else 0
    gateway.fault.refuse_watch = lambda _: 504
    gateway.cut_watches()
    await fleet.create((space, "newer"))
    agent = await cars.agent(space, "newer")
    said = {f"{answer.kind} {answer.code}" for answer in [await cars.answers(agent) for _ in range(8)]}
    behind.refuses(gateway)

    async def fine() -> bool:
        return (await cars.answers(agent)).fine

    try:
        await eventually(fine, REFUSED_SECONDS + HEARD_SECONDS, every=0.2)
        return said, True
    except TimeoutError:
        return said, False
    finally:
        await fleet.delete((space, "newer"))


async def _refused(stage: Stage, cars: Traffic, agent: Agent, name: str) -> float | None:
    """Seconds from the Devbox's deletion until its token is refused."""
    await stage.api.request("DELETE", paths.devboxes(agent.namespace, name))
    return await cars.refused(agent)
