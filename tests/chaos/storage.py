"""Storage of a control plane that has none: StorageClasses, and volumes as a provisioner would make them.

Goes in: a stage. Comes out: classes, and claims that are bound by the control plane's own controller. No bytes are stored anywhere. What a
resizer does, which is a driver's, and a kubelet after it, is written in their places, step by step (`resizing`, `grown`).
"""

import uuid
from typing import Any

from tests.support.fake_kubelet import moment

from devbox_common.kube import MERGE_PATCH, Object
from devbox_operator.kit import paths

from .operator.stage import Stage

CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
PROVISIONER = "example.com/none"
"""Nobody is of that name."""


async def storage_class(on: Stage, **fields: Any) -> str:
    """A new one; its name."""
    name = f"class-{uuid.uuid4().hex[:8]}"
    body = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name}, "provisioner": PROVISIONER}
    await on.api.request("POST", CLASSES, body={**body, **fields})
    return name


async def provisioned(on: Stage, claim: Object) -> str:
    """A volume for the claim, of the size that it asks for; its name. (Of a static one the API server would let no claim grow.)"""
    metadata, spec = claim["metadata"], claim["spec"]
    name = f"pv-{uuid.uuid4().hex[:8]}"
    body = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": {"pv.kubernetes.io/provisioned-by": PROVISIONER}},
        "spec": {
            "accessModes": spec["accessModes"],
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "claimRef": {"kind": "PersistentVolumeClaim", "apiVersion": "v1"}
            | {key: metadata[key] for key in ("namespace", "name", "uid")},
            "csi": {"driver": "none.example.com", "volumeHandle": name},
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": spec["storageClassName"],
        },
    }
    await on.api.request("POST", paths.core("persistentvolumes"), body=body)
    return name


async def resizing(on: Stage, claim: Object, volume: str, size: str) -> None:
    """What a driver's resizer writes: that it is at work; the volume's size; that the file system is left to the kubelet."""
    await _status(on, claim, allocatedResources={"storage": size}, allocatedResourceStatuses={"storage": "ControllerResizeInProgress"},
                  conditions=[_condition("Resizing")])  # fmt: skip
    path, body = paths.core("persistentvolumes", "", volume), {"spec": {"capacity": {"storage": size}}}
    await on.api.request("PATCH", path, body=body, content_type=MERGE_PATCH)
    words = "Waiting for user to (re-)start a pod to finish file system resize of volume on node."
    await _status(on, claim, allocatedResourceStatuses={"storage": "NodeResizePending"},
                  conditions=[_condition("FileSystemResizePending", words)])  # fmt: skip


async def grown(on: Stage, claim: Object, size: str) -> None:
    """What a kubelet writes when the file system has that size."""
    await _status(on, claim, capacity={"storage": size}, allocatedResourceStatuses=None, conditions=[])


def _condition(kind: str, words: str = "") -> Object:
    return {"type": kind, "status": "True", "lastTransitionTime": moment(), "message": words}


async def _status(on: Stage, claim: Object, **status: Any) -> None:
    path = f"{paths.core('persistentvolumeclaims', claim['metadata']['namespace'], claim['metadata']['name'])}/status"
    await on.api.request("PATCH", path, body={"status": status}, content_type=MERGE_PATCH)
