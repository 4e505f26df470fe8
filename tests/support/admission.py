"""Asking the API server as whoever is meant, and the objects that the admission tests ask about.

Called by the tests of the chart's policies. Most questions are server-side dry runs: admission sees those as it sees the rest.
"""

import json
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from devbox_api import names
from devbox_demo.kubectl import Kubectl, Object
from devbox_demo.stage import RELEASE_NAMESPACE

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
    deadline = time.monotonic() + seconds
    while not probe():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.1)


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
INIT: Object = {
    "name": names.INIT_CONTAINER,
    "image": "localhost/none",
    "command": [names.INIT_CONTAINER],
    "securityContext": {**RESTRICTED, "readOnlyRootFilesystem": True},
}
"""The one init container of a devbox's pod."""


def pod(name: str, namespace: str, labels: Object | None = None, **spec: Any) -> Object:
    """A gated pod as the operator makes them; `labels` and `spec` change it. Its image does not exist."""
    usual = {
        "serviceAccountName": names.AGENT_SERVICE_ACCOUNT,
        "automountServiceAccountToken": False,
        "schedulingGates": [{"name": names.SCHEDULING_GATE}],
        "initContainers": [INIT],
        "containers": [{"name": names.CONTAINER, "image": "localhost/none", "securityContext": RESTRICTED}],
    }
    thing = plain("Pod", name, namespace)
    thing["metadata"]["labels"] = {**OURS, names.DEVBOX_LABEL: "one"} if labels is None else labels
    return {**thing, "spec": {**usual, **spec}}


def policies_at_work(cluster: Kubectl) -> None:
    """A policy works some hundred milliseconds after its creation."""
    until("the policies work", lambda: "only the operator" in create(cluster, secret(CREDENTIALS, names.CREDENTIAL_TYPE)).text)
