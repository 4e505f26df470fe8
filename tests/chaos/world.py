"""Gateway processes behind a forwarder, their API server behind another, devboxes with addresses of their own and an API over TLS.

Goes in: settings and how many replicas. Comes out: a `World`. Works in a namespace only (tests/support/netns.py).
"""

import asyncio
import contextlib
import signal
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import aiohttp
from tests.support.gateway_process import HOST, Process, running, server_tls, settings, write_files
from tests.support.kube_api import Cluster, Devbox
from tests.support.netns import GATEWAY
from tests.support.raw_client import RawClient

from devbox_stage.credentials import make_certificates

from .api import Api, api
from .client import Client, Target
from .forwarder import Backend, Forwarder

API_HOST: Final = "api.chaos.test"
API_ADDRESS: Final = "10.203.1.2"
CREDENTIAL: Final = "sk-chaos-credential-1"
READY_SECONDS: Final = 60.0
"""A start waits for the reviews of all devboxes: 10,000 take 25 s."""


class Replica:
    """One gateway process."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.backend = Backend((GATEWAY, process.data), self.readiness)

    @property
    def address(self) -> Target:
        """Its data port."""
        return GATEWAY, self.process.data

    async def readiness(self) -> int:
        """The status of /readyz. Raises OSError."""
        return (await self._admin("/readyz"))[0]

    async def metric(self, line: str) -> float:
        """The value of a metric, named with its labels as it is printed; 0 if it is not there."""
        _, text = await self._admin("/metrics")
        found = next((each for each in text.splitlines() if each.startswith(f"{line} ")), "0")
        return float(found.split()[-1])

    async def _admin(self, path: str) -> tuple[int, str]:
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"http://{GATEWAY}:{self.process.admin}{path}") as response,
        ):
            return response.status, await response.text()

    def signal(self, number: signal.Signals) -> None:
        """SIGTERM or SIGKILL."""
        self.process.process.send_signal(number)


class World:
    """What a case has."""

    def __init__(
        self,
        *,
        folder: Path,
        config: Path,
        cluster: Cluster,
        trust: ssl.SSLContext,
        api: Api,
        kube: Forwarder,
        prefix: Sequence[str],
    ) -> None:
        self.folder, self.cluster, self.trust, self.api, self.kube = folder, cluster, trust, api, kube
        self.service = Forwarder(GATEWAY, [])
        self.replicas: list[Replica] = []
        self._stack = contextlib.AsyncExitStack()
        self._config, self._prefix = config, prefix
        self._clients: list[Client] = []
        self._bound: dict[str, str] = {}

    @property
    def gateway(self) -> Replica:
        """The only one, or the first."""
        return self.replicas[0]

    async def start(self) -> Replica:
        """One more gateway, ready."""
        process = await self._stack.enter_async_context(running(self.folder, self._config, self._prefix))
        replica = Replica(process)
        self.replicas.append(replica)
        await eventually(lambda: _is_ready(replica), READY_SECONDS)
        self.service.backends.append(replica.backend)
        await replica.backend.ask()
        return replica

    async def close(self) -> None:
        """End the clients and the gateways."""
        for client in self._clients:
            client.close()
        await asyncio.sleep(0.05)  # for the callbacks of what was closed
        await self._stack.aclose()

    def devbox(self, number: int = 0, **gateway: Any) -> Devbox:
        """A devbox that may use the API; `gateway`: more for its gateway document. Number → name and address."""
        devbox = Devbox(self.cluster, f"agent-{number}", address=f"10.204.{number // 250}.{2 + number % 250}")
        devbox.pod_object()
        self.bind(devbox, **gateway)
        return devbox

    def bind(self, devbox: Devbox, name: str = "API", endpoint: str = f"https://{API_HOST}", **gateway: Any) -> str:
        """A token; the last one is the devbox's."""
        token = self._bound[devbox.name] = devbox.bind(name, endpoint, CREDENTIAL, **gateway)
        return token

    def token(self, devbox: Devbox) -> str:
        """What is in its environment."""
        return self._bound[devbox.name]

    def client(self, devbox: Devbox, replica: Replica | None = None, token: str | None = None) -> Client:
        """In the devbox; to the Service, or to one replica."""

        def target() -> Target:
            return replica.address if replica else self.service.address

        client = Client(target, devbox.address, token or self.token(devbox), self.trust)
        self._clients.append(client)
        return client

    async def raw(self, devbox: Devbox, *, tls: bool = True, receive_buffer: int | None = None) -> RawClient:
        """A connection from the devbox to the first replica."""
        return await RawClient.connect(
            self.gateway.address,
            source=devbox.address,
            tls=self.trust if tls else None,
            server_hostname=HOST if tls else None,
            receive_buffer=receive_buffer,
        )

    def request(self, devbox: Devbox, line: str = "GET / HTTP/1.1", *headers: str) -> bytes:
        """A head with the token in it."""
        lines = [line, f"Host: {HOST}", f"x-api-key: {self.token(devbox)}", *headers, "", ""]
        return "\r\n".join(lines).encode()

    async def known(self, routes: int) -> None:
        """Wait until every replica has mirrored so many devboxes."""
        for replica in self.replicas:
            await eventually(lambda: _has_routes(replica, routes), READY_SECONDS)  # noqa: B023 (awaited here)

    async def warm(self, *devboxes: Devbox) -> None:
        """Let every replica know the devboxes, TokenReview and all."""
        for replica in self.replicas:
            for devbox in devboxes:
                client = self.client(devbox, replica)
                await eventually(lambda: _answers(client), READY_SECONDS)  # noqa: B023 (awaited here)
                client.close()


