"""`python -m bench.large_objects [--quick] [--count N]`: what large objects cost operator and gateway at a start, beside the bars.

A real etcd and API server, and both programs as processes with the chart's own rights. Of each kind that whoever has `edit` or `admin` in a
namespace may make large, some are made, and the most memory that a start takes (VmHWM) is set beside that of a start without them. Then
the bar: Devboxes and their pods alone, in number. Prints a table and writes .bench/large.json; the status is 1 if a bar was missed.
"""

import sys
import warnings
from pathlib import Path
from typing import Annotated, Final

import typer
import uvloop
from tests.chaos.report import Row, table, write
from tests.support import large
from tests.support.control_plane import HURRIED, ControlPlane, control_plane
from tests.support.release import Release, install

from devbox_common.kube import KubeApi

RESULT: Final = Path(".bench/large.json")
MIB: Final = 1 << 20
OPERATOR_BAR: Final = 512 * MIB
GATEWAY_BAR: Final = 256 * MIB
SPACE: Final = "crowded"


class Bench:
    """One run."""

    def __init__(self, release: Release, api: KubeApi, count: int) -> None:
        self.release, self.api, self.count = release, api, count
        self.rows: list[Row] = []
        self.devboxes = 1

    async def run(self, many: int) -> None:
        """Each kind by itself, the other kinds' still there; then many Devboxes."""
        await large.make_namespace(self.api, SPACE)
        operator, gateway = await self._peaks()
        self._row("with none of them", "shown", f"operator {_mib(operator)}, gateway {_mib(gateway)}", None)
        for kind in large.KINDS:
            size = await large.make(self.api, kind, SPACE, self.count)
            self.devboxes += self.count if kind == "Devbox" else 0
            operator, gateway = await self._cost(kind, size, operator, gateway)
        await self._cost("Pod", await large.grow_pods(self.api, SPACE, self.count), operator, gateway)
        for kind in reversed(large.KINDS):
            await large.clear(self.api, kind, SPACE)
        self.devboxes = 1
        await self._bar(many)

    async def _cost(self, kind: str, size: int, operator: int, gateway: int) -> tuple[int, int]:
        now = await self._peaks()
        operator_cost, gateway_cost = (
            (after - before) // self.count for after, before in zip(now, (operator, gateway), strict=True)
        )
        measured = f"operator {operator_cost >> 10} KiB, gateway {gateway_cost >> 10} KiB"
        self._row(f"{kind} of {size >> 10} KiB: each of {self.count}", "shown", measured, None)
        return now

    async def _bar(self, many: int) -> None:
        space = f"{SPACE}-more"
        await large.make_namespace(self.api, space)
        await large.make(self.api, "Devbox", space, many, large.plain_devbox)
        self.devboxes += many + 1
        operator = await large.operator_peak(self.release, self.api, self.devboxes)
        self._row(f"{many} Devboxes, the operator makes their pods", "≤512 MiB", _mib(operator), operator <= OPERATOR_BAR)
        await large.grow_pods(self.api, space, many)
        operator, gateway = await self._peaks()
        self._row(f"{many} Devboxes and pods: the operator starts", "≤512 MiB", _mib(operator), operator <= OPERATOR_BAR)
        self._row(f"{many} Devboxes and pods: the gateway starts", "≤256 MiB", _mib(gateway), gateway <= GATEWAY_BAR)

    async def _peaks(self) -> tuple[int, int]:
        return (
            await large.operator_peak(self.release, self.api, self.devboxes),
            await large.gateway_peak(self.release, self.api),
        )  # fmt: skip

    def _row(self, what: str, demand: str, measured: str, held: bool | None) -> None:
        row = Row(what, demand, measured, held)
        self.rows.append(row)
        sys.stderr.write(f"{row.verdict}: {what}: {measured} ({demand})\n")


def _mib(size: int) -> str:
    return f"{size / MIB:.0f} MiB"


async def measure(plane: ControlPlane, *, count: int, many: int) -> list[Row]:
    """The whole run."""
    release = install(plane)
    await release.authorise()
    async with plane.admin() as api:
        bench = Bench(release, api, count)
        try:
            await bench.run(many)
        finally:
            release.end()
        return bench.rows


def main(
    quick: Annotated[bool, typer.Option(help="A tenth of it.")] = False,
    count: Annotated[int, typer.Option(help="How many of each kind; 0: 20, or 5 with --quick.")] = 0,
    many: Annotated[int, typer.Option(help="How many Devboxes at the end; 0: 2000, or 200 with --quick.")] = 0,
) -> None:
    """Measure."""
    warnings.filterwarnings("ignore", "Sending a large body", ResourceWarning)
    with control_plane(HURRIED) as plane:
        rows = uvloop.run(measure(plane, count=count or (5 if quick else 20), many=many or (200 if quick else 2000)))
    write(rows, RESULT)
    print(table(rows))  # noqa: T201
    raise SystemExit(1 if any(row.held is False for row in rows) else 0)


if __name__ == "__main__":
    typer.run(main)
