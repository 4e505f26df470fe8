"""What a fault was to show, and what it showed: a row of the table in docs/reliability.md.

Goes in: measurements of a case. Comes out: rows, each with a verdict, as a table and as JSON. Called by every case and by __main__.py.
"""

import json
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

_VERDICTS: Final = {True: "held", False: "MISSED", None: "shown"}


class Row(NamedTuple):
    """One demand."""

    fault: str
    demand: str
    measured: str
    held: bool | None
    """None: a figure that depends on the machine's speed, which is shown and not judged."""

    @property
    def verdict(self) -> str:
        """A word."""
        return _VERDICTS[self.held]


def table(rows: Iterable[Row]) -> str:
    """For people, and for docs/reliability.md."""
    lines = ["| fault | demand | measured | verdict |", "|---|---|---|---|"]
    return "\n".join(lines + [f"| {row.fault} | {row.demand} | {row.measured} | {row.verdict} |" for row in rows])


def write(rows: Iterable[Row], path: Path) -> None:
    """For programs."""
    path.parent.mkdir(exist_ok=True)
    items = [row._asdict() | {"verdict": row.verdict} for row in rows]
    path.write_text(json.dumps(items, indent=2) + "\n")


def p(percent: int, values: Sequence[float]) -> float:
    """A percentile; 0 if there is no value."""
    return statistics.quantiles(values, n=100)[percent - 1] if len(values) > 1 else sum(values)


def ms(seconds: float) -> str:
    """As it is read best."""
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"
