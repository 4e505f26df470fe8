"""The claim of a Devbox's workspace, and the StorageClass that it asks.

Goes in: the API's objects (plain dicts). Comes out: frozen views, bounded (bounds.py). Pure.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from devbox_api import names
from devbox_api.devbox import Devbox
from devbox_api.traffic import whole
from devbox_common.kube import Object
from devbox_operator.kit.encoding import parse_time
from devbox_operator.seen import bounds

PENDING: Final = timedelta(seconds=10)
"""A claim is given so long to be bound before anything is said of it."""
SELECTED_NODE: Final = "volume.kubernetes.io/selected-node"
"""The scheduler's: for which node the volume is to be made."""
_NOTHING: Final[Mapping[str, Any]] = {}


def claim_name(devbox: Devbox) -> str:
    """The name of its workspace's claim. Another Devbox of that name, made later, has another one."""
    return f"{devbox.name}-{hashlib.sha256(devbox.uid.encode()).hexdigest()[:10]}"


def size(quantity: str | int) -> int:
    """Bytes; 0 where that can't be said."""
    try:
        return whole(quantity)
    except ValueError:
        return 0


@dataclass(frozen=True)
class ClaimView:
    """A PersistentVolumeClaim."""

    namespace: str
    name: str
    uid: str
    devbox: str
    """The label: the Devbox's name."""
    workspace_of: str
    """UID of the Devbox whose workspace it is; empty where nobody says so."""
    labelled: bool
    """It has the labels by which it is watched."""
    owners: frozenset[str]
    """UIDs."""
    phase: str
    """Pending, Bound or Lost."""
    asked: str
    """Its size, as the API server writes it."""
    capacity: str
    """Empty until it is bound."""
    storage_class: str
    """Empty: none, since the cluster has no default one."""
    selected: bool
    """The scheduler has chosen the node that it is made for."""
    created: datetime
    deleting: bool = False
    growth: str = ""
    """What the cluster says of its growth."""

    def overdue(self, now: datetime) -> bool:
        """It should be bound by now."""
        return self.phase == "Pending" and now - self.created >= PENDING

    def asks_class(self, wanted: str | int, now: datetime) -> bool:
        """Its StorageClass has to be known: something has to be said of it, or it is to have another size."""
        return bool(self.storage_class) and (self.overdue(now) or (self.phase == "Bound" and size(wanted) > size(self.asked)))

    @classmethod
    def of(cls, item: Object) -> "ClaimView":
        """From the API's object."""
        metadata, spec, status = item["metadata"], item.get("spec") or _NOTHING, item.get("status") or _NOTHING
        labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
        owners = (metadata.get("ownerReferences") or ())[: bounds.MOST_OWNERS]
        return cls(
            namespace=metadata["namespace"],
            name=metadata["name"],
            uid=metadata["uid"],
            devbox=labels.get(names.DEVBOX_LABEL, ""),
            workspace_of=bounds.word(annotations.get(names.WORKSPACE_OF_ANNOTATION, "")),
            labelled=labels.get(names.MANAGED_BY_LABEL) == names.MANAGED_BY and names.DEVBOX_LABEL in labels,
            owners=frozenset(owner["uid"] for owner in owners),
            phase=status.get("phase") or "Pending",
            asked=_storage((spec.get("resources") or _NOTHING).get("requests")),
            capacity=_storage(status.get("capacity")),
            storage_class=spec.get("storageClassName") or "",
            selected=SELECTED_NODE in annotations,
            created=parse_time(metadata.get("creationTimestamp")) or datetime.now(UTC),
            deleting="deletionTimestamp" in metadata,
            growth=_growth(status)[: bounds.MOST_TROUBLE],
        )


@dataclass(frozen=True)
class StorageClassView:
    """A StorageClass."""

    name: str
    waits: bool
    """A claim of it is bound when a pod that mounts it is scheduled, and not before."""
    grows: bool
    """Its claims may be made larger."""

    @classmethod
    def of(cls, item: Object) -> "StorageClassView":
        """From the API's object."""
        waits = item.get("volumeBindingMode") == "WaitForFirstConsumer"
        return cls(item["metadata"]["name"], waits, bool(item.get("allowVolumeExpansion")))


def _storage(resources: Mapping[str, Any] | None) -> str:
    return bounds.word(str((resources or _NOTHING).get("storage", "")))


def _growth(status: Mapping[str, Any]) -> str:
    """The conditions' own words: of an error first."""
    conditions = {one["type"]: one for one in status.get("conditions") or () if one.get("status") == "True"}
    for kind in ("ControllerResizeError", "NodeResizeError", "FileSystemResizePending", "Resizing"):
        if kind in conditions:
            return ": ".join(filter(None, (kind, conditions[kind].get("message"))))
    return ""
