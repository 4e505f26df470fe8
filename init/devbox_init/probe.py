"""The rounds: every quarter of a second, one TCP connection to each of the two ports of each of the gateway's addresses.

Goes in: the gateway's name and ports, what says which families are in use on which devices, a judge. Comes out: the judge's verdict.
Called by __main__.

Rounds overlap, since a policy that drops gives no answer to wait for: each attempt has a second of its own, and three rounds that
show confinement take 1.5 s (half a second where policies reject) in place of three. Every round still speaks for its own moment: an
attempt that a policy came too late for is answered, and the count begins anew.
"""

import errno
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final

from .families import Family, ways_out
from .judge import Judge, Seen, Verdict

EVERY: Final = 0.25
PATIENCE: Final = 1.0
"""Seconds without an answer that are an answer."""

FAMILIES: Final = {Family.IPV4: socket.AF_INET, Family.IPV6: socket.AF_INET6}

NETWORK_SAYS: Final = frozenset(
    {
        errno.ECONNREFUSED,  # a reset, port-unreachable
        errno.ECONNRESET,
        errno.ETIMEDOUT,
        errno.ENETUNREACH,  # net-unreachable, net-prohibited, ICMPv6 no-route
        errno.EHOSTUNREACH,  # host-unreachable, host-prohibited, admin-prohibited, ICMPv6 address-unreachable
        errno.EHOSTDOWN,  # host-unknown
        errno.ENONET,  # host-isolated
        errno.ENOPROTOOPT,  # protocol-unreachable
        errno.EACCES,  # ICMPv6 admin-prohibited, policy-fail, reject-route
        errno.EPERM,  # a CNI's eBPF program at connect()
    }
)
"""Errors that are the network's word, as Linux makes them of what comes back (icmp_err_convert, icmpv6_err_convert). All others are the
pod's own: no port or no address to call from, no file descriptor, no memory. They may hit one port and spare the other."""

Address = tuple[Any, ...]


class Attempt:
    """One connection."""

    def __init__(self, family: int, address: Address) -> None:
        self.family = family
        self.answered = False
        self.error = ""
        """What failed in the pod itself: then nothing is known of the network."""
        self.socket: socket.socket | None = None
        """None once it is decided."""
        try:
            self.socket = socket.socket(family, socket.SOCK_STREAM)
            self.socket.setblocking(False)
        except OSError as error:  # whatever it is, nobody was asked
            self.error = _name(error.errno)
            self.end()
            return
        try:
            self.socket.connect(address)
        except OSError as error:
            if error.errno != errno.EINPROGRESS:
                self.conclude(error.errno)
        else:
            self.conclude(0)

    def conclude(self, code: int | None) -> None:
        """It came to this error; 0 is a connection."""
        self.answered = code == 0
        if code != 0 and code not in NETWORK_SAYS:
            self.error = _name(code)
        self.end()

    def end(self) -> None:
        """It is decided."""
        if self.socket is not None:
            self.socket.close()
            self.socket = None


def _name(code: int | None) -> str:
    return errno.errorcode.get(code or 0, f"error {code}")


class Round:
    """One look at all ports."""

    def __init__(self, host: str, data_port: int, canary_port: int, now: float) -> None:
        self.began = now
        # Both ports of what one look-up found: a second one that failed would be a canary that does not answer.
        found = addresses(host, data_port)
        self.data = [Attempt(family, where) for family, where in found]
        self.canary = [Attempt(family, (where[0], canary_port, *where[2:])) for family, where in found]
        # From here on, since it may have taken long to get here, and the last one has its time, too.
        self.until = time.monotonic() + PATIENCE

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
                errors=tuple(sorted({one.error for one in self.attempts() if one.family == number and one.error})),
            )
            for family, number in FAMILIES.items()
        }

    def decided(self, looked: float) -> bool:
        """Nothing that could change it is outstanding, or its time was up when answers were last looked for."""
        if looked >= self.until:
            return True
        if any(one.socket is not None for one in self.canary):
            return False
        waited = {one.family for one in self.data if one.socket is not None}
        return any(one.answered for one in self.canary) or waited <= {one.family for one in self.data if one.answered}

    def close(self) -> None:
        """What is still outstanding did not answer."""
        for one in self.attempts():
            if one.socket is not None:
                one.end()


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
                rounds.append(Round(host, data_port, canary_port, now))
                due = now + EVERY
            looked = time.monotonic()
            _collect(rounds, max(0.0, min([due, *(one.until for one in rounds)]) - looked))
            # (Of that moment: an answer that came after it was not too late, it was not seen yet.)
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
            key.data.conclude(key.data.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
