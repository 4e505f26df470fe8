"""What an API server answers to a TokenReview."""

from typing import Any

from devbox_common.kube import Object

from .identities import BINDING


def status(**change: Any) -> Object:
    extra = {"authentication.kubernetes.io/pod-uid": ["uid-1"], "authentication.kubernetes.io/credential-id": ["JTI=9"]}
    user = {"username": "system:serviceaccount:agents:devbox-agent", "extra": extra}
    return {"authenticated": True, "audiences": [BINDING.audience], "user": user} | change


def answer(found: object) -> Object:
    return {"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "metadata": {}, "spec": {}, "status": found}
