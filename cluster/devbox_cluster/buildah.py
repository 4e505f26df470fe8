"""Images without a Docker engine: a Debian base by mmdebstrap, builds and archives by buildah, all under the cache folder.

Goes in: a context folder with a Dockerfile. Comes out: an archive that containerd imports.
"""

import hashlib
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from .packages import IMAGES, need
from .paths import cache_dir
from .progress import ClusterError, step

SUITE: Final = "trixie"
BASE_PACKAGES: Final = ("ca-certificates", "python3", "python3-venv")
"""The same Python as the Dockerfiles' own base has, up to its last figure."""
LEFT_OUT: Final = ("/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/man/*")
KEPT: Final = ("/usr/share/doc/*/copyright",)
"""What the small images of Debian leave out and keep, too."""
BASE_KEY: Final = hashlib.sha256(f"{SUITE} {BASE_PACKAGES} {LEFT_OUT} {KEPT} {platform.machine()}".encode()).hexdigest()[:12]
KEPT_STEPS: Final = 100
"""Of builds whose image is gone; the machine code of a data path that did not change is among them."""
BASE_IMAGE: Final = f"localhost/debian-python:{BASE_KEY}"


def storage() -> Path:
    """Where buildah keeps images; a build that is cut off leaves mounts there."""
    return cache_dir() / "buildah"


def buildah(*arguments: str | Path) -> str:
    """Run buildah on our own storage. Raises ClusterError with the end of its output."""
    folders = ["--root", storage() / "root", "--runroot", storage() / "run"]
    command = ["buildah", *folders, "--storage-driver", "overlay"]
    result = subprocess.run(
        [str(part) for part in (*command, *arguments)], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    if result.returncode != 0:
        raise ClusterError(f"buildah {arguments[0]} failed:\n{(result.stdout + result.stderr)[-3000:]}")
    return result.stdout.strip()


def build(context: Path, reference: str, target: str | None = None) -> None:
    """Build the context's Dockerfile, or one stage of it, on our Debian base."""
    need(IMAGES)
    _ensure_base()
    # chroot isolation and the host's network: no container runtime, no bridge, no extra privilege.
    options = ["--isolation", "chroot", "--network", "host", "--layers", "--build-arg", f"BASE={BASE_IMAGE}"]
    buildah("bud", *options, *(["--target", target] if target else []), "-t", reference, context)


def archive(reference: str) -> Path:
    """The image as an archive, for containerd to import; the caller deletes it."""
    path = cache_dir() / "images" / f"{reference.rsplit('/', 1)[1].replace(':', '-')}.tar"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    buildah("push", "--disable-compression", reference, f"docker-archive:{path}:{reference}")
    return path


def remove(reference: str) -> None:
    """Forget a built image, if we hold it. Steps on the way to it stay for the next one, until there are too many."""
    if has(reference):
        buildah("rm", "--all")  # of builds that were cut off; they would hold what is to go
        buildah("rmi", reference)
        if len(buildah("images", "--all", "--quiet", "--filter", "dangling=true").split()) > KEPT_STEPS:
            buildah("rmi", "--prune")


def has(reference: str) -> bool:
    """A built image is here."""
    return bool(buildah("images", "--quiet", "--filter", f"reference={reference}"))


def unpack(reference: str, target: Path) -> None:
    """Copy the files of an image into a folder."""
    container = buildah("from", "--pull-never", reference)
    try:
        copied = subprocess.run(
            ["cp", "-a", f"{buildah('mount', container)}/.", target], capture_output=True, text=True, check=False
        )
        if copied.returncode:
            raise ClusterError(f"copying the files of {reference} failed:\n{copied.stderr[-2000:]}")
    finally:
        buildah("rm", container)


def scratch_image(reference: str, program: Path, command: Sequence[str]) -> Path:
    """An archive of an image that holds one static program."""
    with tempfile.TemporaryDirectory() as folder:
        name = command[0].lstrip("/")
        (Path(folder) / name).write_bytes(program.read_bytes())
        (Path(folder) / name).chmod(0o755)
        words = ", ".join(f'"{word}"' for word in command)
        (Path(folder) / "Dockerfile").write_text(f"FROM scratch\nCOPY {name} /{name}\nENTRYPOINT [{words}]\n")
        buildah("bud", "--isolation", "chroot", "-t", reference, folder)
    return archive(reference)


def _ensure_base() -> None:
    if has(BASE_IMAGE):
        return
    root = cache_dir() / "images" / f"base-{BASE_KEY}.tar"
    if not root.exists():
        partial = root.with_suffix(".part")
        root.parent.mkdir(parents=True, exist_ok=True)
        with step(f"make a Debian {SUITE} base with Python (the first time: 1 to 2 min)"):
            command = [
                "mmdebstrap",
                "--variant=minbase",
                "--mode=root",
                f"--include={','.join(BASE_PACKAGES)}",
                *(f"--dpkgopt=path-exclude={path}" for path in LEFT_OUT),
                *(f"--dpkgopt=path-include={path}" for path in KEPT),
                "--format=tar",
                SUITE,
            ]
            with partial.open("wb") as output:
                result = subprocess.run(command, stdout=output, stderr=subprocess.PIPE, check=False)
            if result.returncode != 0:
                raise ClusterError(f"mmdebstrap failed:\n{result.stderr.decode(errors='replace')[-2000:]}")
        partial.rename(root)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "Dockerfile").write_text("FROM scratch\nADD base.tar /\n")
        shutil.copyfile(root, Path(folder) / "base.tar")
        buildah("bud", "--isolation", "chroot", "-t", BASE_IMAGE, folder)
