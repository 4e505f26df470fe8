"""The result of one part of the demo: plain data between what is tried and what is printed."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """One thing that was tried."""

    title: str
    rows: tuple[str, ...]
    """The rows of the users' list that it shows (docs/requirements.md)."""
    agent: Sequence[str]
    """Lines: what the agent (or the attacker) sees."""
    upstream: Sequence[str]
    """Lines: what the other side received."""
    problem: str | None = None
    """Why it counts as failed; None if it is as promised."""
