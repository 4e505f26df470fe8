"""The local cluster on a machine with a Docker engine: one kind node. kindnet enforces NetworkPolicy since kind 0.24.

Only a kind cluster that we made is ever touched: its node's container is on record.
"""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

from . import binaries
from .paths import bin_dir, state_dir
from .progress import ClusterError, step

NAME: Final = "devbox-gateway"
NODE: Final = f"{NAME}-control-plane"
OLDEST: Final = (0, 24)


def docker_answers() -> bool:
    """There is a Docker engine, not only its client."""
    return bool(shutil.which("docker")) and _run("docker", "info", check=False).returncode == 0


class KindCluster:
    """The kind cluster named devbox-gateway."""

    def __init__(self) -> None:
        self._kubeconfig = state_dir() / "kind.kubeconfig"
        self._record = state_dir() / "kind.node"
        """The id of the container that is our node."""

    def check(self) -> None:
        """Raises ClusterError without a Docker engine, or where somebody else's kind cluster has our name."""
        if not docker_answers():
            raise ClusterError("kind needs a Docker engine, and none answers `docker info`; start one, or write CLUSTER=local")
        node = _node()
        if node and node != self._recorded():
            raise ClusterError(
                f"there is a kind cluster named {NAME} that this cache folder did not make; use that cache folder "
                f"(DEVBOX_GATEWAY_CACHE), or remove the cluster yourself: kind delete cluster --name {NAME}"
            )

    def exists(self) -> bool:
        """Its node is the one that we made."""
        node = _node()
        return bool(node) and node == self._recorded()

    def healthy(self) -> bool:
        """It is ours and its API server answers."""
        kubectl = str(bin_dir() / "kubectl")
        ready = ("get", "--raw=/readyz", "--request-timeout=2s")
        return self.exists() and _run(kubectl, f"--kubeconfig={self._kubeconfig}", *ready, check=False).returncode == 0

    def up(self) -> None:
        """Create it; one that stopped, as after a restart of the machine, is made anew. Raises ClusterError."""
        if self.healthy():
            return
        self.down()
        with step("create the kind cluster (the first time Docker fetches its image)"):
            state_dir().mkdir(parents=True, exist_ok=True)
            _run(_kind(), "create", "cluster", "--name", NAME, "--kubeconfig", self._kubeconfig, "--wait", "120s")
            self._kubeconfig.chmod(0o600)
            self._record.write_text(_node())

    def down(self) -> None:
        """Delete it, if it is ours."""
        if self.exists():
            with step("delete the kind cluster"):
                _run(_kind(), "delete", "cluster", "--name", NAME, "--kubeconfig", self._kubeconfig)
        self._record.unlink(missing_ok=True)
        self._kubeconfig.unlink(missing_ok=True)

    def admin_kubeconfig(self) -> str:
        """The kubeconfig's text."""
        return self._kubeconfig.read_text()

    def _recorded(self) -> str | None:
        return self._record.read_text().strip() if self._record.exists() else None


def load(reference: str) -> None:
    """Copy an image from the Docker engine to the node."""
    _run(_kind(), "load", "docker-image", reference, "--name", NAME)


def on_node(*command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command on the node. Raises ClusterError."""
    return _run("docker", "exec", NODE, *command, check=check)


def _node() -> str:
    """The id of the container that a kind cluster with our name has as its node; empty if there is none."""
    found = _run(
        "docker", "ps", "--all", "--no-trunc", "--quiet", "--filter", f"label=io.x-k8s.kind.cluster={NAME}", check=False
    )
    return found.stdout.strip()


def _kind() -> str:
    """The kind on the PATH if it is new enough, else the one built from its pinned Go module."""
    if found := shutil.which("kind"):
        version = re.search(r"v(\d+)\.(\d+)", _run(found, "version", check=False).stdout)
        if version and (int(version[1]), int(version[2])) >= OLDEST:
            return found
    binaries.ensure_kind()
    return str(bin_dir() / "kind")


def _run(*command: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    words = [str(word) for word in command]
    try:
        return subprocess.run(words, capture_output=True, text=True, check=check)
    except FileNotFoundError:
        return subprocess.CompletedProcess(words, 127, "", f"{words[0]} not found")
    except subprocess.CalledProcessError as error:
        raise ClusterError(f"{' '.join(words[:3])} failed:\n{error.stderr[-2000:]}") from None
