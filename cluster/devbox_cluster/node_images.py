"""The images that the cluster's node holds: give it what it lacks, take away what is old.

Goes in: an image's laid-out context. Comes out: the image on the node. Two ways: Docker and kind, which copy whole images; buildah and
containerd, where a change of code moves the code's layer alone.
"""

import subprocess
from pathlib import Path
from typing import Protocol

from . import buildah, kind
from .containerd import Containerd
from .paths import run_dir
from .progress import ClusterError, step


class Node(Protocol):
    """Where the cluster's images are."""

    def has(self, reference: str) -> bool:
        """The node holds the image."""

    def make(self, reference: str, context: Path, dependencies: str, takes: str) -> None:
        """Build the image and give it to the node; `dependencies` is the reference of its lower part, `takes` what is said of the time."""

    def tag(self, reference: str, alias: str) -> None:
        """Give an image that the node holds a second name, in place of what had it before."""

    def references(self, name: str) -> list[str]:
        """The references that an image name has, with any tag."""

    def remove(self, reference: str) -> None:
        """Forget an image, here and where it was built."""


class ContainerdNode:
    """The local cluster's node; buildah builds."""

    def __init__(self) -> None:
        self._containerd = Containerd(run_dir())
        self.has = self._containerd.has
        self.tag = self._containerd.tag
        self.references = self._containerd.references

    def make(self, reference: str, context: Path, dependencies: str, takes: str) -> None:
        """Import the dependencies once; then the code's layer on top of them."""
        if not self.has(dependencies):
            with step(f"build {dependencies}"):
                buildah.build(context, dependencies, target="dependencies")
            with step(f"load {dependencies} into the cluster"):
                self._containerd.load(buildah.archive(dependencies))
        with step(f"build {reference}{takes}"):
            code = f"{reference}-code"
            buildah.build(context, code, target="code")
            self._containerd.extend(reference, dependencies, buildah.archive(code))
            buildah.remove(code)

    def remove(self, reference: str) -> None:
        """From containerd and from buildah's storage."""
        self._containerd.remove(reference)
        buildah.remove(reference)


class KindNode:
    """kind's node; Docker builds."""

    def has(self, reference: str) -> bool:
        """The node holds the image."""
        return kind.on_node("crictl", "inspecti", reference, check=False).returncode == 0

    def make(self, reference: str, context: Path, dependencies: str, takes: str) -> None:
        """Build with Docker, whose own cache keeps the dependencies, and copy the image."""
        with step(f"build {reference}{takes}"):
            docker_build(context, reference)
        with step(f"load {reference} into the cluster"):
            kind.load(reference)

    def tag(self, reference: str, alias: str) -> None:
        """Give an image that the node holds a second name."""
        kind.on_node("ctr", "--namespace", "k8s.io", "images", "tag", "--force", reference, alias)

    def references(self, name: str) -> list[str]:
        """The references that an image name has, with any tag."""
        listed = kind.on_node("ctr", "--namespace", "k8s.io", "images", "list", "--quiet").stdout.split()
        return [reference for reference in listed if reference.rpartition(":")[0] == name]

    def remove(self, reference: str) -> None:
        """From the node and from the Docker engine."""
        kind.on_node("crictl", "rmi", reference, check=False)
        subprocess.run(["docker", "rmi", reference], capture_output=True, check=False)


def docker_build(context: Path, reference: str) -> None:
    """Build with the Docker engine. Raises ClusterError."""
    result = subprocess.run(
        ["docker", "build", "--quiet", "-t", reference, context], capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        raise ClusterError(f"docker build failed:\n{(result.stdout + result.stderr)[-3000:]}")
