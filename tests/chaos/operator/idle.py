"""Devboxes that nobody works in (spec.lifecycle.idle): never early, soon after, whatever becomes of operators and gateways meanwhile.

Goes in: a stage. Comes out: rows, all of one stretch of time, since the least is a minute. A real gateway says when what was in use, to
operators that are killed; it is killed itself, and begins anew. The API server's clock alone counts: the operator's is minutes ahead.
"""

import asyncio
import base64
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic as now
from time import time
from typing import Any, Final

from tests.chaos.report import Row, timed
from tests.chaos.world import eventually
from tests.support.netns import GATEWAY
from tests.support.release import ACCOUNT, NAMESPACE, token_of

from devbox_api import names
from devbox_common.kube import Object
from devbox_operator.kit import paths

from .clocks import SKEW, clock, tidy
from .stage import Stage
from .traffic import Agent, Traffic, traffic

AFTER: Final = 60.0
LATE_SECONDS: Final = 30.0
"""Rounds of 15 s, a new operator's Lease, and a machine that is busy."""
CALL_SECONDS: Final = 5.0
LEAF: Final = paths.secrets(NAMESPACE, names.LEAF_SECRET)
AUTHORITY: Final = paths.secrets(NAMESPACE, names.CA_SECRET)
SLICE: Final = "gateway-activity"
USER: Final = f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"


async def idle(stage: Stage, long: bool) -> list[Row]:
    """The whole of it."""
    token = stage.release.plane.folder / "activity-token"
    await _token(stage, token)
    told = {"activity": {"tokenFile": str(token)}}
    with tidy():
        await stage.alone(prefix=clock(SKEW), patient=True, **told)
        authority = await stage.get(AUTHORITY)
        assert authority is not None
        trust = ssl.create_default_context(cadata=base64.b64decode(authority["data"]["ca.crt"]).decode())
        async with traffic(stage, trust=trust, listen={"activity": 0}, operatorUser=USER) as cars:
            return await _stretch(stage, cars, told)


async def _stretch(stage: Stage, cars: Traffic, told: dict[str, Any]) -> list[Row]:
    await _with_the_operators_leaf(stage, cars)
    space = await stage.namespace()
    boxes = {"quiet": "Suspend", "ended": "Delete", "busy": "Suspend", "kept": "Suspend", "asleep": "Delete"}
    for name, action in boxes.items():
        await stage.create(space, name, lifecycle={"idle": {"after": "60s", "action": action}}, suspend=name == "asleep")
    agents = {name: await cars.agent(space, name) for name in boxes if name != "asleep"}
    watch = Seen(stage, space)
    await eventually(lambda: watch.followed("quiet", "ended", "busy", "kept"), 60, every=0.2)
    began = now()
    until = {names.ACTIVE_UNTIL_ANNOTATION: str(int(time()) + 3600)}  # (by this machine's clock, which is the API server's)
    await stage.patch(paths.devboxes(space, "kept"), {"metadata": {"annotations": until}})
    async with _calling(cars, agents["busy"]), watch.looking():
        # An operator that is killed, and the next one: for all that it knows they were in use until then (by five minutes at the most).
        await asyncio.sleep(15)
        await stage.alone(prefix=clock(SKEW), patient=True, **told)
        taken = now() - began
        await eventually(lambda: watch.is_so("quiet", "ended"), AFTER + 2 * LATE_SECONDS, every=0.2)
        quiet, ended = watch.first["quiet"] - began, watch.first["ended"] - began
        rows = [
            timed("a devbox that nobody works in, its operator killed meanwhile",
                  f"suspended ≥{AFTER:g} s after it was ready, ≤{AFTER + LATE_SECONDS:g} s after the next one began ({taken:.1f} s)",
                  f"{quiet:.1f} s", quiet <= taken + AFTER + LATE_SECONDS, quiet >= AFTER),
            timed("the same, which is to be deleted then", "likewise", f"{ended:.1f} s",
                  ended <= taken + AFTER + LATE_SECONDS, ended >= AFTER),
            Row("one that calls each 5 s, one that is said to be in use, one that is suspended", "as they were",
                f"{sorted(watch.first)}", watch.first.keys() == {"quiet", "ended"}),
        ]  # fmt: skip
        box = await stage.get(paths.devboxes(space, "quiet")) or {"spec": {}, "status": {}}
        says = box["status"].get("suspendedBy"), box["spec"].get("suspend")
        rows.append(Row("what is said of it", "suspendedBy Idle, its spec as it was", f"{says}", says == ("Idle", False)))
    # It begins anew, without a last word: what it saw last nobody knows, and counts as work.
    await stage.patch(paths.devboxes(space, "quiet"), {"metadata": {"annotations": {names.RESUMED_AT_ANNOTATION: "1"}}})
    await cars.agent(space, "quiet")
    await eventually(lambda: watch.followed("quiet"), 60, every=0.2)
    async with watch.looking():
        killed = await _killed(stage, cars)
        await eventually(lambda: watch.is_so("quiet", "busy"), AFTER + 2 * LATE_SECONDS, every=0.2)
        for name, what in (("quiet", "resumed"), ("busy", "no more at work")):
            took = watch.first[name] - killed
            rows.append(
                timed(f"one that is {what}, as its gateway is killed", f"suspended ≥{AFTER:g} s after that, ≤{AFTER + LATE_SECONDS:g} s",
                      f"{took:.1f} s", took <= AFTER + LATE_SECONDS, took >= AFTER)
            )  # fmt: skip
    for name in ("quiet", "busy", "kept", "asleep"):
        await stage.api.request("DELETE", paths.devboxes(space, name))
    await stage.api.request("DELETE", f"{paths.endpointslices(NAMESPACE)}/{SLICE}")
    left = await stage.gone(space)
    return [*rows, timed("all of them, deleted", "nothing is left", f"{left and f'{left:.1f} s'}", left is not None)]


