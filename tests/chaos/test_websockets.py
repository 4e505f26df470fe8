"""How a WebSocket ends by the gateway's hand, or under it: what both sides are told, what the audit line says. A real gateway, with TLS."""

import base64
import contextlib
import hashlib
import json
import signal
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
import uvloop
from tests.support.kube_api import Devbox
from tests.support.raw_client import RawClient

from .api import Ask, reset
from .world import World, eventually, world

pytestmark = pytest.mark.row("S17")
KEY: Final = base64.b64encode(b"0123456789abcdef").decode()
HANDSHAKE: Final = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {KEY}")
ACCEPT: Final = hashlib.sha1(KEY.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11", usedforsecurity=False).digest()
SWITCH: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %b\r\n\r\n"
    % base64.b64encode(ACCEPT)
)
HELLO: Final = b"\x81\x05hello"
HALF: Final = b"\x81\x05he"
IDLE: Final = 2
WAITS: Final = 30.0
"""For what takes IDLE, on a busy machine."""


def _closing(why: bytes) -> bytes:
    """1001, in a frame of a server's."""
    return bytes([0x88, 2 + len(why)]) + (1001).to_bytes(2, "big") + why


class Side:
    """The API's side of one WebSocket."""

    def __init__(self, first: bytes) -> None:
        self.first = first
        """What it says once the protocol is switched."""
        self.got = b""
        """From then on."""
        self.ended = False
        self.ask: Ask | None = None

    async def serve(self, ask: Ask) -> None:
        """A way of chaos.api."""
        self.ask = ask
        await ask.send(SWITCH + self.first)
        with contextlib.suppress(OSError):
            while data := await ask.reader.read(1 << 16):
                self.got += data
        self.ended = True

    @property
    def told(self) -> bytes:
        """The payload of the Close frame that it was sent; empty without one."""
        at = self.got.find(b"\x88")
        if at < 0:
            return b""
        key, payload = self.got[at + 2 : at + 6], self.got[at + 6 :]
        return bytes(byte ^ key[place % 4] for place, byte in enumerate(payload))


class Scene:
    """A gateway, and a devbox that opens WebSockets."""

    def __init__(self, stage: World) -> None:
        self.stage = stage
        self._count = 0

    async def open(self, devbox: Devbox, first: bytes = HELLO) -> tuple[RawClient, Side]:
        """One, over which the API has said `first`."""
        side, path = Side(first), f"/socket-{self._count}"
        self._count += 1
        self.stage.api.ways[path] = side.serve
        client = await self.stage.raw(devbox)
        await client.send(self.stage.request(devbox, f"GET {path} HTTP/1.1", *HANDSHAKE))
        assert await client.until(lambda client: client.received.endswith(b"\r\n\r\n" + first), WAITS)
        del client.received[:]
        return client, side

    async def ends(self, *sides: tuple[RawClient, Side]) -> None:
        """Both sides of each hear of an end."""
        for client, side in sides:
            assert await client.until(lambda client: client.ended is not None, WAITS)
            await eventually(lambda: side.ended, WAITS)  # noqa: B023 (awaited here)
            await client.close()

    async def audited(self, *ended: str) -> None:
        """These ends are in audit lines, in some order, and no others."""
        await eventually(lambda: sorted(self._ended()) == sorted(ended), WAITS)

    def _ended(self) -> list[Any]:
        lines = [json.loads(line) for line in self.stage.gateway.process.output if '"audit":"end"' in line]
        return [line["ended"] for line in lines if line["status"] == 101]


@contextlib.asynccontextmanager
async def _scene(**change: Any) -> AsyncIterator[Scene]:
    async with world(**change) as stage:
        yield Scene(stage)


async def _silence_and_cuts() -> None:
    async with _scene(timeouts={"websocketIdleSeconds": IDLE, "idleSeconds": 1}) as scene:
        devbox = scene.stage.devbox(41)
        await scene.stage.known(1)
        await scene.stage.warm(devbox)
        whole, half = await scene.open(devbox), await scene.open(devbox, HALF)
        await scene.ends(whole, half)
        assert bytes(whole[0].received) == _closing(b"idle")
        assert bytes(half[0].received) == b"", "the half of a message that is no end"
        assert whole[1].told == half[1].told == (1001).to_bytes(2, "big") + b"idle"
        await scene.audited("idle", "idle")

        cut = await scene.open(devbox)
        assert cut[1].ask is not None
        reset(cut[1].ask.writer)
        ended = await scene.open(devbox)
        assert ended[1].ask is not None
        ended[1].ask.writer.close()
        said = await scene.open(devbox)
        assert said[1].ask is not None
        said[1].ask.writer.write(b"\x88\x02\x03\xe8")
        said[1].ask.writer.close()
        for client, _ in (cut, ended, said):
            assert await client.until(lambda client: client.ended is not None, WAITS)
            await client.close()
        assert bytes(cut[0].received) == bytes(ended[0].received) == b"", "the API has not said good-bye"
        assert bytes(said[0].received) == b"\x88\x02\x03\xe8"
        await scene.audited("idle", "idle", "upstream_cut", "upstream_cut", "complete")


async def _other_ends() -> None:
    async with _scene(shutdownSeconds=0.5) as scene:
        stage = scene.stage
        staying, going = stage.devbox(42), stage.devbox(43)
        await stage.known(2)
        await stage.warm(staying, going)
        stays, goes = await scene.open(staying), await scene.open(going)
        left = await scene.open(staying)
        await left[0].close()
        await eventually(lambda: left[1].ended, WAITS)
        assert left[1].told == (1001).to_bytes(2, "big") + b"client_gone"
        going.delete()
        await scene.ends(goes)
        assert bytes(goes[0].received) == _closing(b"pod_gone")
        stage.gateway.signal(signal.SIGTERM)
        await scene.ends(stays)
        assert bytes(stays[0].received) == _closing(b"shutdown")
        assert stays[1].told == (1001).to_bytes(2, "big") + b"shutdown"
        await stage.gateway.process.end()
        await scene.audited("client_gone", "pod_gone", "shutdown")


def test_a_silent_websocket_is_told_its_end_and_what_the_api_cuts_is_a_cut() -> None:
    uvloop.run(_silence_and_cuts())


def test_a_websocket_is_told_that_its_pod_or_the_gateway_goes() -> None:
    uvloop.run(_other_ends())
