"""exec, shell and run, against an API server whose devbox is this machine: real processes, real terminals on both sides."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from tests.support.person import Person, at_terminal

from .processes import SECONDS, command, done
from .standin import Standin, standin

RUN = ("run", "--image", "x")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Standin]:
    (home := tmp_path / "home").mkdir()
    with standin(home) as made:
        yield made


def at(server: Standin, *words: str) -> AbstractContextManager[Person]:
    return at_terminal(command(server, *words))


def test_words_exit_codes_and_streams(server: Standin) -> None:
    assert done(server, "exec", "agent", "--", "printf", "%s|", "a  b", "$HOME", "*", "--x") == (0, b"a  b|$HOME|*|--x|", b"")
    assert done(server, "exec", "agent", "--", "sh", "-c", "echo out; echo err >&2; exit 3") == (3, b"out\n", b"err\n")
    assert done(server, "exec", "agent", "--", "sh", "-c", "kill -9 $$")[0] == 137
    assert done(server, "exec", "agent", "--", "cat", given=b"unread") == (0, b"", b"")
    data = os.urandom(1 << 20)
    assert done(server, "exec", "-i", "agent", "--", "cat", given=data) == (0, data, b"")
    assert done(server, "shell", "agent", given=b"echo in; exit 4\n") == (4, b"in\n", b"")
    code, out, err = done(server, "exec", "-it", "agent", "--", "echo", "plain")
    assert (code, out) == (0, b"plain\n")
    assert b"done without -t" in err


def test_run_takes_what_kubectl_run_does(server: Standin) -> None:
    code, out, err = done(server, "run", "-it", "--rm", "--image", "x", "--", "cat", given=b"given")
    assert (code, out) == (0, b"given")
    assert b"done without -t" in err
    assert done(server, "run", "-i", "--rm", "--image", "x", "--", "cat", given=b"given")[:2] == (0, b"given")
    assert server.deleted == 2


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        (("exec", "agent"), b"after --", 2),
        (("exec", "-t", "agent", "--", "ls"), b"-t goes with -i", 2),
        (("exec", "nope", "--", "ls"), b"there is no devbox", 125),
        (("exec", "agent", "--", "x" * 130_000), b"longer than 120 KiB", 125),
        (("shell",), b"Missing argument", 2),
        (("shell", "nope"), b"there is no devbox", 125),
        ((*RUN, "--gateway", "=", "--", "ls"), b"--gateway", 125),
        ((*RUN, "--", "x" * 130_000), b"longer than 120 KiB", 125),
    ],
)
def test_bad_input(server: Standin, words: tuple[str, ...], said: bytes, code: int) -> None:
    ended = done(server, *words)
    assert said in ended[2]
    assert (ended[0], len(ended[2].splitlines())) == (code, 1)
    assert server.deleted == 0


def test_a_reader_that_leaves_ends_the_command(server: Standin) -> None:
    line = 'echo "$$" >"$HOME/pid"; exec yes'
    words = ["sh", "-c", '"$@" | head -c 4', "sh", *command(server, "exec", "agent", "--", "sh", "-c", line)]
    ended = subprocess.run(words, capture_output=True, timeout=SECONDS, check=False)
    assert (ended.stdout, ended.stderr) == (b"y\ny\n", b"")
    assert gone(int((server.home / "pid").read_text()))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("verb", [("exec", "agent"), RUN], ids=["exec", "run"])
def test_signals_go_to_the_command(server: Standin, verb: tuple[str, ...], number: signal.Signals) -> None:
    for line, code, out in (
        ("echo begun; exec sleep 1234", 128 + number, b""),
        (f"trap 'echo over; exit 9' {number.name[3:]}; echo begun; while :; do sleep 0.1; done", 9, b"over\n"),
    ):
        with subprocess.Popen(
            command(server, *verb, "--", "sh", "-c", line), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"begun\n"
            process.send_signal(number)
            assert process.stdout.read() == out
        assert process.returncode == code
    assert server.deleted == (2 if verb == RUN else 0)


def gone(pid: int) -> bool:
    """It has ended; who inherited it may not have buried it yet."""
    until = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def test_a_second_signal_ends_what_heeds_none(server: Standin) -> None:
    line = "trap '' INT TERM; echo $$; while :; do sleep 0.1; done"
    with subprocess.Popen(command(server, "exec", "agent", "--", "sh", "-c", line), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        process.wait(SECONDS)
    assert process.returncode in (130, 143)  # (which one was heard last)
    assert gone(pid)


def test_a_terminal(server: Standin) -> None:
    with at(server, "exec", "-it", "agent", "--", "sh", "-c", "stty size; echo $TERM; tty; exit 5") as person:
        person.until(r"30 100\r\nxterm-256color\r\n/dev/pts/\d+")
        assert person.end() == 5
    with at(server, "exec", "-it", "agent", "--", "sh") as person:
        person.type("echo be''gun; stty size\n")
        person.until(r"begun\r\n.*30 100")
        person.resize(77, 22)
        person.type("until [ \"$(stty size)\" = '22 77' ]; do sleep 0.1; done; echo resi''zed\n")
        person.until("resized")
        person.type("sh -c \"echo sl''eeping; exec sleep 1000\"\n")
        person.until("sleeping")
        person.type("\x03")
        person.type("echo code $?\n")
        person.until("code 130")
        person.type("exit 6\n")
        assert person.end() == 6
    assert list((server.home / ".devbox-gateway" / "exec").iterdir()) == []


def test_what_is_typed_ahead_is_the_commands(server: Standin) -> None:
    server.slow = 1.0
    with at(server, "exec", "-it", "agent", "--", "sh", "-c", "read x; echo got $x; exit 3") as person:
        person.type("typed ahead of its beginning\n")
        person.until("got typed ahead of its beginning")
        assert person.end() == 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_terminal_is_as_it_was_after_a_signal(server: Standin, number: signal.Signals) -> None:
    with at(server, *RUN) as person:
        person.type("echo pi''d $$\n")
        found = person.until(r"pid \d+\r\n")
        person.process.send_signal(number)
        assert person.end() == 128 + number
    assert found
    assert server.deleted == 1


def test_run_in_a_terminal(server: Standin) -> None:
    with at(server, *RUN, "--", "sh", "-c", "test -t 0 && test -t 1 && stty size; exit 4") as person:
        person.until("30 100")
        assert person.end() == 4
    assert server.deleted == 1
    with at(server, *RUN, "--no-tty", "--", "printf", r"a\033[31mb gws_abc\n") as person:
        person.until(r"a\\x1b\[31mb gws_…")
        assert person.end() == 0
    assert server.deleted == 2


def test_what_run_can_t_delete_is_named(server: Standin) -> None:
    server.refuses = True
    code, out, err = done(server, *RUN, "--", "sh", "-c", "echo out; exit 3")
    assert (code, out) == (3, b"out\n")
    line = err.decode()
    assert "not now \\x1b[31m\\u202e" in line
    assert line.endswith("delete it: kubectl devbox -n default rm agent\n")
