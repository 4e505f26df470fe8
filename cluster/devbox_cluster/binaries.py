"""Programs built from pinned Go modules: the cluster's components, kubectl, helm, kubeconform.

Goes in: cluster/go and cluster/tools (go.mod, go.sum, a few lines of main). Comes out: `$CACHE/bin`. Built once for each state
of those folders; go.sum holds every checksum.
"""

import hashlib
import os
import subprocess
from pathlib import Path
from typing import Final

from .packages import need_go
from .paths import PROJECT, bin_dir, cache_dir
from .progress import ClusterError, step

KUBERNETES: Final = "1.37.2"
COMPONENTS: Final = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl")
_VERSION: Final = " ".join(
    f"-X k8s.io/component-base/version.{name}={value}"
    for name, value in {
        "gitVersion": f"v{KUBERNETES}",
        "gitMajor": KUBERNETES.split(".")[0],
        "gitMinor": KUBERNETES.split(".")[1],
        "gitTreeState": "clean",
    }.items()
)


def ensure_components() -> None:
    """The cluster's components and kubectl."""
    _build("go", ["./kubernetes", "./kube-router", "./coredns"], "Kubernetes, kube-router and CoreDNS", "8 to 16 min")
    for name in COMPONENTS:
        link = bin_dir() / name
        if not link.is_symlink():
            link.unlink(missing_ok=True)
            link.symlink_to("kubernetes")


def ensure_tools() -> None:
    """helm and kubeconform."""
    modules = ["helm.sh/helm/v4/cmd/helm", "github.com/yannh/kubeconform/cmd/kubeconform"]
    _build("tools", modules, "helm and kubeconform", "2 to 4 min")


def ensure_kind() -> None:
    """kind, where a Docker engine is and kind is not."""
    _build("tools", ["sigs.k8s.io/kind"], "kind", "1 min", stamp_name="kind")


def _build(folder: str, packages: list[str], what: str, duration: str, stamp_name: str = "") -> None:
    source = PROJECT / "cluster" / folder
    stamp_name = stamp_name or folder
    stamp = bin_dir() / f".{stamp_name}-{_digest(source)}"
    if stamp.exists():
        return
    go = need_go()
    bin_dir().mkdir(parents=True, exist_ok=True)
    environment = {
        **os.environ,
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=readonly",
        "GOTOOLCHAIN": "auto",
        "GOWORK": "off",
        "GOMODCACHE": str(cache_dir() / "go" / "mod"),
        "GOCACHE": str(cache_dir() / "go" / "build"),
    }
    command = [go, "build", "-trimpath", "-ldflags", f"-s -w {_VERSION}", "-o", f"{bin_dir()}/", *packages]
    with step(f"build {what} from Go modules (the first time: {duration})"):
        result = subprocess.run(command, cwd=source, env=environment, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise ClusterError(f"go build in cluster/{folder} failed:\n{result.stderr[-3000:]}")
    for old in bin_dir().glob(f".{stamp_name}-*"):
        old.unlink()
    stamp.touch()


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]
