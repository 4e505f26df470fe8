"""What a doctor says: findings, what could not be looked at, and what is well."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

MOST: Final = 20
"""Of one kind, that are told one by one."""


@dataclass(frozen=True)
class Finding:
    """Something is wrong."""

    name: str
    """Of the kind: the same for everything of it."""
    what: str
    why: str
    """Why it matters."""
    do: tuple[str, ...]
    """What to do: sentences, and commands to paste."""


@dataclass(frozen=True)
class Unchecked:
    """It could not be looked at."""

    name: str
    because: str


Result = Finding | Unchecked


@dataclass(frozen=True)
class Report:
    """All of it. `well`: kinds of which nothing was found."""

    findings: tuple[Finding, ...]
    unchecked: tuple[Unchecked, ...]
    well: tuple[str, ...]


def report(results: Iterable[tuple[str, Iterable[Result]]]) -> Report:
    """Of what each check says, by its name."""
    findings: list[Finding] = []
    unchecked: list[Unchecked] = []
    well: list[str] = []
    for name, said in results:
        every = list(said)
        found = [each for each in every if isinstance(each, Finding)]
        findings += found[:MOST]
        if rest := found[MOST:]:
            findings.append(Finding(name, f"and {len(rest)} more", found[0].why, found[0].do))
        unchecked += [each for each in every if isinstance(each, Unchecked)]
        well += [] if every else [name]
    return Report(tuple(findings), tuple(unchecked), tuple(well))


def merged(first: Report, name: str, results: Iterable[Result]) -> Report:
    """With what one more check says."""
    more = report([(name, results)])
    return Report(first.findings + more.findings, first.unchecked + more.unchecked, first.well + more.well)
