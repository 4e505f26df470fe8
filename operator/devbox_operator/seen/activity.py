"""When devboxes were last in use, as gateways tell it: what is known of each gateway, and what follows for a pod. Pure.

Goes in: which gateways there are, their answers, and that one is gone. Comes out: since when a pod is idle, and whether that is known.
All times are of a clock that never goes ahead (clock.boottime): what it does not count makes a pod's rest shorter, never longer.

A pod is taken for in use up to the last moment that nobody can vouch for. A gateway's answer covers all until it was asked. One that is
gone, or began anew, without having said that all had ended, may have seen something since, of any pod: that counts as use of all of them
at the moment when it was missed. One that is there and does not answer holds every decision up, for SILENT_SECONDS at most; then it counts
for nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf, isfinite
from typing import Final, NamedTuple

import orjson

from devbox_operator.kit.encoding import format_time, parse_time
from devbox_operator.seen.keys import Key

SILENT_SECONDS: Final = 300.0
"""A gateway that has not answered for so long counts as silent; and whoever looked last, longer ago, knows nothing of today."""
MOST_PODS: Final = 20_000
"""Pods that nobody asks about, of which is kept when they were last in use."""
MOST_WORD: Final = 128
MOST_GATEWAYS: Final = 512
"""In a record."""


class Answer(NamedTuple):
    """Of one gateway."""

    instance: str
    """Another one each time the process begins anew."""
    cursor: int
    """Up to where this answer goes."""
    ages: Mapping[str, float]
    """Pod's UID to seconds since it was last in use, never more than that; 0: it is. All that the gateway knows of, or what is new since
    the cursor that it was asked with."""
    closed: bool = False
    """It serves nobody any more, and all has ended."""


def answer_of(text: bytes) -> Answer:
    """Raises ValueError for what is none."""
    said = orjson.loads(text)
    if not isinstance(said, dict):
        raise ValueError("no object")
    instance, cursor, pods = said.get("instance"), said.get("cursor"), said.get("pods")
    if not isinstance(instance, str) or not 0 < len(instance) <= MOST_WORD or not isinstance(cursor, int):
        raise ValueError("no instance or no cursor")
    if not isinstance(pods, dict):
        raise ValueError("no pods")
    ages = dict[str, float]()
    for uid, age in pods.items():
        if len(uid) > MOST_WORD or isinstance(age, bool) or not isinstance(age, int | float) or not isfinite(age):
            raise ValueError("an age that is none")
        ages[uid] = max(0.0, float(age))
    return Answer(instance, cursor, ages, said.get("closed") is True)


class Record(NamedTuple):
    """What whoever works next has to know: kept where it finds it (the Lease)."""

    at: datetime
    """When the gateways were last asked; as all times here, by the API server's clock."""
    missed: datetime | None
    """When a gateway was last missed."""
    gateways: tuple[str, ...]
    """Instances that may see something; an address where none is known."""

    def text(self) -> str:
        """In one line."""
        missed = format_time(self.missed) if self.missed else None
        return orjson.dumps({"at": format_time(self.at), "missed": missed, "gateways": self.gateways}).decode()

    @classmethod
    def of(cls, text: str) -> "Record | None":
        """None: there is none that can be read."""
        try:
            said = orjson.loads(text)
            at, missed, gateways = parse_time(said["at"]), parse_time(said["missed"]), tuple(map(str, said["gateways"]))
        except (ValueError, KeyError, TypeError):
            return None
        return cls(at, missed, gateways) if at is not None and len(gateways) <= MOST_GATEWAYS else None


@dataclass
class _Gateway:
    """One that is listed."""

    since: float
    """When it was first seen."""
    heard: float = -inf
    """When it was asked what it answered last."""
    instance: str = ""
    cursor: int = 0
    closed: bool = False

    def silent(self, now: float) -> bool:
        """For so long that it counts for nothing."""
        return now - max(self.since, self.heard) >= SILENT_SECONDS


@dataclass
class _Pod:
    """One that is asked about."""

    devbox: Key
    wake: float = inf
    """Use from then on is news for whoever asks about it."""


