"""The operator is killed at every call in turn (C1): before the API server saw it, and after it was done but before the answer.

Goes in: a stage; a phase of a Devbox's life (made, changed, suspended, resumed, deleted), in which a first replica is killed and a second
one takes over. Comes out: a row for each phase and side: how many kills, and how long until all was as it should be.
"""

import asyncio
from collections.abc import Callable, Coroutine
from time import monotonic as now
from typing import Any, Final

from tests.chaos.report import Row
from tests.chaos.world import eventually
from tests.support.fleet import GATEWAYS

from devbox_operator.kit import paths

from .proxy import Call, Fault
from .stage import CONVERGE_SECONDS, Replica, Stage
from .suspensions import at_rest, not_at_rest, resume, suspend

SHORT: Final = {
    "made": (2, 6, 9, 11),
    "made with a workspace": (1, 2, 3),
    "changed": (1,),
    "suspended": (1, 2, 3),
    "resumed": (1, 3),
    "deleted": (1,),
}
"""Numbers of writes, for the short form."""
MOST: Final = 120
"""Calls of one phase; it ends long before."""
LEADING_SECONDS: Final = 60.0
"""Until somebody is at work: a Lease that nobody gave back has to run out, and a process to start."""


async def kills(stage: Stage, long: bool) -> list[Row]:
    """All phases."""
    rows = []
    await stage.alone()
    await stage.start(leading=False)
    for phase, begin, act in PHASES:
        if long:
            rows.append(await _series(stage, phase, begin, act, before=True, numbers=range(1, MOST)))
            rows.append(await _series(stage, phase, begin, act, before=False, numbers=range(1, MOST)))
        else:
            rows.append(await _series(stage, phase, begin, act, before=False, numbers=SHORT[phase]))
    return rows


async def _nothing(_: Stage, __: str) -> None:
    pass


async def _exists(stage: Stage, namespace: str) -> None:
    await stage.create(namespace)
    assert await stage.converged(namespace) is not None, await stage.problems(namespace)
    await _calm(await _active(stage))


async def _rests(stage: Stage, namespace: str) -> None:
    await _exists(stage, namespace)
    await suspend(stage, namespace)
    assert await at_rest(stage, namespace) is not None, await not_at_rest(stage, namespace)
    await _calm(await _active(stage))


async def _make(stage: Stage, namespace: str) -> None:
    await stage.create(namespace)


async def _make_with_workspace(stage: Stage, namespace: str) -> None:
    await stage.create(namespace, workspace={"size": "1Gi"})


async def _change(stage: Stage, namespace: str) -> None:
    """One gateway less, and the other's credential is another key of the Secret."""
    left = GATEWAYS[0].lower()
    await stage.patch(paths.secrets(namespace, left), {"stringData": {"other": "sk-two"}})
    gateways = [{"name": GATEWAYS[0], "gatewayRef": {"name": left}, "secretRef": {"name": left, "key": "other"}}]
    await stage.patch(paths.devboxes(namespace, "agent"), {"spec": {"gateways": gateways}})


async def _delete(stage: Stage, namespace: str) -> None:
    await stage.api.request("DELETE", paths.devboxes(namespace, "agent"))


Act = Callable[[Stage, str], Coroutine[Any, Any, None]]
PHASES: Final[tuple[tuple[str, Act, Act], ...]] = (
    ("made", _nothing, _make),
    ("made with a workspace", _nothing, _make_with_workspace),
    ("changed", _exists, _change),
    ("suspended", _exists, suspend),
    ("resumed", _rests, resume),
    ("deleted", _exists, _delete),
)


