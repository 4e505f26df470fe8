"""The container `devbox-init` of a devbox's pod: the release's own image, and nothing in it that is worth anything.

Goes in: the settings, the name of the workspace's volume. Comes out: a plain container, and a hash by which a pod that still waits is known
to wait for what is no longer wanted. Pure.
"""

from typing import Any

from devbox_api import names
from devbox_operator.kit.encoding import content_hash
from devbox_operator.settings import Settings


def container(settings: Settings, workspace: str = "") -> dict[str, Any]:
    """No Secret, no environment, and no volume but the workspace, if that is on a claim; its user is the pod's."""
    egress = settings.egress
    mounts = {"volumeMounts": [{"name": workspace, "mountPath": names.INIT_WORKSPACE}]} if workspace else {}
    return {
        "name": names.INIT_CONTAINER,
        "image": settings.image.reference,
        "imagePullPolicy": settings.image.pull_policy,
        "command": [names.INIT_CONTAINER],
        "args": [
            f"--gateway={names.gateway_host(settings.release_namespace)}",
            f"--data-port={names.SERVICE_PORT}",
            f"--canary-port={names.CANARY_PORT}",
            f"--seconds={egress.enforcement_seconds:g}",
            *(() if egress.require_enforcement else ("--start-anyway",)),
            *((f"--workspace={names.INIT_WORKSPACE}",) if workspace else ()),
        ],
        **mounts,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"cpu": "500m", "memory": "64Mi"}},
    }


def digest(settings: Settings, *more: str) -> str:
    """Of the container. Not part of a pod's spec hash: an agent that runs has no use for another one. `more`: what else of the release's
    own comes before the agent."""
    return ".".join((content_hash(container(settings)), *(content_hash(one)[:8] for one in more)))


def made_with(init_hash: str, settings: Settings) -> bool:
    """A pod with that hash has this release's container."""
    return init_hash.partition(".")[0] == digest(settings)
