"""The gateway's watches are silent though their connections stay (C6): what it learns meanwhile, and from whom.

Goes in: a stage with an operator at work. Comes out: rows. The gateway's way to the API server is a proxy's; what was open says nothing
any more, and what is opened from then on works. No keepalive of the kernel's finds that.
"""

import asyncio
from time import monotonic as now
from typing import Final

from tests.chaos.report import Row, timed
from tests.chaos.world import eventually

from devbox_operator.kit import paths

from .faults import NOTICE_SECONDS
from .proxy import Proxy
from .stage import Stage
from .traffic import ENDED, Agent, traffic

WAIT_SECONDS: Final = 120.0


async def silent(stage: Stage, long: bool) -> list[Row]:
    """A pod is deleted, a credential rotated, and one that never called is deleted, too."""
    if not long:
        return []
    await stage.alone()
    await stage.collector_is_ready()
    async with Proxy(stage.release.plane) as way, traffic(stage, way.url) as cars:
        stays, goes, cold = [await stage.namespace() for _ in range(3)]
        for space in (stays, goes, cold):
            await stage.create(space)
        kept, gone, never = [await cars.agent(space) for space in (stays, goes, cold)]
        assert (await cars.answers(kept)).fine
        assert (await cars.answers(gone)).fine
        way.silence_watches()
        cut = now()
        for space in (goes, cold):
            await stage.api.request("DELETE", paths.devboxes(space, "agent"))
        await stage.patch(paths.secrets(stays, "anthropic"), {"stringData": {"key": "sk-rotated-meanwhile"}})
        await eventually(lambda: _removed(stage, never), 20)
        since, asking = now() - cut, asyncio.create_task(cars.refused(never, WAIT_SECONDS))
        refused = rotated = None
        failed = 0
        while now() - cut < WAIT_SECONDS and (refused is None or rotated is None):
            answer = await cars.answers(gone)
            if answer.fine:
                refused = None
            elif refused is None and answer.code in ENDED:
                refused = now() - cut
            failed += not (await cars.answers(kept)).fine
            if rotated is None and cars.shown[-1] == "sk-rotated-meanwhile":
                rotated = now() - cut
        assert await cars.refused(gone, 1) is not None or refused is None, "it was refused, and is answered again"
        still = await cars.answers(kept)
        took = await asking
        asked = None if took is None else since + took
    return [
        _row("gateway's watches silent, connections kept: a pod is deleted", f"refused ≤{NOTICE_SECONDS:g} s", refused, NOTICE_SECONDS),
        _late("the same: a rotated credential", f"used ≤{NOTICE_SECONDS:g} s", rotated, NOTICE_SECONDS),
        _row("the same: a deleted pod that never called (it is reviewed all the same)", f"refused ≤{NOTICE_SECONDS:g} s", asked,
             NOTICE_SECONDS),
        Row("the same: the other devbox", "0 failed", f"{failed} failed, then {still.kind}", not failed and still.fine),
    ]  # fmt: skip


async def _removed(stage: Stage, agent: Agent) -> bool:
    return await stage.get(paths.pods(agent.namespace, agent.name)) is None


def _late(fault: str, demand: str, took: float | None, limit: float) -> Row:
    return timed(fault, demand, "not in time" if took is None else f"{took:.1f} s", took is not None and took <= limit)


def _row(fault: str, demand: str, took: float | None, limit: float) -> Row:
    return Row(fault, demand, "not in time" if took is None else f"{took:.1f} s", took is not None and took <= limit)
