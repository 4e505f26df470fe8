"""What was probed and what came of it: rows of the table in docs/confinement.md.

Goes in: verdicts. Comes out: a table for people (rich), one for the docs (Markdown), and JSON.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from rich.console import Console
from rich.table import Table

RESULT: Final = Path(".bench/probes.json")
_WORDS: Final = {True: "held", False: "NOT HELD", None: "shown"}


class Verdict(NamedTuple):
    """One row."""

    probe: str
    expected: str
    devbox: str
    """What the devbox saw, and what was counted of it behind the policies."""
    control: str
    """The same of the pod without a policy."""
    held: bool | None
    """None: a figure that is shown, not judged."""

    @property
    def word(self) -> str:
        """In one word."""
        return _WORDS[self.held]


def show(title: str, verdicts: Iterable[Verdict]) -> None:
    """To the terminal."""
    table = Table("probe", "expected", "devbox", "control", "verdict", title=title)
    for one in verdicts:
        style = {True: "green", False: "bold red", None: "cyan"}[one.held]
        table.add_row(one.probe, one.expected, one.devbox, one.control, f"[{style}]{one.word}[/]")
    Console(width=170).print(table)


def write(parts: Mapping[str, Sequence[Verdict]], path: Path = RESULT) -> None:
    """For programs."""
    path.parent.mkdir(exist_ok=True)
    made = {name: [one._asdict() | {"verdict": one.word} for one in verdicts] for name, verdicts in parts.items()}
    path.write_text(json.dumps(made, indent=2) + "\n")


def failed(verdicts: Iterable[Verdict]) -> list[str]:
    """Those that did not hold, for an assertion's message."""
    return [
        f"{one.probe}: expected {one.expected}; devbox: {one.devbox}; control: {one.control}"
        for one in verdicts
        if one.held is False
    ]
