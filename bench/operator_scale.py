"""`python -m bench.operator_scale [--quick] [--devboxes N]`: what the operator costs, beside the demands, on an API server of its own.

A real etcd, API server and controller manager, and the operator as a process with the chart's own rights. Pods are never scheduled:
what is measured ends when the gate opens. Prints a table and writes .bench/operator.json; the status is 1 if a demand was missed.
Parts: churn (made and deleted at a rate, twice), steady (nothing happens), restart (with many devboxes), flat (cost by size).
"""

import asyncio
import statistics
import sys
from pathlib import Path
from time import monotonic as now
from typing import Annotated, Final

import typer
import uvloop
from tests.chaos.report import Row, ms, p, table, write
from tests.chaos.world import eventually
from tests.support.control_plane import HURRIED, ControlPlane, control_plane
from tests.support.fleet import Fleet, Place, leftovers, make_namespace
from tests.support.release import NAMESPACE, Operator, Release, install

from devbox_api import names
from devbox_common.kube import KubeApi

RESULT: Final = Path(".bench/operator.json")
A_NAMESPACE: Final = 100
"""Devboxes in each namespace."""
RATE: Final = 20.0
RESYNC: Final = 60
"""Seconds between two looks at everything: less than by default, so that what is at rest is looked at while it is watched."""
SERVICE: Final = f"/api/v1/namespaces/{NAMESPACE}/services/{names.SERVICE}"
MIB: Final = 2**20


