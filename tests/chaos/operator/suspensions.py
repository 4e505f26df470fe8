"""Devboxes are suspended and resumed: many at once, again and again, in whatever state they are, and deleted while they are suspended.

Goes in: a stage. Comes out: rows. A suspended one is to have nothing but its Devbox; a resumed one is what it was before, with another pod.
The operator that is killed at each of these writes is in kills.py, two at work are in two_operators.py, the lost node is in nodes.py.
"""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Callable, Coroutine
from time import monotonic as now
from typing import Any, Final

from tests.chaos.report import Row, timed
from tests.chaos.world import eventually
from tests.support.fake_kubelet import FakeKubelet, ended
from tests.support.fleet import GATEWAYS, Fleet, Place, leftovers, source_secret
from tests.support.kstatus import kstatus

from devbox_api import names
from devbox_common.kube import ApiError, Object
from devbox_operator.kit import paths

from .stage import CONVERGE_SECONDS, Stage

COUNT: Final = {True: 100, False: 25}
"""At once: in the long form, and in the short one."""
ALL_SECONDS: Final = 60.0
SUSPEND: Final[Object] = {"spec": {"suspend": True}}
RESUME: Final[Object] = {"spec": {"suspend": None}}
SHARED: Final = ("ServiceAccount", "CA bundle")
"""By a namespace's Devboxes, once one has had a pod."""


async def not_at_rest(stage: Stage, space: str, name: str = "agent") -> list[str]:
    """What is not as it should be of a Devbox that is to be suspended, the only one of its namespace."""
    box = await stage.get(paths.devboxes(space, name))
    if box is None:
        return ["no Devbox"]
    status, left = box.get("status") or {}, await _left(stage, space)
    kept = {names.GATEWAY_TYPE: len(box["spec"]["gateways"])}  # (which has a user)
    kept |= {"claim": 1} if box["spec"].get("workspace") else {}
    found = {one["type"]: one["status"] for one in status.get("conditions") or ()}
    what = {
        f"objects: {left}": left == kept,
        f"phase {status.get('phase')}": status.get("phase") == "Suspended",
        f"suspendedBy {status.get('suspendedBy')}": status.get("suspendedBy") == "Spec" and "suspendedAt" in status,
        f"conditions {found}": found.get("Suspended") == "True" and "Ready" not in found and kstatus(box) == "Current",
        f"failures {status.get('failures')}": "failures" not in status,
        f"pod {status.get('podName')}": "podName" not in status and "podUID" not in status,
    }
    return [problem for problem, fine in what.items() if not fine]


async def _left(stage: Stage, space: str) -> dict[str, int]:
    """Objects of ours, by kind, less what is shared."""
    found = await leftovers(stage.api, of_namespace=space)
    return {kind: count for kind, count in found.items() if kind not in SHARED}


async def at_rest(stage: Stage, space: str, seconds: float = CONVERGE_SECONDS) -> float | None:
    """Seconds until the Devbox is suspended and nothing of its is left; None if it is not in time."""
    start = now()
    while now() - start < seconds:
        if not await not_at_rest(stage, space):
            return now() - start
        await asyncio.sleep(0.1)
    return None


async def suspend(stage: Stage, space: str) -> None:
    """As somebody asks for it."""
    await stage.patch(paths.devboxes(space, "agent"), SUSPEND)


async def resume(stage: Stage, space: str) -> None:
    """Likewise."""
    await stage.patch(paths.devboxes(space, "agent"), RESUME)


async def suspensions(stage: Stage, long: bool) -> list[Row]:
    """The whole of it."""
    await stage.alone()
    kubelet = FakeKubelet(stage.api, stage.node)
    async with kubelet.working():
        rows = await _many(stage, COUNT[long])
        for what, begin in STATES.items():
            rows.append(await _in_state(stage, kubelet, what, begin))
        rows += [
            await _flapping(stage, 20 if long else 6),
            await _done(stage, kubelet),
            await _deleted(stage),
            await _announced(stage),
        ]
    return rows


