"""The workspace, as it stands in the devbox's pod: one volume, one mount, and HOME where it is wished for. Repositories are cloned into it;
without a claim it is an emptyDir for these.

Goes in: a Devbox's spec, the name of its claim. Comes out: parts of a plain Pod, or None where there is no workspace. Pure.
"""

from typing import Final

from devbox_api import names
from devbox_api.codemounts import WORKSPACE_PATH
from devbox_api.devbox import DevboxSpec
from devbox_common.kube import Object

VOLUME: Final = "devbox-gateway-workspace"


def volume(spec: DevboxSpec, claim: str) -> Object | None:
    """The volume."""
    if spec.workspace is not None:
        return {"name": VOLUME, "persistentVolumeClaim": {"claimName": claim}}
    return {"name": VOLUME, "emptyDir": {}} if spec.code_mounts else None


def mount(spec: DevboxSpec) -> Object | None:
    """Its mount, where the agent and its install commands have it."""
    if spec.workspace is None and not spec.code_mounts:
        return None
    return {"name": VOLUME, "mountPath": path(spec)}


def path(spec: DevboxSpec) -> str:
    """Where it is."""
    return spec.workspace.path if spec.workspace is not None else WORKSPACE_PATH


def home(spec: DevboxSpec) -> str:
    """The value of HOME."""
    return spec.workspace.path if spec.workspace is not None and spec.workspace.home else names.HOME
