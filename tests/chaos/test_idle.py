"""Devboxes in which nobody works (spec.lifecycle.idle), at a real API server, with real gateways that tell when they were in use.

The least time is a minute, and each operator takes a pod for in use for five minutes more than the status says. So what is to have been
idle for long has a status that says so; the operator that reads it has just taken over from one that is killed, and its clock is five
minutes ahead.
"""

import asyncio
import contextlib
import itertools
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.chaos.api import Ask, plain
from tests.chaos.world import eventually
from tests.support.gateway_process import running
from tests.support.netns import GATEWAY
from tests.support.release import LEASE, NAMESPACE, Release

from devbox_api import names
from devbox_common.kube import Object
from devbox_operator.kit import paths

from .operator.asked import asked
from .operator.clocks import SKEW, clock, tidy
from .operator.proxy import Call, Fault, Proxy
from .operator.stage import Replica, Stage
from .operator.traffic import Agent, Traffic

pytestmark = pytest.mark.row("S23")
SECONDS = 60.0
"""For anything, on a machine that is busy."""


def moment(**ago: float) -> str:
    return (datetime.now(UTC) - timedelta(**ago)).strftime("%Y-%m-%dT%H:%M:%SZ")


class House:
    """A stage, a gateway that the operator asks, and Devboxes of a namespace."""

    def __init__(self, stage: Stage, cars: Traffic, space: str, token_file: Path) -> None:
        self.stage, self.cars, self.space = stage, cars, space
        self.settings: dict[str, Any] = {"activity": {"tokenFile": str(token_file)}}

    async def agent(self, name: str, action: str) -> Agent:
        """Of a new Devbox, once it is counted."""
        await self.stage.create(self.space, name, lifecycle={"idle": {"after": "10m", "action": action}})
        found = await self.cars.agent(self.space, name)

        async def counted() -> bool:
            return bool((await self.status(name)).get("lastActivity"))

        await eventually(counted, SECONDS)
        return found

    async def box(self, name: str) -> Object | None:
        return await self.stage.get(paths.devboxes(self.space, name))

    async def status(self, name: str) -> Object:
        return (await self.box(name) or {}).get("status") or {}

    async def killed(self, *names: str) -> None:
        """The operator is; and those Devboxes were last in use half an hour ago, as it wrote."""
        self.stage.stop()
        for name in names:
            await self.stage.patch(
                f"{paths.devboxes(self.space, name)}/status", {"status": {"lastActivity": moment(minutes=30)}}
            )

    async def next_operator(self, prepare: Callable[[Proxy], None] | None = None, **record: Any) -> Replica:
        """`record`: what the one before left behind, of gateways; `prepare`: what is done to its proxy, so that it may not get far."""
        said = json.dumps({"at": moment(), "missed": None, "gateways": [], **record})
        annotations = {names.ACTIVITY_ANNOTATION: said}
        await self.stage.patch(LEASE, {"metadata": {"annotations": annotations}, "spec": {"holderIdentity": ""}})
        how: dict[str, Any] = {} if prepare is None else {"prepare": prepare, "leading": False}
        return await self.stage.start(prefix=clock(SKEW), patient=True, **how, **self.settings)

    async def record(self) -> Object:
        """As the operator writes it now."""
        lease = await self.stage.get(LEASE) or {"metadata": {}}
        found: Object = json.loads((lease["metadata"].get("annotations") or {}).get(names.ACTIVITY_ANNOTATION, "{}"))
        return found


@contextlib.asynccontextmanager
async def house(release: Release) -> AsyncIterator[House]:
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(tidy())
        made, cars, token_file = await stack.enter_async_context(asked(release))
        yield House(made, cars, await made.namespace(), token_file)


async def test_one_in_which_nobody_works_rests_until_it_is_resumed_and_one_that_calls_goes_on(release: Release) -> None:
    async with house(release) as here:
        for name, action in (("left", "Suspend"), ("thrown", "Delete"), ("waited-for", "Suspend")):
            await here.agent(name, action)
        worker = await here.agent("busy", "Suspend")
        await here.killed("left", "thrown", "busy", "waited-for")
        assert (await here.cars.answers(worker)).fine, "nobody sees it but the gateway"
        until = {"metadata": {"annotations": {names.ACTIVE_UNTIL_ANNOTATION: moment(hours=-1)}}}
        await here.stage.patch(paths.devboxes(here.space, "waited-for"), until)
        await here.next_operator()

        async def done() -> bool:
            status = await here.status("left")
            return bool(status.get("phase") == "Suspended" and await here.box("thrown") is None)

        await eventually(done, SECONDS)
        status = await here.status("left")
        found = {one["type"]: one for one in status["conditions"]}
        assert (status["suspendedBy"], found["Suspended"]["reason"], "Ready" in found) == ("Idle", "SuspendedIdle", False)
        assert "suspend" not in (await here.box("left") or {})["spec"]

        async def seen() -> bool:
            return bool((await here.status("busy")).get("lastActivity", "") > moment(minutes=10))

        await eventually(seen, SECONDS)
        for name in ("busy", "waited-for"):
            status = await here.status(name)
            assert (status["phase"], status.get("suspendedBy")) == ("Running", None), name
        pods = await here.stage.pods(here.space)
        assert {pod["metadata"]["labels"][names.DEVBOX_LABEL] for pod in pods} == {"busy", "waited-for"}

        resumed = {"metadata": {"annotations": {names.RESUMED_AT_ANNOTATION: moment()}}}
        await here.stage.patch(paths.devboxes(here.space, "left"), resumed)
        await here.cars.agent(here.space, "left")

        async def counts_anew() -> bool:
            status = await here.status("left")
            return bool(not status.get("suspendedBy") and status.get("lastActivity", "") > moment(minutes=10))

        await eventually(counts_anew, SECONDS)