class Seen:
    """What becomes of a namespace's devboxes."""

    def __init__(self, stage: Stage, space: str) -> None:
        self._stage, self._space = stage, space
        self.first: dict[str, float] = {}
        """When each was first seen to be suspended by its idleness, or gone."""

    async def followed(self, *which: str) -> bool:
        """Its pod is asked about."""
        found = await self._boxes()
        return all((found.get(name) or {}).get("status", {}).get("lastActivity") for name in which)

    async def is_so(self, *which: str) -> bool:
        """Something has become of it."""
        return all(name in self.first for name in which)

    async def _boxes(self) -> dict[str, Object]:
        items, _ = await self._stage.api.list(paths.devboxes(self._space))
        return {item["metadata"]["name"]: item for item in items}

    @contextlib.asynccontextmanager
    async def looking(self) -> AsyncIterator[None]:
        """Again and again."""
        self.first = {}
        there = await self._boxes()

        async def look() -> None:
            while True:
                found = await self._boxes()
                for name in there:
                    is_idle = (found[name].get("status") or {}).get("suspendedBy") == "Idle" if name in found else True
                    if is_idle and name not in self.first:
                        self.first[name] = now()
                await asyncio.sleep(0.1)

        task = asyncio.create_task(look())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@contextlib.asynccontextmanager
async def _calling(cars: Traffic, agent: Agent) -> AsyncIterator[None]:
    async def call() -> None:
        while True:
            assert (await cars.answers(agent)).fine
            await asyncio.sleep(CALL_SECONDS)

    task = asyncio.create_task(call())
    try:
        yield
    finally:
        task.cancel()
        results = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError), results


async def _killed(stage: Stage, cars: Traffic) -> float:
    """Without a word; and another one in its place. Returns when."""
    assert cars._gateway is not None
    cars._gateway.process.process.kill()
    killed = now()
    await cars.start_gateway()
    await _announce(stage, cars)
    return killed


async def _with_the_operators_leaf(stage: Stage, cars: Traffic) -> None:
    leaf = await stage.get(LEAF)
    assert leaf is not None
    cars.host = names.gateway_host(NAMESPACE)
    for name in ("tls.crt", "tls.key"):
        (cars.folder / name).write_bytes(base64.b64decode(leaf["data"][name]))
    await cars.start_gateway()
    await _announce(stage, cars)


async def _announce(stage: Stage, cars: Traffic) -> None:
    """Where it is asked, in a slice of the gateway's Service."""
    assert cars._gateway is not None
    metadata = {"name": SLICE, "namespace": NAMESPACE, "labels": {"kubernetes.io/service-name": names.SERVICE}}
    body = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "addressType": "IPv4",
        "metadata": metadata,
        "endpoints": [{"addresses": [GATEWAY], "conditions": {"ready": True}}],
        "ports": [{"name": names.ACTIVITY, "port": cars._gateway.process.activity, "protocol": "TCP"}],
    }
    await stage.api.apply(f"{paths.endpointslices(NAMESPACE)}/{SLICE}", body)


async def _token(stage: Stage, path: Path) -> None:
    """As a kubelet puts it into the operator's pod."""
    token = await token_of(stage.api, ACCOUNT, audiences=[names.audience(names.ACTIVITY)])
    await asyncio.to_thread(path.write_text, token)
