"""What a stranger has packed, unpacked."""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from devbox_gateway.cli import unpacking
from devbox_gateway.cli.unpacking import unpack

from .archives import FILE, FOLDER, HARD, LINK, PIPE, Member, led_out, packed


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """All that is beside it afterwards leaked out."""
    (made := tmp_path / "part").mkdir()
    yield made
    assert [path.name for path in tmp_path.iterdir()] == ["part"]


def test_what_is_fine(folder: Path) -> None:
    members: list[Member] = [
        (FOLDER, "."),
        (FOLDER, "./a"),
        (FOLDER, "./a/b"),
        (FILE, "./a/b/file", "one"),
        (FILE, "c/new", "two"),
    ]
    members += [
        (LINK, "a/b/up", "../../c/./new"),
        (LINK, "a/b/top", "../.."),
        (LINK, "l", "a/b"),
        (LINK, "dangling", "nowhere"),
    ]
    members += [(HARD, "a/other", "./a/b/file"), (FOLDER, "a"), (FILE, "/absolute", "three"), (FILE, "n" * 200, "four")]
    unpack(io.BytesIO(packed(*members)), folder)
    assert (folder / "a" / "b" / "up").read_text() == (folder / "c" / "new").read_text() == "two"
    assert (folder / "l" / "file").read_text() == (folder / "a" / "other").read_text() == "one"
    assert (folder / "a" / "other").samefile(folder / "a" / "b" / "file")
    assert (folder / "a" / "b" / "top").resolve() == folder
    assert ((folder / "absolute").read_text(), (folder / ("n" * 200)).read_text()) == ("three", "four")
    assert (folder / "dangling").readlink() == Path("nowhere")


def test_modes_are_harmless(folder: Path) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name, mode in (("run", 0o6777), ("closed", 0)):
            member = tarfile.TarInfo(name)
            member.mode = mode
            archive.addfile(member)
    unpack(io.BytesIO(content.getvalue()), folder)
    assert [(folder / name).stat().st_mode & 0o7777 for name in ("run", "closed")] == [0o755, 0o600]


@pytest.mark.parametrize(
    "members",
    [
        [(FILE, "../out", "x")],
        [(FILE, "a/../../out", "x")],
        [(LINK, "a", "/etc")],
        [(LINK, "a", "../out")],
        [(LINK, "a/b", "../../out")],
        [(LINK, "a/b/c/up", "../../.."), (LINK, "out", "a/b/c/up/..")],
        [(LINK, "a/b/c/up", "../../.."), (HARD, "out", "a/b/c/up")],
        [(HARD, "a", "../out")],
        [(HARD, "a", "/etc/passwd")],
        [(HARD, "a", "nowhere")],
        [(FOLDER, "a"), (LINK, "l", "a"), (FILE, "l/x", "x")],
        [(FOLDER, "a"), (LINK, "l", "a"), (FOLDER, "l")],
        [(LINK, "l", "x"), (FILE, "l", "through it")],
        [(FILE, "a", "x"), (FILE, "a", "y")],
        [(FILE, "a", "x"), (FILE, "a/b", "y")],
        [(FILE, ".", "x")],
        [(PIPE, "pipe")],
        [(tarfile.CHRTYPE, "device")],
        [(FOLDER, "/".join("a" * (unpacking.MOST_DEPTH + 1)))],
    ],
    ids=str,
)
def test_what_leads_out_or_may(members: list[Member], folder: Path) -> None:
    with pytest.raises((unpacking.Unpacking, tarfile.TarError)):
        unpack(io.BytesIO(packed(*members)), folder)


@pytest.mark.parametrize("target", ["../out", "..", "../../etc"])
def test_a_path_that_is_too_long_to_be_followed(target: str, folder: Path) -> None:
    with pytest.raises(unpacking.Unpacking, match="behind a link"):
        unpack(io.BytesIO(led_out(target)), folder)


class Endless(io.BytesIO):
    """Heads, and then zeros for ever; how much was taken."""

    def __init__(self, begin: bytes) -> None:
        super().__init__()
        self.begin, self.taken = begin, 0

    def read(self, size: int | None = -1) -> bytes:
        assert size is not None
        self.taken += size
        assert self.taken < 10 << 20, "it is read on and on"
        found, self.begin = self.begin[:size], self.begin[size:]
        return found.ljust(size, b"0")


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE])
@pytest.mark.parametrize("before", [[], [(FILE, "first", "x" * 100_000)]], ids=["first", "later"])
def test_a_head_that_never_ends_takes_no_memory(kind: bytes, before: list[Member], folder: Path) -> None:
    member = tarfile.TarInfo("x")
    member.type, member.size = kind, 1 << 40
    first = packed(*before)[: (1 + (100_000 + 511) // 512) * 512] if before else b""
    with pytest.raises(unpacking.Unpacking, match="64 KiB"):
        unpack(Endless(first + member.tobuf(tarfile.GNU_FORMAT)), folder)


def test_many_files_are_not_remembered(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "MOST_MEMBERS", 20)
    members: list[Member] = [(FILE, f"{number}", "x") for number in range(19)]
    unpack(io.BytesIO(packed(*members)), folder)
    assert len(list(folder.iterdir())) == 19
    for path in folder.iterdir():
        path.unlink()
    with pytest.raises(unpacking.Unpacking, match="more than 20"):
        unpack(io.BytesIO(packed(*members, (FILE, "a", "x"), (FILE, "b", "x"))), folder)