class Bench:
    """One run."""

    def __init__(self, plane: ControlPlane, release: Release, api: KubeApi, *, devboxes: int, many: int, quick: bool) -> None:
        self.plane, self.release, self.api = plane, release, api
        self.devboxes, self.many, self.quick = devboxes, many, quick
        self.fleet = Fleet(api)
        self.operator: Operator = release.operator(resyncSeconds=RESYNC)
        self.rows: list[Row] = []
        self.peak = 0
        self._namespaces: set[str] = set()

    async def run(self) -> None:
        """All of it, under a watch on memory."""
        sampler = asyncio.create_task(self._sample())
        try:
            await eventually(self.operator.leads, 60)
            async with self.fleet.watching():
                first = await self._churn("first pass")
                second = await self._churn("second pass")
                grown = (second - first) / first * 100
                self._row("second pass: memory", "+≤5 %", f"{grown:+.1f} % ({second / MIB:.0f} MiB)", grown <= 5)
                await self._many()
        finally:
            sampler.cancel()

    async def places(self, prefix: str, count: int) -> list[Place]:
        """Names in as many namespaces as it takes, which are made."""
        result = [(f"{prefix}-{number // A_NAMESPACE}", f"box-{number % A_NAMESPACE}") for number in range(count)]
        for namespace in sorted({place[0] for place in result} - self._namespaces):
            await make_namespace(self.api, namespace)
            self._namespaces.add(namespace)
        return result

    async def _churn(self, title: str) -> int:
        """Made at a rate, looked at at rest, deleted at a rate. Returns the memory at its end."""
        # (Names of its own: late events of the pass before would be taken for news.)
        places = [(space, f"{name}-{title[:2]}") for space, name in await self.places("churn", self.devboxes)]
        await self._quiet()
        before, cpu, start = await self.writes(), self.operator.cpu_seconds, now()
        self.peak = 0
        await self.fleet.at(RATE, places, self.fleet.create)
        await eventually(lambda: not self.fleet.pending(), 120)
        took, waits = now() - start, self.fleet.waits()
        await self._quiet()
        made = await self.writes()
        self._row(f"{title}: {len(places)} made at {RATE:g}/s, p95 to ungated", "≤2 s", ms(p(95, waits)), p(95, waits) <= 2)
        self._row(
            f"{title}: p99", "≤5 s", f"{ms(p(99, waits))}, p50 {ms(p(50, waits))}, max {ms(max(waits))}", p(99, waits) <= 5
        )
        if title == "first pass":
            await self._steady()
        at_rest = await self.writes()
        await self.fleet.at(RATE, places, self.fleet.delete)
        await eventually(self._empty, 120, every=0.5)
        await self._quiet()
        deleted = await self.writes()
        share = (self.operator.cpu_seconds - cpu) / (2 * took) * 100
        per = _per(before, made, len(places))
        gone = _per(at_rest, deleted, len(places))
        total = sum(per.values()) + sum(gone.values())
        shown = ", ".join(f"{kind} {value:.2f}" for kind, value in sorted(per.items(), key=lambda item: -item[1]))
        ended = ", ".join(f"{kind} {value:.2f}" for kind, value in gone.items())
        self._row(f"{title}: writes of the operator per devbox", "≤12", f"{total:.2f}: {shown}; deletion: {ended}", total <= 12)
        self._row(f"{title}: memory of the operator, peak", "≤250 MiB", f"{self.peak / MIB:.0f} MiB", self.peak <= 250 * MIB)
        self._row(f"{title}: processor", "≤1 core", f"{share:.0f} % of a core", share <= 100)
        left = await leftovers(self.api)
        self._row(f"{title}: left behind", "nothing", str(left or "nothing"), not left)
        twice = self.fleet.duplicates()
        self._row(f"{title}: duplicate pods", "0", str(len(twice)), not twice)
        return self.operator.rss

    async def _steady(self) -> None:
        """Nothing happens, and everything is looked at again meanwhile."""
        before, looked = await self.writes(), await self._reconciles()
        seconds = RESYNC + 10
        await asyncio.sleep(seconds)
        written = sum((await self.writes()).values()) - sum(before.values())
        again = await self._reconciles() - looked
        measured = f"{written:.0f} in {seconds} s, in which {again:.0f} reconciles looked"
        self._row("at rest: writes", "0", measured, written == 0 and again > 0)

    async def _many(self) -> None:
        """The price of one more at 100 and at many; and a restart with many. With looks as seldom as by default: they cost, too."""
        await self._start_anew()
        few = await self._price("few", "up to 300")
        crowd = await self.places("many", self.many)
        await self.fleet.at(60, crowd, self.fleet.create)
        await eventually(lambda: not self.fleet.pending(), 600, every=0.2)
        more = await self._price("more", f"up to {self.many + 600}")
        self._row(
            f"the price of one devbox beyond {self.many + 300}, beside that of the first 300",
            "flat",
            f"{more / few:.2f} times the processor time ({few * 1000:.0f} → {more * 1000:.0f} ms)",
            more <= 1.5 * few,
        )
        total = self.many + 600
        self._row(f"{total} devboxes: memory of the operator", "shown", f"{self.operator.rss / MIB:.0f} MiB", None)
        await self._restart(total)

    async def _price(self, prefix: str, at: str) -> float:
        """The median of three: a list that is made anew now and then (mirror.py) falls into one of them at most."""
        prices = [await self._price_of(await self.places(f"{prefix}{number}", 100), at) for number in range(3)]
        return statistics.median(prices)

    async def _price_of(self, places: list[Place], at: str) -> float:
        await self._quiet()
        cpu, before = self.operator.cpu_seconds, await self.writes()
        await self.fleet.at(RATE, places, self.fleet.create)
        await eventually(lambda: not self.fleet.pending(), 60)
        await self._quiet()
        writes = sum(_per(before, await self.writes(), len(places)).values())
        waits = [self.fleet.opened[place] - self.fleet.made[place] for place in places]
        used = (self.operator.cpu_seconds - cpu) / len(places)
        measured = f"{used * 1000:.0f} ms of processor, {writes:.1f} writes, p95 to ungated {ms(p(95, waits))}"
        self._row(f"one more devbox, {at}", "shown", measured, None)
        return used

    async def _restart(self, total: int) -> None:
        start = await self._start_anew()
        led = now() - start
        await eventually(lambda: self._reconciled(total), 180, every=0.2)
        took = now() - start
        written = sum((await self.writes()).values())
        measured = f"{took:.1f} s (at work after {led:.1f} s), {written:.0f} writes, {self.operator.rss / MIB:.0f} MiB"
        self._row(f"restart with {total} devboxes: all looked at", "≤60 s", measured, took <= 60)

    async def _start_anew(self) -> float:
        """Kill the operator, and have another one at work, with the default settings. Returns when that one was started."""
        self.operator.kill()
        await self.release.expire_lease(self.api)
        start = now()
        self.operator = self.release.operator()
        await eventually(self.operator.leads, 60)
        return start

    async def _reconciled(self, total: int) -> bool:
        return await self._reconciles() >= total

    async def _reconciles(self) -> float:
        metrics = await self.operator.metrics()
        return metrics.get('devbox_operator_reconciles_total{kind="Devbox",result="ok"}', 0.0)

    async def writes(self) -> dict[str, float]:
        """The operator's own count, by kind."""
        result: dict[str, float] = {}
        for name, value in (await self.operator.metrics()).items():
            if name.startswith("devbox_operator_writes_total{"):
                kind, verb = name.split('"')[1], name.split('"')[3]
                result[f"{verb} {kind}"] = result.get(f"{verb} {kind}", 0.0) + value
        return result

    async def _quiet(self) -> None:
        """Two seconds without a write."""
        last, since = -1.0, now()
        while now() - since < 2:
            written = sum((await self.writes()).values())
            if written != last:
                last, since = written, now()
            await asyncio.sleep(0.25)

    async def _empty(self) -> bool:
        left = await leftovers(self.api)
        return not left

    async def _sample(self) -> None:
        while True:
            if self.operator.alive:
                self.peak = max(self.peak, self.operator.rss)
            await asyncio.sleep(0.25)

    def _row(self, what: str, demand: str, measured: str, held: bool | None) -> None:
        row = Row(what, demand, measured, held)
        self.rows.append(row)
        sys.stderr.write(f"{row.verdict}: {what}: {measured} ({demand})\n")