async def _many(stage: Stage, count: int) -> list[Row]:
    """All at once, in one namespace, and back."""
    fleet, space = Fleet(stage.api), await stage.namespace()
    places = [(space, f"box-{number}") for number in range(count)]
    async with fleet.watching():
        await fleet.at(50, places, fleet.create)
        await _become(stage, space, "Running", ALL_SECONDS * 2)
        times = {}
        for what, body, phase in (("suspended", SUSPEND, "Suspended"), ("resumed", RESUME, "Running")):
            start = now()
            await asyncio.gather(*(stage.patch(paths.devboxes(*place), body) for place in places))
            await _become(stage, space, phase, ALL_SECONDS * 2)
            times[what] = now() - start
            if what == "suspended":
                await eventually(lambda: _only_kept(stage, space), ALL_SECONDS, every=0.5)
                times["swept"] = now() - start
        # (The watch that counts is another one than that of statuses.)
        with contextlib.suppress(TimeoutError):
            await eventually(lambda: _counts(fleet, places) == {2}, CONVERGE_SECONDS)
        pods = _counts(fleet, places)
    listed = await leftovers(stage.api, of_namespace=space)
    whole = {kind: listed.get(kind) for kind in ("Pod", "NetworkPolicy", "token Secret", names.ROUTE_TYPE)}
    for place in places:
        await fleet.delete(place)
    left = await stage.gone(space)
    return [
        timed(f"{count} devboxes suspended at once", f"all suspended ≤{ALL_SECONDS:g} s, nothing of theirs left",
              f"{times['suspended']:.1f} s; nothing left after {times['swept']:.1f} s", times["suspended"] <= ALL_SECONDS),
        timed("the same, resumed at once", f"all running ≤{ALL_SECONDS:g} s, two pods each in all",
              f"{times['resumed']:.1f} s; {pods} pods; {whole}", times["resumed"] <= ALL_SECONDS,
              pods == {2} and set(whole.values()) == {count}),
        timed("the same, deleted", "nothing is left", f"{left and f'{left:.1f} s'}", left is not None),
    ]  # fmt: skip


def _counts(fleet: Fleet, places: list[Place]) -> set[int]:
    """How many pods each of these devboxes had. (Others' are watched, too: of a case before this one, say.)"""
    return {len(fleet.pods.get(place, ())) for place in places}


async def _all(stage: Stage, space: str, phase: str) -> bool:
    items, _ = await stage.api.list(paths.devboxes(space))
    return all((item.get("status") or {}).get("phase") == phase for item in items)


async def _become(stage: Stage, space: str, phase: str, seconds: float = 40.0) -> None:
    """All of them. Raises AssertionError."""
    try:
        await eventually(lambda: _all(stage, space, phase), seconds, every=0.1)
    except TimeoutError:
        items, _ = await stage.api.list(paths.devboxes(space))
        phases = Counter((item.get("status") or {}).get("phase") for item in items)
        said = next((item["status"] for item in items if item["status"].get("phase") != phase), None)
        raise AssertionError(f"not all are {phase} after {seconds:g} s: {phases}; one: {said}") from None


async def _only_kept(stage: Stage, space: str) -> bool:
    return await _left(stage, space) == {names.GATEWAY_TYPE: len(GATEWAYS)}


Begin = Callable[[Stage, FakeKubelet, str], Coroutine[Any, Any, None]]


async def _running(stage: Stage, _: FakeKubelet, space: str) -> None:
    await stage.create(space)
    await _become(stage, space, "Running")


async def _at_once(stage: Stage, _: FakeKubelet, space: str) -> None:
    await stage.create(space)


async def _from_the_beginning(stage: Stage, _: FakeKubelet, space: str) -> None:
    await stage.create(space, suspend=True)


async def _gated(stage: Stage, _: FakeKubelet, space: str) -> None:
    """It waits for its Secret, which is there again when it is resumed."""
    gateway = GATEWAYS[0]
    await stage.api.request("DELETE", paths.secrets(space, gateway.lower()))
    await stage.create(space)
    await eventually(lambda: _says(stage, space, "Ready", "SecretNotFound"), 40)
    await stage.patch(paths.devboxes(space, "agent"), SUSPEND)
    await _become(stage, space, "Suspended")
    await stage.api.request("POST", paths.secrets(space), body=source_secret(space, gateway))


