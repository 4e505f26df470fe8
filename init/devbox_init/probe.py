"""The rounds: every quarter of a second, one of the gateway's pods is looked at over each of its Service's addresses.

Goes in: the gateway's name and ports, what says which families are in use on which devices, a judge. Comes out: the judge's verdict.

A round belongs to one gateway (visit.py). Rounds overlap, since a policy that drops gives no answer to wait for: each canary has a
second of its own, and three rounds that show confinement take 1.5 s (half a second where policies reject) in place of three. Every
round still speaks for its own moment: a canary that a policy came too late for is answered, and the count begins anew.
"""

import selectors
import socket
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from typing import Final

from .connecting import Address
from .families import Family, ways_out
from .judge import Judge, Seen, Silence, Verdict
from .visit import Ports, Visit

EVERY: Final = 0.25

FAMILIES: Final = {Family.IPV4: socket.AF_INET, Family.IPV6: socket.AF_INET6}


class Round:
    """One look over every address of the gateway's name."""

    def __init__(
        self,
        found: Collection[tuple[int, Address]],
        ports: Ports,
        began: float,
        look: Callable[[int, Address, Ports], Visit] = Visit,
    ) -> None:
        self.began = began
        self.visits = [look(family, where, ports) for family, where in found]

    def seen(self, used: Collection[Family]) -> dict[Family, Seen]:
        """Of each family, by any address. `used`: those that the pod has an address of."""
        return {
            family: _seen([one for one in self.visits if one.family == FAMILIES[family]], family in used) for family in FAMILIES
        }

    def decided(self, looked: float) -> bool:
        """Nothing that could change it is outstanding. `looked`: when answers were last looked for."""
        for one in self.visits:
            one.step(looked)
        return all(one.over for one in self.visits)

    def close(self) -> None:
        """What is still outstanding did not answer."""
        for one in self.visits:
            one.end()


def _seen(visits: Collection[Visit], used: bool) -> Seen:
    why = [one.silence for one in visits if one.silence is not None]
    return Seen(
        used=used,
        named=bool(visits),
        shut=frozenset(gateway for one in visits for gateway in one.shut),
        open=frozenset(gateway for one in visits for gateway in one.open),
        silence=max(why, key=lambda one: one.value, default=Silence.NOBODY),
        front=any(one.front.answered for one in visits),
        errors=tuple(sorted({error for one in visits for error in one.errors})),
    )


def addresses(host: str, port: int) -> list[tuple[int, Address]]:
    """Of every family, from the hosts file; none while the name is not in it."""
    try:
        return list(dict.fromkeys((one[0], one[4]) for one in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
    except OSError:
        return []


def watch(
    host: str,
    ports: Ports,
    judge: Judge,
    *,
    in_use: Callable[[], Mapping[Family, Collection[str]]],
    say: Callable[[Verdict], None],
) -> Verdict:
    """Until there is a verdict that ends it. `say` hears of each change."""
    rounds: deque[Round] = deque()
    last: Verdict | None = None
    due = time.monotonic()
    try:
        while True:
            now = time.monotonic()
            if now >= due:
                # All ports of what one look-up found: a second one that failed would be a canary that does not answer.
                rounds.append(Round(addresses(host, ports.data), ports, now))
                due = now + EVERY
            looked = time.monotonic()
            next_step = min([due, *(visit.until for one in rounds for visit in one.visits if not visit.over)])
            _collect(rounds, max(0.0, next_step - looked))
            # (Of that moment: an answer that came after it was not too late, it was not seen yet.)
            for one in rounds:
                one.decided(looked)
            while rounds and rounds[0].decided(looked):
                done = rounds.popleft()
                done.close()
                # (In use by now: a family that came during the round was not seen in it.)
                used = in_use()
                verdict = judge.take(done.began, done.seen(used), ways_out(used.values()))
                if verdict.final:
                    return verdict
                if verdict != last:
                    last = verdict
                    say(verdict)
    finally:
        for one in rounds:
            one.close()


def _collect(rounds: Collection[Round], seconds: float) -> None:
    """Wait so long for answers, and note them."""
    with selectors.DefaultSelector() as selector:
        for one in rounds:
            for visit in one.visits:
                for attempt in visit.attempts():
                    if attempt.socket is not None:
                        selector.register(attempt.socket, attempt.wants, attempt)
        if not selector.get_map():
            time.sleep(seconds)
            return
        for key, _ in selector.select(seconds):
            key.data.ready()
