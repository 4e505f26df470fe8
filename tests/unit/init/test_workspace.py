"""`devbox-init` tries a workspace: real files, and errors of the kinds that storage has."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from devbox_api import names
from devbox_init import __main__, workspace
from devbox_init.families import Family
from devbox_init.judge import State, Verdict
from devbox_init.workspace import Writable, look

pytestmark = pytest.mark.row("S23")


class Changed:
    """The module `os`, with another function in one's place."""

    def __init__(self, name: str, function: Any) -> None:
        setattr(self, name, function)

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)


def test_one_that_can_be_written_to_is_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("x")
    assert look(tmp_path).writable is Writable.YES
    assert [one.name for one in tmp_path.iterdir()] == ["kept"]


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, Writable.FULL),
        (errno.EDQUOT, Writable.FULL),
        (errno.EIO, Writable.NO),
        (errno.ESTALE, Writable.NO),
        (errno.EROFS, Writable.NO),
    ],
)
@pytest.mark.parametrize("at", ["open", "write", "fsync"])
def test_what_storage_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str, number: int, expected: Writable) -> None:
    def fails(*_: Any) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(workspace, "os", Changed(at, fails))
    found = look(tmp_path)
    assert found.writable is expected
    assert os.strerror(number) in found.words
    assert not list(tmp_path.iterdir())


def test_a_write_that_takes_only_a_part_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []

    def part(_: int, data: bytes) -> int:
        sizes.append(len(data))
        return min(len(data), 40_000)

    monkeypatch.setattr(workspace, "os", Changed("write", part))
    assert look(tmp_path).writable is Writable.YES
    assert sizes == [65536, 25536]


def test_whose_it_is_is_said(tmp_path: Path) -> None:
    """As another user than root, whom no mode holds back."""
    theirs = tmp_path / "theirs"
    theirs.mkdir(mode=0o755)
    for one in (tmp_path, *tmp_path.parents):
        if one.stat().st_uid == os.getuid():
            one.chmod(one.stat().st_mode | 0o055)
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.setgroups([7])
            os.setgid(65532)
            os.setuid(65532)
            os.write(writer, str(look(theirs)).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    said = os.read(reader, 4096).decode()
    assert "Permission denied (it belongs to " in said
    assert "mode 755; the devbox is 65532:65532, groups [7])" in said


def test_one_that_is_not_there(tmp_path: Path) -> None:
    assert look(tmp_path / "absent") == (Writable.NO, "No such file or directory")


@pytest.mark.parametrize(
    ("found", "code", "words"),
    [
        (workspace.Workspace(Writable.YES), 0, ("confined: over IPv4", "does not")),
        (
            workspace.Workspace(Writable.FULL, "No space left on device"),
            0,
            ("confined: over IPv4", "; the workspace is full: No space left on device"),
        ),
        (workspace.Workspace(Writable.NO, "Permission denied"), 4, ("the workspace is not writable", ": Permission denied")),
    ],
)
def test_the_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: workspace.Workspace, code: int, words: tuple[str, str]
) -> None:
    confined = Verdict(State.CONFINED, (Family.IPV4,))
    monkeypatch.setattr(__main__, "look", lambda _: found)
    monkeypatch.setattr(__main__, "watch", lambda *_, **__: confined)
    log = tmp_path / "log"
    arguments = ["--gateway=gateway", f"--termination-log={log}"]
    assert __main__.main([*arguments, f"--workspace={tmp_path}"]) == code
    said = log.read_text()
    assert said.startswith(words[0])
    assert said.endswith(words[1])
    assert __main__.main(arguments) == 0, "without a workspace nobody looks"


def test_the_operator_knows_them() -> None:
    assert (__main__.NOT_WRITABLE, __main__.FULL) == (names.INIT_NOT_WRITABLE, names.INIT_FULL)
