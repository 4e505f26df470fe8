"""A gateway on a machine that stood still: what it knew is as old as it is, and what it did not hear it asks for at once.

Its watches' connections are dead when it wakes, and nobody says so: as where a migration or a firewall's table lost them.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from tests.support.gateway_process import HOST, Stage, stage
from tests.support.kube_api import Cluster, Devbox
from tests.support.standstill import Pause, Standstill, possible

from .processes import own_address
from .raw_api import RawApi, answering, raw_api

pytestmark = pytest.mark.skipif(not possible(), reason="needs gcc")
PAUSE_SECONDS = 6.0
STILL_SECONDS = 20.0
"""A watch that says nothing is opened anew after 60 s."""
API_HOST = "api.example"


class Guest:
    """A gateway in a machine that can be stopped, and two devboxes that it knows."""

    def __init__(self, gateway: Stage, machine: Standstill, http: aiohttp.ClientSession, api: RawApi) -> None:
        self._gateway, self._machine, self._http, self.api = gateway, machine, http, api
        self._tokens: dict[str, str] = {}
        self.deleted = Devbox(gateway.cluster, "deleted")
        self.stays = Devbox(gateway.cluster, "stays")
        for devbox in (self.deleted, self.stays):
            devbox.pod_object()
            self._tokens[devbox.name] = devbox.bind("API", f"http://{API_HOST}", "sk-pause-credential-1")

    async def known(self) -> None:
        for devbox in (self.deleted, self.stays):
            async with asyncio.timeout(10):
                while await self.ask(devbox) != (200, ""):  # noqa: ASYNC110 (another process)
                    await asyncio.sleep(0.05)
        await asyncio.sleep(1.2)  # the API server is looked at, and dated, at least once

    async def pause(self, how: Pause) -> None:
        pid = self._gateway.process.process.pid
        self._machine.stop(pid)
        self._gateway.cluster.silence_watches()
        self.deleted.delete()
        await asyncio.sleep(PAUSE_SECONDS)
        self._machine.wake(pid, how)

    async def ask(self, devbox: Devbox) -> tuple[int, str]:
        key = {"x-api-key": self._tokens[devbox.name]}
        url = f"https://127.0.0.1:{self._gateway.port}/"
        async with self._http.get(url, headers=key, ssl=self._gateway.trust, server_hostname=HOST) as answer:
            body = await answer.read()
            return answer.status, "" if answer.status == 200 else json.loads(body)["error"]["code"]

    async def accepted_for(self) -> float:
        """Seconds after which the deleted pod's token is refused for good; the other's is not refused at all."""
        began, last = time.monotonic(), 0.0
        refused = 0
        while refused < 20:
            assert refused or time.monotonic() - began < STILL_SECONDS, "it still counts"
            status, code = await self.ask(self.deleted)
            if status == 200:
                last, refused = time.monotonic() - began, 0
            else:
                assert (status, code) == (403, "pod_gone")
                refused += 1
            assert await self.ask(self.stays) == (200, "")
            await asyncio.sleep(0.02)
        return last


@pytest.fixture
async def guest(tmp_path: Path, http: aiohttp.ClientSession) -> AsyncIterator[Guest]:
    machine = Standstill(tmp_path)
    head = b"200 OK\r\nKeep-Alive: timeout=100\r\nContent-Length: 2"
    async with raw_api(answering(head, b"ok"), own_address()) as api:
        upstreams = {"addressOverrides": {API_HOST: f"{own_address()}:{api.port}"}}
        async with stage(Cluster(), hosts=(API_HOST,), prefix=machine.prefix, upstreams=upstreams) as gateway:
            yield Guest(gateway, machine, http, api)


@pytest.mark.parametrize(("how", "seconds"), [(Pause.SLEPT, 3.0), (Pause.HELD, 6.0)], ids=["slept", "held"])
async def test_a_pod_that_was_deleted_while_the_machine_stood_still_is_refused_at_once(
    guest: Guest, how: Pause, seconds: float
) -> None:
    """Where no clock of the machine tells, the API server's does, which is looked at once a second. (Other tests take some time, too.)"""
    await guest.known()
    await guest.pause(how)
    assert await guest.accepted_for() < seconds


async def test_a_connection_to_an_api_that_rested_meanwhile_is_not_used_again(guest: Guest) -> None:
    """The API would have kept it, by what it says; but nobody may have told this machine that it is gone."""
    await guest.known()
    assert await guest.ask(guest.stays) == (200, "")
    connections = guest.api.connections
    await guest.pause(Pause.SLEPT)
    assert await guest.ask(guest.stays) == (200, "")
    assert guest.api.connections > connections
