"""The rounds: every quarter of a second, one TCP connection to each of the two ports of each of the gateway's addresses.

Goes in: the gateway's name and ports, what says which families are in use, a judge. Comes out: the judge's verdict. Called by __main__.

Rounds overlap, since a policy that drops gives no answer to wait for: each attempt has a second of its own, and three rounds that
show confinement take 1.5 s (half a second where policies reject) in place of three. Every round still speaks for its own moment: an
attempt that a policy came too late for is answered, and the count begins anew.
"""

import selectors
import socket
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator
from typing import Any, Final

from .families import Family
from .judge import Judge, Seen, Verdict

EVERY: Final = 0.25
PATIENCE: Final = 1.0
"""Seconds without an answer that are an answer."""

FAMILIES: Final = {Family.IPV4: socket.AF_INET, Family.IPV6: socket.AF_INET6}

Address = tuple[Any, ...]


class Attempt:
    """One connection."""

    def __init__(self, family: int, address: Address) -> None:
        self.family = family
        self.answered = False
        self.socket: socket.socket | None = None
        """None once it is decided."""
        try:
            self.socket = socket.socket(family, socket.SOCK_STREAM)
            self.socket.setblocking(False)
            self.socket.connect(address)
        except BlockingIOError:
            return
        except OSError:
            self.end(answered=False)
        else:
            self.end(answered=True)

    def end(self, *, answered: bool) -> None:
        """It is decided."""
        self.answered = answered
        if self.socket is not None:
            self.socket.close()
            self.socket = None


class Round:
    """One look at all ports."""

    def __init__(self, host: str, data_port: int, canary_port: int, now: float) -> None:
        self.began = now
        self.data = [Attempt(*where) for where in addresses(host, data_port)]
        self.canary = [Attempt(*where) for where in addresses(host, canary_port)]

    def attempts(self) -> Iterator[Attempt]:
        """All."""
        yield from self.data
        yield from self.canary

    def seen(self, used: Collection[Family]) -> dict[Family, Seen]:
        """Of each family, by any address. `used`: those that the pod has an address of."""
        return {
            family: Seen(
                used=family in used,
                named=any(one.family == number for one in self.data),
                data=any(one.family == number and one.answered for one in self.data),
                canary=any(one.family == number and one.answered for one in self.canary),
            )
            for family, number in FAMILIES.items()
        }

    def decided(self, now: float) -> bool:
        """Nothing that could change it is outstanding, or its time is up."""
        if now >= self.began + PATIENCE:
            return True
        if any(one.socket is not None for one in self.canary):
            return False
        waited = {one.family for one in self.data if one.socket is not None}
        return any(one.answered for one in self.canary) or waited <= {one.family for one in self.data if one.answered}

    def close(self) -> None:
        """What is still outstanding did not answer."""
        for one in self.attempts():
            if one.socket is not None:
                one.end(answered=False)


def addresses(host: str, port: int) -> list[tuple[int, Address]]:
    """Of every family, from the hosts file; none while the name is not in it."""
    try:
        return list(dict.fromkeys((one[0], one[4]) for one in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
    except OSError:
        return []


def watch(
    host: str,
    data_port: int,
    canary_port: int,
    judge: Judge,
    *,
    in_use: Callable[[], Collection[Family]],
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
                rounds.append(Round(host, data_port, canary_port, now))
                due = now + EVERY
            _collect(rounds, max(0.0, min(due, rounds[0].began + PATIENCE) - now) if rounds else due - now)
            while rounds and rounds[0].decided(time.monotonic()):
                done = rounds.popleft()
                done.close()
                # (In use by now: a family that came during the round was not seen in it.)
                verdict = judge.take(done.began, done.seen(in_use()))
                if verdict.final:
                    return verdict
                if verdict != last:
                    last = verdict
                    say(verdict)
    finally:
        for one in rounds:
            one.close()


def _collect(rounds: deque[Round], seconds: float) -> None:
    """Wait so long for answers, and note them."""
    with selectors.DefaultSelector() as selector:
        for one in rounds:
            for attempt in one.attempts():
                if attempt.socket is not None:
                    selector.register(attempt.socket, selectors.EVENT_WRITE, attempt)
        if not selector.get_map():
            time.sleep(seconds)
            return
        for key, _ in selector.select(seconds):
            error = key.data.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            key.data.end(answered=error == 0)
