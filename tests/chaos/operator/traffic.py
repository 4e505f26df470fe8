"""Devboxes that call: a gateway process on the control plane of the operator's cases, an API behind it, and pods with addresses.

Goes in: a stage with an operator at work. Comes out: a `Traffic`: devboxes that are Running, clients with the token that was in their
environment, and what credential the API was shown by each request. The gateway has a real token of its own service account and
exactly the chart's rights. Works in a namespace of tests/support/netns.py.
"""

import asyncio
import base64
import contextlib
import json
import ssl
import tempfile
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from time import monotonic as now
from typing import Any, Final

import yaml
from tests.chaos.api import Api, Ask, api, plain
from tests.chaos.client import Answer, Client, Tally, for_good
from tests.chaos.world import API_ADDRESS, Replica, eventually
from tests.support.control_plane import HOST as API_SERVER
from tests.support.fake_kubelet import FakeKubelet
from tests.support.fleet import HOSTS
from tests.support.gateway_process import HOST, running, server_tls, settings, write_files
from tests.support.netns import GATEWAY
from tests.support.release import CREDENTIALS, token_of

from devbox_api import names
from devbox_common.kube import Object
from devbox_operator.kit import paths
from devbox_stage.credentials import make_certificates

from .stage import Stage

READY_SECONDS: Final = 20.0
OTHER_HOST: Final = "api.other.example"
ENDED: Final = {"pod_gone", "pod_finished", "token_unknown", "token_refused"}
"""Codes of a token whose pod is not there any more (docs/errors.md)."""


class Agent:
    """A devbox whose pod runs."""

    def __init__(self, namespace: str, pod: Object, secret: Object) -> None:
        self.namespace, self.pod = namespace, pod
        self.uid = str(pod["metadata"]["uid"])
        self.name = str(pod["metadata"]["name"])
        self.address = str(pod["status"]["podIPs"][0]["ip"])
        self.tokens = tokens(secret)
        """NAME to token, as its environment has it: for life."""


class Load:
    """One client that asks again and again, each request with its path, until it is ended."""

    def __init__(self, client: Client, pause: float, path: str = "/") -> None:
        self.tally, self._client, self._pause, self._path = Tally(), client, pause, path
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            began = now()
            self.tally.add(began, await self._client.request(path=self._path))
            await asyncio.sleep(max(0.0, began + self._pause - now()))

    async def end(self) -> Tally:
        """Stop, and say what came of it."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._client.close()
        return self.tally


class Traffic:
    """What a case has besides its stage."""

    def __init__(self, stage: Stage, kubelet: FakeKubelet, upstream: Api, folder: Path, trust: ssl.SSLContext) -> None:
        self.stage, self.kubelet, self.api = stage, kubelet, upstream
        self.shown: list[str] = []
        """The credentials that the API was shown, one a request."""
        self.folder, self.trust = folder, trust
        self.host = HOST
        """The gateway's name."""
        self._stack = contextlib.AsyncExitStack()
        self._gateway: Replica | None = None

    async def start_gateway(self, prefix: Sequence[str] = ()) -> None:
        """A gateway that has seen nothing yet, in place of the one before. `prefix`: what its command line begins with."""
        await self._stack.aclose()
        process = await self._stack.enter_async_context(running(self.folder, self.folder / "proxy.yaml", prefix))
        self._gateway = Replica(process)
        await eventually(self._ready, READY_SECONDS)

    async def _ready(self) -> bool:
        assert self._gateway is not None
        return await self._gateway.readiness() == 200

    @property
    def address(self) -> tuple[str, int]:
        """Of the gateway's data port."""
        assert self._gateway is not None
        return self._gateway.address

    @property
    def egress_address(self) -> tuple[str, int]:
        """Of its forward proxy."""
        assert self._gateway is not None
        return self.address[0], self._gateway.process.egress

    @property
    def activity(self) -> int:
        """The port where the operator asks it when devboxes were last in use."""
        assert self._gateway is not None
        return self._gateway.process.activity

    @property
    def pid(self) -> int:
        """Of the gateway."""
        assert self._gateway is not None
        return self._gateway.process.process.pid

    async def readiness(self) -> int:
        """The status of its /readyz."""
        assert self._gateway is not None
        return await self._gateway.readiness()

    async def close(self) -> None:
        """The gateway ends."""
        await self._stack.aclose()

    async def record(self, ask: Ask) -> None:
        """What the API does by default."""
        self.shown.append(credential(ask))
        await plain(ask)

    async def agent(self, namespace: str, name: str = "agent") -> Agent:
        """A Devbox's pod, once it runs and its status says so."""
        found: list[Agent] = []

        async def ready() -> bool:
            box = await self.stage.get(paths.devboxes(namespace, name))
            conditions = {c["type"]: c["status"] for c in (box or {}).get("status", {}).get("conditions", ())}
            if box is None or conditions.get("Ready") != "True":
                return False
            pod = await self.stage.get(paths.pods(namespace, box["status"]["podName"]))
            secret = await self.stage.get(paths.secrets(namespace, box["status"]["podName"]))
            if pod is None or secret is None or not pod.get("status", {}).get("podIPs"):
                return False
            found.append(Agent(namespace, pod, secret))
            return True

        await eventually(ready, 60, every=0.1)
        return found[-1]

    def client(self, agent: Agent, name: str = "ANTHROPIC", token: str | None = None) -> Client:
        """In the devbox; with the token of its environment, unless another one is named."""
        return self.client_at(agent.address, token or agent.tokens[name])

    def client_at(self, address: str, token: str) -> Client:
        """Whoever has the address."""
        gateway = self._gateway
        assert gateway is not None
        return Client(lambda: gateway.address, address, token, self.trust, self.host)

    async def answers(self, agent: Agent, name: str = "ANTHROPIC", token: str | None = None) -> Answer:
        """One request."""
        client = self.client(agent, name, token)
        try:
            return await client.request()
        finally:
            client.close()

    async def metric(self, line: str) -> float:
        """Of the gateway."""
        assert self._gateway is not None
        return await self._gateway.metric(line)

    def audited(self) -> float:
        """The time of the gateway's last audit line, in seconds since 1970 by its own clock."""
        assert self._gateway is not None
        line = next(line for line in reversed(self._gateway.process.output) if '"audit"' in line)
        return datetime.fromisoformat(json.loads(line)["time"]).timestamp()

    async def refused(self, agent: Agent, seconds: float = 30.0, *, codes: Collection[str] = ENDED) -> float | None:
        """Seconds until the devbox's token is refused for good, for what became of its pod (or with another of the `codes`); None if it is
        not in time. (A connection of its own for each question.)"""

        async def ended() -> bool:
            return (await self.answers(agent)).code in codes

        return await for_good(ended, seconds, every=0.05)


