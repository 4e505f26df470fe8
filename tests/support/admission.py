"""Asking the API server as whoever is meant, and the objects that the admission tests ask about.

Most questions are server-side dry runs: admission sees those as it sees the rest.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import yaml

from devbox_api import names
from devbox_api.route import EgressBinding
from devbox_operator.attach import network, tokens
from devbox_operator.devbox import pod as pods
from devbox_operator.seen.pods import PodView
from devbox_operator.seen.resources import DevboxView
from devbox_operator.settings import Settings
from devbox_stage.kubectl import Kubectl, Object
from devbox_stage.stage import RELEASE_NAMESPACE
from devbox_stage.waiting import NotYet, wait_for

CREDENTIALS = f"{RELEASE_NAMESPACE}-credentials"
OPERATOR = f"system:serviceaccount:{RELEASE_NAMESPACE}:devbox-operator"
OURS = {names.MANAGED_BY_LABEL: names.MANAGED_BY}


class Answer(NamedTuple):
    """What kubectl said."""

    ok: bool
    text: str


def ask(cluster: Kubectl, *arguments: str, user: str = "", stdin: str | None = None) -> Answer:
    """A kubectl command that may be refused, as the administrator or as `user`."""
    done = cluster(*arguments, *(("--as", user) if user else ()), stdin=stdin, check=False)
    return Answer(done.code == 0, done.out + done.err)


def create(cluster: Kubectl, thing: Object, user: str = "", *, dry: bool = True) -> Answer:
    """Create an object, by default as a dry run."""
    flags = ("--dry-run=server",) if dry else ()
    return ask(cluster, "create", *flags, "-f", "-", user=user, stdin=json.dumps(thing))


def until(what: str, probe: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for a condition, with a deadline."""

    def attempt() -> None:
        if not probe():
            raise NotYet("it is not so")

    wait_for(what, attempt, seconds=seconds, interval=0.1)


def plain(kind: str, name: str, namespace: str | None = None) -> Object:
    """A core object with nothing in it."""
    where = {"namespace": namespace} if namespace else {}
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, **where}}


def secret(namespace: str, kind: str, name: str = "one") -> Object:
    """A Secret with the operator's label."""
    thing = plain("Secret", name, namespace)
    thing["metadata"]["labels"] = OURS
    return {**thing, "type": kind}


RESTRICTED: Object = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
UID = "0b5b7a35-8a3b-4a0b-9b0b-5a3b0b5b7a35"
GONE = "gone"
"""In a change: the field is taken away."""


def operator_settings(cluster: Kubectl) -> Settings:
    """What the release's operator has been given."""
    item = cluster.get("configmap", "devbox-operator", RELEASE_NAMESPACE)
    assert item is not None
    return Settings.model_validate(yaml.safe_load(item["data"]["operator.yaml"]))


def gateway_addresses(cluster: Kubectl) -> tuple[str, ...]:
    """Of the gateway's Service."""
    item = cluster.get("service", names.SERVICE, RELEASE_NAMESPACE)
    assert item is not None
    return tuple(item["spec"]["clusterIPs"])


def devbox_pod(
    settings: Settings, namespace: str, ips: tuple[str, ...] = ("10.96.0.9",), more: Object | None = None, **changes: Any
) -> Object:
    """A pod as the operator itself makes them, with changes: path (`spec__initContainers__0__image`) to value. `more`: of its Devbox."""
    spec = {
        "image": "localhost/none",
        "env": [{"name": "A", "value": "b"}],
        "gateways": [{"name": "API", "gatewayRef": {"name": "api"}}],
        "volumes": [
            {"name": "work", "mountPath": "/work", "emptyDir": {}},
            {"name": "data", "mountPath": "/data", "readOnly": True, "persistentVolumeClaim": {"claimName": "data"}},
            {"name": "set", "mountPath": "/set", "configMap": {"name": "set"}},
        ],
        "podMetadata": {"labels": {"team": "a"}, "annotations": {"example.com/note": "x"}},
        "resources": {"limits": {"memory": "64Mi"}},
        "imagePullSecrets": [{"name": "registry"}],
        **(more or {}),
    }
    metadata = {"name": "one", "namespace": namespace, "uid": UID, "generation": 1, "resourceVersion": "1"}
    made = pods.pod(DevboxView.of({"metadata": metadata, "spec": spec}), 1, settings, ips)
    return changed(made, changes)


def own_policy(namespace: str, **changes: Any) -> Object:
    """The NetworkPolicy of that pod, as the operator itself makes them."""
    view = PodView.of({"metadata": {"name": OWN, "namespace": namespace, "uid": UID, "labels": {names.DEVBOX_LABEL: "one"}}})
    return changed(network.policy(view, RELEASE_NAMESPACE), changes)


def token_secret(namespace: str, **changes: Any) -> Object:
    """The token Secret of that pod."""
    view = PodView.of({"metadata": {"name": OWN, "namespace": namespace, "uid": UID, "labels": {names.DEVBOX_LABEL: "one"}}})
    return changed(tokens.secret(view, [], EgressBinding(token="t", digests=()), "gateway"), changes)


OWN = "one-" + hashlib.sha256(f"{UID}/1".encode()).hexdigest()[:10]
"""The name of both, and of the token Secret."""


def changed(thing: Object, changes: Mapping[str, Any]) -> Object:
    """Another one, with other values at these paths; GONE takes one away, and `spec__volumes__-` adds to a list."""
    # (As JSON it is on its way: two fields that are one object in Python are two.)
    result: Object = json.loads(json.dumps(thing))
    for path, value in changes.items():
        *way, last = path.split("__")
        place: Any = result
        for step in way:
            place = place[int(step)] if isinstance(place, list) else place.setdefault(step, {})
        if isinstance(place, list):
            if last == "-":
                place.append(value)
            elif value == GONE:
                del place[int(last)]
            else:
                place[int(last)] = value
        elif value == GONE:
            del place[last]
        else:
            place[last] = value
    return result


def policies_at_work(cluster: Kubectl) -> None:
    """A policy works some hundred milliseconds after its creation."""
    until("the policies work", lambda: "only the operator" in create(cluster, secret(CREDENTIALS, names.CREDENTIAL_TYPE)).text)
