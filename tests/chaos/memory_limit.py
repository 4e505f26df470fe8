"""`python -m tests.chaos.memory_limit BYTES COMMAND…`: run COMMAND with a memory limit that it can see, as a container does.

COMMAND sees the limit, what it uses and the parts of that in /sys/fs/cgroup, in a mount namespace of its own. The kernel enforces it
where a control group can be made (version 2 or 1), which is named in the environment variable DEVBOX_CHAOS_CGROUP of COMMAND; the
caller removes it (`remove`). Needs root.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.support import image_root

V2: Final = Path("/sys/fs/cgroup")
V1: Final = V2 / "memory"
MODULE: Final = "tests.chaos.memory_limit"
VARIABLE: Final = "DEVBOX_CHAOS_CGROUP"


def prefix(limit: int) -> list[str]:
    """To be put in front of a command line."""
    return ["unshare", "--mount", sys.executable, "-m", MODULE, str(limit)]


def confine(limit: int) -> str:
    """Put this process into a new group with the limit; its path, or an empty string where none can be made."""
    name = f"devbox-chaos-{os.getpid()}-{os.urandom(4).hex()}"
    for root, file in ((V2, "memory.max"), (V1, "memory.limit_in_bytes")):
        group = root / name
        if not (root / "cgroup.procs").exists():
            continue  # the other version's, or none
        with contextlib.suppress(OSError):
            group.mkdir()
            try:
                (group / file).write_text(str(limit))
                (group / "cgroup.procs").write_text("0")
            except OSError:
                group.rmdir()
                continue
            return str(group)
    return ""


def kills(group: str) -> int:
    """How often the kernel ended a process of the group for want of memory."""
    for file in ("memory.events", "memory.oom_control"):
        with contextlib.suppress(OSError):
            lines = (Path(group) / file).read_text().splitlines()
            return next(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
    return 0


def peak(group: str) -> int:
    """The most that the group ever used, in bytes."""
    for file in ("memory.peak", "memory.max_usage_in_bytes"):
        with contextlib.suppress(OSError):
            return int((Path(group) / file).read_text())
    return 0


def group_of(pid: int) -> str:
    """The group that was made for a process; empty if there is none."""
    variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return next((each.decode().partition("=")[2] for each in variables if each.startswith(VARIABLE.encode())), "")


def remove(group: str) -> None:
    """Once its processes have ended."""
    if group:
        Path(group).rmdir()


def main() -> None:
    """Entry point."""
    limit, command = sys.argv[1], sys.argv[2:]
    os.environ[VARIABLE] = confine(int(limit))
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    with tempfile.NamedTemporaryFile("w", prefix="memory-", delete=False) as file:
        file.write(f"{limit}\n")
    group = os.environ[VARIABLE]
    views = {"memory.max": file.name}
    if group.startswith(f"{V1}/"):
        # Version 1 counts the same under another name; the parts have the names of version 2.
        views |= {"memory.current": f"{group}/memory.usage_in_bytes", "memory.stat": f"{group}/memory.stat"}
    elif group:
        views |= {name: f"{group}/{name}" for name in ("memory.current", "memory.stat")}
    with contextlib.ExitStack() as opened:
        sources = {name: opened.enter_context(open(source, "rb")).fileno() for name, source in views.items()}  # noqa: PTH123
        if not (V2 / "memory.max").exists():
            subprocess.run(["mount", "-t", "tmpfs", "none", str(V2)], check=True)
        for name, number in sources.items():
            (V2 / name).touch()
            subprocess.run(["mount", "--bind", f"/proc/{os.getpid()}/fd/{number}", str(V2 / name)], check=True)
    Path(file.name).unlink()
    if image_root.chosen():
        image_root.bind("/sys")
    os.execvp(command[0], command)  # noqa: S606 (no shell is what we want)


if __name__ == "__main__":
    main()