class Known:
    """All of it, of one operator at work."""

    def __init__(self, now: float, before: Iterable[str] | None = None, missed: float = -inf) -> None:
        """`before`: the gateways that there were when somebody looked last, as a Record has them; None: nobody did, or too long ago. Then
        every pod may have been in use until now. `missed`: when one was missed last."""
        self._missed = now if before is None else missed
        self._expected = set(before or ())
        self._gateways: dict[str, _Gateway] = {}
        self._last: dict[str, float] = {}
        self._pods: dict[str, _Pod] = {}
        self._uids: dict[Key, str] = {}
        self._news: set[Key] = set()

    @classmethod
    def after(cls, record: Record | None, server_now: datetime | None, now: float) -> "Known":
        """Taken over from whoever wrote the record."""
        if record is None or server_now is None or server_now - record.at >= timedelta(seconds=SILENT_SECONDS):
            return cls(now)
        # (At the latest: a record has whole seconds, and the API server's time is told from below.)
        missed = min(now, now - (server_now - record.missed).total_seconds() + 2) if record.missed else -inf
        return cls(now, record.gateways, missed)

    def listed(self, addresses: Iterable[str], now: float) -> None:
        """The gateways that there are now, those that end among them."""
        there = set(addresses)
        for address in self._gateways.keys() - there:
            self._gone(self._gateways.pop(address), now)
        for address in there - self._gateways.keys():
            self._gateways[address] = _Gateway(now)

    def question(self, address: str) -> tuple[str, int] | None:
        """Instance and cursor to ask it with; None: for all that it knows."""
        gateway = self._gateways.get(address)
        return (gateway.instance, gateway.cursor) if gateway is not None and gateway.instance else None

    def answered(self, address: str, answer: Answer, asked: float, now: float) -> None:
        """What it said, just now, to what it was asked then."""
        gateway = self._gateways.get(address)
        if gateway is None:
            return  # (its end was noticed while it answered, and counts)
        if gateway.instance and gateway.instance != answer.instance:
            self._gone(gateway, now)
        self._expected -= {address, answer.instance}
        for uid, age in answer.ages.items():
            self._used(uid, now - age)
        gateway.instance, gateway.cursor, gateway.closed, gateway.heard = answer.instance, answer.cursor, answer.closed, asked

    def settle(self, now: float) -> None:
        """All that there are were asked. Who was there before, and has not answered, is gone."""
        if self._expected and all(one.heard > -inf or one.silent(now) for one in self._gateways.values()):
            self._missed, self._expected = now, set()
        if len(self._last) - len(self._pods) > MOST_PODS:
            others = sorted((at, uid) for uid, at in self._last.items() if uid not in self._pods)
            for _, uid in others[: len(others) // 2]:
                del self._last[uid]

    def _gone(self, gateway: _Gateway, now: float) -> None:
        if not gateway.closed and not gateway.silent(now):
            self._missed = now

    def _used(self, uid: str, at: float) -> None:
        if at <= self._last.get(uid, -inf):
            return
        self._last[uid] = at
        pod = self._pods.get(uid)
        if pod is not None and at >= pod.wake:
            pod.wake = inf
            self._news.add(pod.devbox)

    def miss(self, now: float) -> None:
        """Nobody knows what was in use until now."""
        self._missed = now

    def follows(self, devbox: Key, uid: str) -> bool:
        """That pod of the Devbox is asked about."""
        return self._uids.get(devbox) == uid

    def follow(self, devbox: Key, uid: str, last: float) -> None:
        """That pod of a Devbox is asked about from now on. It was in use at `last`, as far as is known beside gateways; later words of the
        same pod do not count."""
        if self.follows(devbox, uid):
            return
        self.forget(devbox)
        self._uids[devbox] = uid
        self._pods[uid] = _Pod(devbox)
        self._used(uid, last)

    def forget(self, devbox: Key) -> None:
        """Nobody asks about its pod any more."""
        uid = self._uids.pop(devbox, None)
        if uid is not None:
            self._pods.pop(uid, None)
            self._last.pop(uid, None)

    @property
    def wanted(self) -> bool:
        """Somebody asks."""
        return bool(self._pods)

    def last(self, uid: str) -> float:
        """When it was last seen in use."""
        return self._last[uid]

    def since(self, uid: str) -> float:
        """Since when it is idle for certain, if gateways can be believed now (`doubt`)."""
        return max(self._last[uid], self._missed)

    def wake(self, uid: str, at: float) -> None:
        """Use from then on is news."""
        pod = self._pods.get(uid)
        if pod is not None:
            pod.wake = at
            if self._last[uid] >= at:
                pod.wake = inf
                self._news.add(pod.devbox)

    def news(self) -> list[Key]:
        """Devboxes of which there is some, since this was last asked."""
        found, self._news = sorted(self._news), set()
        return found

    def doubt(self, asked: float, now: float) -> Sequence[str]:
        """Gateways without whose word, of what was asked then or later, nothing is idle for certain."""
        return sorted(
            address for address, one in self._gateways.items() if one.heard < asked and not (one.closed or one.silent(now))
        ) or ["(none)"] * bool(self._expected)

    def counts(self, asked: float, now: float) -> dict[str, int]:
        """How many gateways answered what was asked then, did not, have not for so long that they count for nothing."""
        found = dict.fromkeys(("answered", "waited_for", "silent"), 0)
        for one in self._gateways.values():
            found["answered" if one.heard >= asked or one.closed else "silent" if one.silent(now) else "waited_for"] += 1
        return found

    def record(self, at: datetime, now: float) -> Record:
        """For whoever works next. `at`: by the API server's clock, now."""
        missed = at - timedelta(seconds=now - self._missed) if self._missed > -inf else None
        there = {one.instance or address for address, one in self._gateways.items() if not one.closed and not one.silent(now)}
        return Record(at, missed, tuple(sorted(there | self._expected))[:MOST_GATEWAYS])