async def _refused(stage: Stage, _: FakeKubelet, space: str) -> None:
    """A quota has no room for its pod; it has when it is resumed."""
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    place = paths.core("resourcequotas", space, "none")
    await stage.api.request("POST", paths.core("resourcequotas", space), body=quota)
    await stage.create(space)
    await eventually(lambda: _says(stage, space, "PodReady", "PodRefused"), 40)
    await stage.patch(paths.devboxes(space, "agent"), SUSPEND)
    await _become(stage, space, "Suspended")
    await stage.api.request("DELETE", place)


async def _starting(stage: Stage, kubelet: FakeKubelet, space: str) -> None:
    """No node takes its pod."""
    kubelet.idle = True
    await stage.create(space)
    await _become(stage, space, "Starting")
    kubelet.idle = False


async def _failing(stage: Stage, kubelet: FakeKubelet, space: str) -> None:
    """Its pods fail, and the pause before the next one has begun to grow."""
    await _running(stage, kubelet, space)
    await kubelet.says((await stage.pods(space))[0], **ended("Failed", code=1))
    await eventually(lambda: _runs_again(stage, space), 40, every=0.05)
    (pod,) = [pod for pod in await stage.pods(space) if pod["status"].get("phase") == "Running"]
    await kubelet.says(pod, **ended("Failed", code=1))
    await eventually(lambda: _says(stage, space, "PodReady", "PodFailed"), 40, every=0.05)


async def _restarting(stage: Stage, kubelet: FakeKubelet, space: str) -> None:
    """A restart was asked for a moment before, and once more while it is suspended."""
    await _running(stage, kubelet, space)
    for number, body in enumerate(({}, SUSPEND)):
        notes = {"annotations": {names.RESTARTED_AT_ANNOTATION: str(number)}}
        await stage.patch(paths.devboxes(space, "agent"), {"metadata": notes, **body})


async def _changed(stage: Stage, kubelet: FakeKubelet, space: str) -> None:
    """Its spec changes while it is suspended."""
    await _running(stage, kubelet, space)
    change = {"spec": {"suspend": True, "env": [{"name": "LEVEL", "value": "debug"}]}}
    await stage.patch(paths.devboxes(space, "agent"), change)


STATES: Final[dict[str, Begin]] = {
    "that runs": _running,
    "that was just made": _at_once,
    "that is made suspended": _from_the_beginning,
    "whose pod is gated": _gated,
    "whose pod is refused": _refused,
    "whose pod starts": _starting,
    "whose pods fail": _failing,
    "that is being restarted": _restarting,
    "whose spec changes meanwhile": _changed,
}


async def _in_state(stage: Stage, kubelet: FakeKubelet, what: str, begin: Begin) -> Row:
    space = await stage.namespace()
    await begin(stage, kubelet, space)
    await suspend(stage, space)
    down = await at_rest(stage, space)
    problems = [] if down is not None else await not_at_rest(stage, space)
    await resume(stage, space)
    up = await stage.converged(space)
    if up is not None:
        await _become(stage, space, "Running")
    box = await stage.get(paths.devboxes(space, "agent")) or {}
    failures = (box.get("status") or {}).get("failures", 0)
    required = [one["status"] for one in box["status"]["conditions"] if one["type"] == "RestartRequired"]
    problems += await stage.problems(space)
    right = not problems and failures == 0 and required == ["False"]
    measured = (
        f"{_seconds(down)}, {_seconds(up)}; {failures} failures; RestartRequired {required}; {problems or 'nothing wrong'}"
    )
    return timed(
        f"a devbox {what}, suspended and resumed",
        f"suspended with nothing left ≤{CONVERGE_SECONDS:g} s, then as it should be, no failure counted",
        measured,
        None not in (down, up),
        right,
    )


async def _flapping(stage: Stage, times: int) -> Row:
    """Faster than anybody can follow; what was asked for last counts."""
    space, chance = await stage.namespace(), random.Random(20)  # noqa: S311 (the same every time)
    await stage.create(space)
    wrong: list[str] = []
    for last, ask, settled in (("suspended", suspend, at_rest), ("resumed", resume, Stage.converged)):
        for _ in range(times):
            await suspend(stage, space)
            await asyncio.sleep(chance.choice((0, 0.05, 0.3, 1.2)))
            await resume(stage, space)
            await asyncio.sleep(chance.choice((0, 0.05, 0.3, 1.2)))
        await ask(stage, space)
        if await settled(stage, space) is None:
            wrong.append(f"{last}: {await stage.problems(space)}, {await not_at_rest(stage, space)}")
    box = await stage.get(paths.devboxes(space, "agent")) or {}
    made = (box.get("status") or {}).get("incarnation")
    return Row(
        f"suspended and resumed {times} times within seconds, twice",
        "as it was asked for last",
        f"{wrong or 'so'}; pod {made}",
        not wrong,
    )


