"""Images: what is inside, what is old, and a layer on top of what a node holds already."""

import io
import json
import tarfile
from pathlib import Path

import pytest

from devbox_cluster import images, oci
from devbox_cluster.paths import PROJECT


def test_a_change_of_code_leaves_the_dependencies_as_they_are(tmp_path: Path) -> None:
    for name in (*images.IMAGES[0].dependencies, *images.IMAGES[0].code):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    image = images.IMAGES[0]
    before = images.tag(tmp_path, image.dependencies), images.tag(tmp_path, image.dependencies + image.code)
    (tmp_path / image.code[-1]).write_text("2")
    after = images.tag(tmp_path, image.dependencies), images.tag(tmp_path, image.dependencies + image.code)
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_every_input_is_in_the_work_tree() -> None:
    missing = [name for image in images.IMAGES for name in image.dependencies + image.code if not (PROJECT / name).exists()]
    assert missing == []


@pytest.mark.parametrize("image", images.IMAGES, ids=lambda image: image.name)
def test_the_dockerfile_has_the_stages_that_are_built_apart(image: images.Image) -> None:
    stages = [
        line.split()
        for line in (PROJECT / "images" / image.name / "Dockerfile").read_text().splitlines()
        if line.startswith("FROM")
    ]
    names = [stage[3] for stage in stages if len(stage) > 2]
    assert names[0] == "dependencies"
    assert stages[0][1] == "${BASE}"
    assert ["FROM", "scratch", "AS", "code"] in stages
    assert stages[-1] == ["FROM", "dependencies"], "the whole image is the dependencies and the code"


def test_the_examples_name_the_demos_image() -> None:
    assert images.EXAMPLES_IMAGE.rpartition(":")[0] == images.references()["demo"].rpartition(":")[0]


def test_the_last_used_are_kept() -> None:
    held = [f"localhost/a:{number}" for number in range(8)] + ["localhost/a:examples"]
    used = {f"localhost/a:{number}": float(number) for number in range(1, 8)}
    used["localhost/a:1"] = 100.0
    assert images.superseded(held, used) == ["localhost/a:3", "localhost/a:2", "localhost/a:0"]
    assert images.superseded(held[:5], {}) == []


def _archive(path: Path, layers: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        files = {**layers, "manifest.json": json.dumps([{"Config": "c.json", "Layers": list(layers)}]).encode()}
        for name, content in files.items():
            header = tarfile.TarInfo(name)
            header.size = len(content)
            tar.addfile(header, io.BytesIO(content))


@pytest.mark.parametrize(
    ("held", "added"),
    [
        ("application/vnd.docker.image.rootfs.diff.tar", "application/vnd.docker.image.rootfs.diff.tar"),
        ("application/vnd.docker.image.rootfs.diff.tar.gzip", "application/vnd.docker.image.rootfs.diff.tar"),
        ("application/vnd.oci.image.layer.v1.tar+gzip", "application/vnd.oci.image.layer.v1.tar"),
    ],
)
def test_a_layer_on_top_carries_only_what_is_new(tmp_path: Path, held: str, added: str) -> None:
    _archive(tmp_path / "code.tar", {"one.tar": b"first", "two.tar": b"second"})
    layers = oci.layers_of(tmp_path / "code.tar")
    assert layers == [b"first", b"second"]
    base = {"mediaType": held, "digest": "sha256:base", "size": 1}
    manifest = {
        "schemaVersion": 2,
        "mediaType": "m",
        "config": {"mediaType": "c", "digest": "sha256:x", "size": 1},
        "layers": [base],
    }
    config = {"config": {"User": "65532"}, "rootfs": {"type": "layers", "diff_ids": ["sha256:d"]}}
    oci.write_extended(tmp_path / "out.tar", "localhost/x:1", manifest, config, layers)
    with tarfile.open(tmp_path / "out.tar") as tar:
        files = {name: tar.extractfile(name).read() for name in tar.getnames()}  # type: ignore[union-attr]
    (entry,) = json.loads(files["index.json"])["manifests"]
    assert entry["annotations"] == {"io.containerd.image.name": "localhost/x:1"}

    def blob(digest: str) -> bytes:
        content = files[f"blobs/sha256/{digest.removeprefix('sha256:')}"]
        assert oci.digest(content) == digest
        return content

    written = json.loads(blob(entry["digest"]))
    assert written["layers"][0] == base
    assert [layer["mediaType"] for layer in written["layers"][1:]] == [added, added]
    assert [blob(layer["digest"]) for layer in written["layers"][1:]] == layers
    configuration = json.loads(blob(written["config"]["digest"]))
    assert configuration["config"] == {"User": "65532"}
    assert configuration["rootfs"]["diff_ids"] == ["sha256:d", *(oci.digest(layer) for layer in layers)]
    assert manifest["layers"] == [base], "what went in is as it was"
    assert len(files) == 2 + 2 + 2
