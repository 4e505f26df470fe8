"""The API server misbehaves, or the way to it does: errors, expired and silent watches, lost answers, an operator that is away.

Goes in: a stage. Comes out: rows. What kopf answers with its own end is started anew, as a kubelet would: at once, then after 10 s.
"""

import asyncio
import contextlib
import random
from time import monotonic as now
from typing import Final

from tests.chaos.client import AGAIN, Client, load
from tests.chaos.report import Row, timed
from tests.chaos.world import eventually
from tests.support.fleet import GATEWAYS, leftovers

from devbox_api import names
from devbox_api.conditions import Reason
from devbox_operator.kit import paths

from .proxy import Call, Fault
from .serving import Serving, serving
from .stage import Replica, Stage

NOTICE_SECONDS: Final = 75.0
BACK_OFF: Final = 10.0
"""Seconds before a kubelet starts a container that ended a second time."""
ABSENT_SECONDS: Final = 1800.0
ABSENT_RATE: Final = 5
"""Requests a second meanwhile."""


class Supervisor:
    """Starts the operator anew when it ends."""

    def __init__(self, stage: Stage, replica: Replica) -> None:
        self._stage, self.replica = stage, replica
        self.restarts = 0
        self._task = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(0.1)
            if not self.replica.operator.alive:
                await asyncio.sleep(BACK_OFF if self.restarts else 0)
                self.restarts += 1
                self.replica.operator = self._stage.release.operator(self.replica.proxy.url)

    async def end(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task


def _row(fault: str, demand: str, took: float | None, limit: float, more: str = "") -> Row:
    measured = f"not in time{more}" if took is None else f"{took:.1f} s{more}"
    return timed(fault, f"{demand} ≤{limit:g} s", measured, took is not None and took <= limit)


async def errors(stage: Stage, long: bool) -> list[Row]:
    """500 and 429 to every third call, and watches that end with ERROR 500 and are refused (C4)."""
    replica = await stage.alone()
    supervisor = Supervisor(stage, replica)
    try:
        space = await stage.namespace()
        dice = random.Random(7)  # noqa: S311 (the same for every run)
        replica.proxy.fault = Fault(refuse=lambda call: 0 if "/leases" in call.path else dice.choice((0, 0, 500, 0, 0, 429)))
        await stage.create(space)
        some = await stage.converged(space, seconds=60)
        rows = [_row("one call in three answered with 500 or 429", "converges", some, 60)]
        replica.proxy.fault = Fault(refuse=lambda _: 500)
        replica.proxy.watch_status = 500
        replica.proxy.fail_watches(500, "InternalError")
        other = await stage.namespace()
        await stage.create(other)
        seconds = 300.0 if long else 6.0
        await asyncio.sleep(seconds)
        replica.proxy.fault, replica.proxy.watch_status = Fault(), 0
        all_ = await stage.converged(other, seconds=90)
        what = f"every call and watch answered with 500 for {seconds:g} s, watches ended with ERROR 500"
        rows.append(_row(what, "converges after its end", all_, 45, f", {supervisor.restarts} restarts"))
        return rows
    finally:
        await supervisor.end()


async def refused(stage: Stage, long: bool) -> list[Row]:
    """Secrets may not be read for a moment, as with an API server that has just started and does not know its roles yet; then they may,
    and are what they were."""
    replica = await stage.alone()
    space = await stage.namespace()
    await stage.create(space)
    assert await stage.converged(space) is not None

    def status(path: str) -> int:
        return 403 if f"/namespaces/{space}/secrets?" in path else 0

    replica.proxy.fault = Fault(refuse=lambda call: status(call.path) if call.method == "GET" else 0, refuse_watch=status)
    replica.proxy.cut_watches()
    await asyncio.sleep(60 if long else 1)
    await stage.create(space, "other")

    async def says_so() -> bool:
        box = await stage.get(paths.devboxes(space, "other")) or {}
        return any(c["reason"] == Reason.SECRET_FORBIDDEN for c in (box.get("status") or {}).get("conditions", ()))

    await eventually(says_so, 20)
    replica.proxy.fault = Fault()
    start = now()

    async def gates_open() -> bool:
        pods = await stage.pods(space)
        return len(pods) == 2 and not any(pod["spec"].get("schedulingGates") for pod in pods)

    await eventually(gates_open, 60)
    what = "Secrets refused for a moment (403), and unchanged"
    return [_row(what, "the gate of a Devbox that was made meanwhile opens", now() - start, 10)]


async def expired(stage: Stage, long: bool) -> list[Row]:
    """The watches stop; meanwhile a Devbox is deleted and one is made; then they end with 410 (C5)."""
    replica = await stage.alone()
    space, other = await stage.namespace(), await stage.namespace()
    await stage.create(space)
    assert await stage.converged(space) is not None
    replica.proxy.frozen_watches = True
    await stage.api.request("DELETE", paths.devboxes(space, "agent"))
    # (By force: nobody is there to see that it is not in use any more.)
    unused = paths.gatewayconfigs(space, "openai")
    await stage.patch(unused, {"metadata": {"annotations": {names.FORCE_DELETE_ANNOTATION: "true"}}})
    await stage.api.request("DELETE", unused)
    await stage.create(other)
    await asyncio.sleep(60 if long else 2)
    replica.proxy.fail_watches(410, "Expired")
    replica.proxy.frozen_watches = False
    back = now()
    gone = await stage.gone(space, 15)
    made = await stage.converged(other, seconds=15)
    took = None if gone is None or made is None else now() - back
    return [_row("watches silent, objects deleted and made, then 410", "nothing is left, the new one is there", took, 10)]


async def silent(stage: Stage, long: bool) -> list[Row]:
    """The watches' connections stay, and nothing comes: no keepalive of the kernel's finds that (C6)."""
    if not long:
        return []
    replica = await stage.alone()
    space = await stage.namespace()
    await stage.create(space)
    assert await stage.converged(space) is not None
    replica.proxy.silence_watches()  # (what is opened from now on works)
    cut = now()
    await stage.create(space, "second")
    await stage.patch(paths.secrets(space, "anthropic"), {"stringData": {"key": "sk-rotated"}})
    opened = None
    rotated = None
    while now() - cut < 320 and (opened is None or rotated is None):
        pods = [p for p in await stage.pods(space) if p["metadata"]["labels"]["devbox-gateway.io/devbox"] == "second"]
        if opened is None and pods and not pods[0]["spec"].get("schedulingGates"):
            opened = now() - cut
        if rotated is None and await stage.holds(space, "anthropic", "sk-rotated"):
            rotated = now() - cut
        await asyncio.sleep(0.5)
    return [
        _row("watches silent, connections kept by something in between: a new Devbox", "noticed", opened, NOTICE_SECONDS),
        _row("the same: a rotated Secret", "noticed", rotated, NOTICE_SECONDS),
    ]


async def lost(stage: Stage, long: bool) -> list[Row]:
    """Every write is done, and its answer is lost the first time."""
    replica = await stage.alone()
    seen: set[str] = set()

    def first(call: Call) -> bool:
        key = f"{call.method} {call.path.partition('?')[0]}"
        if not call.writes or key in seen:
            return False
        seen.add(key)
        return True

    replica.proxy.fault = Fault(after=first)
    space = await stage.namespace()
    await stage.create(space)
    took = await stage.converged(space)
    rows = [_row(f"the answer of each write lost once ({len(seen)} of them)", "converges, nothing twice", took, 60)]
    replica.proxy.fault = Fault()
    await stage.api.request("DELETE", paths.devboxes(space, "agent"))
    rows.append(_row("the same devbox deleted", "nothing is left", await stage.gone(space), 60))
    return rows


async def absent(stage: Stage, long: bool) -> list[Row]:
    """No operator at all (C2): devboxes work, deletion completes; what is left in the credentials namespace goes when it is back."""
    seconds = ABSENT_SECONDS if long else 3.0
    await stage.alone()
    await stage.collector_is_ready()
    kept, deleted = await stage.namespace(), await stage.namespace()
    async with serving(stage.release.plane, stage.api) as gates:
        await gates.start()
        clients = []
        for number, space in enumerate((kept, deleted), 2):
            await stage.create(space)
            assert await stage.converged(space) is not None
            clients.append(await _running(stage, gates, space, f"10.204.0.{number}"))
            assert (await clients[-1].request()).fine
        stage.stop()
        start = now()
        working = asyncio.create_task(load(ABSENT_RATE, seconds, clients[:1], Client.request))
        await stage.api.request("DELETE", paths.devboxes(deleted, "agent"))

        async def no_pod() -> bool:
            return not (await stage.get(paths.devboxes(deleted, "agent")) or await stage.pods(deleted))

        await eventually(no_pod, 60)
        rows = [_row("operator absent: a Devbox is deleted", "it and its pod are gone", now() - start, 10)]
        answers = [await clients[1].request() for _ in range(AGAIN)]
        said = ", ".join(sorted({f"{answer.kind} {answer.code}" for answer in answers}))
        rows.append(Row("operator absent: the deleted one's token", "403 pod_gone", said, said == "403 pod_gone"))
        tally = await working
        fine = len(tally.seconds)
        what = f"operator absent for {now() - start:.0f} s: the other one's requests"
        rows.append(Row(what, "0 failed", f"{tally.kinds} in {fine + len(tally.errors)}", fine > 0 and not tally.errors))
        still = await stage.problems(kept)
        rows.append(
            Row("operator absent: the other Devbox", "token, Route and policy stay", ", ".join(still) or "all there", not still)
        )
        await stage.alone()
        rows.append(_row("operator back", "nothing is left of the deleted one", await stage.gone(deleted), 60))
        again = await stage.converged(kept)
        pods = len(await stage.pods(kept))
        rows.append(_row("operator back: the other Devbox", "as it should be", again, 5))
        rows.append(Row("the same: its pods", "1", str(pods), pods == 1))
        assert "Pod" in await leftovers(stage.api, of_namespace=kept)
        return rows


async def _running(stage: Stage, gates: Serving, space: str, address: str) -> Client:
    """The namespace's devbox, whose pod runs at the address."""
    (pod,) = await stage.pods(space)
    name = pod["metadata"]["name"]
    await gates.run_pod(space, name, address)
    return gates.client(address, await gates.token(space, name, GATEWAYS[0]))
