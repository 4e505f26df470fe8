"""Random schedules of gateways that vanish, begin anew, are deaf for a while or end well, and of operators that begin anew: nothing is idle
early, and nothing late."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Any

import pytest

from devbox_api.devbox import DevboxStatus
from devbox_operator.devbox import idleness
from devbox_operator.devbox.idleness import Use
from devbox_operator.seen.activity import SILENT_SECONDS, Answer, Known, Record
from devbox_operator.seen.resources import DevboxView

pytestmark = pytest.mark.row("S23")
T0 = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@dataclass
class Gateway:
    instance: str
    used: dict[str, float] = field(default_factory=dict)
    deaf_until: float = -inf
    closed: bool = False


class World:
    """Gateways, pods that use them, operators that come and go; all at random, by one seed."""

    AFTER = 600.0
    UIDS = ("u0", "u1", "u2")

    def __init__(self, seed: int, devbox: Callable[..., Any], pod: Callable[..., Any]) -> None:
        self.random = random.Random(seed)  # noqa: S311 (a schedule)
        self.now, self.number, self.offset = 0.0, 0, self.random.uniform(-1e6, 1e6)
        self.gateways: dict[str, Gateway] = {}
        self.used = dict.fromkeys(self.UIDS, 0.0)
        """By every gateway: what nobody knows but this test."""
        self.lost = 0.0
        """When something was last lost that nobody could tell any more."""
        self.written: dict[str, str | None] = dict.fromkeys(self.UIDS)
        self.record: Record | None = None
        self.known: Known | None = None
        self.asked = -inf
        self.away_since = 0.0
        self.rests: dict[str, float] = {}
        self.pods = {uid: pod(uid=uid, ready=True) for uid in self.UIDS}
        rule = {"lifecycle": {"idle": {"after": "10m", "action": "Suspend"}}}
        self.views = {uid: devbox(spec=rule, name=uid) for uid in self.UIDS}
        for _ in range(2):
            self.come()

    @property
    def boot(self) -> float:
        """The operator's machine has a clock of its own."""
        return self.now + self.offset

    @property
    def server(self) -> datetime:
        """And what it takes for the API server's time is a little behind."""
        return T0 + timedelta(seconds=self.now - self.random.uniform(0, 1.5))

    def come(self) -> None:
        self.number += 1
        self.gateways[f"10.0.0.{self.number}"] = Gateway(f"i{self.number}")

    def event(self, quiet: bool) -> None:
        if quiet:
            return
        roll, place = self.random.random(), self.random.choice(sorted(self.gateways))
        one = self.gateways[place]
        if roll < 0.5:
            uid = self.random.choice(self.UIDS)
            if not one.closed and uid not in self.rests:
                one.used[uid] = self.used[uid] = self.now
        elif roll < 0.54:
            del self.gateways[place]  # killed
            self.lost = self.now
            self.come()
        elif roll < 0.58:
            self.number += 1
            self.gateways[place] = Gateway(f"i{self.number}")  # began anew
            self.lost = self.now
        elif roll < 0.64:
            one.closed = True
            if self.random.random() < 0.5:
                self.come()
        elif roll < 0.7 and len(self.gateways) > 1 and one.closed:
            del self.gateways[place]
            self.lost = self.now  # (whether it was asked in between is nobody's to say)
        elif roll < 0.76:
            one.deaf_until = self.now + self.random.uniform(0, 0.8 * SILENT_SECONDS)
        elif roll < 0.82 and self.known is not None:
            self.known, self.away_since = None, self.now
        if all(one.closed for one in self.gateways.values()):
            self.come()

    def operate(self) -> None:
        """One pass of an operator that works, or begins to."""
        if self.known is None:
            if self.random.random() < 0.5:
                return
            if self.now - self.away_since > 0.8 * SILENT_SECONDS:
                self.lost = self.now
            self.known = Known.after(self.record, self.server, self.boot)
        self.round()
        for uid, make in self.pods.items():
            if uid in self.rests:
                continue
            status = {"podUID": uid, "lastActivity": self.written[uid]} if self.written[uid] else {}
            view = self.views[uid]
            box = view.box.model_copy(update={"status": DevboxStatus.model_validate(status)})
            view = replace(view, box=box)
            pod = make(view)
            now = self.server
            if not self.known.follows(view.key, uid):
                began = idleness.begins(view, pod, now)
                self.known.follow(view.key, uid, self.boot - (now - began).total_seconds())
            found = self.judge(view, uid, now)
            self.written[uid] = idleness.last_activity(view, pod, found)
            if found.over:
                begins = self.boot
                self.round()
                if not self.known.doubt(begins, self.boot) and self.judge(view, uid, self.server).over:
                    self.rests[uid] = self.now

    def judge(self, view: DevboxView, uid: str, now: datetime) -> idleness.Idleness:
        assert self.known is not None
        last, since = (now - timedelta(seconds=self.boot - one) for one in (self.known.last(uid), self.known.since(uid)))
        return idleness.idleness(view, Use(last, since), now)

    def round(self) -> None:
        assert self.known is not None
        self.asked = self.boot
        self.known.listed(self.gateways, self.boot)
        for place, one in sorted(self.gateways.items()):
            if self.now < one.deaf_until:
                continue
            question = self.known.question(place)
            since = question[1] if question and question[0] == one.instance else -1
            self.now += self.random.uniform(0, 0.05)
            ages = {uid: int((self.now - at) * 10) / 10 for uid, at in one.used.items() if at * 1000 >= since}
            self.known.answered(place, Answer(one.instance, int(self.now * 1000), ages, one.closed), self.asked, self.boot)
        self.known.settle(self.boot)
        self.record = Record.of(self.known.record(self.server, self.boot).text())


@pytest.mark.parametrize("seed", range(40))
def test_whoever_vanishes_and_whoever_restarts_nothing_is_idle_early(seed: int, devbox: Any, pod: Any) -> None:
    def of(uid: str, ready: bool) -> Callable[[Any], Any]:
        return lambda view: pod(view, uid=uid, ready=ready)

    world = World(seed, devbox, of)
    busy_until = world.random.uniform(0, 1500)
    while len(world.rests) < len(World.UIDS):
        world.now += world.random.uniform(0, 20)
        for _ in range(world.random.randrange(4)):
            world.event(quiet=world.now > busy_until)
        if world.random.random() < 0.9:
            before = set(world.rests)
            world.operate()
            for uid in world.rests.keys() - before:
                assert world.rests[uid] - world.used[uid] >= World.AFTER, "early"
        assert world.now < 20_000, "never"
    # Every operator begins by what was written, and each gateway is waited for, at most 5 min; and who was away long knows nothing.
    last = max(*world.used.values(), world.lost)
    assert max(world.rests.values()) <= last + World.AFTER + 2 * SILENT_SECONDS + 60, "late"
