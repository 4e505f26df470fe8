"""The forward proxy without sockets: a devbox's connection and its host's, whose transports are lists; the dial is the test's."""

import asyncio
import base64
import io
import json
from types import SimpleNamespace
from typing import Any, cast

from devbox_proxy.accounting.audit import AuditLog
from devbox_proxy.accounting.limits import Load
from devbox_proxy.accounting.recorder import Recorder
from devbox_proxy.decide.admission import Refuse
from devbox_proxy.decide.connect_decision import Grant
from devbox_proxy.kit.memory import Memory
from devbox_proxy.known.facts import Known, ReviewTimes
from devbox_proxy.known.floor import Floor
from devbox_proxy.reviews.waiting import Waiting
from devbox_proxy.settings import EgressSettings, Limits
from devbox_proxy.tunnels.client import ConnectConnection
from devbox_proxy.tunnels.far_side import FarSide
from devbox_proxy.tunnels.forwarder import Forwarder
from devbox_proxy.tunnels.tunnel import Stage
from devbox_proxy.upstreams.dial_check import Resolver, WayOut

from .egress_world import world
from .hellos import client_hello, server_hello
from .identities import jwt
from .playbook import PEER, Transport

HELLO = client_hello()
AUTH = "Basic " + base64.b64encode(f"devbox:gws_{jwt(6)}".encode()).decode()


def connect(target: str = "api.github.com:443", auth: str | None = AUTH) -> bytes:
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}", *([f"Proxy-Authorization: {auth}"] if auth else [])]
    return "\r\n".join([*lines, "", ""]).encode()


class Dials(Forwarder):
    """The dial is the test's."""

    outcome: "asyncio.Future[tuple[Any, str] | Refuse]"
    dialled: list[Grant]

    async def dial(self, grant: Grant, make: Any) -> tuple[Any, str] | Refuse:
        self.dialled.append(grant)
        return await self.outcome


class Play:
    """One devbox's connection and the one to its host."""

    def __init__(self, known: Known | None = None, *, drop: bool = True, queue: int = 1000, **settings: Any) -> None:
        self.world = known or world()
        self.audit = io.BytesIO()
        self.log = AuditLog(queue, drop=drop, stream=self.audit)
        self.renewed: list[Any] = []
        waiting = Waiting(cast(Any, None), cast(Any, SimpleNamespace(renew=lambda *s: self.renewed.append(s))), 1.0)
        state = cast(Any, SimpleNamespace(known=self.world))
        times = ReviewTimes(review=1e12)
        egress = EgressSettings(**settings)
        self.load = Load(Memory(85), requests=(10, 10), tunnels=(egress.tunnels, egress.tunnels_per_devbox))
        self.forwarder = Dials(
            self.load,
            Recorder(self.log),
            state,
            waiting,
            Resolver(WayOut(), Floor),
            times=times,
            settings=egress,
            limits=Limits(write_stall_seconds=100),
            way_out=WayOut(),
        )
        self.forwarder.outcome, self.forwarder.dialled = asyncio.get_running_loop().create_future(), []
        self.made: list[ConnectConnection] = []
        self.lost: list[ConnectConnection] = []
        self.client = ConnectConnection(self.forwarder, PEER, on_made=self.made.append, on_lost=self.lost.append)
        self.to_client, self.to_far = Transport(), Transport()
        self.client.connection_made(self.to_client)
        self.far = FarSide()
        self.far.connection_made(self.to_far)

    def send(self, data: bytes) -> bytes:
        """The devbox says something; what the host gets."""
        self.client.data_received(data)
        return self.to_far.take()

    def answer(self, data: bytes) -> bytes:
        """The host says something; what the devbox gets."""
        self.far.data_received(data)
        return self.to_client.take()

    async def dialled(self, outcome: Refuse | None = None) -> bytes:
        """The dial ends; what the devbox gets."""
        self.forwarder.outcome.set_result(outcome or (self.far, "140.82.112.5:443"))
        for _ in range(3):
            await asyncio.sleep(0)
        return self.to_client.take()

    async def tunnel(self, early: bytes = b"", target: str = "api.github.com:443") -> None:
        """Up to the 200."""
        assert self.send(connect(target) + early) == b""
        await asyncio.sleep(0)
        assert self.to_client.paused
        assert await self.dialled() == b"HTTP/1.1 200 Connection established\r\n\r\n"
        assert not self.to_client.paused

    async def open(self) -> None:
        """Up to where bytes pass."""
        await self.tunnel()
        assert self.send(HELLO) == HELLO
        assert self.answer(server_hello()) == server_hello()
        assert self.stage is Stage.OPEN

    @property
    def stage(self) -> Stage:
        assert self.client.tunnel is not None
        return self.client.tunnel.stage

    def check(self, seconds: float) -> None:
        """What is looked at twice a second, so many seconds from now."""
        self.client.check(asyncio.get_running_loop().time() + seconds)

    def lines(self) -> list[dict[str, Any]]:
        self.log.close()
        return [json.loads(line) for line in self.audit.getvalue().splitlines()]

    def ended(self) -> str:
        """Why, in the last line; nothing is left of it."""
        assert not self.load.tunnels._by_pod
        assert self.load.tunnels.total == 0
        return str(self.lines()[-1]["ended"])
