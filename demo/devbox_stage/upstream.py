"""The stand-in in the cluster: deploy it, give it keys, ask what it received.

Goes in: a `Kubectl` and an image. Comes out: an `Upstream`. Its certificate stays from run to run (else every run would
restart the gateway for a new CA); its keys are new each time. The admin port listens on the pod's loopback, so it is asked by
exec.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

import yaml

from .credentials import Certificates, Key, key_document, make_certificates
from .kubectl import Kubectl, Object
from .waiting import NotYet, wait_for

NAMESPACE: Final = "devbox-gateway-demo"
NODE_NAMESPACE: Final = "devbox-gateway-demo-node"
HOSTS: Final = {
    "anthropic": "api.anthropic.com",
    "openai": "api.openai.com",
    "google": "generativelanguage.googleapis.com",
    "internal": "api.internal.example",
}
PACE_SECONDS: Final = 0.15
READY_SECONDS: Final = 180.0
"""For a pod of the demo's own, on a machine that does other things, too."""
_ADMIN: Final = "127.0.0.1:8081"


@dataclass(frozen=True)
class Received:
    """One request as the upstream saw it."""

    number: int
    host: str
    method: str
    path: str
    headers: Sequence[tuple[str, str]]
    body_sha256: str
    status: int
    owner: str | None

    def header(self, name: str) -> list[str]:
        """All values of a header."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def holds(self, text: str) -> bool:
        """Whether `text` is anywhere in the request's head."""
        return text in self.path or any(text in name or text in value for name, value in self.headers)


@dataclass(frozen=True)
class Upstream:
    """The running stand-in."""

    kubectl: Kubectl
    pod: str
    address: str
    """Its Service's cluster IP."""
    ca: str
    """PEM: what the gateway has to trust."""

    def last(self) -> int:
        """The number of the last request so far."""
        return int(self._ask("GET", "/seen?after=999999999")["last"])

    def received(self, after: int = 0) -> list[Received]:
        """The requests after number `after`."""
        fields = Received.__dataclass_fields__
        requests = self._ask("GET", f"/seen?after={after}")["requests"]
        return [Received(**{name: value for name, value in one.items() if name in fields}) for one in requests]

    def set_keys(self, keys: Sequence[Key]) -> None:
        """From now on these keys are good and no others, also after a restart of the pod."""
        self.kubectl.apply([_config_map(key_document(keys))])
        self._ask("PUT", "/keys", key_document(keys))

    def add_keys(self, *keys: Key) -> None:
        """These keys are good too, until the pod restarts."""
        self._ask("POST", "/keys", key_document(keys))

    def revoke_keys(self, *keys: Key) -> None:
        """These keys are good no more."""
        self._ask("DELETE", "/keys", key_document(keys))

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        argv = ["curl", "-sS", "--fail-with-body", "-X", method, f"http://{_ADMIN}{path}"]
        if body is not None:
            argv += ["-H", "Content-Type: application/json", "--data-binary", "@-"]
        result = self.kubectl.exec(
            NAMESPACE, self.pod, argv, container="standin", stdin=None if body is None else json.dumps(body)
        )
        return json.loads(result.out)


def gateway_values(upstream_address: str, ca: str) -> dict[str, Any]:
    """The chart's values that lead the gateway to the stand-in: everything else about the release stays as it is anywhere."""
    return {
        "upstreams": {
            "addressOverrides": dict.fromkeys(HOSTS.values(), f"{upstream_address}:443"),
            "allowedCIDRs": [f"{upstream_address}/32"],
            "caBundle": ca,
        }
    }


def manifests(image: str) -> list[Object]:
    """The objects of manifests/standin.yaml, with the image filled in."""
    text = resources.files(__package__).joinpath("manifests/standin.yaml").read_text(encoding="utf-8")
    return list(yaml.safe_load_all(text.replace("IMAGE", image)))


