"""Everything that is set up before anything is shown, held in one object.

Goes in: the cluster's kubeconfig and the two images. Comes out: a `Stage` with the stand-in, the release, the examples and
their keys in place, and every devbox Ready. The same calls serve a first run and a later one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import yaml

from devbox_api import names

from .credentials import Key, make_key
from .kubectl import Kubectl, Object, Result
from .upstream import Received, Upstream
from .waiting import NotYet, wait_for

PROJECT: Final = Path(__file__).resolve().parents[2]
RELEASE: Final = "devbox-gateway"
RELEASE_NAMESPACE: Final = "devbox-gateway-system"
NAMESPACE: Final = "agents"
PYTHON: Final = "/opt/agent/bin/python"
"""In the demo's image, with the SDKs."""
DEVBOXES: Final = ("agent", "customer-a", "customer-b")
SECRETS: Final = {
    # Secret of examples/: its key, the API, whose credential it is
    "anthropic": ("api-key", "anthropic", "platform"),
    "openai": ("api-key", "openai", "platform"),
    "internal": ("token", "internal", "platform"),
    "customer-a-anthropic": ("api-key", "anthropic", "customer-a"),
    "customer-b-anthropic": ("api-key", "anthropic", "customer-b"),
}
_LIVE: Final = """
for name in $1; do
  eval url=\\$${name}_URL token=\\$${name}
  path=/v1/models; test $name = INTERNAL && path=/v1/whoami
  until test "$(printf 'header = "Authorization: Bearer %s"' "$token" |
      curl -s -o /dev/null -w '%{http_code}' -K - -H 'anthropic-version: 2023-06-01' "$url$path")" = 200
  do sleep 0.1; done
done
"""
"""Ends when every gateway's credential is one that the upstream takes; killed by its time-out otherwise."""

Say = Callable[[str], None]


@dataclass
class Stage:
    """The cluster with everything in place."""

    kubectl: Kubectl
    upstream: Upstream
    keys: dict[str, Key]
    """By Secret of examples/."""
    namespace: str = NAMESPACE
    """Where the examples are."""
    gateway_host: str = names.gateway_host(RELEASE_NAMESPACE)
    gateway_address: str = ""
    """Cluster IP of the gateway's Service."""
    pods: dict[str, str] = field(default_factory=dict)
    """Devbox to pod."""

    def exec(
        self, devbox: str, argv: Sequence[str], *, stdin: str | None = None, timeout: float = 60, check: bool = True
    ) -> Result:
        """Run `argv` in a devbox's pod."""
        return self.kubectl.exec(self.namespace, self.pods[devbox], argv, stdin=stdin, timeout=timeout, check=check)

    def received(self, after: int) -> list[Received]:
        """What the upstream received after number `after` with one of this stage's keys, or with a token; others use it too."""
        marks = [names.TOKEN_PREFIX, *(key.value.reveal() for key in self.keys.values())]
        return [one for one in self.upstream.received(after) if any(one.holds(mark) for mark in marks)]

    def key_of(self, devbox: str, api: str) -> Key:
        """The credential that a devbox's call to an API has to end up with."""
        return self.keys[api if devbox == "agent" else f"{devbox}-{api}"]

    def set_secret(self, name: str, key: Key) -> None:
        """Put a credential into a Secret of examples/."""
        self.kubectl.set_secret(self.namespace, name, SECRETS[name][0], key.value.reveal())


def install(kubectl: Kubectl, image: str, values: Mapping[str, object]) -> None:
    """`helm upgrade --install`, and wait until both Deployments serve. (On a cluster of our own: what tests have changed there by kubectl
    is taken back, where Helm would refuse to touch it.)"""
    repository, _, tag = image.rpartition(":")
    everything = {**values, "image": {"repository": repository, "tag": tag, "pullPolicy": "IfNotPresent"}}
    kubectl.helm(
        *("upgrade", "--install", RELEASE, str(PROJECT / "charts" / "devbox-gateway")),
        *("--namespace", RELEASE_NAMESPACE, "--create-namespace", "--values", "-", "--wait", "--timeout", "3m"),
        "--force-conflicts",
        stdin=yaml.safe_dump(everything),
    )


def namespace_object(name: str, labels: Mapping[str, str] | None = None) -> Object:
    """A namespace that enforces restricted Pod Security, as every namespace for agents should."""
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {"pod-security.kubernetes.io/enforce": "restricted", **(labels or {})}},
    }


def apply_examples(kubectl: Kubectl, namespace: str = NAMESPACE) -> str:
    """`kubectl apply -f examples/`, unchanged. Returns what kubectl printed."""
    kubectl.apply([namespace_object(namespace)])
    return kubectl("-n", namespace, "apply", "-f", str(PROJECT / "examples")).out


def new_keys() -> dict[str, Key]:
    """One key for each Secret of examples/."""
    return {name: make_key(api, owner) for name, (_, api, owner) in SECRETS.items()}


def wait_for_devbox(kubectl: Kubectl, namespace: str, name: str, *, seconds: float = 90, say: Say | None = None) -> Object:
    """The Devbox, once its Ready condition is True for its present generation."""

    def attempt() -> Object:
        devbox = kubectl.get("devboxes.devbox-gateway.io", name, namespace)
        if devbox is None:
            raise NotYet("no such Devbox")
        conditions = {one["type"]: one for one in devbox.get("status", {}).get("conditions", [])}
        ready = conditions.get("Ready")
        if ready is None or ready.get("observedGeneration") != devbox["metadata"]["generation"]:
            raise NotYet("the operator has not looked at it yet")
        if ready["status"] != "True":
            raise NotYet(f"{ready['reason']}: {ready['message']}")
        return devbox

    return wait_for(f"devbox {namespace}/{name}", attempt, seconds=seconds, progress=say)


def wait_for_credentials(stage: Stage) -> None:
    """Until every devbox's calls are answered: the new keys are in use."""
    for devbox in DEVBOXES:
        wanted = "ANTHROPIC OPENAI INTERNAL" if devbox == "agent" else "ANTHROPIC"
        stage.exec(devbox, ["sh", "-c", _LIVE, "sh", wanted], timeout=20)


def connect(kubectl: Kubectl, upstream: Upstream, namespace: str = NAMESPACE, say: Say | None = None) -> Stage:
    """Put new keys into the applied examples; every devbox is Ready and works when this returns.

    The upstream learns the keys' hashes in addition to those that it has.
    """
    stage = Stage(kubectl, upstream, new_keys(), namespace)
    service = kubectl.get("service", names.SERVICE, RELEASE_NAMESPACE)
    if service is None:
        raise NotYet(f"the chart made no Service {names.SERVICE}")
    stage.gateway_address = service["spec"]["clusterIP"]
    upstream.add_keys(*stage.keys.values())
    for name, key in stage.keys.items():
        stage.set_secret(name, key)
    for devbox in DEVBOXES:
        stage.pods[devbox] = wait_for_devbox(kubectl, namespace, devbox, say=say)["status"]["podName"]
    wait_for_credentials(stage)
    return stage
