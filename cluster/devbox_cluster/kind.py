"""The local cluster on a machine with a Docker engine: one kind node. kindnet enforces NetworkPolicy since kind 0.24.

Called by cluster.py. Only the kind cluster with our name is ever touched.
"""

import re
import shutil
import subprocess
from typing import Final

from . import binaries
from .paths import bin_dir, state_dir
from .progress import ClusterError, step

NAME: Final = "devbox-gateway"
OLDEST: Final = (0, 24)


def docker_answers() -> bool:
    """There is a Docker engine, not only its client."""
    return bool(shutil.which("docker")) and _run("docker", "info", check=False).returncode == 0


class KindCluster:
    """The kind cluster named devbox-gateway."""

    def __init__(self) -> None:
        self._kubeconfig = state_dir() / "kind.kubeconfig"

    def healthy(self) -> bool:
        """It exists and its API server answers."""
        return self._exists() and self._kubectl_ok()

    def up(self) -> None:
        """Create it, or take it over. Raises ClusterError."""
        if not shutil.which("kind"):
            binaries.ensure_kind()
        version = re.search(r"(\d+)\.(\d+)", _run("kind", "version").stdout)
        if version is None:
            raise ClusterError("`kind version` says nothing; mend the kind on the PATH, or write CLUSTER=local")
        if (int(version[1]), int(version[2])) < OLDEST:
            raise ClusterError(
                f"kind {version[0]} is too old: its network does not enforce NetworkPolicy; install 0.24 or newer"
            )
        if not self._exists():
            with step("create the kind cluster"):
                self._kubeconfig.parent.mkdir(parents=True, exist_ok=True)
                _run("kind", "create", "cluster", "--name", NAME, "--kubeconfig", str(self._kubeconfig), "--wait", "120s")
        self._kubeconfig.parent.mkdir(parents=True, exist_ok=True)
        self._kubeconfig.touch(mode=0o600)
        self._kubeconfig.write_text(_run("kind", "get", "kubeconfig", "--name", NAME).stdout)

    def down(self) -> None:
        """Delete it."""
        if shutil.which("kind") and self._exists():
            _run("kind", "delete", "cluster", "--name", NAME, "--kubeconfig", str(self._kubeconfig))

    def admin_kubeconfig(self) -> str:
        """The kubeconfig's text."""
        return self._kubeconfig.read_text()

    def has_image(self, reference: str) -> bool:
        """The node holds the image."""
        return _run("docker", "exec", f"{NAME}-control-plane", "crictl", "inspecti", reference, check=False).returncode == 0

    def load_image(self, reference: str) -> None:
        """Copy the image from the Docker engine to the node."""
        _run("kind", "load", "docker-image", reference, "--name", NAME)

    def tag_image(self, reference: str, alias: str) -> None:
        """Give an image that the node holds a second name."""
        _run("docker", "exec", f"{NAME}-control-plane", "ctr", "-n", "k8s.io", "images", "tag", "--force", reference, alias)

    def prune_images(self, reference: str, keep: int) -> None:
        """The node's kubelet collects images that nobody uses by itself."""

    def _exists(self) -> bool:
        return NAME in _run("kind", "get", "clusters", check=False).stdout.split()

    def _kubectl_ok(self) -> bool:
        kubectl = shutil.which("kubectl") or str(bin_dir() / "kubectl")
        return _run(kubectl, f"--kubeconfig={self._kubeconfig}", "get", "--raw=/readyz", check=False).returncode == 0


def _run(*command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=check)
    except FileNotFoundError:
        return subprocess.CompletedProcess(command, 127, "", "")
    except subprocess.CalledProcessError as error:
        raise ClusterError(f"{' '.join(command[:3])} failed:\n{error.stderr[-2000:]}") from None
