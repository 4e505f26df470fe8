"""Programs built from pinned Go modules: the cluster's components, kubectl, helm, kind.

Goes in: cluster/{go,tools,helm3,sbom} (go.mod, go.sum, a few lines of main). Comes out: `$CACHE/bin`. Built once for each state of
those folders; go.sum holds every checksum, so that nothing has to be asked of a checksum database.
"""

import hashlib
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from .locks import locked
from .packages import need_go
from .paths import PROJECT, bin_dir, cache_dir
from .progress import ClusterError, step

KUBERNETES: Final = "1.37.2"
COMPONENTS: Final = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")
_VERSION: Final = " ".join(
    f"-X k8s.io/component-base/version.{name}={value}"
    for name, value in {
        "gitVersion": f"v{KUBERNETES}",
        "gitMajor": KUBERNETES.split(".")[0],
        "gitMinor": KUBERNETES.split(".")[1],
        "gitTreeState": "clean",
    }.items()
)


def ensure_tools() -> None:
    """helm and kubectl: what is wanted without a cluster of our own, too."""
    _build("tools", "helm", ["helm.sh/helm/v4/cmd/helm"], "2 to 4 min")
    _build("go", "kubectl", ["k8s.io/kubernetes/cmd/kubectl"], "1 to 3 min")


def oldest_helm() -> Path:
    """The oldest Helm that docs/install.md names."""
    # (Which Kubernetes it takes a chart to be for where it asks none: Helm's own build says that of its client library so.)
    places = ("chartutil", "lint/rules")
    flags = [f"-X helm.sh/helm/v3/pkg/{place}.k8sVersion{part}" for place in places for part in ("Major=1", "Minor=33")]
    _build("helm3", "the oldest Helm", ["helm.sh/helm/v3/cmd/helm"], "3 min", into=bin_dir() / "oldest", flags=" ".join(flags))
    return bin_dir() / "oldest" / "helm"


def syft() -> Path:
    """Syft, which lists what is inside an image."""
    _build("sbom", "syft", ["github.com/anchore/syft/cmd/syft"], "2 to 4 min")
    return bin_dir() / "syft"


def ensure_components() -> None:
    """The parts of the local cluster."""
    _build(
        "go",
        "Kubernetes, kube-router and CoreDNS",
        ["./kubernetes", "./kube-router", "./coredns", "./source-guard"],
        "8 to 16 min",
    )
    for name in COMPONENTS:
        link = bin_dir() / name
        if not link.is_symlink():
            link.unlink(missing_ok=True)
            link.symlink_to("kubernetes")


def ensure_kind() -> None:
    """kind, for a machine with a Docker engine."""
    _build("tools", "kind", ["sigs.k8s.io/kind"], "1 min")


def _build(folder: str, what: str, packages: list[str], duration: str, *, into: Path | None = None, flags: str = "") -> None:
    source, target = PROJECT / "cluster" / folder, into or bin_dir()
    programs = [target / package.rsplit("/", 1)[1] for package in packages]
    stamp = target / f".{programs[0].name}-{_digest(source, flags)}"

    def done() -> bool:
        return stamp.exists() and all(program.exists() for program in programs)

    if done():
        return
    go, toolchain = need_go()
    target.mkdir(parents=True, exist_ok=True)
    environment = {
        **{name: value for name, value in os.environ.items() if name not in ("GOOS", "GOARCH", "GOEXPERIMENT")},
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=readonly -buildvcs=false",
        "GOTOOLCHAIN": toolchain,
        "GOWORK": "off",
        "GOMODCACHE": str(cache_dir() / "go" / "mod"),
        "GOCACHE": str(cache_dir() / "go" / "build"),
    }
    command = [go, "build", "-trimpath", "-ldflags", f"-s -w {_VERSION} {flags}"]
    with locked("programs"):
        if done():  # by whom we waited for
            return
        with (
            step(f"build {what} from Go modules (the first time: {duration})"),
            tempfile.TemporaryDirectory(dir=target) as fresh,
        ):
            words = [*command, "-o", f"{fresh}/", *packages]
            result = subprocess.run(words, cwd=source, env=environment, capture_output=True, text=True, check=False)
            if result.returncode != 0:
                raise ClusterError(f"go build in cluster/{folder} failed:\n{result.stderr[-3000:]}")
            for program in programs:  # somebody may be using the one before
                (Path(fresh) / program.name).replace(program)
        for old in target.glob(f".{programs[0].name}-*"):
            old.unlink()
        stamp.touch()


def _digest(folder: Path, flags: str) -> str:
    digest = hashlib.sha256(f"{_VERSION}{flags}".encode())
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]
