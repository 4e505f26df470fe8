"""Which local cluster there is, and one at a time at work on it.

Goes in: CLUSTER=kind|local or nothing. Comes out: a running cluster and `.cluster/kubeconfig` in the work tree.
"""

import os
from pathlib import Path
from typing import Final, Protocol

from . import binaries
from .kind import KindCluster, docker_answers
from .local import LocalCluster
from .locks import locked
from .paths import PROJECT, kubeconfig
from .progress import ClusterError

KINDS: Final = ("kind", "local")


class Runtime(Protocol):
    """What both kinds of cluster can do."""

    def check(self) -> None:
        """Raises ClusterError, with what is missing, if there can be no such cluster here."""

    def exists(self) -> bool:
        """It was made by us, whether it works or not."""

    def healthy(self) -> bool:
        """It runs and answers."""

    def up(self) -> None:
        """Bring it up, from whatever there is."""

    def down(self) -> None:
        """Remove it."""

    def admin_kubeconfig(self) -> str:
        """The admin's kubeconfig, as text."""


def chosen() -> Runtime:
    """$CLUSTER if it is set; else the one that there is; else kind where a Docker engine answers; else the local processes.

    Raises ClusterError.
    """
    if kind := os.environ.get("CLUSTER"):
        if kind not in KINDS:
            raise ClusterError(
                f"CLUSTER={kind}: write CLUSTER=kind (needs a Docker engine) or CLUSTER=local (needs root and apt)"
            )
        return KindCluster() if kind == "kind" else LocalCluster()
    local = LocalCluster()
    return local if local.exists() or not docker_answers() else KindCluster()


def running() -> Runtime:
    """The cluster that is up. Raises ClusterError."""
    runtime = chosen()
    if not runtime.healthy():
        raise ClusterError("the local cluster is not running; start it with: make cluster")
    return runtime


def up(project: Path = PROJECT) -> Runtime:
    """Bring the cluster up (at once if it is) and write the work tree's kubeconfig. Raises ClusterError."""
    runtime = chosen()
    with locked("cluster"):
        runtime.check()
        binaries.ensure_tools()
        runtime.up()
    _write_private(kubeconfig(project), runtime.admin_kubeconfig())
    return runtime


def down(project: Path = PROJECT) -> None:
    """Remove the cluster; the built programs and images stay in the cache."""
    with locked("cluster"):
        runtime = chosen()
        runtime.down()
    kubeconfig(project).unlink(missing_ok=True)


def _write_private(path: Path, content: str) -> None:
    """For its owner's eyes alone, and never half written: somebody may be reading it."""
    path.parent.mkdir(exist_ok=True)
    partial = path.with_name(f"{path.name}.part")
    partial.unlink(missing_ok=True)
    partial.touch(mode=0o600)
    partial.write_text(content)
    partial.replace(path)
