"""Two replicas: who takes over when, and that nobody writes who may not.

Goes in: a stage. Comes out: rows. The calls of each replica are counted by its own proxy: what arrives there after another one took
over was begun too late, or was under way for too long.
"""

import asyncio
import signal
from time import monotonic as now
from typing import Final

from tests.chaos.report import Row, timed
from tests.chaos.world import eventually

from .pauses import AT_THE_KERNEL
from .stage import Replica, Stage

KILLED_SECONDS: Final = 15.0
ENDED_SECONDS: Final = 2.0


async def _pair(stage: Stage) -> tuple[Replica, Replica]:
    """One that works and one that waits."""
    first = await stage.alone()
    second = await stage.start(leading=False)
    await eventually(lambda: second.proxy.calls, 30)
    await asyncio.sleep(1)
    return first, second


async def _work(stage: Stage, replica: Replica, since: float) -> float:
    """Seconds until the replica has made a new Devbox's pod."""
    space = await stage.namespace()
    await stage.create(space)
    await eventually(lambda: any(call.path.endswith(f"{space}/pods") for call in replica.proxy.writes), 60)
    return now() - since


async def killed(stage: Stage, long: bool) -> list[Row]:
    """SIGKILL: the Lease runs out."""
    took = []
    for _ in range(5 if long else 1):
        first, second = await _pair(stage)
        start = now()
        first.operator.kill()
        await eventually(second.operator.leads, 40)
        took.append(now() - start)
    worst = max(took)
    return [timed("active replica killed", f"the other works ≤{KILLED_SECONDS:g} s", _spread(took), worst <= KILLED_SECONDS)]


async def ended(stage: Stage, long: bool) -> list[Row]:
    """SIGTERM: the Lease is given back."""
    took = []
    for _ in range(5 if long else 1):
        first, second = await _pair(stage)
        start = now()
        first.operator.signal(signal.SIGTERM)
        await eventually(second.operator.leads, 40)
        took.append(now() - start)
    worst = max(took)
    return [
        timed("active replica ended (SIGTERM)", f"the other works ≤{ENDED_SECONDS:g} s", _spread(took), worst <= ENDED_SECONDS)
    ]


async def stopped(stage: Stage, long: bool) -> list[Row]:
    """SIGSTOP in the middle of its work, and SIGCONT when another one has taken over."""
    first, second = await _pair(stage)
    spaces = [await stage.namespace() for _ in range(4 if long else 2)]
    for space in spaces:
        await stage.create(space)
    await eventually(lambda: len(first.proxy.writes) > 4, 30)
    first.operator.signal(signal.SIGSTOP)
    await eventually(second.operator.leads, 40)
    took = [await stage.converged(space) for space in spaces]
    more = await stage.namespace()
    awake, calls = now(), len(first.proxy.writes)
    first.operator.signal(signal.SIGCONT)
    await stage.create(more)
    await eventually(lambda: not first.operator.alive, 30)
    late = [call for call in first.proxy.writes[calls:] if call.begun > awake]
    again = [await stage.problems(space) for space in spaces] + [[] if await stage.converged(more) else ["not made"]]
    harm = [problem for problems in again for problem in problems]
    return [
        Row("replica stopped at work, and woken after another took over", f"≤{AT_THE_KERNEL}: what was at the kernel",
            f"{len(late)} writes", len(late) <= AT_THE_KERNEL),
        Row("the same: what it was doing", "the other one has done it, once", f"{_spread(took)}; {harm or 'all as it should be'}",
            None not in took and not harm),
    ]  # fmt: skip


async def unheard(stage: Stage, long: bool) -> list[Row]:
    """The active replica's way to the API server is silent; later it works again, and what was held back arrives."""
    first, second = await _pair(stage)
    space = await stage.namespace()
    await stage.create(space)
    await eventually(lambda: len(first.proxy.writes) > 2, 30)
    first.proxy.silent = True
    cut = now()
    await eventually(second.operator.leads, 40)
    over = now()
    took = await stage.converged(space)
    await eventually(lambda: not first.operator.alive, 40)
    ended_ = now() - cut
    late = [call for call in first.proxy.writes if call.begun > over]
    first.proxy.silent = False  # what was under way reaches the API server only now
    await asyncio.sleep(1.5)
    harm = await stage.problems(space)
    return [
        timed("active replica unheard", f"the other works ≤{KILLED_SECONDS:g} s", f"{over - cut:.1f} s", over - cut <= KILLED_SECONDS),
        Row("the same: its own writes", "none starts after that", f"{len(late)}; it ended after {ended_:.1f} s", not late),
        Row("the same: writes that arrive late", "do no harm", ", ".join(harm) or "all as it should be", took is not None and not harm),
    ]  # fmt: skip


def _spread(seconds: list[float | None] | list[float]) -> str:
    found = [one for one in seconds if one is not None]
    return (
        f"{min(found):.1f} to {max(found):.1f} s ({len(found)} times)" if len(found) > 1 else f"{max(found, default=0):.1f} s"
    )
