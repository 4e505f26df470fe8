"""What gateways found when they last dialled an API, as they tell it (the gateway's ports/activity.py). Pure.

Goes in: an answer. Comes out: records by GatewayConfig, of which the newest counts, whichever gateway it is of. Times are of a clock that
never goes ahead (clock.boottime).
"""

from datetime import datetime
from math import isfinite
from typing import Any, Final, NamedTuple

import orjson

from devbox_api.conditions import Reason
from devbox_operator.seen.keys import Key

MOST_WORD: Final = 256
MOST_KNOWN: Final = 20_000
"""GatewayConfigs of which something is kept."""
FAILURES: Final = frozenset(
    {
        *(Reason.NAME_NOT_FOUND, Reason.LOOKUP_FAILED, Reason.ADDRESS_FORBIDDEN, Reason.CONNECTION_REFUSED),
        *(Reason.CONNECT_TIMED_OUT, Reason.CERTIFICATE_INVALID, Reason.TLS_FAILED, Reason.CONNECTION_LOST),
    }
)
"""As the gateway's dial_failures.py has them."""


class Dial(NamedTuple):
    """One record."""

    uid: str
    """Of the GatewayConfig."""
    dialled: str
    """What it was about (devbox_api.judge.endpoints)."""
    found: Reason
    """REACHED, or one of FAILURES."""
    words: str
    at: float
    """When the dial ended."""
    since: datetime
    """When the operator first heard of that outcome, which has been the same since."""


class Answer(NamedTuple):
    """Of one gateway."""

    instance: str
    cursor: int
    dials: tuple[tuple[Key, Dial], ...]


def answer_of(text: bytes, now: float, present: datetime) -> Answer:
    """Raises ValueError for what is none. What is said in words that are not known is left out: a newer gateway may have more."""
    said = orjson.loads(text)
    if not isinstance(said, dict) or not isinstance(said.get("dials"), list):
        raise ValueError("no dials")
    instance, cursor = said.get("instance"), said.get("cursor")
    if not isinstance(instance, str) or not 0 < len(instance) <= MOST_WORD or not isinstance(cursor, int):
        raise ValueError("no instance or no cursor")
    found = [_dial(each, now, present) for each in said["dials"]]
    return Answer(instance, cursor, tuple(each for each in found if each is not None))


def _dial(said: Any, now: float, present: datetime) -> tuple[Key, Dial] | None:
    if not isinstance(said, dict):
        raise ValueError("a dial that is none")
    texts = [said.get(name) for name in ("gateway", "uid", "dialled", "found", "words")]
    age = said.get("age")
    if not all(isinstance(text, str) for text in texts) or isinstance(age, bool) or not isinstance(age, int | float):
        raise ValueError("a dial that is none")
    gateway, uid, dialled, found, words = map(str, texts)
    namespace, slash, name = gateway.partition("/")
    if not slash or not isfinite(age) or found not in {Reason.REACHED, *FAILURES}:
        return None
    at = now - max(0.0, float(age))
    return (namespace, name), Dial(uid, dialled, Reason(found), words[:MOST_WORD], at, present)


class Dials:
    """All that is known."""

    def __init__(self) -> None:
        self._of: dict[Key, Dial] = {}

    def learn(self, key: Key, dial: Dial) -> bool:
        """Whether it is news: another outcome than was known, or of another endpoint."""
        known = self._of.get(key)
        if known is not None and known.uid == dial.uid and known.at >= dial.at:
            return False
        same = known is not None and known._replace(at=dial.at, since=dial.since) == dial
        if known is None and len(self._of) >= MOST_KNOWN:
            del self._of[next(iter(self._of))]
        self._of[key] = dial._replace(since=known.since) if known is not None and same else dial
        return not same

    def of(self, key: Key, uid: str, dialled: str) -> Dial | None:
        """The last one to that endpoint of that object."""
        known = self._of.get(key)
        return known if known is not None and (known.uid, known.dialled) == (uid, dialled) else None

    def forget(self, key: Key) -> None:
        """The GatewayConfig is gone."""
        self._of.pop(key, None)
