"""A credential goes in by stdin, a file or a prompt; what stands in the line by mistake is not repeated."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from .processes import cli, kubeconfig

VALUE = "sk-ant-very-secret"
AWAY = "http://127.0.0.1:1"
LINES = (("secret", "create", "key"), ("secret", "rotate", "key"))


@pytest.mark.parametrize("words", LINES)
@pytest.mark.parametrize("how", [(VALUE,), ("--value", VALUE), (f"--value={VALUE}",), ("--", VALUE), ("-v", VALUE)])
def test_in_the_line_it_is_refused_and_not_repeated(words: tuple[str, ...], how: tuple[str, ...], tmp_path: Path) -> None:
    done = cli(*words, *how, KUBECONFIG=kubeconfig(tmp_path, AWAY))
    assert done.returncode == 2
    assert VALUE not in done.stdout + done.stderr


@pytest.mark.parametrize("words", LINES)
@pytest.mark.parametrize("given", ["", "\n", "  \n", "x" * 70_000], ids=["nothing", "a line's end", "spaces", "too much"])
def test_what_is_no_value(words: tuple[str, ...], given: str, tmp_path: Path) -> None:
    done = cli(*words, stdin=given, KUBECONFIG=kubeconfig(tmp_path, AWAY))
    assert done.returncode == 2
    assert "value: " in done.stderr
    assert len(done.stderr) < 300


def test_a_file(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path, AWAY)
    assert "/nope: No such file" in cli("secret", "create", "key", "--from-file", "/nope", KUBECONFIG=path).stderr
    assert "Is a directory" in cli("secret", "create", "key", "--from-file", "/", KUBECONFIG=path).stderr
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    assert "is text" in cli("secret", "create", "key", "--from-file", str(tmp_path / "bytes"), KUBECONFIG=path).stderr
    (tmp_path / "key").write_text(VALUE)
    done = cli("secret", "create", "key", "--from-file", str(tmp_path / "key"), KUBECONFIG=path)
    assert done.returncode == 6
    assert VALUE not in done.stderr


def test_at_a_prompt_it_is_not_shown(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "devbox_gateway.cli", "secret", "create", "key", "--kubeconfig", kubeconfig(tmp_path, AWAY)]
    own = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
    with subprocess.Popen(
        [sys.executable, "-c", own, *words], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ) as process:
        said = b""
        while b"Value of 'key': " not in said:
            said += os.read(ours, 1024)
        os.write(ours, f"{VALUE}\n".encode())
        assert process.wait(60) == 6
    os.set_blocking(ours, False)
    said += os.read(ours, 65536)
    assert b"can't be reached" in said
    assert VALUE.encode() not in said
    os.close(ours)
    os.close(theirs)
