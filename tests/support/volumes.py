"""Volumes of the local cluster, which has no provisioner: directories of this machine, made by hand, of a StorageClass without one. The
scheduler chooses among them, and the control plane binds (WaitForFirstConsumer).

Goes in: the cluster, a folder. Comes out: a StorageClass's name; `MakeVolume`.
"""

import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from devbox_stage.kubectl import Kubectl, Object

MakeVolume = Callable[..., Path]


@contextmanager
def storage_class(cluster: Kubectl) -> Iterator[str]:
    """One that nobody provisions for, and that waits for a pod; its name."""
    name = f"it-{uuid.uuid4().hex[:8]}"
    fields = {"provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer"}
    cluster.apply([{"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name}, **fields}])
    try:
        yield name
    finally:
        cluster("delete", "storageclass", name)


@contextmanager
def volumes(cluster: Kubectl, storage_class: str, folder: Path) -> Iterator[MakeVolume]:
    """Makes volumes of that class; each is a directory of root's, below the folder."""
    made: list[str] = []
    mounted: list[Path] = []
    (node,) = (one["metadata"]["name"] for one in cluster.all("nodes"))
    on_it = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}

    def make(kind: str = "local", megabytes: int = 0) -> Path:
        """`local`, which the kubelet gives to the pod's group, or `hostPath`, which it does not; `megabytes`: a file system of so many."""
        name = f"it-{uuid.uuid4().hex[:8]}"
        place = folder / name
        place.mkdir(mode=0o755)
        if megabytes:
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "tmpfs", str(place)], check=True)
            mounted.append(place)
        spec: Object = {
            "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": "1Gi"},
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": storage_class,
            kind: {"path": str(place)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [on_it]}]}},
        }
        cluster.apply([{"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}])
        made.append(name)
        return place

    try:
        yield make
    finally:
        if made:
            cluster("delete", "pv", *made, "--wait=false")
        for place in mounted:
            subprocess.run(["umount", "--lazy", str(place)], check=True)
