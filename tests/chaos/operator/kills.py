"""The operator is killed at every call in turn (C1): before the API server saw it, and after it was done but before the answer.

Goes in: a stage; a phase of a Devbox's life (made, changed, suspended, resumed, deleted), in which a first replica is killed and a second
one takes over. Comes out: a row for each phase and side: how many kills, and how long until all was as it should be. A whole Devbox is one
with all that adds writes: a workspace that grows and is to be kept, code mounts, a time to live. (At its end by that, the operator is
killed in lifetimes.py.)
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from time import monotonic as now
from typing import Any, Final

from tests.chaos.report import Row
from tests.chaos.storage import provisioned, storage_class
from tests.chaos.world import eventually
from tests.support.fleet import GATEWAYS, HOSTS

from devbox_api import names
from devbox_common.kube import Object
from devbox_operator.kit import paths

from .proxy import Call, Fault
from .stage import CONVERGE_SECONDS, Replica, Stage
from .suspensions import at_rest, not_at_rest, resume, suspend

ANY: Final = ""
CLAIM: Final = "persistentvolumeclaims"
STATUS: Final = "PATCH devboxes/status"
SHORT: Final[dict[str, tuple[tuple[int, str], ...]]] = {
    "made": ((2, ANY), (6, ANY), (9, ANY), (11, ANY)),
    "made, a whole one": ((1, f"POST {CLAIM}"), (1, STATUS)),
    "changed": ((1, ANY),),
    # (It is given away, and made larger.)
    "changed, a whole one": ((1, f"PATCH {CLAIM}"), (2, f"PATCH {CLAIM}"), (1, STATUS)),
    "suspended": ((1, STATUS), (1, "DELETE pods"), (2, STATUS)),
    "resumed": ((1, ANY), (1, STATUS)),
    "deleted": ((1, ANY),),
}
"""The how manieth write, of which kind (proxy.Call.kind), for the short form. The long one is to come to each of these kinds, too."""
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
            every = [(number, ANY) for number in range(1, MOST)]
            rows.append(await _series(stage, phase, begin, act, before=True, kills=every))
            rows.append(await _series(stage, phase, begin, act, before=False, kills=every))
        else:
            rows.append(await _series(stage, phase, begin, act, before=False, kills=SHORT[phase]))
    return rows


async def _nothing(_: Stage, __: str) -> None:
    pass


async def _exists(stage: Stage, namespace: str) -> None:
    await stage.create(namespace)
    assert await stage.converged(namespace) is not None, await stage.problems(namespace)
    await _calm(await _active(stage))


async def _exists_whole(stage: Stage, namespace: str) -> None:
    await _make_whole(stage, namespace)
    assert await stage.converged(namespace) is not None, await stage.problems(namespace)
    (claim,) = (await stage.api.list(paths.core("persistentvolumeclaims", namespace)))[0]
    await provisioned(stage, claim)
    place = paths.core("persistentvolumeclaims", namespace, claim["metadata"]["name"])

    async def bound() -> bool:
        return ((await stage.get(place) or {}).get("status") or {}).get("phase") == "Bound"

    await eventually(bound, 60)
    await _calm(await _active(stage))


async def _rests(stage: Stage, namespace: str) -> None:
    await _exists_whole(stage, namespace)
    await suspend(stage, namespace)
    assert await at_rest(stage, namespace) is not None, await not_at_rest(stage, namespace)
    await _calm(await _active(stage))


async def _make(stage: Stage, namespace: str) -> None:
    await stage.create(namespace)


async def _make_whole(stage: Stage, namespace: str) -> None:
    kind = await storage_class(stage, allowVolumeExpansion=True)
    # (What clones is never started here, and asks nobody.)
    mount = {"name": "app", "repository": f"https://{HOSTS[GATEWAYS[0]]}/org/app", "gateway": GATEWAYS[0]}
    whole: Object = {"workspace": {"size": "1Gi", "storageClassName": kind}, "codeMounts": [mount], "lifecycle": {"ttl": "24h"}}
    await stage.create(namespace, **whole)


async def _change_whole(stage: Stage, namespace: str) -> None:
    """Its claim grows and is to be kept, and it is kept alive, by a clock that is ahead."""
    body = {
        "metadata": {"annotations": {names.KEPT_ALIVE_AT_ANNOTATION: "9999-12-31T23:59:59Z"}},
        "spec": {"workspace": {"size": "2Gi", "retain": "Retain"}},
    }
    await stage.patch(paths.devboxes(namespace, "agent"), body)


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
    ("made, a whole one", _nothing, _make_whole),
    ("changed", _exists, _change),
    ("changed, a whole one", _exists_whole, _change_whole),
    ("suspended", _exists_whole, suspend),
    ("resumed", _rests, resume),
    ("deleted", _exists_whole, _delete),
)


async def _series(stage: Stage, phase: str, begin: Act, act: Act, *, before: bool, kills: Sequence[tuple[int, str]]) -> Row:
    side = "before a call" if before else "after a write"
    took: list[float] = []
    failed: list[str] = []
    calls = Counter[str]()
    for number, kind in kills:
        namespace = await stage.namespace()
        await begin(stage, namespace)
        killed = await _killed(stage, namespace, act, number=number, kind=kind, before=before, phase=phase)
        if killed is None:
            break  # the phase has no call of that number
        calls[killed.kind] += 1
        seconds = await _done(stage, namespace, phase)
        if seconds is None:
            trouble = await _trouble(stage, namespace, phase)
            failed.append(
                f"{number} ({killed.method} {killed.path.partition('?')[0]}): {', '.join(trouble) or 'something is left'}"
            )
        else:
            took.append(seconds)
        await stage.start(leading=False)
    measured = (
        f"{len(took)} of {len(took) + len(failed)} converged, the last ≤{max(took, default=0):.1f} s after the next one's start"
    )
    measured += f"; not: {'; '.join(failed)}" if failed else ""
    if missing := set() if before else {kind for _, kind in SHORT[phase] if kind} - calls.keys():
        measured += f"; after none of {sorted(missing)}"
    measured += "" if before else f" ({', '.join(f'{count} {kind}' for kind, count in sorted(calls.items()))})"
    demand = f"100 % ≤{CONVERGE_SECONDS:.0f} s, nothing twice, nothing left behind"
    return Row(f"operator killed {side} while a devbox is {phase}", demand, measured, bool(took) and not failed and not missing)


async def _killed(stage: Stage, namespace: str, act: Act, *, number: int, kind: str, before: bool, phase: str) -> Call | None:
    """What it was killed at. The replica that waits takes over. None: it came to the end of what it had to do."""
    replica = await _active(stage)
    seen: list[Call] = []
    start = len(replica.proxy.calls)
    writes = 0

    def decide(call: Call) -> bool:
        nonlocal writes
        if seen or "/leases" in call.path or call.number <= start:
            return bool(seen)
        counts = (before or call.writes) and kind in (ANY, call.kind)
        writes += counts
        if writes == number and counts:
            seen.append(call)
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
