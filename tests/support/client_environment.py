"""The client as its users have it: the built wheel in an environment of its own, of the oldest Python that it names where there is one.

Goes in: a folder. Comes out: that environment's `python`.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from devbox_cluster.paths import PROJECT, cache_dir

OLDEST: Final = "3.10"
UV: Final = Path(sys.executable).with_name("uv")


def build_wheel(folder: Path) -> Path:
    """The wheel of client/, by way of its sdist, as `python -m build` makes it."""
    _hatchling("sdist", folder, PROJECT / "client")
    (packed,) = folder.glob("devbox_gateway-*.tar.gz")
    shutil.unpack_archive(packed, folder, filter="data")
    _hatchling("wheel", folder, folder / packed.name.removesuffix(".tar.gz"))
    (found,) = folder.glob("devbox_gateway-*.whl")
    return found


def _hatchling(target: str, folder: Path, source: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def python_with_the_client(folder: Path) -> Path:
    """Of a machine without that Python: the one that runs the tests. Which it is, it says."""
    # (Where pyenv has several, it is asked for this one.)
    find: list[str | Path] = [UV, "python", "find", "--no-python-downloads", "--no-project", OLDEST]
    found = subprocess.run(find, capture_output=True, text=True, check=False, env={**os.environ, "PYENV_VERSION": OLDEST})
    base = found.stdout.strip() if found.returncode == 0 else sys.executable
    print(f"the client is tried with {base}")  # noqa: T201
    _uv("venv", "--python", base, folder / "environment")
    python = folder / "environment" / "bin" / "python"
    _uv("pip", "install", "--python", python, "--require-hashes", "-r", PROJECT / "requirements" / "client.txt")
    _uv("pip", "install", "--python", python, "--no-deps", build_wheel(folder))
    return python


def _uv(*arguments: str | Path) -> None:
    environment = {**os.environ, "UV_CACHE_DIR": str(cache_dir() / "uv"), "UV_LINK_MODE": "copy"}
    done = subprocess.run([UV, "--quiet", *arguments], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
