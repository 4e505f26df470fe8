"""Directories of a devbox: what may be mounted where. Part of `devbox.py`'s model."""

from typing import Annotated, Literal

from pydantic import Field

from .schema import ApiModel, cel, rules
from .shared import PLAIN, LocalObjectReference, ObjectName, Quantity

_PATH = cel(
    "self.matches('^(/[^/:]+)+$') && !self.matches('/[.]{1,2}(/|$)')",
    "write an absolute path without ':', '//', '.' and '..' and with no '/' at its end, e.g. /workspace",
)
AbsolutePath = Annotated[str, Field(min_length=1, max_length=1024, json_schema_extra=rules(_PATH, PLAIN))]
_FREE = cel(
    "!self.matches('^/(run|run/devbox-gateway(/.*)?|proc(/.*)?|sys(/.*)?|dev(/.*)?|etc|home|home/devbox|(usr/)?(s?bin|lib(32|64)?)|usr)$')",
    "something of the system's or the operator's is there; choose another path, e.g. /workspace",
)
MountPath = Annotated[str, Field(min_length=1, max_length=1024, json_schema_extra=rules(_PATH, PLAIN, _FREE))]
"""Where a directory may be mounted."""


class EmptyDir(ApiModel):
    """As in a pod."""

    medium: Literal["", "Memory"] | None = None
    """Memory: it is kept in memory, and counts against the limit; on the node's disk, unless set."""
    size_limit: Quantity | None = None
    """How much it may hold, e.g. 1Gi, before the pod is evicted."""


class ClaimReference(ApiModel):
    """A PersistentVolumeClaim of this namespace with the label devbox-gateway.io/mountable=true."""

    claim_name: ObjectName
    """The claim's name."""


class Volume(ApiModel):
    """A directory of the devbox: exactly one of emptyDir, persistentVolumeClaim, configMap."""

    name: str = Field(
        min_length=1,
        max_length=63,
        json_schema_extra=rules(
            cel("self.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')", "write lower-case letters, digits and '-', e.g. workspace"),
            cel(
                "!self.startsWith('devbox-gateway')", "names that begin with devbox-gateway are the operator's; choose another"
            ),
        ),
    )
    """A name for it."""
    mount_path: MountPath
    """Where it is in the container, e.g. /cache."""
    read_only: bool = False
    """True: nobody writes to it."""
    empty_dir: EmptyDir | None = None
    """An empty directory that goes with the pod, e.g. {}."""
    persistent_volume_claim: ClaimReference | None = None
    config_map: LocalObjectReference | None = None
    """A ConfigMap of this namespace with the label devbox-gateway.io/mountable=true."""