def deploy(kubectl: Kubectl, image: str, more_hosts: Sequence[str] = ()) -> tuple[str, str]:
    """Put the stand-in into the cluster, without waiting for it. Returns its address and its CA.

    `more_hosts`: names that the certificate, in the Secret standin-tls, is good for besides, for other servers of the namespace.
    """
    objects = manifests(image)
    namespaces = [one for one in objects if one["kind"] == "Namespace"]
    kubectl.apply(namespaces)
    hosts = list(dict.fromkeys((*HOSTS.values(), *more_hosts)))
    certificates = _kept_certificates(kubectl, hosts)
    if certificates is None:
        certificates = make_certificates(hosts)
        kubectl.apply([_tls_secret(certificates)])
    for one in objects:
        if one["metadata"]["name"] == "standin" and one["kind"] == "Deployment":
            # A new certificate is read by a new pod.
            digest = hashlib.sha256(certificates.certificate.encode()).hexdigest()
            one["spec"]["template"]["metadata"]["annotations"] = {"certificate": digest}
    started = kubectl.get("configmap", "standin", NAMESPACE) is not None
    kubectl.apply([one for one in objects if one not in namespaces] + ([] if started else [_config_map({})]))
    service = kubectl.get("service", "standin", NAMESPACE)
    if service is None:
        raise NotYet("Service standin")
    return str(service["spec"]["clusterIP"]), certificates.ca


def connect(kubectl: Kubectl, address: str, ca: str, progress: Callable[[str], None] | None = None) -> Upstream:
    """Wait until the stand-in and its two neighbours run, and hold it."""
    pod = ready_pod(kubectl, NAMESPACE, "standin", progress)
    ready_pod(kubectl, NAMESPACE, "control", progress)
    ready_pod(kubectl, NODE_NAMESPACE, "on-the-node", progress)
    return Upstream(kubectl, pod, address, ca)


def ready_pod(kubectl: Kubectl, namespace: str, app: str, progress: Callable[[str], None] | None = None) -> str:
    """The name of the one ready pod of a Deployment of ours."""

    def attempt() -> str:
        deployment = kubectl.get("deployment", app, namespace)
        status = (deployment or {}).get("status", {})
        if deployment is None or status.get("observedGeneration") != deployment["metadata"]["generation"]:
            raise NotYet("the Deployment is not taken up yet")
        if (status.get("updatedReplicas"), status.get("readyReplicas"), status.get("replicas")) != (1, 1, 1):
            raise NotYet("no ready pod yet")
        pods = [one for one in kubectl.all("pods", namespace, f"app={app}") if "deletionTimestamp" not in one["metadata"]]
        if len(pods) != 1:
            raise NotYet(f"{len(pods)} pods")
        return str(pods[0]["metadata"]["name"])

    return wait_for(f"pod {app}", attempt, seconds=READY_SECONDS, progress=progress)


def _config_map(keys: Mapping[str, Any]) -> Object:
    config = {
        "listen": "0.0.0.0:8443",
        "admin": _ADMIN,
        "certFile": "/etc/standin/tls/tls.crt",
        "keyFile": "/etc/standin/tls/tls.key",
        "paceSeconds": PACE_SECONDS,
        "keys": keys,
    }
    metadata = {"name": "standin", "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"config.json": json.dumps(config)}}


def _tls_secret(certificates: Certificates) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "standin-tls", "namespace": NAMESPACE},
        "type": "kubernetes.io/tls",
        "stringData": {
            "tls.crt": certificates.certificate,
            "tls.key": certificates.key.reveal(),
            "ca.crt": certificates.ca,
        },
    }


def _kept_certificates(kubectl: Kubectl, hosts: Sequence[str]) -> Certificates | None:
    """Those of an earlier run, if they are good for another day and for these names."""
    secret = kubectl.get("secret", "standin-tls", NAMESPACE)
    if secret is None:
        return None
    data = {name: base64.b64decode(value).decode() for name, value in secret["data"].items()}
    kept = Certificates.still_good(data["ca.crt"], data["tls.crt"], data["tls.key"])
    return kept if kept is not None and kept.hosts >= set(hosts) else None