def credential(ask: Ask) -> str:
    """What the API was shown: its own key, as whichever header has it."""
    return ask.headers.get("x-api-key") or ask.headers.get("authorization", "").removeprefix("Bearer ")


def tokens(secret: Object) -> dict[str, str]:
    """NAME to token, of a token Secret."""
    values = {name: base64.b64decode(value).decode() for name, value in secret["data"].items()}
    return {name: value for name, value in values.items() if value.startswith(names.TOKEN_PREFIX)}


@contextlib.asynccontextmanager
async def traffic(
    stage: Stage,
    url: str = "",
    *,
    trust: ssl.SSLContext | None = None,
    listen: Mapping[str, Any] | None = None,
    through: bool = False,
    others: Mapping[str, int] = {},
    **change: Any,
) -> AsyncIterator[Traffic]:
    """On a stage. `url`: a proxy in the API server's place; `change`, `listen`: settings of the gateway, as in proxy.yaml; `trust`:
    what devboxes trust, where it has another certificate than the API's; `through`: OTHER_HOST is reached through the forward proxy;
    `others`: more names that lead to the API's address, and the port there (0: its own)."""
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="traffic-")))
        pair = make_certificates((HOST, *HOSTS.values(), OTHER_HOST))
        write_files(folder, pair, stage.release.plane.url)
        await _kubeconfig(stage, folder / "kubeconfig", url or stage.release.plane.url)
        upstream = await stack.enter_async_context(api(API_ADDRESS, server_tls(folder)))
        host, port = upstream.address
        overrides = dict.fromkeys((*HOSTS.values(), OTHER_HOST), f"{host}:{port}")
        overrides |= {name: f"{host}:{other or port}" for name, other in others.items()}
        upstreams = {"caBundle": str(folder / "ca.crt"), "addressOverrides": overrides}
        given = {
            "credentialsNamespace": CREDENTIALS,
            "listen": {"host": GATEWAY, **(listen or {})},
            "upstreams": upstreams,
            "drainSeconds": 0,
            **({"egress": {"addressOverrides": {OTHER_HOST: f"{host}:{port}"}}} if through else {}),
        }
        settings(folder, **given, **change)
        kubelet = FakeKubelet(stage.api, stage.node)
        await stack.enter_async_context(kubelet.working())
        result = Traffic(stage, kubelet, upstream, folder, trust or ssl.create_default_context(cadata=pair.ca))
        upstream.base = "/v1"
        upstream.ways["/"] = result.record
        stack.push_async_callback(result.close)
        await result.start_gateway()
        yield result


async def _kubeconfig(stage: Stage, path: Path, url: str) -> None:
    """With the gateway's own token."""
    token = await token_of(stage.api, "devbox-gateway")
    content = yaml.safe_load(path.read_text())  # noqa: ASYNC240
    plane = stage.release.plane
    assert API_SERVER in url
    content["clusters"][0]["cluster"] = {"server": url, "certificate-authority": str(plane.pki / "ca.crt")}
    content["users"][0]["user"] = {"token": token}
    path.write_text(yaml.safe_dump(content))  # noqa: ASYNC240 (a small file, once)
    path.chmod(0o600)  # noqa: ASYNC240
