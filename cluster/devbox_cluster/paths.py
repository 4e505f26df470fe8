"""Where things are. Goes in: the environment. Comes out: paths."""

import os
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).resolve().parents[2]
"""The work tree."""


def cache_dir() -> Path:
    """$DEVBOX_GATEWAY_CACHE, or devbox-gateway in $XDG_CACHE_HOME or ~/.cache."""
    if chosen := os.environ.get("DEVBOX_GATEWAY_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "devbox-gateway"


def bin_dir() -> Path:
    """helm, kubectl and the components of the local cluster."""
    return cache_dir() / "bin"


def state_dir() -> Path:
    """The local cluster's keys, database, logs and process records."""
    return cache_dir() / "cluster"


def run_dir() -> Path:
    """Sockets and containers' state: gone after a restart of the machine, as they should be."""
    return Path("/run/devbox-gateway-cluster")


def kubeconfig(project: Path = PROJECT) -> Path:
    """The kubeconfig of the local cluster, for this work tree."""
    return project / ".cluster" / "kubeconfig"
