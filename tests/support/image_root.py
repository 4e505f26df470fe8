"""The gateway out of the files of its own image: interpreter, libraries and machine code are those that are shipped.

Goes in: the environment variable IMAGE_ROOT, a folder that `python -m devbox_cluster image-root` prints. Comes out: what a command line
begins with that starts Python there. In a mount namespace of one's own (netns.py), `mount` puts the files at INSIDE, together with the
kernel's views and the tests' own folders; as in a pod, nothing else of it can be written. Where the variable is
not set, the sources run, under the interpreter of whoever starts them.

`python -m tests.support.image_root ARGUMENTS…`: the image's Python with these arguments, in this folder, with the image's packages, and
after them those of PACKAGES, which tests need.
"""

import fcntl
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

VARIABLE: Final = "IMAGE_ROOT"
PLACE: Final = Path("/mnt")
"""Every Linux has it, and in the namespace nobody else needs it."""
INSIDE: Final = PLACE / "root"
PYTHON: Final = "/opt/devbox-gateway/bin/python"
APP: Final = "/opt/devbox-gateway/app"
"""Sources and machine code of the project."""
PACKAGES: Final = ("client", "cluster", "demo", ".image-packages")
KERNEL: Final = ("/dev", "/proc", "/sys")
FAKE_TIME: Final = tuple(Path("/usr/lib").glob("*/faketime"))
"""The library that gives a process another time of day, where it is installed."""
NAMES: Final = ("/etc/hosts", "/etc/nsswitch.conf", "/etc/resolv.conf")


class NoRoot(Exception):
    """The files can't be had; the text says what is missing."""


def chosen() -> Path | None:
    """The folder that the variable names. Raises NoRoot where it holds no image."""
    if not (named := os.environ.get(VARIABLE)):
        return None
    if not Path(named + PYTHON).is_symlink():
        raise NoRoot(f"{VARIABLE}={named} holds no image of the gateway; run: python -m devbox_cluster image-root")
    return Path(named)


def python() -> tuple[str, ...]:
    """What starts Python as the gateway's image has it, or this one where no image is chosen."""
    return ("chroot", str(INSIDE), PYTHON) if os.environ.get(VARIABLE) else (sys.executable,)


def mount() -> None:
    """Put the chosen image's files at INSIDE, in this mount namespace. Raises NoRoot."""
    if (root := chosen()) is None:
        return
    # For as long as this process lives nobody takes it for an old one (cluster/devbox_cluster/image_root.py).
    fcntl.flock(os.open(root, os.O_RDONLY), fcntl.LOCK_SH)
    upper, work = PLACE / "upper", PLACE / "work"
    _run("mount", "-t", "tmpfs", "image-root", str(PLACE))
    for folder in (upper, work, INSIDE):
        folder.mkdir()
    _run("mount", "-t", "overlay", "image-root", "-o", f"lowerdir={root},upperdir={upper},workdir={work}", str(INSIDE))
    for path in (*KERNEL, tempfile.gettempdir(), str(Path.cwd()), *map(str, FAKE_TIME)):
        bind(path)
    for path in NAMES:
        within(path).touch()  # something to mount on; netns.py does
    _run("mount", "-o", "remount,ro", str(INSIDE))


def bind(folder: str) -> None:
    """Let the image's processes see what is in a folder now, and what is mounted below it. Raises NoRoot."""
    within(folder).mkdir(parents=True, exist_ok=True)
    _run("mount", "--rbind", folder, str(within(folder)))


def within(path: str) -> Path:
    """Where that is which the image's processes see at `path`."""
    return INSIDE / path.lstrip("/")


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoRoot(f"{' '.join(command)}: {done.stderr.strip()}")


def main() -> None:
    """Entry point."""
    if os.environ.get(VARIABLE) is None:
        raise SystemExit(f"set {VARIABLE}; python -m devbox_cluster image-root prints what to")
    here = Path.cwd()
    paths = ":".join((APP, *(str(here / package) for package in PACKAGES)))
    # What is started there is there already.
    inside = ("env", f"--unset={VARIABLE}", f"--chdir={here}", f"PYTHONPATH={paths}", PYTHON, *sys.argv[1:])
    os.execvp("chroot", ("chroot", str(INSIDE), *inside))  # noqa: S606 (no shell is what we want)


if __name__ == "__main__":
    main()
