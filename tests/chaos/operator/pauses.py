"""Machines that stand still for longer than a Lease, and go on (tests/support/standstill.py): the operator's, then the gateway's.

Goes in: a stage. Comes out: rows. While one stands still another one takes over, and a pod is deleted whose end the gateway does not hear
of: what its watches had open says nothing any more. Where the machine slept, its own clocks tell at once; where a hypervisor held it,
nothing in it does, and what tells is the `Date` of the API server's first answer.
"""

import asyncio
import tempfile
from pathlib import Path
from time import monotonic as now
from typing import Final

from tests.chaos.report import Row
from tests.chaos.world import eventually
from tests.support.standstill import Pause, Standstill

from devbox_operator.kit import paths

from .proxy import Proxy
from .stage import Stage
from .traffic import traffic

PAUSE_SECONDS: Final = 20.0
"""Of the gateway."""
UNDER_WAY: Final = 3
"""Writes of a Devbox that are begun together at the most: where nothing in the machine tells of the pause, the first answer does, and what
was begun before it came is all that there is."""
REFUSALS: Final = {"403 pod_gone", "401 token_unknown", "401 token_refused", "503 state_stale"}
"""The watches told it first, or the API server, asked about the token; or its Route was gone before all watches were live again."""
AT_THE_KERNEL: Final = 1
"""Writes whose bytes were on their way from the question whether they may go to the kernel when the machine stopped: nothing can be asked
after that, and a thread has one such write. (What it carries is refused where the object has changed meanwhile: the second row.)"""
NOTICED_SECONDS: Final = {Pause.SLEPT: 1.0, Pause.HELD: 3.0}
WORDS: Final = {Pause.SLEPT: "machine slept", Pause.HELD: "hypervisor held the machine"}


async def pauses(stage: Stage, long: bool) -> list[Row]:
    """Each of both kinds."""
    rows = []
    for how in Pause:
        with tempfile.TemporaryDirectory(prefix="pauses-") as folder:
            rows += await _operator(stage, how, Standstill(Path(folder)), 4 if long else 2)
    await stage.alone()
    for how in Pause:
        with tempfile.TemporaryDirectory(prefix="pauses-") as folder:
            rows += await _gateway(stage, how, Standstill(Path(folder)))
    return rows


async def _operator(stage: Stage, how: Pause, machine: Standstill, boxes: int) -> list[Row]:
    first = await stage.alone(prefix=machine.prefix)
    second = await stage.start(leading=False)
    await eventually(lambda: second.proxy.calls, 30)
    spaces = [await stage.namespace() for _ in range(boxes)]
    for space in spaces:
        await stage.create(space)
    await eventually(lambda: len(first.proxy.writes) > 4, 30)
    machine.stop(first.operator.process.pid)
    await eventually(second.operator.leads, 40)
    took = [await stage.converged(space) for space in spaces]
    # Work that waits for it when it wakes, and some that comes then.
    more = await stage.namespace()
    await stage.create(more)
    awake, calls = now(), len(first.proxy.writes)
    machine.wake(first.operator.process.pid, how)
    for space in spaces:
        pod = (await stage.pods(space))[0]["metadata"]["name"]
        await stage.api.request("DELETE", paths.secrets(space, pod))
    await eventually(lambda: not first.operator.alive, 30)
    ended = now() - awake
    late = [call.begun - awake for call in first.proxy.writes[calls:] if call.begun > awake]
    again = [await stage.converged(space) for space in (*spaces, more)]
    most = AT_THE_KERNEL if how is Pause.SLEPT else UNDER_WAY * (boxes + 1)
    what = f"operator's {WORDS[how]} while another took over"
    measured = f"{len(late)} writes{f', the last after {max(late):.1f} s' if late else ''}; it ended after {ended:.1f} s"
    return [
        Row(f"{what}: its writes", f"≤{most}: what was begun before it heard of it", measured, len(late) <= most),
        Row("the same: Devboxes", "all as they should be, once", f"{[*took, *again].count(None)} are not", None not in (*took, *again)),
    ]  # fmt: skip


async def _gateway(stage: Stage, how: Pause, machine: Standstill) -> list[Row]:
    async with Proxy(stage.release.plane) as way, traffic(stage, way.url) as cars:
        await cars.start_gateway(machine.prefix)
        spaces = [await stage.namespace() for _ in range(2)]
        for space in spaces:
            await stage.create(space)
        goes, stays = [await cars.agent(space) for space in spaces]
        for agent in (goes, stays):
            assert (await cars.answers(agent)).fine
        await asyncio.sleep(1.5)  # the API server is looked at, and dated, at least once
        machine.stop(cars.pid)
        way.silence_watches()
        await stage.api.request("DELETE", paths.devboxes(goes.namespace, "agent"))
        await asyncio.sleep(PAUSE_SECONDS)
        assert await stage.get(paths.pods(goes.namespace, goes.name)) is None
        machine.wake(cars.pid, how)
        awake, last, kept, codes = now(), 0.0, [], set()
        while now() - awake < 2 * NOTICED_SECONDS[how]:
            answer = await cars.answers(goes)
            if answer.fine:
                last = now() - awake
            else:
                codes.add(f"{answer.kind} {answer.code}".strip())
            kept.append(await cars.answers(stays))
        failed = [answer.kind for answer in kept if not answer.fine]
    what = f"gateway's {WORDS[how]}, its watches' connections dead"
    limit = NOTICED_SECONDS[how]
    return [
        Row(f"{what}: a pod that was deleted meanwhile", f"refused for that ≤{limit:g} s", f"{', '.join(sorted(codes)) or 'accepted'}; "
            f"accepted for {last:.2f} s", set() < codes <= REFUSALS and last <= limit),
        Row("the same: another one", "0 refused", f"{len(failed)} of {len(kept)}", not failed),
    ]  # fmt: skip
