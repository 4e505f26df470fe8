"""Why something can't be used, for people."""

from dataclasses import dataclass

from devbox_api.conditions import Reason


@dataclass(frozen=True)
class Problem:
    """Why something can't be used."""

    reason: Reason
    message: str
    keeps: bool = False
    """It may be a passing one, or a mistake: what the Secret held before stays in use for a while (keeping.py)."""
