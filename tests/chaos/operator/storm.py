"""etcd and the API server are killed and started anew while Devboxes are made (C12).

Goes in: a stage. Comes out: rows: how long after the last restart all was there, and whether anything was there twice.
"""

import asyncio
import contextlib
from collections import Counter
from time import monotonic as now
from typing import Final

from tests.chaos.report import Row, timed
from tests.chaos.world import eventually
from tests.support.fleet import Fleet, leftovers, make_namespace

from .faults import Supervisor
from .stage import Stage

CONVERGE_SECONDS: Final = 120.0


async def storm(stage: Stage, long: bool) -> list[Row]:
    """Devboxes at 20/s, the control plane down three times."""
    count, times, rate = (1000, 3, 20.0) if long else (20, 1, 10.0)
    replica = await stage.alone()
    supervisor = Supervisor(stage, replica)
    fleet = Fleet(stage.api)
    spaces = [f"storm-{number}" for number in range(max(1, count // 100))]
    for space in spaces:
        await make_namespace(stage.api, space)
    places = [(spaces[number % len(spaces)], f"box-{number}") for number in range(count)]
    try:
        async with fleet.watching():
            making = asyncio.create_task(fleet.at(rate, places, fleet.create))
            for _ in range(times):
                await asyncio.sleep(count / rate / (times + 1))
                await asyncio.to_thread(_restart, stage)
            back = now()
            await making
            with contextlib.suppress(TimeoutError):
                await eventually(lambda: not fleet.pending(), 300, every=0.2)
            took, pending = now() - back, len(fleet.pending())
            twice = fleet.duplicates()
            rows = [
                timed(f"etcd and API server killed {times} times while {count} devboxes are made at {rate:g}/s",
                    f"all ungated ≤{CONVERGE_SECONDS:g} s after the last restart",
                    f"{took:.1f} s, {pending} are not; {supervisor.restarts} restarts of the operator",
                    took <= CONVERGE_SECONDS and not pending),
                Row("the same: pods", "none twice", f"{len(twice)} twice", not twice),
            ]  # fmt: skip
            deleting = now()
            await fleet.at(50, places, fleet.delete)
            with contextlib.suppress(TimeoutError):
                await eventually(lambda: _nothing(stage, spaces), 300, every=1)
            took, left = now() - deleting, await _left(stage, spaces)
            rows.append(Row("the same, deleted", "nothing is left", f"{left or 'nothing'}, {took:.1f} s after", not left))
            return rows
    finally:
        await supervisor.end()


def _restart(stage: Stage) -> None:
    plane = stage.release.plane
    plane.kill("kube-apiserver", "etcd")
    plane.start("etcd", "kube-apiserver")


async def _nothing(stage: Stage, spaces: list[str]) -> bool:
    return not await _left(stage, spaces)


async def _left(stage: Stage, spaces: list[str]) -> dict[str, int]:
    found = Counter[str]()
    for space in spaces:
        found.update(await leftovers(stage.api, of_namespace=space))
    return dict(found)
