"""An image with nothing but a shell: busybox, and no user, no bash, no HOME.

Goes in: the running cluster. Comes out: the image's reference, on its node.
"""

import hashlib
import shutil
import tempfile
from pathlib import Path
from typing import Final

from devbox_cluster import buildah, kind
from devbox_cluster.cluster import running
from devbox_cluster.containerd import Containerd
from devbox_cluster.kind import KindCluster
from devbox_cluster.locks import locked
from devbox_cluster.node_images import docker_build
from devbox_cluster.packages import need
from devbox_cluster.paths import run_dir

DOCKERFILE: Final = """FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
ENV PATH=/opt/of/the/image:/bin
"""


def busybox_image() -> str:
    """Built of Debian's static busybox, once, and given to the node."""
    with locked("packages"):
        need({"busybox": "busybox-static"})
    program = Path(str(shutil.which("busybox")))
    content = DOCKERFILE.encode() + program.read_bytes()
    reference = f"localhost/devbox-gateway-busybox:{hashlib.sha256(content).hexdigest()[:12]}"
    with locked("images"), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "Dockerfile").write_text(DOCKERFILE)
        shutil.copy(program, folder / "busybox")
        if isinstance(running(), KindCluster):
            docker_build(folder, reference)
            kind.load(reference)
        elif not (node := Containerd(run_dir())).has(reference):
            buildah.buildah("bud", "--isolation", "chroot", "-t", reference, folder)
            node.load(buildah.archive(reference))
    return reference
