"""A look at one of the gateway's pods, over one address of its Service: which pod it is, and whether that one's canary is silent beside a
data port that answers.

Goes in: an address, ports, and what makes connections. Comes out: `shut`, `open` and `silence`.

The Service balances each connection for itself, and a pod that is gone stays among those it leads to for a while. So one connection asks
which pod it went to (whereabouts.py), and that very pod is tried, at its own address: its data port and its canary. Once the canary
had its time, the data port has to answer again: a pod that died meanwhile would be silent, too. And the canary is tried more than once,
since a packet that is lost on the way is no policy's doing. (Where so many connections come to a canary that packets of others are dropped
for it, its gateway does not say where it is.)

The canary is tried by the gateway's name as well, where an answer counts: there are ways of a cluster's network that lead by one address
past what holds at the other.
"""

import time
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from . import whereabouts
from .connecting import Address, Attempt, Question
from .judge import Silence
from .whereabouts import Whereabouts

PATIENCE: Final = 1.0
"""Seconds without an answer that are an answer."""
TRIES: Final = 3
"""Of the canary, spread over that time."""


class Ports(NamedTuple):
    """Of the gateway's Service."""

    ask: int
    """The forward proxy's, which is in clear."""
    data: int
    canary: int


class _Trial(NamedTuple):
    """Of the pod that answered, at its own address."""

    place: Whereabouts
    data: Attempt
    canaries: list[Attempt]

    @property
    def sung(self) -> bool:
        """A canary answered."""
        return any(one.answered for one in self.canaries)


class Visit:
    """Step by step, as answers come or stay away."""

    def __init__(
        self,
        family: int,
        where: Address,
        ports: Ports,
        *,
        ask: Callable[[int, Address], Question] = Question,
        dial: Callable[[int, Address], Attempt] = Attempt,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.family = family
        self._service, self._dial, self._clock = where, dial, clock
        self._question = ask(family, self._at(where[0], ports.ask))
        self.front = dial(family, self._at(where[0], ports.data))
        """The data port by the gateway's name, as the agent will call it."""
        self._by_name = dial(family, self._at(where[0], ports.canary))
        self._trial: _Trial | None = None
        self._again: Attempt | None = None
        self.over = False
        """Nothing is waited for."""
        # From here on, since it may have taken long to get here, and the last one has its time, too.
        self._end = clock() + PATIENCE
        """When the present stage is over."""

    @property
    def until(self) -> float:
        """When it wants to be looked at, whatever comes."""
        left = TRIES - len(self._trial.canaries) if self._trial is not None and self._again is None else 0
        return self._end - PATIENCE * left / TRIES

    @property
    def open(self) -> frozenset[str]:
        """Whose canary answered: the pod's address, the Service's."""
        found = {self._trial.place.address} if self._trial is not None and self._trial.sung else set[str]()
        return frozenset(found | ({str(self._service[0])} if self._by_name.answered else set()))

    @property
    def shut(self) -> frozenset[str]:
        """Whose canary was silent beside a data port that answered before and after."""
        if self._trial is None or self._again is None or not self._again.answered or self._trial.sung or self.errors:
            return frozenset()
        return frozenset({self._trial.place.address} | ({str(self._service[0])} if not self._by_name.answered else set()))

    @property
    def silence(self) -> Silence | None:
        """Why nothing is known."""
        if self.shut or self.open:
            return None
        if self._trial is not None:
            return Silence.LOST
        if not self._question.answered:
            return Silence.NOBODY
        return Silence.CROWDED if whereabouts.crowded(self._question.answer) else Silence.MUTE

    @property
    def errors(self) -> tuple[str, ...]:
        """What failed in the pod itself."""
        return tuple(one.error for one in self.attempts() if one.error)

    def attempts(self) -> Iterator[Attempt]:
        """All connections."""
        yield from (self._question, self.front, self._by_name)
        if self._trial is not None:
            yield from (self._trial.data, *self._trial.canaries)
        if self._again is not None:
            yield self._again

    def step(self, looked: float) -> None:
        """Go on, as far as what is known leads. `looked`: when answers were last looked for."""
        if not self.over and self._trial is None:
            self._ask(looked)
        if not self.over and self._trial is not None and self._again is None:
            self._try(self._trial, looked)
        if (
            self._again is not None
            and self._trial is not None
            and (self._trial.sung or self._again.decided or looked >= self._end)
        ):
            self.end()

    def end(self) -> None:
        """What is still outstanding did not answer."""
        self.over = True
        for one in self.attempts():
            one.end()

    def _ask(self, looked: float) -> None:
        if not self._question.decided and looked < self._end:
            return
        place = self._question.place
        if place is None:
            self.end()
            return
        self._trial = _Trial(place, self._dial_pod(place, place.data), [self._dial_pod(place, place.canary)])
        self._end = self._clock() + PATIENCE

    def _try(self, trial: _Trial, looked: float) -> None:
        data, late = trial.data, looked >= self._end
        if trial.sung or self.errors or ((data.decided or late) and not data.answered):
            self.end()
        elif data.answered and (late or any(one.refused for one in trial.canaries)):
            self._again = self._dial_pod(trial.place, trial.place.data)
            self._end = self._clock() + PATIENCE
        elif looked >= self.until and not late:
            trial.canaries.append(self._dial_pod(trial.place, trial.place.canary))

    def _dial_pod(self, place: Whereabouts, port: int) -> Attempt:
        return self._dial(self.family, self._at(place.address, port))

    def _at(self, address: str, port: int) -> Address:
        return (address, port, *self._service[2:])
