"""What a fault was to show, and what it showed: a row of the table in docs/results/lab/gateway-faults.md.

Goes in: measurements of a case. Comes out: rows, each with a verdict, as a table and as JSON.
"""

import json
import statistics
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

_VERDICTS: Final = {True: "held", False: "MISSED", None: "shown"}


class Kind(StrEnum):
    """What a miss says."""

    SAFETY = "safety"
    """Something went wrong that must never: once is too often."""
    TIME = "time"
    """It was right, and late: on a machine that had other things to do, too."""


class Row(NamedTuple):
    """One demand."""

    fault: str
    demand: str
    measured: str
    held: bool | None
    """None: a figure that depends on the machine's speed, which is shown and not judged."""
    kind: Kind = Kind.SAFETY

    @property
    def verdict(self) -> str:
        """A word."""
        return _VERDICTS[self.held]


def timed(fault: str, demand: str, measured: str, in_time: bool | None, right: bool = True) -> Row:
    """A demand whose figure is a time or a rate; `right`: what it is about is as it should be, however long it took."""
    return Row(fault, demand, measured, in_time if right else False, Kind.TIME if right else Kind.SAFETY)


def judged(run: Callable[[], list[Row]], say: Callable[[str], object]) -> list[str]:
    """The demands that a case missed. One that missed nothing but times is run once more, and told so: no second try for anything else."""
    missed = _missed(run())
    if missed and all(row.kind is Kind.TIME for row in missed):
        say(f"second try, for {'; '.join(map(_told, missed))}")
        missed = _missed(run())
    return [_told(row) for row in missed]


def _missed(rows: list[Row]) -> list[Row]:
    assert rows, "a case without a demand can't fail"
    return [row for row in rows if row.held is False]


def _told(row: Row) -> str:
    return f"{row.fault}: {row.measured}, where it is to be {row.demand}"


def table(rows: Iterable[Row]) -> str:
    """For people, and for docs/results/lab."""
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
