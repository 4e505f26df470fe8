"""`python -m tests.agents [AGENT…]`: each agent does its job in a devbox of its own.

Goes in: names of agents; none: all. Comes out: progress, the table, and the status 1 if one failed or could not be tried; when all
of them ran, docs/results/agents.md.
"""

import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Final

import typer
from tests.long.__main__ import commit, keep
from tests.long.page import Outcome, machine

from devbox_cluster.progress import ClusterError
from devbox_stage.credentials import Key
from devbox_stage.kubectl import CommandError
from devbox_stage.upstream import Received
from devbox_stage.waiting import NotYet, TimedOut, wait_for

from .judge import Did, Place, Seen, judge, requests, title
from .rows import JOB, Row, Way, chosen
from .table import table
from .world import World, world

SECONDS: Final = 180.0
"""For one job: agents that are refused try again for minutes, and then it has failed."""
AT_ONCE: Final = 2


def main(agents: Annotated[list[str] | None, typer.Argument(help="Which; all if none is named.")] = None) -> None:
    """Run agents in devboxes of the local cluster."""
    begun, started = datetime.now(UTC), time.monotonic()
    try:
        rows = chosen(agents or [])
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    try:
        with world(rows, say) as made:
            seen = work(made, rows)
    except (ClusterError, CommandError, TimedOut, NotYet) as error:
        say(f"error: {error}")
        raise typer.Exit(1) from None
    failed = [one for one in seen if one.problem]
    text = table(seen)
    say(f"\n{text}")
    status = 1 if failed else 0
    if not agents:
        took = time.monotonic() - started
        keep(Outcome("agents", "make agents", begun, took, status, commit(), machine(), text), "run by itself")
    raise typer.Exit(status)


def work(made: World, rows: list[Row]) -> list[Seen]:
    """All devboxes are made at first; each agent's ways run one after the other, two agents at the same time."""
    keys = {row.name: made.make(row) for row in rows}
    say(f"{len(rows)} devboxes are made, {AT_ONCE} agents work at the same time")

    def one(row: Row) -> list[Seen]:
        try:
            pod = made.ready(row)
            version = made.run(pod, row.version, 60).out.strip().split("\n")[-1] or "?"
        except (TimedOut, CommandError) as error:
            return [Seen(row.name, title(way), "-", 0.0, "-", str(error)) for way in row.ways]
        seen = [try_way(made, row, way, keys[row.name], Place(pod, version)) for way in row.ways]
        for line in seen:
            say(f"{line.agent} {line.version}, {line.way}: {line.problem or f'works, {line.seconds:.1f} s'}")
        return seen

    with ThreadPoolExecutor(AT_ONCE) as pool:
        seen = [line for lines in pool.map(one, rows) for line in lines]
    refused = made.refused()
    return [replace(line, side_hosts=tuple(refused.get(line.agent, ()))) for line in seen]


def try_way(made: World, row: Row, way: Way, keys: Mapping[str, Key], place: Place) -> Seen:
    """One agent with one API."""
    before, began = made.apis.last(), time.monotonic()
    # (In the folder that the agent works in: Gemini CLI and opencode write nowhere else.)
    folder = f"/tmp/{title(way).replace(' ', '-')}"
    file = f"{folder}/NAME.txt"
    script = f"mkdir -p {folder}; cd {folder}\n{way.script}"
    try:
        ended = made.run(place.pod, script, SECONDS, JOB=JOB.format(file), FILE=file)
    except CommandError as error:
        return Seen(row.name, title(way), place.version, time.monotonic() - began, "-", str(error).splitlines()[-1])
    took = time.monotonic() - began
    held = made.run(place.pod, f"cat {file}", 30).out

    def arrived() -> list[Received]:
        received = made.received(before, list(keys.values()))
        if not any(one.method == way.request.split(" ")[0] for one in received):
            raise NotYet("nothing arrived")
        return received

    try:
        received = wait_for("requests", arrived, seconds=10)  # a WebSocket is there when it has ended
    except TimedOut:
        received = []
    problems = judge(way, Did(ended.code, f"{ended.out}\n{ended.err}", held), place.pod, received, keys[way.gateway])
    return Seen(row.name, title(way), place.version, took, requests(received), "; ".join(problems) or None)


def say(text: str) -> None:
    """To the terminal, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    typer.run(main)
