"""cp, against an API server whose devbox is this machine: files and folders both ways, and what a hostile devbox packs."""

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .archives import led_out
from .processes import done
from .standin import Standin, standin

DATA = os.urandom(2_000_000)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Standin]:
    (home := tmp_path / "home").mkdir()
    with standin(home) as made:
        yield made


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (made := tmp_path / "here").mkdir()
    return made


def copied(server: Standin, source: object, target: object, code: int = 0) -> str:
    ended = done(server, "cp", str(source), str(target))
    assert ended[0] == code, ended
    assert ended[1] == b""
    return ended[2].decode()


def test_files(server: Standin, here: Path) -> None:
    (here / "a file").write_bytes(DATA)
    copied(server, here / "a file", "agent:x/y")
    assert (server.home / "x" / "y").read_bytes() == DATA
    copied(server, here / "a file", "agent:")
    copied(server, here / "a file", "agent:new/")
    copied(server, here / "a file", "agent:x")
    for where in ("a file", "new/a file", "x/a file"):
        assert (server.home / where).read_bytes() == DATA
    copied(server, "agent:x/y", here / "b")
    copied(server, "agent:x/y", here)
    copied(server, f"agent:{server.home}/x/y", here / "c")
    for name in ("b", "y", "c"):
        assert (here / name).read_bytes() == DATA


def test_a_namespace_before_the_name(server: Standin, here: Path) -> None:
    """As kubectl cp has it."""
    (here / "a").write_bytes(DATA)
    copied(server, here / "a", "default/agent:a")
    assert (server.home / "a").read_bytes() == DATA
    copied(server, "default/agent:a", here / "b")
    assert (here / "b").read_bytes() == DATA
    assert "not found" in copied(server, "elsewhere/agent:a", here / "c", 3)


def test_links_that_lead_out_are_not_sent(server: Standin, here: Path) -> None:
    (here / "there" / "sub").mkdir(parents=True)
    (here / "there" / "file").write_bytes(DATA)
    (here / "there" / "sub" / "up").symlink_to("../file")
    (here / "link").symlink_to("there")
    copied(server, here / "there", "agent:there")
    copied(server, here / "link", "agent:linked")
    for name in ("there", "linked"):
        assert tree(server.home / name) == tree(here / "there")
    for target in ("/etc", "../../x", "up/../../../x"):
        (bad := here / "there" / "sub" / "bad").symlink_to(target)
        assert f"sub/bad is a link that may lead out of the folder: {target}" in copied(server, here / "there", "agent:no", 2)
        bad.unlink()
    assert not (server.home / "no").exists()


def tree(folder: Path) -> dict[str, object]:
    return {
        str(path.relative_to(folder)): path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def test_folders(server: Standin, here: Path) -> None:
    folder = here / "folder"
    (folder / "sub" / "empty").mkdir(parents=True)
    (folder / "sub" / "ü 世").write_bytes(DATA)
    (folder / "run").write_text("#!/bin/sh\n")
    (folder / "run").chmod(0o755)
    (folder / "link").symlink_to("sub/ü 世")
    os.mkfifo(folder / "pipe")
    copied(server, folder, "agent:new")
    (folder / "pipe").unlink()
    assert tree(server.home / "new") == tree(folder)
    assert os.access(server.home / "new" / "run", os.X_OK)
    copied(server, folder, "agent:~")
    assert tree(server.home / "folder") == tree(folder)
    assert "is there already" in copied(server, folder, "agent:", code=2)
    copied(server, "agent:new", here / "back")
    copied(server, "agent:new", here)
    assert tree(here / "back") == tree(here / "new") == tree(folder)
    assert "is there already" in copied(server, "agent:new", here, code=2)
    assert sorted(path.name for path in here.iterdir()) == ["back", "folder", "new"]


@pytest.mark.parametrize(
    ("source", "target", "said", "code"),
    [
        ("a", "b", "One of both", 2),
        ("agent:a", "agent:b", "One of both", 2),
        ("nope", "agent:x", "there is no nope here", 3),
        ("agent:nope", "x", "there is no nope in the devbox", 3),
        ("agent:nope", "no/folder/x", "there is no folder no/folder here", 3),
        ("other:a", "b", "there is no devbox", 3),
        ("agent:/", ".", "no name of its own", 2),
        ("agent:..", ".", "no name of its own", 2),
        ("agent:a\nb", ".", "no name of its own", 2),
    ],
)
def test_bad_input(server: Standin, source: str, target: str, said: str, code: int) -> None:
    assert said in copied(server, source, target, code)


def packs(server: Standin, content: bytes) -> None:
    """Its `tar` says what it likes, of the folder `folder`."""
    (server.home / "evil.tar").write_bytes(content)
    (bin_ := server.home / "bin").mkdir()
    (bin_ / "tar").write_text(f"#!/bin/sh\ncat {server.home}/evil.tar\n")
    (bin_ / "tar").chmod(0o755)
    server.path = f"{bin_}:{server.path}"
    (server.home / "folder").mkdir()


def test_a_path_that_is_too_long_leads_nowhere(server: Standin, here: Path) -> None:
    """Pythons before 3.10.18, 3.11.13 and 3.12.11 write `out` beside the folder, wherever the devbox likes, and say that all is well."""
    packs(server, led_out("../../.."))
    assert "nothing was" in copied(server, "agent:folder", here / "target", code=1)
    assert not (here.parent / "out").exists()
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("flaw", ["time", "NUL", "no tar"])
def test_what_is_no_stream_to_unpack_is_told_in_words(server: Standin, here: Path, flaw: str) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("a")
        member.pax_headers = {"mtime": "1e300"} if flaw == "time" else {"path": "a\0b"}
        archive.addfile(member)
    packs(server, content.getvalue() if flaw != "no tar" else b"\x1b[31mno\n" * 1000)
    assert "nothing was" in copied(server, "agent:folder", here / "target", code=1)
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("name", ["../out", "/out", "sub/../../out"])
@pytest.mark.parametrize("kind", ["file", "link", "hard link"])
def test_a_devbox_that_packs_what_leads_out(server: Standin, here: Path, name: str, kind: str) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        member = tarfile.TarInfo(name if kind == "file" else "inside")
        if kind == "file":
            member.size = 3
        else:
            member.type, member.linkname = (tarfile.SYMTYPE if kind == "link" else tarfile.LNKTYPE), name
        archive.addfile(member, io.BytesIO(b"bad"))
    packs(server, content.getvalue())
    ended = done(server, "cp", "agent:folder", str(here / "target"))
    assert not (here.parent / "out").exists()
    assert not (here / "out").exists()
    assert not Path("/out").exists()
    if (here / "target").exists():
        assert (kind, name, sorted(tree(here / "target"))) == ("file", "/out", ["out"])  # (made relative)
    else:
        assert b"nothing was" in ended[2]
        assert ended[0] == 1
        assert list(here.iterdir()) == []


def test_an_image_without_tar(server: Standin, here: Path) -> None:
    (bin_ := server.home / "bin").mkdir()
    for program in ("sh", "cat", "mkdir", "rm", "mv"):
        (bin_ / program).symlink_to(f"/bin/{program}")
    server.path = str(bin_)
    (here / "folder").mkdir()
    assert "has no tar" in copied(server, here / "folder", "agent:x", code=2)
    assert "has no tar" in copied(server, "agent:bin", here / "x", code=2)
    assert sorted(path.name for path in here.iterdir()) == ["folder"]
