"""Which local cluster there is, and one at a time at work on it.

Goes in: CLUSTER=kind|local or nothing. Comes out: a running cluster and `.cluster/kubeconfig` in the work tree. Called by the
command line, the demo and the tests.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

from . import binaries
from .kind import KindCluster, docker_answers
from .local import LocalCluster
from .paths import PROJECT, cache_dir, kubeconfig
from .progress import ClusterError

KINDS: Final = ("kind", "local")


class Runtime(Protocol):
    """What both kinds of cluster can do."""

    def healthy(self) -> bool:
        """It runs and answers."""

    def up(self) -> None:
        """Bring it up, from whatever there is."""

    def down(self) -> None:
        """Remove it."""

    def admin_kubeconfig(self) -> str:
        """The admin's kubeconfig, as text."""

    def has_image(self, reference: str) -> bool:
        """Its node holds the image."""

    def load_image(self, reference: str) -> None:
        """Give its node an image that was built on this machine."""

    def tag_image(self, reference: str, alias: str) -> None:
        """Give an image that the node holds a second name, in place of what had it before."""

    def prune_images(self, reference: str, keep: int) -> None:
        """Remove older images of the same name, but the last `keep`."""


def chosen() -> Runtime:
    """$CLUSTER if it is set; else kind where a Docker engine answers, else the local processes. Raises ClusterError."""
    kind = os.environ.get("CLUSTER") or ("kind" if docker_answers() else "local")
    if kind not in KINDS:
        raise ClusterError(f"CLUSTER={kind}: write CLUSTER=kind (needs a Docker engine) or CLUSTER=local (needs root and apt)")
    if kind == "kind" and not docker_answers():
        raise ClusterError("CLUSTER=kind, but no Docker engine answers `docker info`; start one, or write CLUSTER=local")
    return KindCluster() if kind == "kind" else LocalCluster()


def running() -> Runtime:
    """The cluster that is up. Raises ClusterError."""
    runtime = chosen()
    if not runtime.healthy():
        raise ClusterError("the local cluster is not running; start it with: make cluster")
    return runtime


def up(project: Path = PROJECT) -> Runtime:
    """Bring the cluster up (at once if it is) and write the work tree's kubeconfig. Raises ClusterError."""
    binaries.ensure_tools()
    runtime = chosen()
    with _lock():
        if isinstance(runtime, KindCluster):
            binaries.ensure_components()  # for kubectl
        runtime.up()
    target = kubeconfig(project)
    target.parent.mkdir(exist_ok=True)
    target.touch(mode=0o600)
    target.chmod(0o600)
    target.write_text(runtime.admin_kubeconfig())
    return runtime


def down(project: Path = PROJECT) -> None:
    """Remove the cluster; the built programs and images stay in the cache."""
    with _lock():
        chosen().down()
    kubeconfig(project).unlink(missing_ok=True)


@contextlib.contextmanager
def _lock() -> Iterator[None]:
    """One clone at a time works on the cluster; the others wait."""
    cache_dir().mkdir(parents=True, exist_ok=True)
    with (cache_dir() / "cluster.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
