"""A namespace of a test's own, with short ways to make the project's objects in it and to look at them.

Goes in: the cluster and the stand-in. Comes out: objects as dicts, conditions, pods.
"""

import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from devbox_api import names
from devbox_stage.credentials import Key, make_key
from devbox_stage.kubectl import Kubectl, Object, Result
from devbox_stage.stage import namespace_object, wait_for_devbox
from devbox_stage.upstream import HOSTS, Upstream
from devbox_stage.waiting import NotYet, wait_for

IMAGE = "localhost/devbox-gateway-demo:examples"
SECONDS = 60.0
"""How long anything in a small cluster may take."""


@dataclass
class Workspace:
    """One namespace."""

    kubectl: Kubectl
    upstream: Upstream
    name: str = field(default_factory=lambda: f"it-{secrets.token_hex(4)}")
    made_keys: list[Key] = field(default_factory=list)

    def create(self, labels: Mapping[str, str] | None = None) -> None:
        """Make the namespace; restricted Pod Security is enforced in it."""
        self.kubectl.apply([namespace_object(self.name, labels)])

    def delete(self) -> None:
        """Take it away, without waiting for the end."""
        self.kubectl("delete", "namespace", self.name, "--wait=false", "--ignore-not-found")
        if self.made_keys:
            self.upstream.revoke_keys(*self.made_keys)

    # Objects

    def key(self, api: str = "anthropic", owner: str | None = None) -> Key:
        """A new key that the upstream takes; its owner is this workspace unless another is named."""
        key = make_key(api, owner or self.name)
        self.upstream.add_keys(key)
        self.made_keys.append(key)
        return key

    def apply(self, *objects: Object) -> None:
        """Server-side apply."""
        self.kubectl.apply(objects, namespace=self.name)

    def secret(self, name: str, value: str, *, hosts: str | None = HOSTS["anthropic"], key: str = "api-key") -> Object:
        """Apply a Secret, granted to `hosts` (None: to none)."""
        annotations = {} if hosts is None else {names.ALLOWED_HOSTS_ANNOTATION: hosts}
        metadata = {"name": name, "annotations": annotations}
        made = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {key: value}}
        self.apply(made)
        return made

    def gateway_config(self, name: str = "anthropic", **changes: Any) -> Object:
        """Apply a GatewayConfig for the Anthropic stand-in; `changes` go into its spec."""
        spec = {
            "endpoint": f"https://{HOSTS['anthropic']}",
            "authMechanism": {"type": "Bearer"},
            "credential": {"secretRef": {"name": name}},
            **changes,
        }
        made = {
            "apiVersion": names.API_VERSION,
            "kind": "GatewayConfig",
            "metadata": {"name": name},
            "spec": {field: value for field, value in spec.items() if value is not None},
        }
        self.apply(made)
        return made

    def devbox(self, name: str = "agent", gateways: Sequence[Mapping[str, Any]] | None = None, **changes: Any) -> Object:
        """Apply a Devbox with the gateway ANTHROPIC, or with `gateways`; `changes` go into its spec."""
        default = [{"name": "ANTHROPIC", "gatewayRef": {"name": "anthropic"}}]
        made = {
            "apiVersion": names.API_VERSION,
            "kind": "Devbox",
            "metadata": {"name": name},
            "spec": {
                "image": IMAGE,
                "command": ["sleep", "infinity"],
                "gateways": default if gateways is None else list(gateways),
                "terminationGracePeriodSeconds": 1,
                **changes,
            },
        }
        self.apply(made)
        return made

    def working_devbox(self, name: str = "agent", **changes: Any) -> str:
        """Secret, GatewayConfig and Devbox together, Ready; returns the pod's name."""
        self.secret("anthropic", self.key().value.reveal())
        self.gateway_config()
        self.devbox(name, **changes)
        return self.ready(name)

    # Looking at them

    def ready(self, name: str = "agent") -> str:
        """Wait until the Devbox is Ready; returns its pod's name."""
        return str(wait_for_devbox(self.kubectl, self.name, name, seconds=SECONDS)["status"]["podName"])

    def not_ready(self, name: str) -> None:
        """Wait until the Devbox says of its present generation that it is not Ready."""

        def attempt() -> None:
            ready = self.conditions("devboxes", name).get("Ready")
            if ready is None or ready["status"] != "False":
                raise NotYet(f"Ready is {ready and ready['status']}")

        wait_for(f"devbox {name} is not Ready", attempt, seconds=SECONDS)

    def get(self, kind: str, name: str) -> Object | None:
        """One object of the namespace."""
        return self.kubectl.get(kind, name, self.name)

    def conditions(self, kind: str, name: str) -> dict[str, dict[str, Any]]:
        """Type to condition; empty while there is none for the present generation."""
        found = self.get(f"{kind}.{names.GROUP}", name)
        if found is None:
            return {}
        listed = found.get("status", {}).get("conditions", [])
        return {one["type"]: one for one in listed if one.get("observedGeneration") == found["metadata"]["generation"]}

    def condition(self, kind: str, name: str, type_: str, reason: str, status: str = "False") -> str:
        """Wait until a condition has this status and reason; returns its message."""

        def attempt() -> str:
            condition = self.conditions(kind, name).get(type_)
            if condition is None:
                raise NotYet(f"no condition {type_}")
            if (condition["status"], condition["reason"]) != (status, reason):
                raise NotYet(f"{type_}={condition['status']} {condition['reason']}: {condition['message']}")
            return str(condition["message"])

        return wait_for(f"{kind} {name}: {type_}={status} {reason}", attempt, seconds=SECONDS)

    def pods(self) -> list[Object]:
        """The devboxes' pods."""
        return self.kubectl.all("pods", self.name, names.DEVBOX_LABEL)

    def exec(
        self, pod: str, argv: Sequence[str], *, stdin: str | None = None, timeout: float = 60, check: bool = True
    ) -> Result:
        """Run a command in a devbox's pod."""
        return self.kubectl.exec(self.name, pod, argv, stdin=stdin, timeout=timeout, check=check)

    def sh(self, pod: str, command: str, *, stdin: str | None = None, check: bool = True) -> str:
        """Run a shell command in a devbox's pod; returns what it printed, without the last newline."""
        return self.exec(pod, ["sh", "-c", command], stdin=stdin, check=check).out.rstrip("\n")

    def status(self, pod: str, path: str = "/v1/models", extra: str = "") -> int:
        """The HTTP status of a call from the pod through $ANTHROPIC_URL with $ANTHROPIC."""
        command = (
            "curl -sS -o /dev/null -w '%{http_code}' -H 'anthropic-version: 2023-06-01' "
            f'-H "x-api-key: $ANTHROPIC" {extra} "$ANTHROPIC_URL{path}"'
        )
        return int(self.sh(pod, command))

    def said(self, pod: str, token: str | None = None) -> tuple[int, str]:
        """The status of such a call and, where the gateway refuses it, the code (docs/errors.md). `token`: in place of the pod's own."""
        key = "$ANTHROPIC" if token is None else "$(cat)"
        command = (
            "curl -sS -m 10 -w '\\n%{http_code}' -H 'anthropic-version: 2023-06-01' "
            f'-H "x-api-key: {key}" "$ANTHROPIC_URL/v1/models"'
        )
        body, _, status = self.sh(pod, command, stdin=token).rpartition("\n")
        return int(status), code_of(body)

    def refused(
        self, pod: str, *wanted: tuple[int, str], on_the_way: Iterable[tuple[int, str]] = (), seconds: float = 10.0
    ) -> None:
        """Wait until calls from the pod, which are answered, are refused for good in one of these ways, and in no other but for what is
        `on_the_way` to it. (What is answered once more is not refused.)"""
        passing = {(200, ""), *on_the_way} - set(wanted)

        def attempt() -> None:
            if (said := self.said(pod)) in passing:
                raise NotYet(f"it is {said}")
            assert said in wanted

        wait_for(f"calls from {pod} are refused", attempt, seconds=seconds, interval=0.1)
        assert {self.said(pod) for _ in range(5)} <= set(wanted)

    def becomes(self, pod: str, wanted: int, *, seconds: float = 10.0) -> None:
        """Wait until a call from the pod is answered with this status."""

        def attempt() -> None:
            if (status := self.status(pod)) != wanted:
                raise NotYet(f"it is {status}")

        wait_for(f"status {wanted} from {pod}", attempt, seconds=seconds, interval=0.1)


def code_of(body: str) -> str:
    """Of a refusal of the gateway's own; empty for what an API says."""
    try:
        error = json.loads(body)["error"]
        return str(error["code"]) if str(error["message"]).startswith("devbox-gateway:") else ""
    except (ValueError, KeyError, TypeError):
        return ""


def gone(what: str, find: Any, *, seconds: float = SECONDS) -> None:
    """Wait until `find()` returns nothing."""

    def attempt() -> None:
        if left := find():
            raise NotYet(f"still there: {left}")

    wait_for(what, attempt, seconds=seconds)


def identities(objects: Iterable[Object]) -> list[str]:
    """kind namespace/name of each."""
    return sorted(f"{one['kind']} {one['metadata'].get('namespace', '')}/{one['metadata']['name']}" for one in objects)
