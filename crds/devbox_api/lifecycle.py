"""When a Devbox ends by itself, though nobody deletes it, or rests, though nobody suspends it.

Part of Devbox (devbox.py). Goes in: durations as people write them. Comes out: seconds.
"""

import re
from typing import Annotated, Final, Literal

from pydantic import Field

from .schema import ApiModel, cel, rules

_DURATION: Final = "^([0-9]{1,4}h)?([0-9]{1,6}m)?([0-9]{1,7}s)?$"
_PART: Final = re.compile("([0-9]+)([hms])", re.ASCII)
_SECONDS: Final = {"h": 3600, "m": 60, "s": 1}
Duration = Annotated[
    str,
    Field(
        min_length=1,
        max_length=32,
        json_schema_extra=rules(
            cel(f"self.matches('{_DURATION}')", "not a duration; write e.g. 30m, 24h or 1h30m (a week is 168h)"),
            cel(
                f"!self.matches('{_DURATION}') || (duration(self) >= duration('60s') && duration(self) <= duration('2160h'))",
                "not between 60s and 2160h (90 days)",
            ),
        ),
    ),
]


class Idle(ApiModel):
    """What becomes of one that nobody works in."""

    after: Duration
    """So long after it became ready, or its agent last called anything through the gateway (or somebody kept it alive, or resumed it), it
    is idle. E.g. 30m, 2h; from 60s to 2160h. It is never so before its time, and a change counts at once."""
    action: Literal["Suspend", "Delete"]
    """Suspend: its pod is taken away, as by spec.suspend, until it is resumed. Delete: it is deleted, with what is in it."""


class Lifecycle(ApiModel):
    """When it ends, or rests, by itself."""

    ttl: Duration | None = None
    """So long after it was made, or after the time in its annotation devbox-gateway.io/kept-alive-at, it is deleted, with what is in it,
    also while it is suspended. E.g. 30m, 24h; from 60s to 2160h. Nothing is deleted before its time, and a change counts at once."""
    idle: Idle | None = None
    """What is done about one that nobody works in; nothing, unless set."""


def seconds_of(written: str) -> int | None:
    """None for what is no such duration. (An object may be older than a rule.)"""
    if not written or len(written) > 32 or re.fullmatch(_DURATION, written, re.ASCII) is None:
        return None
    found = sum(int(amount) * _SECONDS[unit] for amount, unit in _PART.findall(written))
    return found if 60 <= found <= 2160 * 3600 else None
