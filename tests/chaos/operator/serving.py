"""Gateways in front of a real API server, behind a Service's stand-in, and devboxes whose pods look as if a kubelet ran them.

Goes in: a control plane with a release in it. Comes out: a `Serving`: gateway processes with exactly the chart's rights and settings,
and clients with a devbox's address and the token that the operator gave it. Works in a namespace only (tests/support/netns.py).
"""

import asyncio
import base64
import contextlib
import ssl
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

import yaml
from tests.chaos.api import Api, api
from tests.chaos.client import Client
from tests.chaos.forwarder import Forwarder
from tests.chaos.world import API_ADDRESS, Replica, eventually
from tests.support.control_plane import NODE, ControlPlane
from tests.support.fake_kubelet import FakeKubelet
from tests.support.fleet import HOSTS
from tests.support.gateway_process import HOST, INTERPRETER, running, server_tls, write_files
from tests.support.netns import GATEWAY
from tests.support.release import NAMESPACE, token_of, write_kubeconfig

from devbox_common.kube import MERGE_PATCH, KubeApi, Object
from devbox_operator.kit import paths
from devbox_stage.credentials import make_certificates

ACCOUNT: Final = "devbox-gateway"
READY_SECONDS: Final = 30.0


class Serving:
    """The gateways of a release."""

    def __init__(self, plane: ControlPlane, kube: KubeApi, *, folder: Path, upstream: Api, trust: ssl.SSLContext) -> None:
        self.plane, self.kube, self.folder, self.upstream, self.trust = plane, kube, folder, upstream, trust
        self.service = Forwarder(GATEWAY, [])
        self.replicas: list[Replica] = []
        self._stack = contextlib.AsyncExitStack()
        self._clients: list[Client] = []

    async def start(self, prefix: Sequence[str] = ()) -> Replica:
        """One more gateway, ready, with the settings that the release's chart wrote. `prefix`: what the command line of
        another release begins with, whose sources run under this Python (the image has what this release needs)."""
        write_kubeconfig(self.folder / "kubeconfig", self.plane, self.plane.url, await token_of(self.kube, ACCOUNT))
        config = self.folder / f"proxy-{len(self.replicas)}.yaml"
        config.write_text(yaml.safe_dump(self._here(await self.settings())))
        process = await self._stack.enter_async_context(
            running(self.folder, config, prefix, (sys.executable,) if prefix else INTERPRETER)
        )
        replica = Replica(process)
        self.replicas.append(replica)
        await eventually(lambda: _ready(replica), READY_SECONDS)
        self.service.backends.append(replica.backend)
        await replica.backend.ask()
        return replica

    async def settings(self) -> Object:
        """proxy.yaml, as it is in the release."""
        item = await self.kube.request("GET", paths.core("configmaps", NAMESPACE, ACCOUNT))
        content: Object = yaml.safe_load(item["data"]["proxy.yaml"])
        return content

    def _here(self, content: Object) -> Object:
        """With this machine's ports, files and API."""
        address, port = self.upstream.address
        overrides = dict.fromkeys(HOSTS.values(), f"{address}:{port}")
        tls = {"certFile": str(self.folder / "tls.crt"), "keyFile": str(self.folder / "tls.key")}
        listen = {key: 0 for key, value in content["listen"].items() if isinstance(value, int)}
        return {
            **content,
            "publicURL": f"https://{HOST}",
            "listen": {**listen, "host": GATEWAY, "tls": tls},
            "upstreams": {**content["upstreams"], "addressOverrides": overrides, "caBundle": str(self.folder / "ca.crt")},
            "drainSeconds": 3,
            "shutdownSeconds": 20,
        }

    async def run_pod(self, namespace: str, name: str, address: str) -> None:
        """As if the scheduler and a kubelet had seen the pod: it runs, at the address."""
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": {"kind": "Node", "name": NODE}}
        await self.kube.request("POST", f"{paths.pods(namespace, name)}/binding", body=binding)
        status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}
        path = f"{paths.pods(namespace, name)}/status"
        await self.kube.request("PATCH", path, body={"status": status}, content_type=MERGE_PATCH)

    async def token(self, namespace: str, pod: str, gateway: str) -> str:
        """What is in the devbox's environment."""
        item = await self.kube.request("GET", paths.secrets(namespace, pod))
        return base64.b64decode(item["data"][gateway]).decode()

    def client(self, address: str, token: str) -> Client:
        """In a devbox, by way of the Service."""
        client = Client(lambda: self.service.address, address, token, self.trust)
        self._clients.append(client)
        return client

    async def close(self) -> None:
        """Everything ends."""
        for client in self._clients:
            client.close()
        await asyncio.sleep(0.05)  # for the callbacks of what was closed
        await self._stack.aclose()


async def _ready(replica: Replica) -> bool:
    return await replica.readiness() == 200


@contextlib.asynccontextmanager
async def serving(plane: ControlPlane, kube: KubeApi) -> AsyncIterator[Serving]:
    """Without a gateway yet."""
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="serving-")))
        pair = make_certificates((HOST, *HOSTS.values()))
        write_files(folder, pair, plane.url)
        upstream = await stack.enter_async_context(api(API_ADDRESS, server_tls(folder)))
        node = await stack.enter_async_context(plane.node())
        trust = ssl.create_default_context(cadata=pair.ca)
        result = Serving(plane, kube, folder=folder, upstream=upstream, trust=trust)
        stack.push_async_callback(result.close)
        await stack.enter_async_context(result.service)
        kubelet = FakeKubelet(kube, node)
        kubelet.binds = False  # (run_pod does)
        await stack.enter_async_context(kubelet.working())
        yield result
