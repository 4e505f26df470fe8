"""Take pods away from a node whose kubelet is gone: their processes, network namespaces and mounts.

Called by local.py on the way down. Only what lies under the cluster's own folders is touched.
"""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

from .processes import Identity, end, start_time


def remove_sandboxes(run: Path, state: Path) -> None:
    """End every container's processes and shims, then its namespaces, devices and mounts."""
    for identity in _shims(run):
        for child in _descendants(identity.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        _wait_until_childless(identity.pid)
        end(identity, patience=2)
    for mount in _mounts_below(run, state):
        subprocess.run(["umount", "--lazy", mount], capture_output=True, check=False)
    _remove_network_namespaces(run)


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


def _wait_until_childless(pid: int) -> None:
    deadline = time.monotonic() + 5
    while _descendants(pid) and time.monotonic() < deadline:
        time.sleep(0.02)


def _mounts_below(*folders: Path) -> list[str]:
    """Mount points in our folders, the innermost first."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    ours = [point for point in points if any(point.startswith(f"{folder}/") for folder in folders)]
    return sorted(ours, key=len, reverse=True)


def _remove_network_namespaces(run: Path) -> None:
    """CNI's namespaces are named in the addresses that its host-local plugin gave out, and live in /run/netns."""
    names = run / "namespaces"
    for name in _cni_namespaces():
        subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)
    with contextlib.suppress(OSError):
        names.unlink()


def _cni_namespaces() -> list[str]:
    """containerd calls them cni-<uuid>; one that still has a process in it is somebody else's."""
    folder = Path("/run/netns")
    candidates = [path.name for path in folder.glob("cni-*")] if folder.exists() else []
    return [name for name in candidates if not _pids_in(name)]


def _pids_in(namespace: str) -> bool:
    result = subprocess.run(["ip", "netns", "pids", namespace], capture_output=True, text=True, check=False)
    return bool(result.stdout.strip())
