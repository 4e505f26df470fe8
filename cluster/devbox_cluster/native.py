"""The gateway's data path as machine code: mypyc compiles the very modules that Python would read, and they run half as long.

Goes in: what the gateway runs (PACKAGES). Comes out: a folder under the cache with copies of it, extension modules beside their
sources; put before everything else on PYTHONPATH it is what `python -m devbox_proxy` runs. The image holds it, and
attacks, fuzzing, chaos and benchmarks run it, so that what is shipped is what is tested. Without it everything works, slower.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Final

from .locks import locked
from .packages import need
from .paths import PROJECT, cache_dir
from .progress import ClusterError, step

WINGS: Final = (
    *(f"proxy/devbox_proxy/{wing}" for wing in ("wire", "decide", "accounting", "upstreams", "requests", "tunnels")),
    "crds/devbox_api/judge",
)
"""What a request, or a tunnel, passes through: a file that is new there is compiled without being named."""
SINGLE: Final = (
    *(
        f"proxy/devbox_proxy/kit/{module}.py"
        for module in ("dialling", "ids", "lines", "memory", "metrics", "ticks", "transports")
    ),
    *(f"proxy/devbox_proxy/known/{module}.py" for module in ("apis", "credentials", "facts")),
    "proxy/devbox_proxy/reviews/waiting.py",
    "common/devbox_common/clock.py",
    "crds/devbox_api/names.py",
)
"""Of the other wings what is on the way as well. The rim (settings, watches, ports) is not worth the time."""
PACKAGES: Final = ("proxy/devbox_proxy", "common/devbox_common", "crds/devbox_api")
KEPT: Final = 3
"""Builds of earlier sources."""
IMAGE_LIBC: Final = (2, 36)
"""Debian bookworm's: machine code made with a newer one may not run there."""


def fits_image() -> bool:
    """Whether what this machine makes runs in the image: Linux, CPython 3.11, no newer C library."""
    library = os.confstr("CS_GNU_LIBC_VERSION") if sys.platform == "linux" else None
    name, _, release = (library or "").partition(" ")
    return name == "glibc" and tuple(map(int, release.split("."))) <= IMAGE_LIBC and sys.version_info[:2] == (3, 11)


def files(project: Path = PROJECT) -> list[str]:
    """What is compiled, in the project."""
    found = [str(path.relative_to(project)) for wing in WINGS for path in sorted((project / wing).glob("[!_]*.py"))]
    return [*found, *SINGLE]


def folder(project: Path = PROJECT) -> Path:
    """The compiled package's folder; built if the sources changed. Raises ClusterError."""
    with locked("native"):
        target = cache_dir() / "native" / _key(project)
        if not target.exists():
            need({"gcc": "gcc", f"{sysconfig.get_path('include')}/Python.h": "python3-dev"})
            with step("compile the gateway's data path (1 to 2 min)"):
                _build(project, target)
        os.utime(target)
        for old in sorted(target.parent.glob("[!.]*"), key=lambda each: each.stat().st_mtime)[: -1 - KEPT]:
            shutil.rmtree(old)
        return target


def _key(project: Path) -> str:
    """What the machine code depends on."""
    digest = hashlib.sha256(
        f"{version('mypy')} {sysconfig.get_config_var('SOABI')} {platform.machine()} {files(project)}".encode()
    )
    for root in PACKAGES:
        for path in sorted((project / root).rglob("*.py")):
            digest.update(f"{path.relative_to(project).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _build(project: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".part-") as name:
        place = Path(name) / "place"
        for package in PACKAGES:
            shutil.copytree(project / package, place / Path(package).name, ignore=shutil.ignore_patterns("__pycache__"))
        modules = [file.partition("/")[2] for file in files(project)]
        command = [sys.executable, "-m", "mypyc", "--config-file", str(project / "pyproject.toml"), *modules]
        environment = {**os.environ, "MYPYC_OPT_LEVEL": "2", "MYPYC_DEBUG_LEVEL": "0"}
        result = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise ClusterError(f"mypyc failed:\n{(result.stdout + result.stderr)[-3000:]}")
        for rest in ("build", ".mypy_cache"):
            shutil.rmtree(place / rest, ignore_errors=True)
        place.rename(target)
