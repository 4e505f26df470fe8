"""A gateway process whose standard output is read slowly, or not at all: who writes much waits, the others don't."""

import asyncio
import contextlib
import json
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic as now
from typing import Any, Final

from tests.support.gateway_process import HOST, Process, running, server_tls, settings, write_files
from tests.support.kube_api import Cluster, Devbox

from devbox_stage.credentials import make_certificates

from .processes import own_address
from .raw_api import answering, raw_api

QUEUE: Final = 512
LONG: Final = "/v1/" + "a" * 6000
"""A line that held it would be as long, and there are two for a request."""
MOST: Final = 20_000
"""Requests until the flood has to meet its bound."""


class Client:
    """One devbox's requests, one after the other."""

    def __init__(self, port: int, address: str, token: str, trust: ssl.SSLContext) -> None:
        self._port, self._address, self._token, self._trust = port, address, token, trust
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.statuses = Counter[int]()

    async def get(self, path: str = "/v1") -> int:
        """The answer's status."""
        if self._streams is None:
            here = (self._address, 0)
            self._streams = await asyncio.open_connection(
                "127.0.0.1", self._port, ssl=self._trust, server_hostname=HOST, local_addr=here
            )
        reader, writer = self._streams
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nx-api-key: {self._token}\r\n\r\n".encode())
        answer = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = next(int(line[15:]) for line in answer.split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(length)
        if b"connection: close" in answer:
            self.close()
        status = int(answer.split()[1])
        self.statuses[status] += 1
        return status

    def another(self) -> "Client":
        """Of the same devbox."""
        return Client(self._port, self._address, self._token, self._trust)

    def close(self) -> None:
        """Let go of the connection."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None


@dataclass
class Scene:
    """The gateway, two devboxes, and somebody without a token."""

    gateway: Process
    flooder: Client
    quiet: Client
    stranger: Client

    def audit(self) -> list[dict[str, Any]]:
        """The audit lines, once the process has ended."""
        return [json.loads(line) for line in self.gateway.output if line.startswith('{"audit"')]


@contextlib.asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    """A gateway that serves, an API that answers, and their devboxes."""
    pair = make_certificates((HOST, "api.example"))
    trust = ssl.create_default_context(cadata=pair.ca)
    cluster, address = Cluster(), own_address()
    boxes = [Devbox(cluster, name, address=peer) for name, peer in (("flooder", "127.0.0.1"), ("quiet", "127.0.0.2"))]
    tokens = [box.bind("API", "https://api.example", "sk-audit-credential", {"type": "Bearer"}) for box in boxes]
    for box in boxes:
        box.pod_object()
    cluster.floor()
    write_files(folder, pair, "")
    api_head = b"200 OK\r\nContent-Length: 2\r\nContent-Type: application/json"
    async with cluster.serving() as url, raw_api(answering(api_head, b"{}"), address, server_tls(folder)) as api:
        write_files(folder, pair, url)
        upstreams = {"addressOverrides": {"api.example": f"{address}:{api.port}"}, "caBundle": str(folder / "ca.crt")}
        config = settings(folder, upstreams=upstreams, audit={"queue": QUEUE}, drainSeconds=0, shutdownSeconds=1)
        async with running(folder, config) as gateway:
            peers = zip(("127.0.0.1", "127.0.0.2", "127.0.0.3"), (*tokens, "none"), strict=True)
            clients = [Client(gateway.data, peer, token, trust) for peer, token in peers]
            async with asyncio.timeout(30):
                while [await client.get() for client in clients[:2]] != [200, 200]:
                    pass
            for client in clients:
                client.statuses.clear()
            yield Scene(gateway, *clients)
            for client in clients:
                client.close()


async def flood(client: Client, path: str = LONG) -> None:
    """Until it is refused for its lines."""
    for _ in range(MOST):
        if await client.get(path) == 503:
            return
    raise AssertionError("the flood met no bound")


async def test_with_an_output_that_nobody_reads_the_flooder_is_refused_and_nobody_else(tmp_path: Path) -> None:
    async with scene(tmp_path) as on:
        on.gateway.stop_reading()
        await flood(on.flooder)
        assert [await on.quiet.get() for _ in range(20)] == [200] * 20
        for _ in range(500):
            await on.flooder.get(LONG)
        assert on.flooder.statuses[503] > 400
        on.gateway.resume_reading()
        deadline = now() + 10
        while await on.flooder.get() != 200:
            assert now() < deadline, "the flooder is served again once its lines are taken"
            await asyncio.sleep(0.01)
        on.gateway.process.terminate()
        await on.gateway.end()
    lines = on.audit()
    assert max(len(line) for line in on.gateway.output) < 2000
    by_request = Counter(line["request_id"] for line in lines if line["audit"] in ("start", "end"))
    assert set(by_request.values()) == {2}, "whatever began has its end"
    told = sum(line.get("count", 1) for line in lines if line.get("code") == "audit_full")
    assert told == on.flooder.statuses[503], "no refusal is kept quiet"


async def test_with_an_output_that_is_read_slowly_the_others_go_on(tmp_path: Path) -> None:
    async with scene(tmp_path) as on:
        on.gateway.pause = 1.0  # 128 KiB a second
        flooders = [on.flooder, *(on.flooder.another() for _ in range(3))]
        until = now() + 4

        async def go_on(client: Client) -> None:
            while now() < until:
                await client.get(LONG)

        async with asyncio.TaskGroup() as tasks:
            for client in flooders:
                tasks.create_task(go_on(client))
            while now() < until:
                await on.quiet.get()
                await asyncio.sleep(0.02)
        assert sum(client.statuses[503] for client in flooders) > 50
        assert set(on.quiet.statuses) == {200}
        for client in flooders:
            client.close()


async def test_refusals_of_who_has_no_token_fill_nobody_elses_part(tmp_path: Path) -> None:
    async with scene(tmp_path) as on:
        on.gateway.stop_reading()
        for _ in range(2000):
            assert await on.stranger.get() == 401
        assert [await on.quiet.get() for _ in range(20)] == [200] * 20
        on.gateway.resume_reading()
        on.gateway.process.terminate()
        await on.gateway.end()
    counted = [line for line in on.audit() if line.get("peer") == "127.0.0.3"]
    assert sum(line.get("count", 1) for line in counted) == 2000
    assert len(counted) < 500
