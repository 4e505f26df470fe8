"""Clocks of nodes that are minutes off (C11): the gateway's, then the operator's. The API server's and everybody else's are right.

Goes in: a stage. Comes out: rows. libfaketime gives one process another time of day, which is what TLS and tokens and Leases are dated
by; its monotonic clock begins elsewhere, too, and goes on at its pace, so that timers are right, as on a node whose clock is wrong. The
audit lines' and the Lease's own times show that it was.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic as now
from typing import Final

from tests.chaos.report import Row, timed
from tests.chaos.world import eventually
from tests.support.control_plane import MOST_TOKEN_SECONDS
from tests.support.release import LEASE

from devbox_operator.kit import paths

from .stage import CONVERGE_SECONDS, Stage
from .traffic import Load, Traffic, traffic

SHARED: Final = Path("/dev/shm")
SKEW: Final = 300
BEYOND: Final = MOST_TOKEN_SECONDS + 3600
"""By this clock every token has run out an hour ago."""
DEAD_SECONDS: Final = 5.0
REVIEW_SECONDS: Final = 1.0
"""So that the cluster is asked again and again."""


def clock(seconds: int) -> list[str]:
    """What a command line begins with whose process is to be so many seconds ahead."""
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    return ["env", f"LD_PRELOAD={library}", f"FAKETIME={seconds:+d}"]


@contextlib.contextmanager
def tidy() -> Iterator[None]:
    """What libfaketime shares between processes stays when one is killed."""
    before = set(SHARED.glob("*faketime_*"))
    try:
        yield
    finally:
        for path in set(SHARED.glob("*faketime_*")) - before:
            path.unlink(missing_ok=True)


async def clocks(stage: Stage, long: bool) -> list[Row]:
    """All of them."""
    with tidy():
        return await _clocks(stage, long)


async def _clocks(stage: Stage, long: bool) -> list[Row]:
    rows = []
    await stage.alone()
    async with traffic(stage, identity={"reviewSeconds": REVIEW_SECONDS}) as cars:
        for skew in (-SKEW, SKEW, BEYOND):
            rows += await _gateway(stage, cars, skew, 60.0 if long else 4.0)
    for skew in (-SKEW, SKEW):
        rows += await _operator(stage, skew, 60.0 if long else 5.0)
    return rows


def _words(skew: int) -> str:
    by = f"{abs(skew) // 60} min" if abs(skew) < 3600 else f"{abs(skew) // 3600} h"
    return f"{by} {'ahead' if skew > 0 else 'behind'}"


async def _gateway(stage: Stage, cars: Traffic, skew: int, seconds: float) -> list[Row]:
    """A devbox that is made while the gateway's clock is off calls for a while, and is deleted."""
    await cars.start_gateway(clock(skew))
    space = await stage.namespace()
    await stage.create(space)
    agent = await cars.agent(space)
    reviews = await cars.metric('devbox_gateway_tokenreviews_total{result="accepted"}')
    load = Load(cars.client(agent), 0.05)
    await asyncio.sleep(seconds)
    tally = await load.end()
    reviews = await cars.metric('devbox_gateway_tokenreviews_total{result="accepted"}') - reviews
    off = cars.audited() - datetime.now(UTC).timestamp()
    await stage.api.request("DELETE", paths.devboxes(space, "agent"))
    took = await cars.refused(agent)
    what, count = f"gateway's clock {_words(skew)}", len(tally.seconds) + len(tally.errors)
    measured = f"{tally.kinds} in {count}, {reviews:.0f} TokenReviews; its audit lines are {off:+.0f} s off"
    seen = abs(off - skew) < 5 and reviews > 1
    return [
        Row(f"{what}: requests of a devbox that was just made", "0 refused", measured, bool(tally.seconds) and not tally.errors and seen),
        Row(f"{what}: the devbox deleted", f"refused ≤{DEAD_SECONDS:g} s", "still answered" if took is None else f"{took:.2f} s",
            took is not None and took <= DEAD_SECONDS),
    ]  # fmt: skip


async def _operator(stage: Stage, skew: int, seconds: float) -> list[Row]:
    """Its Lease, its work, and that it comes to rest; beside a standby whose clock is right."""
    wrong = await stage.alone(prefix=clock(skew))
    standby = await stage.start(leading=False)
    space = await stage.namespace()
    await stage.create(space)
    made = await stage.converged(space)
    await eventually(lambda: standby.proxy.calls, 30)
    await asyncio.sleep(2)
    before = len(wrong.proxy.writes)
    await asyncio.sleep(seconds)
    idle = len(wrong.proxy.writes) - before
    lease = await stage.get(LEASE)
    assert lease is not None
    off = datetime.fromisoformat(lease["spec"]["renewTime"]).timestamp() - datetime.now(UTC).timestamp()
    leads = await wrong.operator.leads() and not await standby.operator.leads()
    wrong.operator.kill()
    start = now()
    await eventually(standby.operator.leads, 40)
    over = now() - start
    what = f"operator's clock {_words(skew)}"
    return [
        timed(f"{what}: a Devbox", f"made ≤{CONVERGE_SECONDS:g} s, and then no write",
            f"{'not in time' if made is None else f'{made:.1f} s'}, {idle} writes in {seconds:g} s; its Lease is dated {off:+.0f} s off",
            made is not None, idle == 0 and abs(off - skew) < 10),
        timed(f"{what}: the standby, whose clock is right", "waits; works ≤15 s after the other was killed",
            f"{'waited' if leads else 'did not wait'}; {over:.1f} s", over <= 15, leads),
    ]  # fmt: skip
