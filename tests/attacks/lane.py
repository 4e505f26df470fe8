"""`python -m tests.attacks.lane NAME FILE`: the cases of one lane, each in its variants, against one gateway process.

A lane is what may run together: `fast` (many at a time), `slow` (what waits, all at once), `solo` (what measures memory and time, one
after the other), `stuck` (readers that stop; a gateway with a short stall limit) and `connect` (tunnels, one run at a time: what is dialled
is counted). Prints one JSON line a run.
Run in a namespace.
"""

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any, Final

import uvloop

from .corpus import NOT_RUN, Case
from .exchange import perform
from .expect import MEASURES
from .floods import FLOODS, SLOW
from .floods_streams import STALL
from .judge import judge
from .lab import Lab, Slot, lab, p99
from .loading import load
from .run import Run, Variant
from .tunnels import GENERATORS, perform_connect

LANES: Final = {"fast": 12, "slow": 12, "solo": 1, "stuck": 4, "connect": 1}
"""Slots."""
SETTINGS: Final[dict[str, dict[str, Any]]] = {"stuck": {"limits": {"writeStallSeconds": STALL}}}
MIB: Final = 1 << 20
RSS_LIMIT: Final = 8 * MIB
"""I6: what a case may leave behind, unless it says otherwise."""
BLOCKED: Final = 1.0
"""Seconds: a request of the control client that takes so long was held up by more than a busy machine. (I6 asks for 0.25 s of the
event loop, I7 for twice the baseline's p99: both are judged in the lane where one case runs at a time.)"""
RUN_SECONDS: Final = 100.0
_LATE: Final = re.compile(r"another client's p99 was|a healthy client waited")
"""Latencies, which a machine with other work makes as well: one that is too long has to be so again."""
_BIG: Final = frozenset({"tiny_chunks", "chunk_ext_flood", "gzip_bomb", "pipeline", "ws_abuse", "oversize_body"})


def lane_of(case: Case) -> str:
    """Where it runs."""
    names = set(case.generators())
    if case.group == "connect":
        return "connect"
    if "slow_reader" in names:
        return "stuck"
    if names & SLOW or case.holds() >= 5:
        return "slow"
    if names & _BIG or case.expects(*MEASURES):
        return "solo"
    return "fast"


def variants(case: Case) -> list[Variant]:
    """Floods are sent as they are: they have no bytes of the case's own."""
    return [Variant.AS_IS] if set(case.generators()) & {*FLOODS, *GENERATORS} else list(Variant)


class Lane:
    """The runs of one lane."""

    def __init__(self, name: str, world: Lab) -> None:
        self._name, self._lab = name, world
        self._suspects: list[tuple[Case, Variant]] = []

    async def run(self, cases: list[Case]) -> None:
        """All of them."""
        # What greps everything comes last.
        ordered = sorted(cases, key=lambda case: "cluster_grep" in case.generators())
        queue = [(case, variant) for case in ordered for variant in variants(case)]
        free = list(self._lab.slots)
        if self._name == "solo":
            await self._warm_up(free[0])
        tasks: set[asyncio.Task[None]] = set()
        while queue or tasks:
            while queue and free and not (tasks and "cluster_grep" in queue[0][0].generators()):
                slot, (case, variant) = free.pop(), queue.pop(0)
                tasks.add(asyncio.create_task(self._one(slot, case, variant, free)))
            done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        for case, variant in self._suspects:
            await self._one(self._lab.slots[0], case, variant, [], again=True)

    async def _warm_up(self, slot: Slot) -> None:
        """The first requests of a process make memory its own that later ones use again."""
        case = Case(
            "warm-up",
            "",
            "",
            ["GET / HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {{TOKEN}}\r\n\r\n"],
            None,
            {},
            (),
            False,
            None,
            None,
        )
        for _ in range(20):
            await perform(slot, case, Variant.AS_IS)

    async def _one(self, slot: Slot, case: Case, variant: Variant, free: list[Slot], *, again: bool = False) -> None:
        control, process = self._lab.control, self._lab.stage.process
        errors, latencies, rss = len(control.errors), len(control.latencies), process.rss
        alone = again or self._name in ("solo", "stuck")
        facts: dict[str, Any] = {}
        wrong: list[str] = []
        try:
            async with asyncio.timeout(RUN_SECONDS):
                run = await (perform_connect if case.group == "connect" else perform)(slot, case, variant)
            run.facts["control errors"] = control.errors[errors:]
            during = control.latencies[latencies:]
            run.facts |= {"control p99": p99(during), "control baseline": control.baseline}
            growth = process.rss - rss if process.alive else 0
            run.rss_growth = max(run.rss_growth, growth) if alone else run.rss_growth
            wrong = judge(run) + self._whole(run, during, growth, alone=alone)
            facts = _shown(run)
        except ValueError as error:
            wrong = [str(error)]
        except (OSError, TimeoutError) as error:
            wrong = [f"the run could not be made: {type(error).__name__}: {error}"]
        if not process.alive:
            wrong.append("I6: the gateway's process ended")
        grown = self._name == "fast" and not wrong and facts.get("growth", 0) > RSS_LIMIT
        late = bool(wrong) and all(_LATE.search(text) for text in wrong)
        if not again and (grown or late):
            # Others ran at the same time: once more, by itself. (In the slow lane there are thousands of connections.)
            self._suspects.append((case, variant))
        free.append(slot)
        print(json.dumps({"id": case.id, "variant": variant.value, "wrong": wrong, "facts": facts}), flush=True)  # noqa: T201

    def _whole(self, run: Run, latencies: list[float], growth: int, *, alone: bool) -> list[str]:
        """I6 and I7."""
        wrong = []
        if run.facts["control errors"]:
            wrong.append(f"I7: a healthy client had errors: {', '.join(sorted(set(run.facts['control errors'])))}")
        if max(latencies, default=0) > BLOCKED:
            wrong.append(f"I6: a healthy client waited {max(latencies):.1f} s")
        run.facts["growth"] = growth
        stated = run.case.expects(*MEASURES)
        if alone and not stated and growth > RSS_LIMIT:
            wrong.append(f"I6: memory grew by {growth / MIB:.1f} MiB")
        return wrong


def _shown(run: Run) -> dict[str, Any]:
    """Measurements for the report; nothing of what was sent or received."""
    names = (
        "growth",
        "streams",
        "control p99",
        "control baseline",
        "still open",
        "refused",
        "websocket",
        "capped",
        "files capped",
    )
    found = {name: run.facts[name] for name in names if name in run.facts}
    if times := run.facts.get("closed after"):
        found["slowest close"] = round(max(times), 1)
    return found | {
        "status": run.status,
        "rss": run.rss_growth,
        "cpu": round(run.cpu_seconds, 2),
        "delays": run.facts.get("event delays", [])[:3],
    }


async def main(name: str, path: Path) -> None:
    """One lane of a file."""
    cases = [case for case in load(path) if case.group not in NOT_RUN and lane_of(case) == name]
    wanted = set(sys.argv[3:])
    cases = [case for case in cases if not wanted or case.id in wanted]
    if cases:
        async with lab(LANES[name], **SETTINGS.get(name, {})) as world:
            await Lane(name, world).run(cases)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], Path(sys.argv[2])))
