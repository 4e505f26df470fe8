"""A gateway's canary gets more connections than the process takes, and a devbox that nothing confines looks whether it is.

Goes in: a gateway. Comes out: rows. The kernel drops what the canary's queue has no room for, while the data port answers: by itself that
is what a NetworkPolicy at work looks like.
"""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from time import monotonic as now
from typing import Final

from tests.support.netns import GATEWAY

from devbox_init.families import Family
from devbox_init.judge import Judge, Seen, Verdict
from devbox_init.probe import watch
from devbox_init.visit import Ports

from .report import Row
from .world import World, world

CROWD: Final = """
import socket, sys, time
host, port, source, end = sys.argv[1], int(sys.argv[2]), sys.argv[3], time.monotonic() + float(sys.argv[4])
begun = []
while time.monotonic() < end:
    one = socket.socket()
    one.setblocking(False)
    one.bind((source, 0))
    one.connect_ex((host, port))
    begun.append(one)
    if len(begun) > 800:
        for old in begun[:400]:
            old.close()
        del begun[:400]
"""
CALLERS: Final = ("10.204.0.11", "10.204.0.12")
PATIENCE_SECONDS: Final = 300.0
"""Of the judge, longer than the case: it goes on looking."""


class _Over(Exception):
    """Time is over."""


class _Looking(Judge):
    """Counts rounds in which a gateway looked as if it were closed, or open, to this pod."""

    def __init__(self, seconds: float) -> None:
        super().__init__(PATIENCE_SECONDS)
        self._until = now() + seconds
        self.rounds = self.shut = self.open = 0

    def take(self, began: float, seen: Mapping[Family, Seen], devices: Collection[str] = ()) -> Verdict:
        if now() > self._until:
            raise _Over
        self.rounds += 1
        self.shut += any(one.shut for one in seen.values())
        self.open += any(one.open for one in seen.values())
        return super().take(began, seen, devices)


async def canary(long: bool) -> list[Row]:
    """While two pods send what they can, and without them."""
    seconds = 60.0 if long else 10.0
    async with world() as stage:
        quiet = await asyncio.to_thread(_look, stage, 2.0)
        with _crowd(stage, seconds):
            crowded = await asyncio.to_thread(_look, stage, seconds)
    return [
        Row(
            "a devbox that nothing confines looks at the canary", "it answers", _said(quiet), quiet.open > 0 and not quiet.shut
        ),
        Row(
            f"the same, while {len(CALLERS)} pods send that canary more than it takes",
            "never takes it for closed",
            _said(crowded),
            crowded.rounds > 0 and not crowded.shut,
        ),
    ]


def _said(looking: _Looking) -> str:
    return f"{looking.rounds} rounds: open in {looking.open}, closed in {looking.shut}"


def _look(stage: World, seconds: float) -> _Looking:
    process, judge = stage.gateway.process, _Looking(seconds)
    ports = Ports(process.egress, process.data, process.canary)
    with contextlib.suppress(_Over):
        watch(GATEWAY, ports, judge, in_use=lambda: {Family.IPV4: {"eth0"}}, say=lambda _: None)
    return judge


@contextlib.contextmanager
def _crowd(stage: World, seconds: float) -> Iterator[None]:
    where = (GATEWAY, str(stage.gateway.process.canary))
    calls = [subprocess.Popen([sys.executable, "-c", CROWD, *where, source, str(seconds)]) for source in CALLERS]
    try:
        yield
    finally:
        for one in calls:
            one.kill()
            one.wait()
