"""The first release, from this repository's own history.

Goes in: a folder. Comes out: the sources of 0.1.0 in it, and what a command line begins with that runs them in place of this tree's.
"""

import subprocess
from pathlib import Path
from typing import Any, Final

import yaml

from devbox_cluster.paths import PROJECT
from devbox_common.kube import KubeApi
from devbox_operator.kit import paths

from .control_plane import ControlPlane
from .release import ACCOUNT, NAMESPACE, Release

COMMIT: Final = "443f04be089f15019cbc116d9d1dbec2a7cbb26d"
"""0.1.0."""
NAME: Final = "devbox-gateway"
PACKAGES: Final = ("crds", "common", "operator", "proxy")


def sources(folder: Path) -> Path:
    """The tree of 0.1.0. Raises RuntimeError where the history does not reach back to it."""
    archive = subprocess.run(["git", "-C", str(PROJECT), "archive", COMMIT], capture_output=True, check=False)
    if archive.returncode:
        raise RuntimeError(
            f"the first release is not in the history here (git fetch --unshallow): {archive.stderr.decode().strip()}"
        )
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    return folder


def running_from(tree: Path) -> list[str]:
    """What a command line begins with."""
    return ["env", f"PYTHONPATH={':'.join(str(tree / package) for package in PACKAGES)}"]


async def released(plane: ControlPlane, api: KubeApi, prefix: list[str]) -> Release:
    """What Helm has put there; its operator runs with the settings of that."""
    item = await api.request("GET", paths.core("configmaps", NAMESPACE, ACCOUNT))
    settings: dict[str, Any] = yaml.safe_load(item["data"]["operator.yaml"])
    result = Release(plane, settings, prefix)
    await result.authorise()
    return result
