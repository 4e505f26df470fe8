"""How long a connection to an API may rest and be used again: learned, endpoint by endpoint, from what the API does and says.

Goes in: the age at rest up to which connections were seen to be open, and at which an API closed one; the time is given. Comes out:
seconds. Pure.

No request is sent twice, so one that meets a connection which is just being closed is lost. So nothing is ever tried with a request:
what is older than it may be used for rests on unused (pool.py: a few of each endpoint), and what it is seen to survive, less a margin,
is what later ones may be used for. An API that closes one is believed at once, and for once to twice FORGET_SECONDS, whatever others
survive meanwhile: one that closes at random is taken at its shortest. After that, too, what was given up comes back only by being seen
anew.
"""

from collections import OrderedDict
from math import inf
from typing import Final

FIRST_SECONDS: Final = 4.0
"""As long as nothing is known: less than any common server keeps an idle connection (Node and uvicorn 5 s)."""
LEAST_SECONDS: Final = 0.5
"""Whatever an API closes: requests that follow one another at once share a connection."""
ANNOUNCED_SECONDS: Final = 60.0
"""So much of what an API says is believed, also where less is learned."""
MARGIN_PART: Final = 0.1
MARGIN_SECONDS: Final = 0.5
"""Both: timers that are coarse, the way to the API and back, and a moment in which somebody had no processor."""
FORGET_SECONDS: Final = 600.0
ENDPOINTS: Final = 4096
"""Of which something is known; the one that was used longest ago goes first."""


def less_margin(seconds: float) -> float:
    """What one may rely on of an age at rest that was seen."""
    return max(LEAST_SECONDS, seconds * (1 - MARGIN_PART) - MARGIN_SECONDS)


class _Endpoint:
    """What was seen of one."""

    __slots__ = ("_before", "_lately", "_since", "_survived", "_trusted")

    def __init__(self) -> None:
        self._trusted = FIRST_SECONDS
        """What is relied on without having been seen; never more after a close than what that leaves."""
        self._survived = 0.0
        """The age at rest up to which one was seen to be open, since the last close."""
        self._before = self._lately = inf
        """The youngest that was closed: in the last spell of FORGET_SECONDS, and in this one."""
        self._since = -inf
        """When this one began."""

    def survived(self, seconds: float) -> None:
        self._survived = max(self._survived, seconds)

    def closed(self, seconds: float, present: float) -> None:
        self._turn(present)
        self._lately = min(self._lately, seconds)
        self._survived = min(self._survived, seconds)
        self._trusted = min(self._trusted, less_margin(seconds))

    def limit(self, present: float) -> float:
        self._turn(present)
        return min(max(self._trusted, less_margin(self._survived)), self.shortest(present))

    def shortest(self, present: float) -> float:
        """What the closes that are remembered leave."""
        self._turn(present)
        youngest = min(self._before, self._lately)
        return inf if youngest == inf else less_margin(youngest)

    def _turn(self, present: float) -> None:
        passed = present - self._since
        if passed > FORGET_SECONDS:
            self._before = self._lately if passed <= 2 * FORGET_SECONDS else inf
            self._lately, self._since = inf, present


class RestTimes:
    """Of all endpoints (`https://host:port`, as an Api's origin is written)."""

    def __init__(self, most: float) -> None:
        """`most`: seconds. Up to FIRST_SECONDS nothing is learned: that holds for every API that announces nothing."""
        self._most = most
        self._learns = most > FIRST_SECONDS
        self._endpoints: OrderedDict[str, _Endpoint] = OrderedDict()

    def limit(self, endpoint: str, announced: float | None, present: float) -> float:
        """How old at rest a connection may be and be used. `announced`: what the API said on it (`Keep-Alive`), less its margin."""
        known = self._known(endpoint)
        if announced is None:
            if not self._learns:
                return self._most
            return min(FIRST_SECONDS if known is None else known.limit(present), self._most)
        limit = min(announced, max(self._most, ANNOUNCED_SECONDS))
        return limit if known is None else min(limit, known.shortest(present))

    def worth(self, endpoint: str, age: float, present: float) -> bool:
        """One that may not be used any more can still tell something by being open: more is worth knowing than is known."""
        if not self._learns or age * (1 - MARGIN_PART) - MARGIN_SECONDS > self._most:
            return False
        known = self._known(endpoint)
        return known is None or known.limit(present) < self._most

    def survived(self, endpoint: str, age: float) -> None:
        """One was open at that age at rest."""
        if self._learns and less_margin(age) > LEAST_SECONDS:
            self._made(endpoint).survived(age)

    def closed(self, endpoint: str, age: float, present: float) -> None:
        """The API closed one at that age at rest."""
        if self._learns:
            self._made(endpoint).closed(age, present)

    def vanished(self, endpoint: str, present: float) -> None:
        """One was found dead, and nobody knows since when: no more than at the beginning is relied on."""
        self.closed(endpoint, (FIRST_SECONDS + MARGIN_SECONDS) / (1 - MARGIN_PART), present)

    def __len__(self) -> int:
        return len(self._endpoints)

    def _known(self, endpoint: str) -> _Endpoint | None:
        known = self._endpoints.get(endpoint)
        if known is not None:
            self._endpoints.move_to_end(endpoint)
        return known

    def _made(self, endpoint: str) -> _Endpoint:
        known = self._known(endpoint)
        if known is None:
            known = self._endpoints[endpoint] = _Endpoint()
            if len(self._endpoints) > ENDPOINTS:
                self._endpoints.popitem(last=False)
        return known
