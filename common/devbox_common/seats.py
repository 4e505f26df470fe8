"""Who may stay when there is no room for all: which connection a newcomer displaces, if any.

Goes in: connections as they come, prove whose they are, and go. Comes out: a `Seat` for each that is let in, and the ones that had to
make room for it, cut. No socket is touched here.

A connection is a *stranger* until something on it was authenticated: a socket that says nothing, half a TLS handshake, a request without
a token. Strangers never take the place of one that is not, and have a share of their own. Where that is full, whoever holds most of
it gives way: with what was silent for long, else with what it opened last, since what came first may be nearly done. So an address that
holds a thousand makes no other wait.
"""

from collections.abc import Callable
from dataclasses import dataclass
from heapq import nlargest
from typing import Final

GRACE_SECONDS: Final = 2.0
"""So long a stranger may take before it gives way to any newcomer: a handshake and a request's head come faster."""
ASKED: Final = 8
"""Addresses that are asked for a connection on which nothing is under way."""


def _nothing() -> None:
    """Before it can be cut."""


def _never() -> bool:
    return False


@dataclass(eq=False, slots=True)
class Seat:
    """One connection's place."""

    seats: "Seats"
    peer: str
    since: float
    stranger: bool = True
    gone: bool = False
    cut: Callable[[], object] = _nothing
    """Ends the connection at once."""
    busy: Callable[[], bool] = _never
    """Something is under way on it, so that nobody takes its place. (Asked of those that are no strangers.)"""

    def vouch(self) -> None:
        """Something on it was authenticated."""
        if self.stranger and not self.gone:
            self.stranger = False
            self.seats.vouched(self)

    def leave(self) -> None:
        """The connection is over; said twice, it counts once."""
        if not self.gone:
            self.gone = True
            self.seats.left(self)


class Seats:
    """All connections of one port."""

    def __init__(self, most: int, most_per_peer: int, *, strangers: int | None = None, grace: float = GRACE_SECONDS) -> None:
        """`most`: connections; `most_per_peer`: of one address; `strangers`: how many of them may be (half, where nothing is said)."""
        self.most, self.most_per_peer = most, most_per_peer
        self.most_strangers = max(1, most // 2) if strangers is None else strangers
        self._grace = grace
        self._by_peer: dict[str, dict[Seat, None]] = {}
        """The oldest first, as below."""
        self._strange_by_peer: dict[str, dict[Seat, None]] = {}
        self._count = self._strangers = 0

    def __len__(self) -> int:
        return self._count

    def held(self, peer: str) -> int:
        """Connections of one address."""
        return len(self._by_peer.get(peer, ()))

    def enter(self, peer: str, present: float) -> Seat | None:
        """A place for one more of this address (monotonic seconds), or None: it has to go. What it displaces is cut."""
        if not self._room(peer, present):
            return None
        seat = Seat(self, peer, present)
        self._count += 1
        self._strangers += 1
        self._by_peer.setdefault(peer, {})[seat] = None
        self._strange_by_peer.setdefault(peer, {})[seat] = None
        return seat

    def displace(self, count: int) -> int:
        """Cut so many strangers at most, of whoever holds most; returns how many: there is less room than was thought."""
        done = 0
        while done < count and self._strange_by_peer:
            peer = max(self._strange_by_peer, key=self._strange)
            self._cut(next(iter(self._strange_by_peer[peer])))
            done += 1
        return done

    def overdue(self, present: float, seconds: float) -> None:
        """Cut whatever has its place for longer."""
        for seats in list(self._by_peer.values()):
            for seat in [seat for seat in seats if present - seat.since > seconds]:
                self._cut(seat)

    def clear(self) -> None:
        """Cut all."""
        self.overdue(float("inf"), 0)

    def vouched(self, seat: Seat) -> None:
        """By the seat itself."""
        self._no_stranger(seat)

    def left(self, seat: Seat) -> None:
        """By the seat itself."""
        self._count -= 1
        _remove(self._by_peer, seat)
        if seat.stranger:
            self._no_stranger(seat)

    def _room(self, peer: str, present: float) -> bool:
        if self.held(peer) >= self.most_per_peer:
            # Its own affair: a stranger of its own that is old enough.
            return self._cut_if_old(self._strange_by_peer.get(peer), present)
        crowded = self._strangers >= self.most_strangers
        if not crowded and self._count < self.most:
            return True
        return (
            self._cut_of_the_greediest(peer, present)
            or self._cut_of_an_equal(peer, present)
            or (not crowded and self._cut_idle(peer))
        )

    def _cut_of_the_greediest(self, newcomer: str, present: float) -> bool:
        """A stranger of whoever has most of them, if that is more than the newcomer would have."""
        if not self._strange_by_peer:
            return False
        peer = max(self._strange_by_peer, key=self._strange)
        if self._strange(peer) <= self._strange(newcomer) + 1:
            return False
        seats = self._strange_by_peer[peer]
        if not self._cut_if_old(seats, present):
            self._cut(next(reversed(seats)))
        return True

    def _cut_of_an_equal(self, newcomer: str, present: float) -> bool:
        """The oldest stranger of all who have no fewer than the newcomer."""
        count = self._strange(newcomer)
        oldest = min(
            (next(iter(seats)) for seats in self._strange_by_peer.values() if len(seats) >= count), key=_since, default=None
        )
        if oldest is None or present - oldest.since < self._grace:
            return False
        self._cut(oldest)
        return True

    def _cut_if_old(self, strangers: dict[Seat, None] | None, present: float) -> bool:
        oldest = next(iter(strangers), None) if strangers else None
        if oldest is None or present - oldest.since < self._grace:
            return False
        self._cut(oldest)
        return True

    def _cut_idle(self, newcomer: str) -> bool:
        """One on which nothing is under way, of whoever has most connections and such a one, if that is more than the newcomer would have.
        (Of a few: where all that they have is under way, little will be found among the others.)"""
        for peer in nlargest(ASKED, self._by_peer, key=self.held):
            if self.held(peer) <= self.held(newcomer) + 1:
                break
            idle = next((seat for seat in self._by_peer[peer] if not seat.busy()), None)
            if idle is not None:
                self._cut(idle)
                return True
        return False

    def _strange(self, peer: str) -> int:
        return len(self._strange_by_peer.get(peer, ()))

    def _cut(self, seat: Seat) -> None:
        seat.leave()
        seat.cut()

    def _no_stranger(self, seat: Seat) -> None:
        self._strangers -= 1
        _remove(self._strange_by_peer, seat)


def _since(seat: Seat) -> float:
    return seat.since


def _remove(by_peer: dict[str, dict[Seat, None]], seat: Seat) -> None:
    seats = by_peer.get(seat.peer)
    if seats is not None:
        seats.pop(seat, None)
        if not seats:
            del by_peer[seat.peer]
