"""Can a devbox see whether it is confined? What follows from looks at the gateways' canaries by somebody who is no devbox.

Goes in: look by look, what each gateway did. Comes out: a `Visibility`. Pure.

`devbox-init` takes a canary that is silent beside a data port that answers for its pod's NetworkPolicy at work. That is true as long as
nothing else closes the canary: a security group, a node's firewall, an administrator's policy for the gateway's pods. Whatever closes it
for the operator, whose pod no devbox's policy holds, closes it for everybody, and then confinement can't be seen. A gateway that does not
answer at all is dead or can't be reached, and says nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final

RUNNING: Final = 2
"""Looks that have to find a canary closed: one may be of a gateway that starts, or a network that hiccups."""
AWAY_SECONDS: Final = 180.0
"""So long what was seen of some gateway counts while none can be looked at."""


class Look(StrEnum):
    """What one gateway did."""

    OPEN = "open"
    """Its canary answered."""
    CLOSED = "closed"
    """Its data port did, before and after, and its canary not."""
    SILENT = "silent"
    """Nothing did, or not to the end."""


class Sight(Enum):
    """What is known."""

    NOT_YET = "not yet"
    SEEN = "seen"
    CLOSED = "closed"
    AWAY = "away"


@dataclass(frozen=True)
class Visibility:
    """Whether new agents may rely on what they see."""

    sight: Sight
    closed: tuple[str, ...] = ()
    """Gateways whose canary is closed for everybody."""

    @property
    def seen(self) -> bool:
        """They may."""
        return self.sight is Sight.SEEN


NOT_YET: Final = Visibility(Sight.NOT_YET)
SEEN: Final = Visibility(Sight.SEEN)


class Looks:
    """Takes them in their order."""

    def __init__(self, began: float) -> None:
        """`began`: of the clock that counts pauses, like every other time here."""
        self._began = began
        self._open: float | None = None
        """When a canary last answered."""
        self._closed: dict[str, int] = {}
        """Looks running, by gateway. (One that was silent since is no better.)"""

    @property
    def doubtful(self) -> bool:
        """Another look soon would tell."""
        return bool(self._closed)

    def take(self, looks: Mapping[str, Look], now: float) -> Visibility:
        """One look at all gateways that there are, by address."""
        if Look.OPEN in looks.values():
            self._open = now
        self._closed = {
            gateway: self._closed.get(gateway, 0) + (look is Look.CLOSED)
            for gateway, look in looks.items()
            if look is Look.CLOSED or (look is Look.SILENT and gateway in self._closed)
        }
        closed = tuple(sorted(gateway for gateway, number in self._closed.items() if number >= RUNNING))
        if closed:
            return Visibility(Sight.CLOSED, closed)
        if self._open is not None and now - self._open < AWAY_SECONDS:
            return SEEN
        return NOT_YET if self._open is None and now - self._began < AWAY_SECONDS else Visibility(Sight.AWAY)
