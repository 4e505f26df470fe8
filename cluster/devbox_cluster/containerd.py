"""The local cluster's containerd, by its own client.

Goes in: references and archives. Comes out: what the node holds.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

from . import oci
from .progress import ClusterError


class Containerd:
    """containerd in the namespace that kubelet uses."""

    def __init__(self, run: Path) -> None:
        self._command = ["ctr", "--address", f"{run}/containerd.sock", "--namespace", "k8s.io"]

    def references(self, name: str) -> list[str]:
        """The references that an image name has, with any tag."""
        quiet = self._ctr("images", "list", "--quiet").split()
        return [reference for reference in quiet if reference.rpartition(":")[0] == name]

    def has(self, reference: str) -> bool:
        """The node holds the image."""
        return bool(self._ctr("images", "list", "--quiet", f"name=={reference}").strip())

    def load(self, archive: Path) -> None:
        """Import an archive, which goes."""
        self._ctr("images", "import", str(archive))
        archive.unlink()

    def extend(self, reference: str, base: str, archive: Path) -> None:
        """Make an image of one that the node holds and the layers of an archive, which goes."""
        rows = self._ctr("images", "list", f"name=={base}").splitlines()
        manifest = self._json(rows[1].split()[2])
        config = self._json(manifest["config"]["digest"])
        extended = archive.with_suffix(".oci.tar")
        oci.write_extended(extended, reference, manifest, config, oci.layers_of(archive))
        archive.unlink()
        self.load(extended)

    def tag(self, reference: str, alias: str) -> None:
        """Give an image that the node holds a second name, in place of what had it before."""
        self._ctr("images", "tag", "--force", reference, alias)

    def remove(self, reference: str) -> None:
        """Forget a reference; containerd's garbage collection takes what nothing uses any more."""
        self._ctr("images", "remove", reference)

    def _json(self, digest: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self._ctr("content", "get", digest))
        return content

    def _ctr(self, *arguments: str) -> str:
        try:
            return subprocess.run([*self._command, *arguments], capture_output=True, text=True, check=True, timeout=300).stdout
        except subprocess.CalledProcessError as error:
            raise ClusterError(f"ctr {' '.join(arguments)} failed:\n{error.stderr.strip()[-2000:]}") from None
