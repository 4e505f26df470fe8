"""The project's images, tagged by what is in them: built only when something changed, loaded only where they are missing.

Goes in: the work tree. Comes out: references such as `localhost/devbox-gateway:3f2a9c01b7de`.
"""

import hashlib
import json
import platform
import time
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from . import buildah, context
from .cluster import running
from .kind import KindCluster, docker_answers
from .locks import locked
from .node_images import ContainerdNode, KindNode, Node, docker_build
from .paths import PROJECT, cache_dir
from .progress import ClusterError, step

DEFAULT_REGISTRY: Final = "localhost"
KEPT_TAGS: Final = 5
"""Of each image; the last used."""
EXAMPLES_TAG: Final = "examples"
EXAMPLES_IMAGE: Final = f"{DEFAULT_REGISTRY}/devbox-gateway-demo:{EXAMPLES_TAG}"
"""What the files of examples/ name: the demo's image, whatever its content's tag is."""


class Image(NamedTuple):
    """What an image is made of: files and folders of the work tree whose content makes the tag."""

    name: str
    repository: str
    dependencies: tuple[str, ...]
    """Of the lower layers, which change seldom."""
    code: tuple[str, ...]
    takes: str = ""
    """What is said of a build that may take minutes."""


IMAGES: Final = (
    Image(
        "devbox-gateway",
        "devbox-gateway",
        ("images/devbox-gateway", "requirements/runtime.txt", "requirements/compiler.txt"),
        (
            "pyproject.toml",
            "operator/devbox_operator",
            "proxy/devbox_proxy",
            "common/devbox_common",
            "crds/devbox_api",
            "init/devbox_init",
            "cluster/devbox_cluster/native.py",
        ),
        " (a data path that has changed is compiled: 2 to 6 min)",
    ),
    Image(
        "demo",
        "devbox-gateway-demo",
        ("images/demo", "requirements/demo-agent.txt", "requirements/demo-anthropic1.txt"),
        ("demo/standin",),
    ),
    Image(
        "git",
        "devbox-gateway-git",
        ("images/git",),
        ("clone/devbox_clone", "crds/devbox_api/__init__.py", "crds/devbox_api/judge"),
    ),
    Image("devbox", "devbox-gateway-devbox", ("images/devbox/Dockerfile", "requirements/devbox.txt"), ("images/devbox/etc",)),
    Image(
        "tools",
        "devbox-gateway-tools",
        ("images/tools", "requirements/tools.txt", "requirements/tools-registries.txt"),
        ("tests/support/standins",),
    ),
    Image(
        "agents",
        "devbox-gateway-agents",
        (
            "images/agents/Dockerfile",
            "images/agents/package.json",
            "images/agents/package-lock.json",
            "requirements/devbox.txt",
        ),
        ("images/agents/etc",),
    ),
    Image(
        "more-agents",
        "devbox-gateway-more-agents",
        ("images/more-agents", "requirements/devbox.txt", "requirements/agents.txt", "requirements/agents-aider.txt"),
        ("tests/agents/programs",),
    ),
)
ASKED_FOR: Final = ("agents", "more-agents")
"""Others' programs, of a GB: built only where they are asked for by name, for this machine's own cluster, and never given to others."""
REGULAR: Final = ("devbox-gateway", "demo")
"""What everything needs; the others are for some tests alone."""
PUBLISHED: Final = ("devbox-gateway", "git", "devbox")
"""The product's own: operator and gateway, what clones repositories, and the image of devboxes that name none."""


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
    return {image.name: f"{registry}/{image.repository}:{tag(project, image.dependencies + image.code)}" for image in IMAGES}


def ensure(project: Path = PROJECT, names: Collection[str] = REGULAR) -> dict[str, str]:
    """Build what is missing and give it to the running cluster. Returns image name → reference. Raises ClusterError."""
    node: Node = KindNode() if isinstance(running(), KindCluster) else ContainerdNode()
    with locked("images"):
        wanted = references(project)
        for image in (image for image in IMAGES if image.name in names):
            # (Anew: making the one before may have taken minutes.)
            reference = wanted[image.name] = references(project)[image.name]
            key = tag(project, image.dependencies)
            dependencies = f"{DEFAULT_REGISTRY}/{image.repository}-dependencies:{key}"
            if not node.has(reference):
                node.make(reference, _gathered(project, image, wanted), dependencies, image.takes)
                _prune(node, reference)
                _prune(node, dependencies)
        if "demo" in names:
            node.tag(wanted["demo"], EXAMPLES_IMAGE)
    return {name: wanted[name] for name in names}


def publish(project: Path, registry: str) -> dict[str, str]:
    """Build and push what a cluster needs to a registry that the Docker client or buildah is logged in to."""
    docker = docker_answers()
    pushed: dict[str, str] = {}
    for image in (image for image in IMAGES if image.name in PUBLISHED):
        pushed[image.name] = reference = _build_whole(project, registry, image, docker=docker)
        with step(f"push {reference}"):
            if docker:
                context.run("docker", "push", reference)
            else:
                buildah.buildah("push", reference, f"docker://{reference}")
    return pushed


def build_all(project: Path, registry: str) -> dict[str, str]:
    """Build without loading or pushing."""
    docker = docker_answers()
    return {
        image.name: _build_whole(project, registry, image, docker=docker) for image in IMAGES if image.name not in ASKED_FOR
    }


def build(project: Path, name: str) -> str:
    """Build one image for this machine alone, without giving it to the cluster. Returns its reference."""
    return _build_whole(
        project, DEFAULT_REGISTRY, next(image for image in IMAGES if image.name == name), docker=docker_answers()
    )


def _build_whole(project: Path, registry: str, image: Image, *, docker: bool) -> str:
    with locked("images"):
        wanted = references(project, registry)
        folder, reference = _gathered(project, image, wanted), wanted[image.name]
        with step(f"build {reference}{image.takes}"):
            docker_build(folder, reference) if docker else buildah.build(folder, reference)
        return reference


def _gathered(project: Path, image: Image, wanted: Mapping[str, str]) -> Path:
    """The context of an image that `wanted` names. Raises ClusterError where that is no more what is in the work tree."""
    folder = context.lay_out(project, image.name, tag(project, image.dependencies))
    reference = wanted[image.name]
    if tag(project, image.dependencies + image.code) != reference.rpartition(":")[2]:
        raise ClusterError(f"the sources of {reference} changed while they were gathered; run the same again")
    return folder


def _prune(node: Node, reference: str) -> None:
    """Note the reference as used now; remove those of its name that were used longest ago."""
    record = cache_dir() / "images" / "used.json"
    used: dict[str, float] = json.loads(record.read_text()) if record.exists() else {}
    used[reference] = time.time()
    name = reference.rpartition(":")[0]
    for old in superseded(node.references(name), used):
        node.remove(old)
        used.pop(old, None)
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps(used))


def superseded(held: Iterable[str], used: dict[str, float], keep: int = KEPT_TAGS) -> list[str]:
    """Which references are too many: all but the `keep` that were used last. One that nobody noted is the oldest."""
    tags = [reference for reference in held if reference.rpartition(":")[2] != EXAMPLES_TAG]
    return sorted(tags, key=lambda reference: used.get(reference, 0.0), reverse=True)[keep:]
