"""A cluster's network without a network: a Service that balances every connection for itself, gateways that die, come and are cut off,
and a policy, or none. In a time of its own, so that a minute takes a moment.

Goes in: a seed and what may happen. Comes out: what `devbox-init` concludes, by the very rounds and the judge that it has (probe.py,
visit.py), and when.
"""

import random
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, cast

from devbox_init.families import Family
from devbox_init.judge import Judge, State, Verdict
from devbox_init.probe import EVERY, Round
from devbox_init.visit import Ports, Visit
from devbox_init.whereabouts import Whereabouts

STEP: Final = 0.025
SERVICE: Final = "10.96.0.9"
PORTS: Final = Ports(3128, 443, 8479)
STAYS: Final = 40.0
"""Seconds for which the endpoint of a pod on a node that is lost stays in the Service."""
NEVER: Final = float("inf")


def repeatable(seed: int) -> random.Random:
    """The same chances for the same seed."""
    return random.Random(seed)  # noqa: S311 (no secret)


@dataclass
class Gateway:
    """One pod."""

    address: str
    born: float = 0.0
    died: float = NEVER
    gone: float = NEVER
    """When its endpoint goes."""
    resets: bool = False
    """Dead: its node still answers for it."""
    cuts: list[tuple[float, float]] = field(default_factory=list)
    """While its node's network is away."""
    held_since: float = NEVER
    """When the pod's NetworkPolicy holds what goes there."""

    def reached(self, now: float) -> bool:
        return self.born <= now < self.died and not any(start <= now < end for start, end in self.cuts)

    def listed(self, now: float) -> bool:
        return self.born <= now < self.gone


class Connection:
    """In place of an Attempt, and of a Question."""

    def __init__(self, net: "Network", answered: bool | None, place: Whereabouts | None) -> None:
        """`answered`: False for a reset, None for nothing."""
        self._net, self._outcome, self._place = net, answered, place
        self._at = NEVER if answered is None else net.now + net.rtt
        self._over = self._answered = False
        self.error = ""

    @property
    def decided(self) -> bool:
        if not self._over and self._net.now >= self._at:
            self._over, self._answered = True, bool(self._outcome)
        return self._over

    @property
    def answered(self) -> bool:
        return self.decided and self._answered

    @property
    def refused(self) -> bool:
        return self.decided and not self._answered

    @property
    def place(self) -> Whereabouts | None:
        return self._place if self.answered else None

    def end(self) -> None:
        self._over = self.decided or True


class Network:
    """What answers, and when."""

    def __init__(self, gateways: list[Gateway], chance: random.Random, *, loss: float, rejects: bool, rtt: float) -> None:
        self.gateways, self.chance = gateways, chance
        self.loss, self.rejects, self.rtt = loss, rejects, rtt
        self.now = 0.0

    def visit(self, family: int, where: tuple[Any, ...], ports: Ports) -> Visit:
        """A look through this network."""
        return Visit(family, where, ports, ask=cast(Any, self.connect), dial=cast(Any, self.connect), clock=lambda: self.now)

    def connect(self, _: int, address: tuple[Any, ...]) -> Connection:
        host, port = address
        listed = [one for one in self.gateways if one.listed(self.now)]
        if host == SERVICE:
            if not listed:
                return Connection(self, answered=False, place=None)
            gateway: Gateway | None = self.chance.choice(listed)
        else:
            gateway = next((one for one in self.gateways if one.address == host), None)
        canary = port == PORTS.canary
        if gateway is None or self.chance.random() < self.loss or self.chance.random() < self.loss:
            return Connection(self, answered=None, place=None)
        if canary and self.now >= gateway.held_since:
            return Connection(self, answered=False if self.rejects else None, place=None)
        if not gateway.reached(self.now) or not gateway.reached(self.now + self.rtt):
            dead = gateway.resets and gateway.died <= self.now
            return Connection(self, answered=False if dead else None, place=None)
        return Connection(self, answered=True, place=Whereabouts(gateway.address, 8443, PORTS.canary))


def watched(
    net: Network, seconds: float, end: Callable[[Verdict], bool] = lambda verdict: verdict.final
) -> tuple[float, Verdict]:
    """When the verdict came that ends it, or the last one."""
    judge, verdict, due = Judge(30), Verdict(State.WAITING), 0.0
    rounds: deque[Round] = deque()
    while net.now < seconds:
        if net.now >= due:
            rounds.append(Round([(socket.AF_INET, (SERVICE, PORTS.data))], PORTS, net.now, net.visit))
            due += EVERY
        for one in rounds:
            one.decided(net.now)
        while rounds and rounds[0].decided(net.now):
            done = rounds.popleft()
            done.close()
            verdict = judge.take(done.began, done.seen([Family.IPV4]), ["eth0"])
            if end(verdict):
                return net.now, verdict
        net.now += STEP
    return net.now, verdict


def trouble(chance: random.Random, seconds: float) -> list[Gateway]:
    """One to four replicas, of which some are dead or die, and others come."""
    gateways: list[Gateway] = []
    for number in range(chance.randint(1, 4)):
        one = Gateway(f"10.42.{number}.2")
        match chance.choice("fine dead dies dies flaps".split()):
            case "dead":
                one.died, one.gone = 0.0, chance.choice([STAYS, NEVER])
            case "dies":
                one.died = chance.uniform(0, seconds)
                one.gone, one.resets = one.died + chance.choice([0.5, 2.0, STAYS]), chance.random() < 0.3
                gateways.append(Gateway(f"10.42.{number}.3", born=one.died + chance.uniform(0, 5)))
            case "flaps":
                at = 0.0
                while at < seconds:
                    at += chance.expovariate(1 / 2)
                    one.cuts.append((at, at + chance.uniform(0.02, 2.5)))
        gateways.append(one)
    return gateways
