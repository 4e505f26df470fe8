"""What was found at the last dial to each API: one small record for each GatewayConfig, for the operator, who writes it into a condition.

Goes in: dials that ended, one way or the other. Comes out: their records, all or those since a cursor, as JSON has them. Words come from a
closed set (dial_failures.py): no address, no name, nothing that was sent.
"""

from math import floor
from time import monotonic
from typing import Any, Final, NamedTuple

from devbox_api.judge.endpoints import dialled
from devbox_proxy.known.apis import Api

REACHED: Final = "Reached"
"""Beside the names of DialFailure."""
MOST: Final = 4096
"""Records; of more the one goes that was made first."""
_TENTHS: Final = 10
_MICROSECONDS: Final = 1_000_000


class Dial(NamedTuple):
    """The last one to an API."""

    gateway: str
    """The GatewayConfig, as namespace/name."""
    uid: str
    dialled: str
    """What it was about (devbox_api.judge.endpoints)."""
    found: str
    """REACHED, or a DialFailure's value."""
    words: str
    """Behind "the API"; empty where it was reached."""
    at: float
    """Monotonic seconds."""


class Dials:
    """Of this process."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: dict[str, Dial] = {}
        """By the GatewayConfig's UID."""

    def note(self, api: Api, found: str, words: str = "") -> None:
        """A dial to it has just ended."""
        self._last.pop(api.uid, None)
        self._last[api.uid] = Dial(api.name, api.uid, dialled(api.endpoint, api.trust), found, words, monotonic())
        if len(self._last) > MOST:
            del self._last[next(iter(self._last))]

    def since(self, cursor: int | None, present: float) -> list[dict[str, Any]]:
        """Records that are newer than the cursor, or all; their age in seconds, rounded down."""
        after = -1.0 if cursor is None else cursor / _MICROSECONDS
        return [
            {
                **{name: value for name, value in dial._asdict().items() if name != "at"},
                "age": max(0.0, floor((present - dial.at) * _TENTHS) / _TENTHS),
            }
            for dial in self._last.values()
            if dial.at >= after
        ]

    def __len__(self) -> int:
        return len(self._last)