async def _series(stage: Stage, phase: str, begin: Act, act: Act, *, before: bool, numbers: Any) -> Row:
    side = "before a call" if before else "after a write"
    took: list[float] = []
    failed: list[str] = []
    for number in numbers:
        namespace = await stage.namespace()
        await begin(stage, namespace)
        killed = await _killed(stage, namespace, act, number=number, before=before, phase=phase)
        if killed is None:
            break  # the phase has no call of that number
        seconds = await _done(stage, namespace, phase)
        if seconds is None:
            trouble = await _trouble(stage, namespace, phase)
            failed.append(f"{number} ({killed}): {', '.join(trouble) or 'something is left'}")
        else:
            took.append(seconds)
        await stage.start(leading=False)
    measured = (
        f"{len(took)} of {len(took) + len(failed)} converged, the last ≤{max(took, default=0):.1f} s after the next one's start"
    )
    measured += f"; not: {'; '.join(failed)}" if failed else ""
    demand = f"100 % ≤{CONVERGE_SECONDS:.0f} s, nothing twice, nothing left behind"
    return Row(f"operator killed {side} while a devbox is {phase}", demand, measured, bool(took) and not failed)


async def _killed(stage: Stage, namespace: str, act: Act, *, number: int, before: bool, phase: str) -> str | None:
    """What it was killed at. The replica that waits takes over. None: it came to the end of what it had to do."""
    replica = await _active(stage)
    seen: list[str] = []
    start = len(replica.proxy.calls)
    writes = 0

    def decide(call: Call) -> bool:
        nonlocal writes
        if seen or "/leases" in call.path or call.number <= start:
            return bool(seen)
        writes += 1 if before or call.writes else 0
        if writes == number and (before or call.writes):
            seen.append(f"{call.method} {call.path.partition('?')[0]}")
            replica.operator.kill()
        return bool(seen)

    replica.proxy.fault = Fault(before=decide) if before else Fault(after=decide)
    await act(stage, namespace)
    deadline = now() + CONVERGE_SECONDS
    while not seen and now() < deadline:
        done = await _done(stage, namespace, phase, 0.01)
        if done is not None and await _still(replica):
            replica.proxy.fault = Fault()
            return None
        await asyncio.sleep(0.05)
    if not seen:
        raise TimeoutError(f"neither killed nor done: {await stage.problems(namespace)}")
    stage.replicas.pop(0)
    await stage.expire_lease()
    await _active(stage)
    return seen[0]


async def _done(stage: Stage, namespace: str, phase: str, seconds: float = CONVERGE_SECONDS) -> float | None:
    """Seconds until all is as it should be after the phase; None if it is not in time."""
    if phase == "deleted":
        return await stage.gone(namespace, seconds)
    if phase == "suspended":
        return await at_rest(stage, namespace, seconds)
    return await stage.converged(namespace, seconds=seconds)


async def _trouble(stage: Stage, namespace: str, phase: str) -> list[str]:
    """What is not as it should be then."""
    if phase == "deleted":
        return []
    return await (not_at_rest(stage, namespace) if phase == "suspended" else stage.problems(namespace))


async def _active(stage: Stage) -> Replica:
    """The one that works, put first. (On a busy machine a Lease may be lost without anybody's doing, and its holder ends.)"""
    deadline = now() + LEADING_SECONDS
    while now() < deadline:
        for replica in list(stage.replicas):
            if not replica.operator.alive:
                stage.replicas.remove(replica)
                await stage.start(leading=False)
            elif await replica.operator.leads():
                stage.replicas.remove(replica)
                stage.replicas.insert(0, replica)
                return replica
        await asyncio.sleep(0.1)
    ends = "\n".join(replica.operator.log.read_text(errors="replace")[-2000:] for replica in stage.replicas)
    raise TimeoutError(f"no operator is at work after {LEADING_SECONDS:g} s; the ends of their logs:\n{ends}")


async def _still(replica: Replica, seconds: float = 1.5) -> bool:
    """It has had nothing to do for a moment."""
    count = len([call for call in replica.proxy.calls if "/leases" not in call.path])
    await asyncio.sleep(seconds)
    return count == len([call for call in replica.proxy.calls if "/leases" not in call.path])


async def _calm(replica: Replica) -> None:
    await eventually(lambda: _still(replica, 0.7), 20)
