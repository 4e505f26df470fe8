"""From rounds of connection attempts to a verdict: is this pod confined, over every address family that it uses?

Goes in: round by round, what was seen of each family, and on which devices there are addresses. Comes out: a `Verdict`. Pure.

The data port is allowed by the pod's NetworkPolicy, the canary is not, and one process listens on both: so an answer from the first
and none from the second is the policy at work, if both were one gateway's, and it was there all the while (visit.py). How a canary
fails to answer (reset, unreachable, silence) is the CNI's affair. A gateway that did not answer, or not to the end, says nothing: neither
that the pod is confined nor that it is not, and such a round is as if it had not been. What was seen counts for FRESH_SECONDS.

That it holds IPv4 says nothing of IPv6: each family in use has to show it by itself. Nor does one gateway speak for another, which may be
on a node whose traffic no policy holds: one whose canary answered has to be seen shut, too, or not be seen any more. What fails in the pod
itself is no answer of the network's, and nothing is concluded from a round with such an error. That one way is held says nothing of a
second one: of several devices with addresses the kernel takes one to the gateway, and the others are not seen.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from math import inf
from typing import Final

from .families import Family

ROUNDS: Final = 3
"""That have to show confinement, with no canary's answer between: some CNIs put a policy in force more than once while they start a pod."""
FRESH_SECONDS: Final = 5.0
"""So long what a round has shown counts beside others."""

SHOWN: Final = 4
"""Devices by name."""


class Silence(Enum):
    """Why a round says nothing of a family; of several, the last in this order is told."""

    NOBODY = auto()
    """Nobody answered by the gateway's name."""
    LOST = auto()
    """A gateway said where it is, and did not answer there, or not to the end."""
    CROWDED = auto()
    """A gateway answered, whose canary gets more connections than it takes."""
    MUTE = auto()
    """What answered does not say which gateway it is."""


@dataclass(frozen=True)
class Seen:
    """One family in one round."""

    used: bool
    """The pod has an address of it."""
    named: bool
    """So has the gateway, in the hosts file."""
    shut: frozenset[str] = frozenset()
    """Gateways that answered on their data port, before their canary had its time and after, and on their canary not."""
    open: frozenset[str] = frozenset()
    """Those whose canary answered."""
    silence: Silence = Silence.NOBODY
    """Where neither was seen."""
    front: bool = False
    """The data port answered by the gateway's name, as the agent will call it."""
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
    silence: Silence = Silence.NOBODY
    """What is waited for."""

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
                return self._waiting()
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

    def _waiting(self) -> str:
        if not self.families:
            return "the pod has no address yet"
        match self.silence:
            case Silence.NOBODY:
                return f"the gateway does not answer yet over {self.over}"
            case Silence.LOST:
                return (
                    f"the gateway answers over {self.over} by its name, and its pod does not at its own address: it is on its way, or "
                    "gone, or the way there is not open yet"
                )
            case Silence.CROWDED:
                return (
                    f"the gateway answers over {self.over}, and its canary gets more connections than it takes, from whomever: it might be "
                    "silent for that"
                )
            case Silence.MUTE:
                return (
                    f"the gateway answers over {self.over} and does not say which of its pods it is: it is of an older release; this pod's "
                    "agent starts once the gateways have been upgraded"
                )


class Judge:
    """Takes the rounds in their order."""

    def __init__(self, seconds: float) -> None:
        """`seconds`: for so long the canary may go on answering, and a family or a second device go unseen."""
        self._seconds = seconds
        self._passed: dict[Family, list[float]] = {}
        """When rounds began that showed it, since a canary last answered."""
        self._open: dict[tuple[Family, str], float] = {}
        """Gateways whose canary answered, and when it last did; not those that were seen shut since."""
        self._since_open: dict[Family, float] = {}
        self._front: dict[Family, float] = {}
        """When the data port last answered by the gateway's name."""
        self._silent: dict[tuple[Family, Silence], float] = {}
        """When a round last said nothing, by why."""
        self._unseen: dict[Family, float] = {}
        """Since when."""
        self._many: float | None = None
        """Since when there is more than one device."""

    def take(self, began: float, seen: Mapping[Family, Seen], devices: Collection[str] = ()) -> Verdict:
        """One round, begun at that monotonic time. `devices`: besides loopback, those that have an address."""
        used = [family for family, one in seen.items() if one.used]
        # An answer of the canary counts over whatever family.
        answered = any(one.open for one in seen.values())
        self._note_open(began, seen)
        self._unseen = _since(self._unseen, began, (family for family in used if not seen[family].named))
        self._many = (began if self._many is None else self._many) if len(devices) > 1 else None
        failing = tuple(family for family in used if seen[family].errors)
        self._note_passed(
            began, {family: seen[family] for family in used}, void=bool(answered or failing or self._many is not None)
        )
        if answered:
            return self._trouble(State.OPEN, self._since_open, began)
        if self._open and not failing:
            return Verdict(State.OPEN, tuple(self._since_open))
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
        silent = tuple(family for family in used if not self._passed[family])
        if silent or not used:
            return Verdict(State.WAITING, silent, silence=self._why(began, silent))
        shown = (
            len(self._passed[family]) >= ROUNDS and began - self._front.get(family, -inf) < FRESH_SECONDS for family in used
        )
        return Verdict(State.CONFINED if all(shown) else State.CLOSING, tuple(used))

    def _note_open(self, began: float, seen: Mapping[Family, Seen]) -> None:
        for family, one in seen.items():
            for gateway in one.shut:
                self._open.pop((family, gateway), None)
            self._open.update({(family, gateway): began for gateway in one.open})
        self._open = {key: last for key, last in self._open.items() if began - last < FRESH_SECONDS}
        self._since_open = _since(self._since_open, began, (family for family, _ in self._open))

    def _note_passed(self, began: float, used: Mapping[Family, Seen], *, void: bool) -> None:
        """`void`: what was seen before does not count, nor does this round."""
        before = {} if void else self._passed
        self._passed = {
            family: [
                *(start for start in before.get(family, ()) if began - start < FRESH_SECONDS),
                *([began] if one.shut and not void else []),
            ]
            for family, one in used.items()
        }
        self._front |= {family: began for family, one in used.items() if one.front}
        self._silent |= {(family, one.silence): began for family, one in used.items() if not one.shut}

    def _why(self, began: float, silent: Collection[Family]) -> Silence:
        fresh = [why for (family, why), last in self._silent.items() if family in silent and began - last < FRESH_SECONDS]
        return max(fresh, key=lambda why: why.value, default=Silence.NOBODY)

    def _trouble(self, state: State, since: Mapping[Family, float], began: float) -> Verdict:
        late = tuple(family for family, start in since.items() if began - start >= self._seconds)
        return Verdict(state, late or tuple(since), late=bool(late))


def _since(before: Mapping[Family, float], now: float, families: Iterable[Family]) -> dict[Family, float]:
    return {family: before.get(family, now) for family in families}
