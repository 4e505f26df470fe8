"""The roots of the gateway's image: named by the sources that are in them, and kept while they are in use."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from devbox_cluster import buildah, context, image_root, images
from devbox_cluster.progress import ClusterError


class Builder:
    """In place of buildah: what is unpacked is what the sources were when the build began."""

    def __init__(self, project: Path, meanwhile: Callable[[], object]) -> None:
        self.project, self.meanwhile = project, meanwhile
        self.built: list[str] = []

    def build(self, project: Path, name: str) -> str:
        self.meanwhile()  # another build was waited for
        reference = images.references(project)[name]
        self.built.append((project / "code").read_text())
        return reference

    def unpack(self, reference: str, target: Path) -> None:
        (target / "code").write_text(self.built[-1])


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEVBOX_GATEWAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(images, "IMAGES", (images.Image(image_root.IMAGE, image_root.IMAGE, (), ("code",)),))
    (tmp_path / "code").write_text("1")
    return tmp_path


@pytest.fixture
def builder(project: Path, monkeypatch: pytest.MonkeyPatch) -> Builder:
    result = Builder(project, bool)
    monkeypatch.setattr(images, "build", result.build)
    monkeypatch.setattr(image_root, "docker_answers", lambda: False)
    monkeypatch.setattr(buildah, "unpack", result.unpack)
    monkeypatch.setattr(buildah, "remove", lambda reference: None)
    return result


def code(root: Path) -> str:
    return (root / "code").read_text()


def test_one_is_built_once(project: Path, builder: Builder) -> None:
    assert code(image_root.folder(project)) == code(image_root.folder(project)) == "1"
    assert builder.built == ["1"]


def test_sources_that_change_while_another_build_is_waited_for_are_not_taken_for_what_they_were(
    project: Path, builder: Builder
) -> None:
    builder.meanwhile = lambda: (project / "code").write_text("2")
    assert code(image_root.folder(project)) == "2"
    builder.meanwhile = bool
    (project / "code").write_text("1")
    assert code(image_root.folder(project)) == "1"
    assert builder.built == ["2", "1"]


def test_of_old_ones_those_in_use_stay(project: Path, builder: Builder) -> None:
    first = image_root.folder(project)
    held = os.open(first, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_SH)
    made = [first]
    (first.parent / ".part-1").mkdir()
    for number in range(2, 8):
        (project / "code").write_text(str(number))
        os.utime(made[-1], (number, number))
        made.append(image_root.folder(project))
    assert [each.exists() for each in made] == [True, False, False, False, True, True, True]
    os.close(held)
    image_root.folder(project)
    assert not first.exists()
    assert not list(first.parent.glob(".part-*"))


def test_sources_that_change_while_they_are_gathered_make_no_image(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lay_out(project: Path, name: str, key: str) -> Path:
        (project / "code").write_text("2")
        return project

    monkeypatch.setattr(context, "lay_out", lay_out)
    with pytest.raises(ClusterError, match="run the same again"):
        images.build(project, image_root.IMAGE)
