"""`python -m tests.long [STAGE…]`: what is too long for `make test`, one stage after the other, with the figures kept in docs/results.

Goes in: names of stages; none: all. Comes out: what they print, a page for each, and the index; the status is 1 if a stage failed. A stage
measures: run nothing else meanwhile.
"""

import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from .page import INDEX, Outcome, index, machine, page

STAGES: Final[dict[str, tuple[str, ...]]] = {
    "attacks": ("make", "attacks"),
    "fuzz": ("make", "fuzz", "N=200000"),
    "helm-oldest": ("make", "helm-oldest"),
    "chaos": ("make", "chaos"),
    "probes": ("make", "probes"),
    "client": ("make", "client-large"),
    "agents": ("make", "agents"),
    "bench": ("make", "bench"),
    "bench-memory": ("make", "bench-memory"),
    "bench-operator": ("make", "bench-operator"),
    "bench-large": ("make", "bench-large"),
    "bench-searching": ("make", "bench-searching"),
}
RESULTS: Final = Path("docs/results")


def main(stages: Annotated[list[str] | None, typer.Argument(help=f"Of: {', '.join(STAGES)}.")] = None) -> None:
    """Run what is too long for `make test`, and keep its figures."""
    if unknown := sorted(set(stages or ()) - set(STAGES)):
        raise typer.BadParameter(f"there is no stage {', '.join(unknown)}; there are: {', '.join(STAGES)}")
    outcomes = [run(stage) for stage in stages or STAGES]
    failed = [outcome.stage for outcome in outcomes if outcome.status]
    say(
        f"{len(outcomes) - len(failed)} stages passed, {len(failed)} failed{': ' if failed else ''}{', '.join(failed)}; {RESULTS}/{INDEX}"
    )
    raise typer.Exit(1 if failed else 0)


def run(stage: str) -> Outcome:
    """One stage: shown while it goes on, and kept."""
    command, begun, started = STAGES[stage], datetime.now(UTC), time.monotonic()
    say(f"== {stage}: {' '.join(command)}")
    lines = list[str]()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace") as process:
        assert process.stdout is not None
        for line in process.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            lines.append(line)
    took = time.monotonic() - started
    output = "".join(lines)
    outcome = Outcome(stage, " ".join(command), begun, took, process.returncode, commit(), machine(), output)
    keep(outcome, "as `make long` ran it")
    return outcome


def keep(outcome: Outcome, how: str) -> None:
    """Its page, and the index of all pages."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{outcome.stage}.md").write_text(page(outcome, {str(Path.cwd()): ".", str(Path.home()): "~"}, how))
    pages = [path.read_text() for path in sorted(RESULTS.glob("*.md")) if path.name != INDEX]
    (RESULTS / INDEX).write_text(index(pages))


def commit() -> str:
    """What was run."""
    head = _git("rev-parse", "--short", "HEAD")
    return f"{head} and changes" if _git("status", "--porcelain", "--untracked-files=no", "--", ".", f":!{RESULTS}") else head


def _git(*arguments: str) -> str:
    return subprocess.run(("git", *arguments), stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def say(text: str) -> None:
    """To the terminal, at once."""
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    typer.run(main)
