"""Bytes in, bytes out: the data path without sockets. A client's and an API's connection whose transports are lists.

`Play` plays both sides; time and what is known are the test's.
"""

import asyncio
import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from devbox_proxy.accounting.audit import AuditLog
from devbox_proxy.accounting.limits import Load
from devbox_proxy.accounting.recorder import Recorder
from devbox_proxy.decide.caller import Caller
from devbox_proxy.kit.memory import Memory
from devbox_proxy.kit.rounds import Rounds
from devbox_proxy.known.credentials import PoolKey
from devbox_proxy.known.facts import Known, ReviewTimes
from devbox_proxy.requests.connection import Connection
from devbox_proxy.requests.data_path import DataPath
from devbox_proxy.requests.decider import Decider, TokenDecider
from devbox_proxy.reviews.waiting import Waiting
from devbox_proxy.settings import Limits, UpstreamTimeouts
from devbox_proxy.upstreams.connection import UpstreamConnection, UpstreamError
from devbox_proxy.wire.messages import UpstreamRequest

from .identities import CURRENT, NOW, known

TOKEN = f"gws_{CURRENT}"
PEER = "10.244.0.7"
CALLER = Caller("team-a", "agent", "agent-1", "uid-1", "ANTHROPIC")
"""Whose pod it is."""
POOL = PoolKey("https://api.example", "uid-config", "credential", "1", "", "team-a")


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.paused = self.closing = self.aborted = self.eof = False
        self.tls = False
        self.unsent = 0
        """Bytes that the other side has not taken yet."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.aborted
        self.written.append(bytes(data))

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = self.aborted = True

    def can_write_eof(self) -> bool:
        return not self.tls

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def write_eof(self) -> None:
        self.eof = True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def take(self) -> bytes:
        """What was written since the last call."""
        out, self.written = b"".join(self.written), []
        return out


class Pools:
    """In place of the connections to APIs: gives out the ones that the test put in."""

    def __init__(self) -> None:
        self.rounds = Rounds()
        self.idle_ones: list[UpstreamConnection] = []
        self.released: list[UpstreamConnection] = []
        self.forgotten: list[UpstreamConnection] = []
        self.lost: list[UpstreamConnection] = []
        self.dialled: asyncio.Future[UpstreamConnection] = asyncio.get_running_loop().create_future()
        self.keys: list[PoolKey] = []

    def idle(self, key: PoolKey) -> UpstreamConnection | None:
        self.keys.append(key)
        return self.idle_ones.pop() if self.idle_ones else None

    async def dial(self, key: PoolKey, request: UpstreamRequest) -> UpstreamConnection:
        return await self.dialled

    def release(self, connection: UpstreamConnection) -> None:
        self.released.append(connection)

    def forget(self, connection: UpstreamConnection) -> None:
        self.forgotten.append(connection)

    def closed(self, connection: UpstreamConnection, *, dead: bool = False) -> None:
        self.forget(connection)

    def unanswered(self, connection: UpstreamConnection) -> None:
        self.lost.append(connection)


def scarce(folder: Path) -> Memory:
    """Memory that is used up, as the kernel would say it in `folder`."""
    (folder / "memory.max").write_text("1000")
    (folder / "memory.current").write_text("2000")
    memory = Memory(85, folder)
    memory.look(0, 0)
    return memory


class Play:
    """One client's connection and one API's."""

    def __init__(
        self,
        world: Known | None = None,
        *,
        connected: bool = True,
        decider: Decider | None = None,
        peer: str = PEER,
        path: DataPath | None = None,
        **changed: Any,
    ) -> None:
        """`decider`: in place of the one that asks for a token; `path`: another's, whose connection it is, too; `changed`: of
        settings.Limits."""
        self.world = world or known()
        self.pools = Pools()
        self.audit = io.BytesIO()
        self.audit_log = AuditLog(1000, drop=False, stream=self.audit)
        limits = Limits(**changed)
        self.load = Load(
            Memory(limits.memory_percent), requests=(limits.requests, limits.requests_per_devbox), tunnels=(10, 10)
        )
        self.path = path or DataPath(
            cast(Any, self.pools),
            self.load,
            Recorder(self.audit_log),
            public_url="https://gateway.system.svc",
            timeouts=UpstreamTimeouts(first_byte_seconds=10, idle_seconds=5),
            limits=limits,
        )
        waiting = Waiting(cast(Any, None), cast(Any, SimpleNamespace(renew=lambda *_: None)), 1.0)
        asks = TokenDecider(cast(Any, SimpleNamespace(known=self.world)), waiting, self.load, ReviewTimes(review=1e12))
        self.made: list[Connection] = []
        self.lost: list[Connection] = []
        self.client = Connection(self.path, decider or asks, peer, on_made=self.made.append, on_lost=self.lost.append)
        self.to_client = Transport()
        self.client.connection_made(self.to_client)
        self.api = UpstreamConnection(POOL, self.pools)
        self.to_api = Transport()
        self.api.connection_made(self.to_api)
        if connected:
            self.pools.idle_ones.append(self.api)

    def send(self, data: bytes) -> bytes:
        """The client says something; what the API gets."""
        self.client.data_received(data)
        return self.to_api.take()

    def answer(self, data: bytes) -> bytes:
        """The API says something; what the client gets."""
        self.api.data_received(data)
        return self.to_client.take()

    def api_lost(self, error: Exception | None = None) -> bytes:
        """The API's connection ends; what the client gets."""
        self.api.connection_lost(error)
        return self.to_client.take()

    async def dialled(self, error: UpstreamError | None = None) -> None:
        """A dial ends."""
        if error is None:
            self.pools.dialled.set_result(self.api)
        else:
            self.pools.dialled.set_exception(error)
        for _ in range(3):
            await asyncio.sleep(0)

    async def settled(self) -> None:
        """All turns of long reads are taken."""
        while self.client._later:  # noqa: ASYNC110 (turns are no events)
            await asyncio.sleep(0)

    def lines(self) -> list[bytes]:
        """The audit log; ends it."""
        self.audit_log.close()
        return self.audit.getvalue().splitlines()


def request(
    method: str = "POST", target: str = "/v1", *headers: str, body: bytes = b"", token: str = TOKEN, version: str = "HTTP/1.1"
) -> bytes:
    """A request with the devbox's token, `Content-Length` if it has a body."""
    lines = [f"{method} {target} {version}", "Host: g", f"x-api-key: {token}", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


__all__ = ["NOW", "PEER", "TOKEN", "Play", "Transport", "request"]
