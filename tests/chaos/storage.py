"""Storage of a control plane that has none: StorageClasses, and volumes as a provisioner would make them.

Goes in: a stage. Comes out: classes, and claims that are bound by the control plane's own controller. No bytes are stored anywhere. What a
resizer does, which is a driver's, is said in its place (`grown`).
"""

import uuid
from typing import Any

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


async def grown(on: Stage, claim: Object, size: str) -> None:
    """What a resizer and a kubelet say when they have done it."""
    metadata = claim["metadata"]
    path = f"{paths.core('persistentvolumeclaims', metadata['namespace'], metadata['name'])}/status"
    await on.api.request("PATCH", path, body={"status": {"capacity": {"storage": size}}}, content_type=MERGE_PATCH)
