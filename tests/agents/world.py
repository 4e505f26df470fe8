"""The cluster for agents: the release, the stand-ins for the APIs, and a devbox for each agent, with keys of its own.

Goes in: rows. Comes out: a `World`, whose namespace is taken away in the end.
"""

import contextlib
import json
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from devbox_api import names
from devbox_cluster import cluster, images
from devbox_cluster.paths import kubeconfig
from devbox_stage import stage, upstream
from devbox_stage.credentials import Key, make_key
from devbox_stage.kubectl import Kubectl, Object, Result
from devbox_stage.stage import RELEASE_NAMESPACE, namespace_object, wait_for_devbox
from devbox_stage.upstream import HOSTS, Received, Upstream, gateway_values

from .rows import ALIASES, APIS, Row

ALLOWED: Final = "packages.corp.example"
"""The one host that the devboxes may reach besides: what is refused is what an agent tried of itself."""
NAMED: Final = {".".join(("registry", "npmjs", "org")): "the npm registry"}
"""Whose host stands in no file of the project."""
SECONDS: Final = 240.0
"""For a devbox to be Ready: the image has a GB, and the others' devboxes start at the same time."""


@dataclass(frozen=True)
class World:
    """What is there."""

    kubectl: Kubectl
    apis: Upstream
    namespace: str
    images: dict[str, str]

    def make(self, row: Row) -> dict[str, Key]:
        """The agent's Devbox, and its keys by the gateway's name."""
        keys = {gateway: make_key(api, f"{self.namespace}-{row.name}") for gateway, api in APIS.items()}
        self.apis.add_keys(*keys.values())
        made = [_secret(f"{row.name}-{APIS[gateway]}", key) for gateway, key in keys.items()]
        self.kubectl.apply([*made, _devbox(row, self.images[row.image])], namespace=self.namespace)
        return keys

    def ready(self, row: Row) -> str:
        """Its pod's name, once it is Ready."""
        return str(wait_for_devbox(self.kubectl, self.namespace, row.name, seconds=SECONDS)["status"]["podName"])

    def run(self, pod: str, script: str, timeout: float, **variables: str) -> Result:
        """A script in an empty folder of the devbox; its status is the caller's business."""
        told = [f"{name}={value}" for name, value in variables.items()]
        argv = ["env", *told, "bash", "-c", f"cd $(mktemp -d) && {{ {script}\n}}"]
        return self.kubectl.exec(self.namespace, pod, argv, timeout=timeout, check=False)

    def received(self, after: int, keys: Sequence[Key]) -> list[Received]:
        """What came with one of these keys, or with a token, after request number `after`."""
        marks = [names.TOKEN_PREFIX, *(key.value.reveal() for key in keys)]
        return [one for one in self.apis.received(after) if any(one.holds(mark) for mark in marks)]

    def refused(self) -> dict[str, list[str]]:
        """By devbox: the hosts whose tunnels the gateways refused, with how often."""
        counted: dict[str, dict[str, int]] = {}
        selector = "app.kubernetes.io/component=gateway"
        for pod in self.kubectl.all("pods", RELEASE_NAMESPACE, selector):
            log = self.kubectl("-n", RELEASE_NAMESPACE, "logs", pod["metadata"]["name"], "--tail=-1", check=False).out
            for line in log.splitlines():
                if '"refused' not in line or self.namespace not in line:
                    continue
                one = json.loads(line)
                if one.get("namespace") == self.namespace and (target := one.get("target")):
                    hosts = counted.setdefault(one["devbox"], {})
                    hosts[target] = hosts.get(target, 0) + int(one.get("count", 1))
        return {
            devbox: [
                f"{NAMED.get(host := target.removesuffix(':443'), host)} x{count}" for target, count in sorted(hosts.items())
            ]
            for devbox, hosts in counted.items()
        }


@contextlib.contextmanager
def world(rows: Sequence[Row], say: Callable[[str], None]) -> Iterator[World]:
    """A running one. Raises ClusterError, CommandError, TimedOut."""
    kubectl = Kubectl(kubeconfig())
    say("cluster: up")
    cluster.up()
    say("images: build what changed; the agents from their registries (the first time some minutes)")
    built = images.ensure(names=[*images.REGULAR, *sorted({row.image for row in rows})])
    say("the stand-ins for the APIs, and the release")
    address, ca = upstream.deploy(kubectl, built["demo"])
    stage.install(kubectl, built["devbox-gateway"], gateway_values(address, ca))
    apis = upstream.connect(kubectl, address, ca, say)
    made = World(kubectl, apis, f"agents-{secrets.token_hex(3)}", built)
    kubectl.apply([namespace_object(made.namespace)])
    try:
        kubectl.apply([*(_gateway(name) for name in APIS), _policy()], namespace=made.namespace)
        yield made
    finally:
        kubectl("delete", "namespace", made.namespace, "--wait=false", "--ignore-not-found", check=False)


def _object(kind: str, name: str, spec: Object) -> Object:
    return {"apiVersion": names.API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}


def _gateway(name: str) -> Object:
    spec = {"endpoint": f"https://{HOSTS[APIS[name]]}", "authMechanism": {"type": "Bearer"}}
    return _object("GatewayConfig", name.lower(), spec)


def _policy() -> Object:
    return _object("EgressPolicy", "agents", {"allowedHostnames": [ALLOWED]})


def _secret(name: str, key: Key) -> Object:
    metadata = {"name": name, "annotations": {names.ALLOWED_HOSTS_ANNOTATION: HOSTS[key.api]}}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"api-key": key.value.reveal()}}


def _devbox(row: Row, image: str) -> Object:
    gateways = [
        {
            **{"name": gateway, "gatewayRef": {"name": gateway.lower()}, "aliases": aliases},
            "secretRef": {"name": f"{row.name}-{APIS[gateway]}"},
        }
        for gateway, aliases in ALIASES.items()
    ]
    env = [{"name": name, "value": value} for name, value in row.env.items()]
    spec = {
        "image": image,
        "command": ["sleep", "infinity"],
        "terminationGracePeriodSeconds": 1,
        "gateways": gateways,
        "env": env,
    }
    return _object("Devbox", row.name, {**spec, "egressPolicyRef": {"name": "agents"}})