async def test_what_a_gateway_that_is_gone_may_have_seen_counts_as_use(release: Release) -> None:
    async with house(release) as here:
        await here.agent("left", "Suspend")
        await here.killed("left")
        await here.next_operator(gateways=["one-that-vanished-meanwhile"])

        async def missed() -> bool:
            return bool((await here.record()).get("missed"))

        await eventually(missed, SECONDS)
        assert (await here.status("left"))["phase"] == "Running"
        assert "one-that-vanished-meanwhile" not in (await here.record())["gateways"]


@contextlib.asynccontextmanager
async def another_gateway(here: House) -> AsyncIterator[None]:
    """Beside the first, and asked, too."""
    path = f"{paths.endpointslices(NAMESPACE)}/gateway-other"
    async with running(here.cars.folder, here.cars.folder / "proxy.yaml") as process:
        metadata = {"name": "gateway-other", "namespace": NAMESPACE, "labels": {"kubernetes.io/service-name": names.SERVICE}}
        kind = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4", "metadata": metadata}
        ports = [{"name": names.ACTIVITY, "port": process.activity, "protocol": "TCP"}]
        endpoints = [{"addresses": [GATEWAY], "conditions": {"ready": True}}]
        await here.stage.api.apply(path, {**kind, "endpoints": endpoints, "ports": ports})
        try:
            yield
        finally:
            await here.stage.api.request("DELETE", path)


async def test_one_whose_call_goes_on_at_a_gateway_that_ends_is_in_use(release: Release) -> None:
    async with house(release) as here:
        worker = await here.agent("busy", "Suspend")
        await here.agent("left", "Suspend")
        begun, ends = asyncio.Event(), asyncio.Event()

        async def slow(ask: Ask) -> None:
            begun.set()
            await ends.wait()
            await plain(ask)

        here.cars.api.ways["/slow"] = slow
        client = here.cars.client(worker)
        call = asyncio.create_task(client.request(path="/slow"))
        await asyncio.wait_for(begun.wait(), SECONDS)
        await here.killed("left", "busy")
        os.kill(here.cars.pid, signal.SIGTERM)
        async with another_gateway(here):
            await here.next_operator()

            async def rests() -> bool:
                return (await here.status("left")).get("suspendedBy") == "Idle"

            async def seen() -> bool:
                return bool((await here.status("busy")).get("lastActivity", "") > moment(minutes=10))

            await eventually(rests, SECONDS)
            await eventually(seen, SECONDS)
            assert (await here.status("busy")).get("suspendedBy") is None
            assert not call.done()
            ends.set()
            assert (await call).fine
        client.close()


@pytest.mark.parametrize("number", [1, 2])
async def test_an_operator_that_is_killed_in_the_midst_of_it_is_followed_by_one_that_ends_it(
    release: Release, number: int
) -> None:
    """After the status that says so, and after the pod's deletion was asked for, whose answers are lost."""
    async with house(release) as here:
        await here.agent("left", "Suspend")
        await here.killed("left")
        writes = itertools.count(1)

        def kills(proxy: Proxy) -> None:
            def after(call: Call) -> bool:
                if not call.writes or "left" not in call.path or "/events" in call.path or next(writes) != number:
                    return False
                here.stage.replicas[-1].operator.kill()
                return True

            proxy.fault = Fault(after=after)

        first = await here.next_operator(kills)

        async def ended() -> bool:
            return not first.operator.alive

        await eventually(ended, SECONDS)
        await here.next_operator()

        async def done() -> bool:
            return (await here.status("left")).get("phase") == "Suspended" and not await here.stage.pods(here.space)

        await eventually(done, SECONDS)
        assert (await here.status("left"))["suspendedBy"] == "Idle"