async def _is_ready(replica: Replica) -> bool:
    return await replica.readiness() == 200


async def _has_routes(replica: Replica, routes: int) -> bool:
    return await replica.metric("devbox_gateway_routes") >= routes


async def _answers(client: Client) -> bool:
    return (await client.request(path="/warm")).status == 200


async def eventually(condition: Callable[[], Any], seconds: float, every: float = 0.03) -> None:
    """Wait for a condition, plain or awaitable. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while True:
            value = condition()
            if await value if asyncio.iscoroutine(value) else value:
                return
            await asyncio.sleep(every)


@contextlib.asynccontextmanager
async def world(
    replicas: int = 1, *, prefix: Sequence[str] = (), overrides: Mapping[str, Target] | None = None, **change: Any
) -> AsyncIterator[World]:
    """A running one. `change`: settings, as in proxy.yaml; `prefix`: what the gateways' command line begins with; `overrides`: where
    names other than API_HOST lead."""
    if not inside():
        raise RuntimeError("run this in a network of its own: python -m tests.support.netns …")
    cluster = Cluster()
    cluster.floor()
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
        pair = make_certificates((HOST, "*.chaos.test", "*.team-a.svc"))
        url = await stack.enter_async_context(cluster.serving())
        host, _, port = url.removeprefix("http://").partition(":")
        kube = await stack.enter_async_context(Forwarder("127.0.0.1", [Backend((host, int(port)))]))
        write_files(folder, pair, f"http://{kube.address[0]}:{kube.address[1]}")
        upstream = await stack.enter_async_context(api(API_ADDRESS, server_tls(folder)))
        names = {API_HOST: upstream.address, **(overrides or {})}
        upstreams = {
            "caBundle": str(folder / "ca.crt"),
            "addressOverrides": {host: f"{address}:{port}" for host, (address, port) in names.items()},
            **change.pop("upstreams", {}),
        }
        config = settings(folder, **{"drainSeconds": 0, "listen": {"host": GATEWAY}, "upstreams": upstreams, **change})
        trust = ssl.create_default_context(cadata=pair.ca)
        result = World(folder=folder, config=config, cluster=cluster, trust=trust, api=upstream, kube=kube, prefix=prefix)
        stack.push_async_callback(result.close)
        for _ in range(replicas):
            await result.start()
        await stack.enter_async_context(result.service)
        yield result


def inside() -> bool:
    """This is a namespace of tests/support/netns.py."""
    return GATEWAY in Path("/proc/net/fib_trie").read_text()
