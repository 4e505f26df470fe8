"""The files of the gateway's image as a folder, so that what is tested is what is shipped: interpreter, libraries, machine code.

Goes in: the work tree. Comes out: a folder under the cache, to be the root of a process (tests/support/image_root.py); nobody writes to it.
"""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from . import buildah, images
from .kind import docker_answers
from .locks import locked
from .paths import PROJECT, cache_dir
from .progress import ClusterError, step

IMAGE: Final = "devbox-gateway"
KEPT: Final = 3
"""Of the roots that were used last; and those that processes are in now."""


def folder(project: Path = PROJECT) -> Path:
    """The image's root; built if the sources changed. Raises ClusterError."""
    roots = cache_dir() / "roots"
    with locked("roots"):
        # (Where the sources change while another build is waited for, what was built is not what is asked for by now.)
        while not (target := roots / _tag(images.references(project)[IMAGE])).exists():
            _make(project, roots)
        os.utime(target)
        for old in sorted(roots.glob("[!.]*"), key=lambda each: each.stat().st_mtime)[:-KEPT]:
            if not _in_use(old):
                shutil.rmtree(old)
        return target


def _tag(reference: str) -> str:
    return reference.rpartition(":")[2]


def _make(project: Path, roots: Path) -> None:
    """A root of the sources as they are when its build begins, named by these."""
    for cut_off in roots.glob(".part-*"):
        shutil.rmtree(cut_off)
    partial = roots / f".part-{os.getpid()}"
    partial.mkdir(parents=True)
    reference = images.build(project, IMAGE)
    with locked("images"), step("unpack the gateway's image"):
        if docker_answers():
            _unpack_docker(reference, partial)
        else:
            buildah.unpack(reference, partial)
            buildah.remove(reference)
    made = roots / _tag(reference)
    if made.exists():
        shutil.rmtree(partial)
    else:
        partial.rename(made)


def _in_use(root: Path) -> bool:
    """Whoever mounts it holds a lock on it (tests/support/image_root.py)."""
    opened = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(opened)
    return False


def _unpack_docker(reference: str, target: Path) -> None:
    created = subprocess.run(["docker", "create", reference], capture_output=True, text=True, check=False)
    if created.returncode:
        raise ClusterError(f"docker create failed:\n{created.stderr[-2000:]}")
    container = created.stdout.strip()
    try:
        with subprocess.Popen(["docker", "export", container], stdout=subprocess.PIPE) as export:
            unpacked = subprocess.run(
                ["tar", "-x", "-C", str(target)], stdin=export.stdout, capture_output=True, text=True, check=False
            )
        if export.returncode or unpacked.returncode:
            raise ClusterError(f"docker export failed:\n{unpacked.stderr[-2000:]}")
    finally:
        subprocess.run(["docker", "rm", container], capture_output=True, check=False)