async def _done(stage: Stage, kubelet: FakeKubelet) -> Row:
    """A command that ended for good: its pod stays, and it is not run again."""
    space = await stage.namespace()
    await stage.create(space, restartPolicy="Never")
    await _become(stage, space, "Running")
    (pod,) = await stage.pods(space)
    await kubelet.says(pod, **ended("Succeeded"))
    await _become(stage, space, "Succeeded")
    await suspend(stage, space)
    await eventually(lambda: _says(stage, space, "Suspended", "NotSuspended"), 40)
    await resume(stage, space)
    await eventually(lambda: _observed(stage, space), 40)
    left = [item["metadata"]["uid"] for item in await stage.pods(space)]
    return Row(
        "a devbox whose command ended for good, suspended and resumed",
        "Succeeded all along, its pod is there, no other is made",
        f"{len(left)} pods",
        left == [pod["metadata"]["uid"]] and await _all(stage, space, "Succeeded"),
    )


async def _deleted(stage: Stage) -> Row:
    space = await stage.namespace()
    await stage.create(space)
    await suspend(stage, space)
    down = await at_rest(stage, space)
    try:
        await stage.api.request("DELETE", paths.gatewayconfigs(space, GATEWAYS[0].lower()))
        in_use = False
    except ApiError as error:
        in_use = "is used by" in error.message
    await stage.api.request("DELETE", paths.devboxes(space, "agent"))
    gone = await stage.gone(space)
    return Row(
        "a devbox deleted while it is suspended",
        "what it uses could not be deleted before; nothing is left",
        f"{_seconds(down)}; in use: {in_use}; gone after {_seconds(gone)}",
        None not in (down, gone) and in_use,
    )


async def _announced(stage: Stage) -> Row:
    """A replica has announced a pod and was killed, or is about to post it: it is waited for before none is said to be there."""
    stage.stop()
    space = await stage.namespace()
    await stage.create(space, suspend=True)
    await stage.patch(f"{paths.devboxes(space, 'agent')}/status", {"status": {"incarnation": 3, "podName": "agent-announced"}})
    await stage.alone()
    said: list[str] = []

    async def so() -> bool:
        found = await _condition(stage, space, "Suspended")
        said.append(f"{found.get('reason')}: {found.get('message', '').partition(';')[0]}")
        return found.get("status") == "True"

    await eventually(so, 40, every=0.05)
    first = next((words for words in said if not words.startswith("None")), "")
    await resume(stage, space)
    up = await stage.converged(space)
    number = ((await stage.get(paths.devboxes(space, "agent")) or {}).get("status") or {}).get("incarnation")
    return Row(
        "a devbox whose next pod a replica announced that was killed then, suspended and resumed",
        "Suspending for a moment, then suspended; that number is given up",
        f"{first}; {len(set(said))} words; {_seconds(up)}; pod {number}",
        first == "Suspending: pod agent-announced was announced by another replica, which may be posting it" and number == 4,
    )


async def _condition(stage: Stage, space: str, kind: str) -> Object:
    box = await stage.get(paths.devboxes(space, "agent")) or {}
    return next((one for one in (box.get("status") or {}).get("conditions", ()) if one["type"] == kind), {})


async def _says(stage: Stage, space: str, kind: str, reason: str) -> bool:
    return (await _condition(stage, space, kind)).get("reason") == reason


async def _runs_again(stage: Stage, space: str) -> bool:
    """One has failed, and the next one runs."""
    box = await stage.get(paths.devboxes(space, "agent")) or {}
    status = box.get("status") or {}
    return bool(status.get("failures") == 1 and status.get("podUID") and status.get("phase") == "Running")


async def _observed(stage: Stage, space: str) -> bool:
    box = await stage.get(paths.devboxes(space, "agent")) or {"metadata": {"generation": 0}}
    return bool((box.get("status") or {}).get("observedGeneration") == box["metadata"]["generation"])


def _seconds(took: float | None) -> str:
    return "not in time" if took is None else f"{took:.1f} s"
