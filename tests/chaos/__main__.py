"""`python -m tests.chaos [NAME…]`: the long form of the faults, one after the other; the status is 1 if a demand was missed.

Prints the table of docs/results/lab/gateway-faults.md, and writes it to .bench/chaos.json. Each case has a network of its own
(tests/support/netns.py), in a process of its own, which is ended if it takes too long.
"""

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import uvloop
from tests.support.netns import NoNamespace, command, possible

from devbox_cluster.progress import ClusterError

from . import needs
from .cases import CASES, ON_A_CONTROL_PLANE, ON_ASYNCIO
from .report import Kind, Row, table, write

LIMIT_SECONDS: Final = 600.0
LONGER: Final = {
    "operator-kills": 3600.0,
    "operator-storm": 1200.0,
    "operator-absent": 2400.0,
    "operator-tokens": 2400.0,
    "addresses": 2400.0,
    "rests": 1200.0,
    "rests-agent": 1500.0,
}
RESULT: Final = Path(".bench/chaos.json")
ONE: Final = "--one"


def case(name: str) -> list[Row]:
    """In a namespace and a process of its own."""
    started = time.monotonic()
    try:
        process = subprocess.run(
            command([sys.executable, "-m", "tests.chaos", ONE, name]),
            stdout=subprocess.PIPE,
            text=True,
            timeout=LONGER.get(name, LIMIT_SECONDS),
            check=False,
        )
        # (What stands before it is of programs that are being built.)
        rows = [Row._make([*row[:-1], Kind(row[-1])]) for row in json.loads(process.stdout.rpartition("\n")[2])]
    except subprocess.TimeoutExpired:
        rows = [Row(name, "ends by itself", f"not after {LONGER.get(name, LIMIT_SECONDS):.0f} s", held=False)]
    except json.JSONDecodeError:
        rows = [Row(name, "can be run", f"ended with status {process.returncode}; see above", held=False)]
    say(f"{name}: {time.monotonic() - started:.0f} s")
    return rows


def say(text: str) -> None:
    """To the terminal, at once."""
    print(text, flush=True)  # noqa: T201


def main(arguments: list[str]) -> int:
    """Entry point."""
    if arguments[:1] == [ONE]:
        # (uvloop can't always close a loop, and may abort, where a proxy's connections are cut; the gateway's loads want its speed.)
        plain = arguments[1].startswith("operator") or arguments[1] in ON_ASYNCIO
        run = asyncio.run if plain else uvloop.run
        sys.stdout.write(f"\n{json.dumps(run(CASES[arguments[1]](True)))}")
        return 0
    if unknown := set(arguments) - set(CASES):
        say(f"there is no case {', '.join(sorted(unknown))}; there are: {', '.join(CASES)}")
        return 2
    try:
        if not possible():
            raise NoNamespace("namespaces can't be made here; run as root, in a container with CAP_SYS_ADMIN")
        names = arguments or list(CASES)
        if ON_A_CONTROL_PLANE & set(names):
            needs.get()
        rows = [row for name in names for row in case(name)]
    except (NoNamespace, ClusterError) as error:
        say(f"chaos: {error}")
        return 2
    write(rows, RESULT)
    missed = sum(row.held is False for row in rows)
    say(f"{table(rows)}\n{len(rows) - missed} of {len(rows)} demands held or shown, {missed} missed; {RESULT}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
