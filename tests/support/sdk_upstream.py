"""The stand-ins of tests/sdks in a pod: deploy them, tell them what to do, ask what they received.

Goes in: the cluster, the demo's image (Python, aiohttp, git, and the namespace's certificate). Comes out: an `SdkUpstream`. The code is
mounted from a ConfigMap; the admin port listens on the pod's loopback, so it is asked by exec.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.sdks.api import Received
from tests.sdks.in_pod import ADMIN, PORT, REPOSITORIES, of_document
from tests.support.apis_service import MORE, SELECTED

from devbox_cluster.paths import PROJECT
from devbox_common.redacted import Redacted
from devbox_stage.kubectl import Kubectl, Object
from devbox_stage.upstream import NAMESPACE, ready_pod

NAME: Final = "sdks"
_CODE: Final = (
    *(f"tests/sdks/{name}.py" for name in ("__init__", "api", "script", "in_pod")),
    *(f"tests/sdks/{name}_api.py" for name in ("anthropic", "openai", "google", "git")),
    "tests/support/standins/git_host.py",
    *(f"common/devbox_common/{name}.py" for name in ("__init__", "redacted")),
)
"""What runs in the pod, as it is here."""


@dataclass(frozen=True)
class SdkUpstream:
    """The running stand-ins."""

    kubectl: Kubectl
    pod: str

    def credentials(self, credentials: Mapping[str, Redacted]) -> None:
        """By the name in the devbox: what is good from now on."""
        self._ask("PUT", "/credentials", {name: value.reveal() for name, value in credentials.items()})

    def then(self, *, plan: Sequence[int] = (), hold: bool = False, cut: bool = False) -> None:
        """Forget what was; statuses of the next answers; whether a stream's pieces wait for `step`, or a stream is cut."""
        self._ask("PUT", "/then", {"plan": list(plan), "hold": hold, "cut": cut})

    def step(self) -> int:
        """How many pieces were sent so far; the next one may go."""
        return int(self._ask("POST", "/step")["sent"])

    def received(self) -> list[Received]:
        """Since `then`."""
        return [of_document(one) for one in self._ask("GET", "/received")]

    def sh(self, script: str) -> str:
        """In the folder of the git repositories."""
        return self._exec(["sh", "-ec", f"cd {REPOSITORIES}; {script}"]).strip()

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        argv = ["curl", "-sS", "--fail-with-body", "-X", method, f"http://127.0.0.1:{ADMIN}{path}"]
        if body is not None:
            argv += ["--data-binary", "@-"]
        return json.loads(self._exec(argv, None if body is None else json.dumps(body)))

    def _exec(self, argv: Sequence[str], stdin: str | None = None) -> str:
        return self.kubectl.exec(NAMESPACE, self.pod, argv, container=NAME, stdin=stdin).out


def deploy(kubectl: Kubectl, image: str) -> SdkUpstream:
    """Put them into the cluster and wait until they serve."""
    code = {path: (PROJECT / path).read_text(encoding="utf-8") for path in _CODE}
    certificate = kubectl.get("secret", "standin-tls", NAMESPACE)
    assert certificate is not None
    # New code and a new certificate are read by a new pod.
    digest = hashlib.sha256(json.dumps([code, certificate["data"]["tls.crt"]]).encode()).hexdigest()
    metadata = {"name": NAME, "namespace": NAMESPACE}
    keys = {path.replace("/", "."): text for path, text in code.items()}
    kubectl.apply(
        [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": keys}, _deployment(metadata, image, digest)]
    )
    return SdkUpstream(kubectl, ready_pod(kubectl, NAMESPACE, NAME))


def _deployment(metadata: Mapping[str, str], image: str, digest: str) -> Object:
    labels = {"app": NAME}
    items = [{"key": path.replace("/", "."), "path": path} for path in _CODE]
    container = {
        "name": NAME,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/opt/agent/bin/python", "-m", "tests.sdks.in_pod"],
        "env": [{"name": "PYTHONPATH", "value": "/opt:/code:/code/common"}, {"name": "TLS", "value": "/tls"}],
        "ports": [{"name": "sdks", "containerPort": PORT}],
        "readinessProbe": {"tcpSocket": {"port": "sdks"}, "periodSeconds": 1},
        "securityContext": {
            **{"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True},
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "code", "mountPath": "/code", "readOnly": True},
            {"name": "tls", "mountPath": "/tls", "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    }
    pod = {
        **{"automountServiceAccountToken": False, "enableServiceLinks": False, "terminationGracePeriodSeconds": 1},
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [
            {"name": "code", "configMap": {"name": NAME, "items": items}},
            {"name": "tls", "secret": {"secretName": "standin-tls"}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }
    template = {"metadata": {"labels": {**labels, **SELECTED, **MORE}, "annotations": {"content": digest}}, "spec": pod}
    spec = {"replicas": 1, "strategy": {"type": "Recreate"}, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": dict(metadata), "spec": spec}
