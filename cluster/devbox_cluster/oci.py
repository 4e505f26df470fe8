"""One more layer on an image that a container runtime holds already, without moving what it holds.

Goes in: the image's manifest and configuration, and the layers as tar files. Comes out: an archive in the OCI image layout that
has the new blobs alone; containerd finds the others in its own store.
"""

import copy
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any


def layers_of(archive: Path) -> list[bytes]:
    """The layers of a docker-archive (`docker save`), the lowest first."""
    with tarfile.open(archive) as tar:

        def member(name: str) -> bytes:
            reader = tar.extractfile(name)  # follows links inside the archive
            if reader is None:
                raise ValueError(f"{archive} has no file {name}")
            return reader.read()

        (image,) = json.loads(member("manifest.json"))
        return [member(name) for name in image["Layers"]]


def write_extended(target: Path, reference: str, manifest: dict[str, Any], config: dict[str, Any], layers: list[bytes]) -> None:
    """Write the archive of the image that has these layers on top, with `reference` as its name."""
    manifest, config = copy.deepcopy(manifest), copy.deepcopy(config)
    kind = manifest["layers"][0]["mediaType"].removesuffix("+gzip").removesuffix(".gzip")
    for layer in layers:
        config["rootfs"]["diff_ids"].append(digest(layer))
        config.setdefault("history", []).append({"created_by": "the code layer of the Dockerfile"})
        manifest["layers"].append(_descriptor(kind, layer))
    configuration = json.dumps(config).encode()
    manifest["config"] = _descriptor(manifest["config"]["mediaType"], configuration)
    written = json.dumps(manifest).encode()
    entry = {**_descriptor(manifest["mediaType"], written), "annotations": {"io.containerd.image.name": reference}}
    files = {
        "oci-layout": json.dumps({"imageLayoutVersion": "1.0.0"}).encode(),
        "index.json": json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode(),
    }
    files |= {f"blobs/sha256/{digest(blob).removeprefix('sha256:')}": blob for blob in (*layers, configuration, written)}
    with tarfile.open(target, "w") as tar:
        for name, content in files.items():
            header = tarfile.TarInfo(name)
            header.size = len(content)
            tar.addfile(header, io.BytesIO(content))


def digest(blob: bytes) -> str:
    """What names a blob."""
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


def _descriptor(media_type: str, blob: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest(blob), "size": len(blob)}
