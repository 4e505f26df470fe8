"""What the local cluster needs from the machine: Debian packages and Go.

Only what is missing is installed.
"""

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
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
POLICY: Final = Path("/usr/sbin/policy-rc.d")
"""Debian asks it whether a package may start its services."""
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
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        with _services_stay_off(POLICY):
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


def need_go() -> tuple[str, str]:
    """The go command, and the GOTOOLCHAIN to build with. Raises ClusterError.

    An older Go, from 1.21 on, fetches the release that go.mod names by itself, unless the user's GOTOOLCHAIN=local forbids it.
    """
    go = shutil.which("go")
    if not go:
        raise ClusterError(f"Go {GO[0]}.{GO[1]} or newer is needed to build the cluster's tools, and `go` is not on the PATH")
    asked = subprocess.run(
        [go, "version"], capture_output=True, text=True, check=False, env={**os.environ, "GOTOOLCHAIN": "local"}
    )
    match = re.search(r"go(\d+)\.(\d+)", asked.stdout)
    version = (int(match[1]), int(match[2])) if match else (0, 0)
    if version >= GO:
        return go, "local"
    setting = subprocess.run([go, "env", "GOTOOLCHAIN"], capture_output=True, text=True, check=False).stdout.strip()
    if version < (1, 21) or setting == "local":
        raise ClusterError(
            f"{go} is {asked.stdout.strip() or 'not a working Go'}, but Go {GO[0]}.{GO[1]} or newer is needed; install it"
            + (", or allow Go to fetch it: GOTOOLCHAIN=auto" if version >= (1, 21) else "")
        )
    return go, "auto"


@contextlib.contextmanager
def _services_stay_off(policy: Path) -> Iterator[None]:
    """The packages' own services must not start: the cluster runs the programs with its own settings. A policy that is there stays."""
    ours = not policy.exists()
    if ours:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    try:
        yield
    finally:
        if ours:
            policy.unlink(missing_ok=True)


def _there(program: str) -> bool:
    if program.startswith("/"):
        return Path(program).exists()
    # Debian keeps the network tools where an ordinary user's PATH does not look.
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is not None
