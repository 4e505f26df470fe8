"""Take pods away from a node whose kubelet is gone: their processes, mounts, cgroups and what CNI remembers of them.

Only what lies under the cluster's own folders, or carries its names, is touched.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from .config import CNI_NETWORK
from .processes import Identity, end, start_time

CGROUPS: Final = Path("/sys/fs/cgroup")
SHIMS: Final = "containerd/io.containerd.runtime.v2.task/k8s.io"
"""Below the run folder: a folder for each container's shim."""
CNI_RESULTS: Final = Path("/var/lib/cni/results")
CONTAINER_LOGS: Final = Path("/var/log/containers")
DEVICE_PLUGINS: Final = Path("/var/lib/kubelet/device-plugins")
"""Wherever kubelet's own root is, it makes this one."""


def remove_sandboxes(run: Path, state: Path) -> None:
    """End every container's processes and shims; remove their mounts, cgroups and files outside our folders."""
    sockets = list(_shim_sockets(run))
    shims = _shims(run)
    for identity in shims:
        for child in _descendants(identity.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
    _wait_until_childless(shims)
    end(shims, patience=2)
    unmount_below(run, state)
    _remove_cgroups()
    for path in (*sockets, *_cni_results(), *_logs_links(state), DEVICE_PLUGINS / "kubelet.sock"):
        path.unlink(missing_ok=True)
    for folder in _own_folders():
        with contextlib.suppress(OSError):  # somebody else's things are in it
            folder.rmdir()


def unmount_below(*folders: Path) -> None:
    """Remove every mount in the folders."""
    for mount in _mounts_below(*folders):
        subprocess.run(["umount", "--lazy", mount], capture_output=True, check=False)


def leftovers(run: Path, state: Path) -> list[str]:
    """What should be gone and is not."""
    found = [f"process {identity.pid} (containerd-shim)" for identity in _shims(run)]
    found += [f"mount {point}" for point in _mounts_below(run, state)]
    return [*found, *cgroups()]


def cgroups() -> list[str]:
    """Those that any kubelet makes for pods."""
    return [f"cgroup {folder}" for folder in (CGROUPS / "kubepods", *CGROUPS.glob("*/kubepods")) if folder.is_dir()]


def _shims(run: Path) -> list[Identity]:
    """containerd's shims: found by the socket in their command line, which is in our own folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if "containerd-shim" in words[0] and f"{run}/containerd.sock" in words:
                pid = int(entry.name)
                started = start_time(pid)
                if started is not None:
                    found.append(Identity(pid, started))
    return found


def _descendants(pid: int) -> list[int]:
    children: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            children += map(int, (task / "children").read_text().split())
    return [*children, *(grandchild for child in children for grandchild in _descendants(child))]


def _wait_until_childless(shims: list[Identity]) -> None:
    """A shim reaps its containers' processes; without it they would be left to init."""
    deadline = time.monotonic() + 5
    while any(_descendants(identity.pid) for identity in shims) and time.monotonic() < deadline:
        time.sleep(0.02)


def _mounts_below(*folders: Path) -> list[str]:
    """Mount points in our folders, the innermost first."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    ours = [point for point in points if any(point.startswith(f"{folder}/") for folder in folders)]
    return sorted(ours, key=len, reverse=True)


def _remove_cgroups() -> None:
    deadline = time.monotonic() + 5  # the kernel takes a moment to part from the last process
    while (left := cgroups()) and time.monotonic() < deadline:
        for top in left:
            for folder, _, _ in os.walk(top.removeprefix("cgroup "), topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)  # noqa: PTH106 (os.walk speaks text)
        if cgroups():
            time.sleep(0.1)


def _shim_sockets(run: Path) -> Iterator[Path]:
    """containerd keeps them in a folder that it shares with any other containerd."""
    for record in (run / SHIMS).glob("*/address"):
        with contextlib.suppress(OSError):
            yield Path(record.read_text().strip().removeprefix("unix://"))


def _cni_results() -> list[Path]:
    """CNI's notes about our pods: those of our network, and of the same pods' loopback devices."""
    ours = list(CNI_RESULTS.glob(f"{CNI_NETWORK}-*-eth0"))
    pods = [path.name.removeprefix(f"{CNI_NETWORK}-").removesuffix("-eth0") for path in ours]
    return [*ours, *(CNI_RESULTS / f"cni-loopback-{pod}-lo" for pod in pods)]


def _logs_links(state: Path) -> list[Path]:
    if not CONTAINER_LOGS.is_dir():
        return []
    links = [path for path in CONTAINER_LOGS.iterdir() if path.is_symlink()]
    return [path for path in links if path.readlink().is_relative_to(state)]


def _own_folders() -> list[Path]:
    """Folders that containerd, kubelet and CNI make wherever they run, the innermost first; they go if they are empty."""
    return [
        Path("/run/containerd/s"),
        Path("/run/containerd/runc/k8s.io"),
        Path("/run/containerd/runc"),
        Path("/run/containerd"),
        DEVICE_PLUGINS,
        DEVICE_PLUGINS.parent,
        CONTAINER_LOGS,
        CNI_RESULTS,
        CNI_RESULTS.parent,
    ]
