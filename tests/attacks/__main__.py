"""`python -m tests.attacks FILE [ID…]`: run a corpus; the last line is `N passed, N failed`, and the status is 1 if any failed.

Each lane (lane.py) is a process in a namespace of its own, with its own gateway. A case counts once: it has passed if every variant
of it has. What is printed of a failure holds no token and no credential.
"""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tests.support.netns import NoNamespace, command, possible

from .corpus import NOT_RUN, Case
from .lane import lane_of, variants
from .loading import load

PHASES: Final = (("fast", "slow"), ("connect",), ("solo", "stuck"))
"""What measures comes after what makes noise."""
LANE_SECONDS: Final = 300.0


class Report:
    """What the lanes said."""

    def __init__(self, cases: Sequence[Case]) -> None:
        self._cases = cases
        self._runs: dict[str, dict[str, list[str]]] = {case.id: {} for case in cases}
        self._facts: dict[str, list[dict[str, Any]]] = {}
        self.lane_took: dict[str, float] = {}
        """Seconds."""

    def add(self, line: dict[str, Any]) -> None:
        """One run. One that was repeated counts as it was the last time."""
        self._runs[line["id"]][line["variant"]] = line["wrong"]
        self._facts.setdefault(line["id"], []).append(line["facts"])

    def lane_failed(self, name: str, why: str) -> None:
        """Every case of it that was not run has failed."""
        for case in self._cases:
            if lane_of(case) == name:
                for variant in variants(case):
                    self._runs[case.id].setdefault(variant.value, [f"not run: {why}"])

    def print(self, seconds: float) -> bool:
        """The failures, what was measured, and the summary. True if nothing failed."""
        failed = [case for case in self._cases if any(self._runs[case.id].values()) or not self._runs[case.id]]
        for case in failed:
            say(f"FAILED {case.id} [{case.group}] {case.name}")
            for variant, wrong in self._runs[case.id].items():
                for text in wrong:
                    say(f"    {variant}: {text}")
            say(f"    measured: {json.dumps(self._facts.get(case.id, []))[:600]}")
        lanes = ", ".join(f"{name} {took:.0f} s" for name, took in self.lane_took.items())
        say(f"{sum(len(runs) for runs in self._runs.values())} runs in {seconds:.0f} s ({lanes})")
        return not failed

    def counts(self) -> tuple[int, int]:
        """Passed and failed."""
        passed = sum(bool(runs) and not any(runs.values()) for runs in self._runs.values())
        return passed, len(self._runs) - passed


def say(text: str) -> None:
    """On standard output, at once."""
    print(text, flush=True)  # noqa: T201


async def _lane(name: str, path: Path, wanted: Sequence[str], report: Report) -> None:
    started = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *command([sys.executable, "-m", "tests.attacks.lane", name, str(path), *wanted]),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=1 << 20,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    errors = asyncio.create_task(process.stderr.read())
    try:
        async with asyncio.timeout(LANE_SECONDS):
            async for line in process.stdout:
                report.add(json.loads(line))
            status = await process.wait()
    except TimeoutError:
        process.kill()
        status = await process.wait()
    # The last line of an error names it; what stands above may hold what was sent.
    report.lane_took[name] = time.monotonic() - started
    last = (await errors).decode(errors="replace").strip().rpartition("\n")[2]
    report.lane_failed(name, f"the lane {name} ended with status {status}: {last}")


async def _run(path: Path, wanted: Sequence[str]) -> bool:
    every = load(path)
    left = {group: [case.id for case in every if case.group == group] for group in NOT_RUN}
    cases = [case for case in every if case.group not in NOT_RUN and (not wanted or case.id in wanted)]
    started = time.monotonic()
    report = Report(cases)
    for phase in PHASES:
        busy = [name for name in phase if any(lane_of(case) == name for case in cases)]
        await asyncio.gather(*(_lane(name, path, wanted, report) for name in busy))
    good = report.print(time.monotonic() - started)
    say("not in this run: " + ", ".join(f"{group} ({' '.join(ids) or 'no case'})" for group, ids in left.items()))
    passed, failed = report.counts()
    say(f"{passed} passed, {failed} failed")
    return good


def main() -> int:
    """Entry point: 0 if all passed, 1 if not, 2 if the corpus can't be run."""
    if len(sys.argv) < 2:
        sys.stderr.write("usage: python -m tests.attacks FILE [ID…]\n")
        return 2
    try:
        if not possible():
            raise NoNamespace("network namespaces can't be made here; python -m tests.support.netns true says why")
        return 0 if asyncio.run(_run(Path(sys.argv[1]), sys.argv[2:])) else 1
    except (NoNamespace, ValueError, OSError, KeyError) as error:
        sys.stderr.write(f"attacks: {error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
