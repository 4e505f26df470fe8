"""What the local cluster needs from the machine: Debian packages and Go.

Called by binaries.py, local.py and images.py. Only what is missing is installed.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from typing import Final

from .progress import ClusterError, step

CLUSTER: Final = {
    "etcd": "etcd-server",
    "containerd": "containerd",
    "runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "iptables": "iptables",
    "ipset": "ipset",
    "conntrack": "conntrack",
    "nft": "nftables",
    "ip": "iproute2",
}
IMAGES: Final = {"buildah": "buildah", "mmdebstrap": "mmdebstrap", "catatonit": "catatonit", "runc": "runc"}
GO: Final = (1, 26)


def need(programs: Mapping[str, str]) -> None:
    """Install the Debian packages of the programs (name or path → package) that are not there. Raises ClusterError."""
    missing = sorted({package for program, package in programs.items() if not _there(program)})
    if not missing:
        return
    command = f"apt-get install {' '.join(missing)}"
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise ClusterError(
            f"programs are missing and can't be installed from here (that takes root and apt); run: {command}, "
            "or start a Docker engine and install kind, which needs none of them"
        )
    with step(f"install {', '.join(missing)}"):
        apt = ["apt-get", "-qq", "-o", "Dpkg::Use-Pty=0"]
        # policy-rc.d: the packages' own services must not start; the cluster runs its own with its own settings.
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        subprocess.run([*apt, "update"], check=False, capture_output=True, env=environment)
        result = subprocess.run(
            [*apt, "install", "--no-install-recommends", "-y", *missing],
            check=False,
            capture_output=True,
            text=True,
            env=environment,
        )
        if result.returncode != 0:
            raise ClusterError(f"{command} failed:\n{result.stderr[-2000:]}")


def need_go() -> str:
    """The go command; one from 1.21 on fetches the release that go.mod names by itself. Raises ClusterError."""
    go = shutil.which("go")
    version = subprocess.run([go, "version"], capture_output=True, text=True, check=True).stdout if go else ""
    match = re.search(r"go(\d+)\.(\d+)", version)
    if not go or not match or (int(match[1]), int(match[2])) < (1, 21):
        raise ClusterError(f"Go {GO[0]}.{GO[1]} is needed to build the cluster's components (1.21 or newer gets it by itself)")
    return go


def _there(program: str) -> bool:
    if program.startswith("/"):
        return os.path.exists(program)  # noqa: PTH110 (a path from a table)
    # Debian keeps the network tools where an ordinary user's PATH does not look.
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is not None
