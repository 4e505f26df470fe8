"""The workspace of a devbox: a directory whose files outlive its pods. Part of `devbox.py`'s model."""

from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field

from .schema import ApiModel, cel, rules
from .shared import ObjectName, Quantity
from .volumes import MountPath

_SIZE: Final = "isQuantity(string(self))"
WorkspaceSize = Annotated[
    Quantity,
    Field(
        json_schema_extra=rules(
            cel(
                f"{_SIZE} && quantity(string(self)).compareTo(quantity('1Mi')) >= 0",
                "not a size that a workspace can have; write 1Mi or more, with its unit, e.g. 10Gi",
            ),
        )
    ),
]
Retain = Literal["Delete", "Retain"]


class Workspace(ApiModel):
    """A directory on a PersistentVolumeClaim of the Devbox's own, which the operator makes before the first pod and every pod mounts."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "has(self.storageClassName) == has(oldSelf.storageClassName) && "
                "(!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)",
                "a workspace's storage class can't be changed, since its files are there; create another Devbox, and copy them",
                field=".storageClassName",
            ),
            cel(
                "self.accessMode == oldSelf.accessMode",
                "a workspace's access mode can't be changed, as a claim's can't; create another Devbox, and copy the files",
                field=".accessMode",
            ),
        )
    )

    size: WorkspaceSize
    """How much it holds, e.g. 10Gi. It can grow while the devbox runs, where its storage class allows that; it can't shrink."""
    storage_class_name: ObjectName | None = None
    """The claim's StorageClass; the cluster's default one, unless set."""
    access_mode: Literal["ReadWriteOnce", "ReadWriteOncePod", "ReadWriteMany"] = "ReadWriteOnce"
    """As in a claim."""
    path: MountPath = "/workspace"
    """Where it is mounted."""
    retain: Retain = "Delete"
    """What becomes of the claim when the Devbox is deleted. Delete: it goes, too. Retain: it stays, with its files, and is yours.
    What holds now is in status.workspace.retain."""
    home: bool = False
    """HOME is the workspace's path, in place of /home/devbox, whose files go with the pod."""


class WorkspaceStatus(ApiModel):
    """The workspace's claim."""

    claim_name: str
    """The claim's name."""
    claim_uid: str = Field(alias="claimUID")
    """The claim's UID, by which one that took its place is known."""
    retain: Retain
    """What becomes of it when the Devbox is deleted now."""
    size: str
    """What the claim asks for."""
    capacity: str | None = None
    """What it has; nothing until it is bound."""


SHRUNK: Final = cel(
    "!has(oldSelf.spec.workspace) || !has(self.spec.workspace) || !isQuantity(string(self.spec.workspace.size)) || "
    "quantity(string(self.spec.workspace.size)).compareTo(quantity(string(oldSelf.spec.workspace.size))) >= 0 || "
    "(has(self.status) && has(self.status.workspace) && has(self.status.workspace.capacity) && "
    "isQuantity(self.status.workspace.capacity) && "
    "quantity(string(self.spec.workspace.size)).compareTo(quantity(self.status.workspace.capacity)) >= 0)",
    "a workspace can't shrink; write at least the size that it has (status.workspace.capacity)",
    field=".spec.workspace.size",
)
"""A rule for the whole object: where it could not grow, the size may go back to what there is."""
KEPT: Final = cel(
    "!has(oldSelf.workspace) || has(self.workspace)",
    "a workspace can't be taken from its Devbox, since its files are in it; delete the Devbox (with retain: Retain, to keep them), and "
    "create it anew",
    field=".workspace",
)
SAME_USER: Final = cel(
    "!has(oldSelf.workspace) || self.runAsUser == oldSelf.runAsUser",
    "the files of the workspace belong to the user of runAsUser, who can't be changed any more; create another Devbox, and copy them",
    field=".runAsUser",
)
NOTHING_OVER_IT: Final = cel(
    "!has(self.workspace) || !has(self.volumes) || "
    "self.volumes.all(v, v.mountPath != self.workspace.path && !v.mountPath.startsWith(self.workspace.path + '/'))",
    "a volume is mounted at the workspace's path or under it, and would hide what is there; choose another mountPath, or another "
    "workspace.path",
    field=".volumes",
)
"""Rules for a Devbox's spec."""