def _per(before: dict[str, float], after: dict[str, float], count: int) -> dict[str, float]:
    changes = {kind: (value - before.get(kind, 0.0)) / count for kind, value in after.items()}
    return {kind: value for kind, value in changes.items() if value > 0}


async def measure(plane: ControlPlane, *, devboxes: int, many: int, quick: bool) -> list[Row]:
    """The whole run."""
    release = install(plane)
    await release.authorise()
    async with plane.admin() as api:
        bench = Bench(plane, release, api, devboxes=devboxes, many=many, quick=quick)
        try:
            await bench.run()
        except (TimeoutError, ExceptionGroup) as error:
            bench.rows.append(Row("the run", "ends", f"{type(error).__name__}: {error}", held=False))
            sys.stderr.write(bench.operator.log.read_text(errors="replace")[-3000:])
        finally:
            release.end()
        return bench.rows


def main(
    quick: Annotated[bool, typer.Option(help="A tenth of it, for rough figures.")] = False,
    devboxes: Annotated[int, typer.Option(help="How many are made at 20/s; 0: 1000, or 100 with --quick.")] = 0,
    many: Annotated[int, typer.Option(help="How many there are at the restart; 0: 5000, or 500 with --quick.")] = 0,
) -> None:
    """Measure."""
    with control_plane(HURRIED) as plane:
        rows = uvloop.run(
            measure(plane, devboxes=devboxes or (100 if quick else 1000), many=many or (500 if quick else 5000), quick=quick)
        )
    write(rows, RESULT)
    print(table(rows))  # noqa: T201
    raise SystemExit(1 if any(row.held is False for row in rows) else 0)


if __name__ == "__main__":
    typer.run(main)
