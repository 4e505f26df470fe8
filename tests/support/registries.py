"""The registries of tests/support/standins in a pod, and how to reach them.

Goes in: the cluster, the image tools, the certificate in the demo's namespace. Comes out: the Service's address.
"""

import hashlib
from typing import Final

from tests.support.apis_service import MORE

from devbox_stage.kubectl import Kubectl, Object
from devbox_stage.upstream import NAMESPACE, ready_pod

NAME: Final = "registries"


def deploy(kubectl: Kubectl, image: str) -> None:
    """Put them into the cluster, behind the Service of `address`, and wait until everything is published."""
    certificate = kubectl.get("secret", "standin-tls", NAMESPACE)
    assert certificate is not None
    kubectl.apply([_deployment(image, hashlib.sha256(certificate["data"]["tls.crt"].encode()).hexdigest())])
    ready_pod(kubectl, NAMESPACE, NAME)


def address(kubectl: Kubectl) -> str:
    """Their Service's cluster IP, which is there before they are."""
    spec = {"selector": {"app": NAME}, "ports": [{"name": "https", "port": 443, "targetPort": "https"}]}
    kubectl.apply([{"apiVersion": "v1", "kind": "Service", "metadata": {"name": NAME, "namespace": NAMESPACE}, "spec": spec}])
    service = kubectl.get("service", NAME, NAMESPACE)
    assert service is not None
    return str(service["spec"]["clusterIP"])


def restricted(container: Object) -> Object:
    """A container as restricted Pod Security wants it."""
    confined = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    return {**container, "imagePullPolicy": "IfNotPresent", "securityContext": confined}


def pod_spec(container: Object, **more: object) -> Object:
    """A pod that is no devbox."""
    return {
        **{"automountServiceAccountToken": False, "enableServiceLinks": False, "terminationGracePeriodSeconds": 1},
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [restricted(container)],
        **more,
    }


def _deployment(image: str, digest: str) -> Object:
    container = {
        "name": NAME,
        "image": image,
        "command": ["/opt/registries/bin/python", "-m", "standins"],
        "env": [{"name": name, "value": value} for name, value in (("PYTHONPATH", "/opt"), ("TLS", "/tls"), ("HOME", "/tmp"))],
        "ports": [{"name": "https", "containerPort": 8443}],
        "readinessProbe": {"tcpSocket": {"port": "https"}, "periodSeconds": 1},
        "volumeMounts": [{"name": "tls", "mountPath": "/tls", "readOnly": True}],
    }
    spec = pod_spec(container, volumes=[{"name": "tls", "secret": {"secretName": "standin-tls"}}])
    selector = {"app": NAME}
    labels = {**selector, **MORE}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": selector},
            "template": {"metadata": {"labels": labels, "annotations": {"certificate": digest}}, "spec": spec},
        },
    }
