"""The gateway on loopback, whole: its TLS port, an API server that speaks real HTTP, and the demo's stand-in as the API."""

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp.test_utils import TestServer
from tests.support.gateway_process import HOST
from tests.support.kube_api import NAMESPACE, Cluster
from tests.unit.demo.conftest import Upstream, certificates, upstream

from devbox_common.access import Access
from devbox_common.kube import KubeApi
from devbox_proxy.accounting.audit import AuditLog
from devbox_proxy.accounting.limits import Load
from devbox_proxy.accounting.recorder import Recorder
from devbox_proxy.kit.memory import Memory
from devbox_proxy.known.facts import ReviewTimes
from devbox_proxy.known.state import ClusterState
from devbox_proxy.ports.server import DataPort
from devbox_proxy.requests.data_path import DataPath
from devbox_proxy.requests.decider import TokenDecider
from devbox_proxy.reviews.reviewer import Reviewer
from devbox_proxy.reviews.waiting import Waiting
from devbox_proxy.settings import Limits, UpstreamTimeouts
from devbox_proxy.upstreams.pool import Upstreams

from .transitions import COMPILED, recorded, table


class Loopback:
    """In place of the dial check, which never lets a gateway lead to loopback (test_destinations.py has that)."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def resolve(self, host: str, port: int, owner: str) -> list[tuple[str, int]]:
        return [("127.0.0.1", self.port)]


class Running:
    """The gateway and what is around it."""

    def __init__(
        self,
        *,
        port: int,
        cluster: Cluster,
        api: Upstream,
        audit: io.BytesIO,
        state: ClusterState,
        dialled: Loopback,
        waiting: Waiting,
    ) -> None:
        self.port, self.cluster, self.api, self.audit, self.state, self._dialled = port, cluster, api, audit, state, dialled
        self.waiting = waiting
        self.tokens: dict[str, str] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def loopback_port(self, port: int) -> None:
        """Where every API is from now on."""
        self._dialled.port = port

    def lines(self) -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in self.audit.getvalue().splitlines()]


@pytest.fixture
async def gateway(upstream: Upstream) -> AsyncIterator[Running]:
    cluster = Cluster()
    server = TestServer(cluster.app())
    await server.start_server()
    async with KubeApi(Access(str(server.make_url("")).rstrip("/"))) as api:
        state = ClusterState(api, NAMESPACE, ())
        running = asyncio.create_task(state.run())
        output = io.BytesIO()
        audit = AuditLog(1000, drop=False, stream=output)
        dialled = Loopback(upstream.port)
        upstreams = Upstreams(dialled, UpstreamTimeouts(first_byte_seconds=5), upstream.context)
        load = Load(Memory(85), requests=(1000, 64), tunnels=(10, 10))
        path = DataPath(
            upstreams,
            load,
            Recorder(audit),
            public_url=f"https://{HOST}",
            timeouts=UpstreamTimeouts(first_byte_seconds=5),
            limits=Limits(),
        )
        waiting = Waiting(state, Reviewer(api, state.known), 1.0)
        decider = TokenDecider(state, waiting, load, ReviewTimes())
        data = DataPort(path, decider, upstreams, ("127.0.0.1", 0), None)
        port = await data.start()
        cluster.pod()
        result = Running(port=port, cluster=cluster, api=upstream, audit=output, state=state, dialled=dialled, waiting=waiting)
        for name, endpoint, key, auth in (
            ("ANTHROPIC", "https://api.anthropic.com", upstream.anthropic, {"type": "Bearer"}),
            ("OPENAI", "https://api.openai.com", upstream.openai, {"type": "Bearer"}),
            ("INTERNAL", "https://api.internal.example", upstream.internal, {"type": "Header", "key": "X-Internal-Token"}),
        ):
            result.tokens[name] = cluster.bind(name, endpoint, key.value.reveal(), auth)
        await until(lambda: len(state.known.tokens) == 3 and state.known.pods and state.known.synced)
        yield result
        await data.stop(1)
        upstreams.close()
        audit.close()
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        cluster.end_watches()
    await server.close()


async def until(condition: Any, seconds: float = 5.0) -> None:
    """Wait for a condition, with a deadline."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 (conditions of several kinds)
            await asyncio.sleep(0.01)


@pytest.fixture(autouse=True)
def transitions() -> Iterator[None]:
    """Whatever a test does, no state machine leaves its table."""
    if COMPILED:
        yield
        return
    with recorded() as found:
        yield
    for name, seen in found.items():
        assert seen <= table(name), f"{name}: {sorted(seen - table(name))} stand in no row of its docstring's table"


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


__all__ = ["Upstream", "certificates", "gateway", "http", "upstream"]
