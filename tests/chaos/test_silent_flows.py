"""A network that forgets connections on which nothing passes, and peers that are gone without a word: real packets, a real gateway.

The firewall remembers a silence of 3 s; the gateway breaks it each second (`timeouts.goneSeconds` 5). By the defaults it breaks one of
15 s, and gives a peer up after 75.
"""

import asyncio
import contextlib
import json
import ssl
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
import uvloop
from tests.support.firewall import Firewall, firewall
from tests.support.gateway_process import server_tls, write_files
from tests.support.kube_api import Devbox
from tests.support.netns import GATEWAY
from tests.support.raw_client import RawClient

from devbox_stage.credentials import make_certificates

from .api import EVENT, Api, Ask, api, early
from .client import Client
from .world import World, eventually, world

pytestmark = pytest.mark.row("S17")
REMEMBERS: Final = 3
"""Seconds."""
SILENT: Final = 6.0
"""Twice as many."""
GONE: Final = 5
WAITS: Final = 30.0
"""For what takes GONE, on a busy machine."""
FAR_HOST: Final = "far.chaos.test"
FAR_ADDRESS: Final = "10.203.1.40"


async def _pauses(ask: Ask) -> None:
    """An answer in whose midst nothing is said for longer than the network remembers."""
    await ask.sse()
    await ask.event()
    await asyncio.sleep(SILENT)
    await ask.event()
    await ask.end()


async def _never(ask: Ask) -> None:
    await ask.reader.read(1)


async def _mute(ask: Ask) -> None:
    while await ask.reader.read(1 << 16):
        pass


async def _begins(ask: Ask) -> None:
    await ask.sse()
    await ask.event()
    await _never(ask)


WAYS: Final = {"/pauses": _pauses, "/never": _never, "/begins": _begins, "/upload": early(_mute)}


class Scene:
    """A gateway behind such a firewall, which stands before the APIs, too: the data port's, and a tunnel's."""

    def __init__(self, stage: World, far: Api, trust: ssl.SSLContext, wall: Firewall, devbox: Devbox) -> None:
        """`trust`: for the tunnel's far end."""
        self.stage, self.far, self.wall = stage, far, wall
        self._trust, self._devbox = trust, devbox
        self._token = devbox.bind_egress(stage.cluster.policy(hostnames=[FAR_HOST]))

    @property
    def client(self) -> Client:
        """Of the devbox."""
        return self.stage.client(self._devbox, self.stage.gateway)

    async def tunnel(self, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A request in a tunnel, to its far end."""
        address = GATEWAY, self.stage.gateway.process.egress
        reader, writer = await asyncio.open_connection(*address, local_addr=(self._devbox.address, 0))
        target = f"{FAR_HOST}:443"
        writer.write(
            f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nProxy-Authorization: Bearer {self._token}\r\n\r\n".encode()
        )
        if not (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200"):
            writer.close()
            raise ConnectionRefusedError
        await writer.start_tls(self._trust, server_hostname=FAR_HOST)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {FAR_HOST}\r\n\r\n".encode())
        return reader, writer

    async def tunnels(self) -> bool:
        """The gateway knows that the devbox may have some."""
        try:
            _, writer = await self.tunnel("/")
        except (ConnectionRefusedError, asyncio.IncompleteReadError):
            return False
        writer.close()
        return True

    async def upload(self) -> RawClient:
        """A request whose body is not whole."""
        client = await self.stage.raw(self._devbox)
        head = self.stage.request(self._devbox, "POST /upload HTTP/1.1", "Transfer-Encoding: chunked")
        await client.send(head + b"5\r\nfirst\r\n")
        return client

    async def ended(self, *how: str) -> None:
        """The audit lines say so."""
        await eventually(lambda: set(how) <= {line.get("ended") for line in self._lines()}, WAITS)

    def _lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stage.gateway.process.output if '"audit":"end"' in line]


@contextlib.asynccontextmanager
async def _scene() -> AsyncIterator[Scene]:
    pair = make_certificates((FAR_HOST,))
    with tempfile.TemporaryDirectory(prefix="far-") as name:
        write_files(Path(name), pair, "http://127.0.0.1:1")
        tls = server_tls(Path(name))
    async with api(FAR_ADDRESS, tls) as far:
        there = f"{far.address[0]}:{far.address[1]}"
        async with world(timeouts={"goneSeconds": GONE}, egress={"addressOverrides": {FAR_HOST: there}}) as stage:
            for each in (stage.api, far):
                each.ways |= WAYS
            devbox = stage.devbox(40)
            await stage.known(1)
            process = stage.gateway.process
            ports = [stage.api.address[1], far.address[1], process.data, process.egress]
            with firewall(ports, REMEMBERS) as wall:
                scene = Scene(stage, far, ssl.create_default_context(cadata=pair.ca), wall, devbox)
                await stage.warm(devbox)
                await eventually(scene.tunnels, WAITS)
                yield scene


async def _silent_flows() -> None:
    async with _scene() as scene:

        async def tunnelled() -> bytes:
            reader, writer = await scene.tunnel("/pauses")
            got = await reader.readuntil(b"0\r\n\r\n")
            writer.close()
            return got

        async with asyncio.timeout(WAITS):
            answer, got = await asyncio.gather(scene.client.request("POST", "/pauses", b"{}"), tunnelled())
        assert answer.fine
        assert answer.body == EVENT * 2
        assert got.count(EVENT) == 2


async def _vanished_apis() -> None:
    async with _scene() as scene:
        stage = scene.stage
        waiting = asyncio.create_task(scene.client.request("POST", "/never", b"{}"))
        begun = asyncio.create_task(scene.client.request("POST", "/begins", b"{}"))
        reader, writer = await scene.tunnel("/begins")
        await reader.readuntil(EVENT + b"\r\n")
        uploading = await scene.upload()
        await eventually(lambda: all(stage.api.asked[path] for path in ("/never", "/begins", "/upload")), WAITS)
        for each in (stage.api, scene.far):
            scene.wall.swallow(each.address[1])
        # Of what is on its way, and never acknowledged, the kernel's keepalive knows nothing.
        await uploading.send(b"5\r\nlater\r\n")
        async with asyncio.timeout(WAITS):
            answer = await waiting
            assert (answer.status, answer.code) == (504, "upstream_timeout")
            await uploading.until(lambda client: client.ended is not None, WAITS)
            assert uploading.received.startswith(b"HTTP/1.1 504 ")
            assert b'"upstream_timeout"' in uploading.received
            assert (await begun).error == "cut"
            assert await reader.read() == b""
        writer.close()
        await uploading.close()
        await scene.ended("upstream_timeout", "upstream_cut", "upstream_gone")


def test_what_is_silent_for_longer_than_the_network_remembers_lives_on_both_legs() -> None:
    uvloop.run(_silent_flows())


def test_an_api_that_vanished_is_noticed_and_said() -> None:
    uvloop.run(_vanished_apis())
