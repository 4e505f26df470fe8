"""From rounds of connection attempts to a verdict: is this pod confined, over every address family that it uses?

Goes in: round by round, what was seen of each family, and on which devices there are addresses. Comes out: a `Verdict`. Pure. Called by
probe.py.

The data port is allowed by the pod's NetworkPolicy, the canary is not, and one process listens on both: so an answer from the first
and none from the second is the policy at work, and not a network that is not there yet. How a canary fails to answer (reset,
unreachable, silence) is the CNI's affair. That it holds IPv4 says nothing of IPv6: each family in use has to show it by itself. What
fails in the pod itself is no answer of the network's, and nothing is concluded from a round with such an error. That one way is held
says nothing of a second one: of several devices with addresses the kernel takes one to the gateway, and the others are not seen.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from .families import Family

ROUNDS: Final = 3
"""Running, that have to show confinement: some CNIs put a policy in force more than once while they start a pod."""

SHOWN: Final = 4
"""Devices by name."""


@dataclass(frozen=True)
class Seen:
    """One family in one round."""

    used: bool
    """The pod has an address of it."""
    named: bool
    """So has the gateway, in the hosts file."""
    data: bool
    """The data port answered."""
    canary: bool
    """So did the canary."""
    errors: tuple[str, ...] = ()
    """What failed in the pod itself, so that the network was not asked."""


class State(Enum):
    """What is known so far."""

    WAITING = auto()
    OPEN = auto()
    UNSEEN = auto()
    FAILING = auto()
    CLOSING = auto()
    CONFINED = auto()


@dataclass(frozen=True)
class Verdict:
    """What is known so far, and of which families."""

    state: State
    families: tuple[Family, ...] = ()
    late: bool = False
    """It has been so for longer than it may."""
    errors: tuple[str, ...] = ()
    """What failed in the pod itself."""
    devices: tuple[str, ...] = ()
    """Those with addresses, where they are too many to be seen."""

    @property
    def final(self) -> bool:
        """Nothing is to be waited for."""
        return self.late or self.state is State.CONFINED

    @property
    def over(self) -> str:
        """The families, as words."""
        return " and ".join(family.value for family in self.families)

    @property
    def on(self) -> str:
        """The devices, as words."""
        shown = self.devices[:SHOWN]
        return f"{', '.join(shown)} and {len(self.devices) - SHOWN} more" if self.devices[SHOWN:] else " and ".join(shown)

    def __str__(self) -> str:
        match self.state:
            case State.WAITING:
                return f"the gateway does not answer yet over {self.over}" if self.families else "the pod has no address yet"
            case State.OPEN:
                return f"the canary answers over {self.over}: no NetworkPolicy is in force there yet"
            case State.UNSEEN if self.devices:
                return f"the pod has addresses on {self.on}: on one of them alone it can be seen to be confined"
            case State.UNSEEN:
                return f"the pod has an address of {self.over} and the gateway has none: there it can't be seen to be confined"
            case State.FAILING:
                errors = ", ".join(self.errors)
                return f"connections over {self.over} fail in the pod itself ({errors}): that says nothing of the network"
            case State.CLOSING:
                return f"the gateway answers and the canary does not, over {self.over}"
            case State.CONFINED:
                return "confined"


class Judge:
    """Takes the rounds in their order."""

    def __init__(self, seconds: float) -> None:
        """`seconds`: for so long the canary may go on answering, and a family or a second device go unseen."""
        self._seconds = seconds
        self._passed: dict[Family, int] = {}
        """Rounds running."""
        self._open: dict[Family, float] = {}
        self._unseen: dict[Family, float] = {}
        """Since when."""
        self._many: float | None = None
        """Since when there is more than one device."""

    def take(self, began: float, seen: Mapping[Family, Seen], devices: Collection[str] = ()) -> Verdict:
        """One round, begun at that monotonic time. `devices`: besides loopback, those that have an address."""
        used = [family for family, one in seen.items() if one.used]
        # An answer of the canary counts over whatever family.
        self._open = _since(self._open, began, (family for family, one in seen.items() if one.canary))
        self._unseen = _since(self._unseen, began, (family for family in used if not seen[family].named))
        self._many = (began if self._many is None else self._many) if len(devices) > 1 else None
        failing = tuple(family for family in used if seen[family].errors)
        void = self._open or failing or self._many is not None
        passed = [family for family in used if seen[family].data and not void]
        self._passed = {family: self._passed.get(family, 0) + 1 for family in passed}
        if self._open:
            return self._trouble(State.OPEN, self._open, began)
        unseen = self._trouble(State.UNSEEN, self._unseen, began)
        if self._many is not None:
            late = began - self._many >= self._seconds
            # Told first, since it may be the second device that brings the family; but what is over time is told before what is not.
            if late or not unseen.late:
                return Verdict(State.UNSEEN, late=late, devices=tuple(sorted(devices)))
        if self._unseen:
            return unseen
        if failing:
            errors = sorted({error for family in failing for error in seen[family].errors})
            return Verdict(State.FAILING, failing, errors=tuple(errors))
        silent = tuple(family for family in used if family not in self._passed)
        if silent or not used:
            return Verdict(State.WAITING, silent)
        confined = all(self._passed[family] >= ROUNDS for family in used)
        return Verdict(State.CONFINED if confined else State.CLOSING, tuple(used))

    def _trouble(self, state: State, since: Mapping[Family, float], began: float) -> Verdict:
        late = tuple(family for family, start in since.items() if began - start >= self._seconds)
        return Verdict(state, late or tuple(since), late=bool(late))


def _since(before: Mapping[Family, float], now: float, families: Iterable[Family]) -> dict[Family, float]:
    return {family: before.get(family, now) for family in families}
