"""The files of the gateway's image as a folder, so that what is tested is what is shipped: interpreter, libraries, machine code.

Goes in: the work tree. Comes out: a folder under the cache, to be the root of a process (tests/support/image_root.py); nobody writes to it.
"""

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
"""Of the roots that were used last."""


def folder(project: Path = PROJECT) -> Path:
    """The image's root; built if the sources changed. Raises ClusterError."""
    with locked("roots"):
        target = cache_dir() / "roots" / images.references(project)[IMAGE].rpartition(":")[2]
        if not target.exists():
            partial = target.with_name(f".part-{target.name}")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            reference = images.build(project, IMAGE)
            with locked("images"), step("unpack the gateway's image"):
                if docker_answers():
                    _unpack_docker(reference, partial)
                else:
                    buildah.unpack(reference, partial)
                    buildah.remove(reference)
            partial.rename(target)
        os.utime(target)
        for old in sorted(target.parent.glob("[!.]*"), key=lambda each: each.stat().st_mtime)[:-KEPT]:
            shutil.rmtree(old)
        return target


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
