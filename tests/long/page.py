"""What a stage printed, as a page of docs/results, and the index of all pages.

Goes in: a stage's outcome. Comes out: Markdown. Pure, but for `machine`. tests/unit/test_results.py holds the index against the pages.
"""

import os
import platform
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

HEAD: Final = "| stage | begun (UTC) | took | result | commit | machine |\n|---|---|---|---|---|---|\n"
INDEX: Final = "README.md"
MOST_LINES: Final = 400
"""Of what was printed: the figures stand at the end."""
_ANSI: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_ROW: Final = re.compile(r"^\| \[[a-z-]+\]\([a-z-]+\.md\) \|.*\|$", re.MULTILINE)


@dataclass(frozen=True)
class Outcome:
    """One stage, one run."""

    stage: str
    command: str
    begun: datetime
    seconds: float
    status: int
    commit: str
    machine: str
    output: str


def page(outcome: Outcome, hidden: Mapping[str, str], how: str = "as `make long` ran it") -> str:
    """`hidden`: what of this machine stands in the output, and what is written in its place. `how` it was run."""
    return (
        f"# {outcome.stage}\n\n`{outcome.command}`, {how}. What it printed, at the end:\n\n{HEAD}{row(outcome)}\n\n"
        f"```text\n{cleaned(outcome.output, hidden)}\n```\n"
    )


def row(outcome: Outcome) -> str:
    """One line of the index."""
    result = "passed" if outcome.status == 0 else f"FAILED (status {outcome.status})"
    took = f"{outcome.seconds / 60:.0f} min" if outcome.seconds >= 120 else f"{outcome.seconds:.0f} s"
    begun = f"{outcome.begun:%Y-%m-%d %H:%M}"
    name = f"[{outcome.stage}]({outcome.stage}.md)"
    return f"| {name} | {begun} | {took} | {result} | {outcome.commit} | {outcome.machine} |"


def cleaned(output: str, hidden: Mapping[str, str]) -> str:
    """Without colours, lines that were overwritten, and this machine's folders; the last lines, if there are many."""
    lines = [line.rpartition("\r")[2].rstrip() for line in _ANSI.sub("", output).replace("\r\n", "\n").split("\n")]
    text = "\n".join(lines[-MOST_LINES:]).strip("\n").replace("```", "'''")
    for found, instead in hidden.items():
        text = text.replace(found, instead)
    return text


def index(pages: Iterable[str]) -> str:
    """Of all pages, by the row that each of them holds."""
    rows = sorted(found.group() for text in pages if (found := _ROW.search(text)))
    about = (
        "# Results\n\nWhat `make long` found: attacks that are judged by time, faults in full, packets, random requests, benchmarks. Each\n"
        "page is what the stage printed in its last run, with the day, the commit and the machine; nothing here is written by hand.\n"
        "Figures of single runs, with their days, are in [lab/](lab/README.md).\n\n"
    )
    return about + HEAD + "".join(f"{one}\n" for one in rows)


def machine() -> str:
    """In a few words."""
    cpuinfo = Path("/proc/cpuinfo")
    model = re.search(r"^model name\s*: (.*)$", cpuinfo.read_text() if cpuinfo.exists() else "", re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    name = model.group(1) if model else platform.machine()
    return f"{os.cpu_count()} x {name}, {memory:.0f} GiB, Linux {platform.release().partition('-')[0]}"
