"""`kubectl devbox` on a real cluster, typed by a person: at a terminal (a pty) and in pipes."""

import os
import signal
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from tests.support.pages import readme_objects
from tests.support.person import Person, at_terminal
from tests.support.workspace import IMAGE, Workspace

from devbox_cluster.paths import kubeconfig
from devbox_stage.upstream import HOSTS

SECONDS = 90.0


def command(workspace: Workspace, *words: str) -> list[str]:
    first, *rest = words
    return [sys.executable, "-m", "devbox_gateway.cli", first, "--kubeconfig", str(kubeconfig()), "-n", workspace.name, *rest]


def cli(workspace: Workspace, *words: str, given: bytes = b"", code: int = 0) -> bytes:
    """stdout, or, of what fails, stderr."""
    done = subprocess.run(command(workspace, *words), input=given, capture_output=True, timeout=SECONDS, check=False)
    assert b"Traceback" not in done.stderr
    assert done.returncode == code, f"{words}: {done.returncode} {done.stdout[-2000:]!r} {done.stderr.decode()}"
    return done.stderr if code else done.stdout


def at(workspace: Workspace, *words: str) -> AbstractContextManager[Person]:
    return at_terminal(command(workspace, *words))


@pytest.fixture
def agent(workspace: Workspace) -> str:
    cli(workspace, "create", "agent", "--image", IMAGE)
    return "agent"


def names(workspace: Workspace) -> list[str]:
    return cli(workspace, "ls", "-o", "name").decode().split()


def processes(workspace: Workspace, agent: str) -> bytes:
    """What runs there."""
    return cli(workspace, "exec", agent, "--", "sh", "-c", "cat /proc/[0-9]*/cmdline")


def test_commands_in_pipes(workspace: Workspace, agent: str) -> None:
    assert cli(workspace, "exec", agent, "--", "sh", "-c", 'echo "$1"; exit 3', "x", "a  b'$HOME", code=3) == b""
    assert cli(workspace, "exec", agent, "--", "printf", "%s|", "a  b", "$HOME", "*") == b"a  b|$HOME|*|"
    assert cli(workspace, "exec", agent, "--", "nope-nope", code=127) != b""
    assert cli(workspace, "exec", agent, "--", "sh", "-c", "kill -9 $$", code=137) == b""
    assert cli(workspace, "exec", agent, "--", "cat", given=b"unread") == b""
    data = os.urandom(3_000_000)
    assert cli(workspace, "exec", "-i", agent, "--", "cat", given=data) == data
    assert cli(workspace, "exec", "-it", agent, "--", "echo", "no", "terminal") == b"no terminal\n"
    assert cli(workspace, "shell", agent, given=b"echo $0; exit 4\n", code=4) == b""
    assert b"no devbox" in cli(workspace, "exec", "nope", "--", "true", code=125)
    assert b"after --" in cli(workspace, "exec", agent, code=2)
    first = subprocess.run(
        ["sh", "-c", '"$@" | head -c 4', "sh", *command(workspace, "exec", agent, "--", "yes")],
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    assert (first.stdout, first.stderr) == (b"y\ny\n", b"")
    assert b"yes" not in processes(workspace, agent)


def test_a_terminal(workspace: Workspace, agent: str) -> None:
    with at(workspace, "exec", "-it", agent, "--", "sh", "-c", "stty size; echo $TERM; tty; exit 5") as terminal:
        terminal.until(r"30 100\r\nxterm-256color\r\n/dev/pts/\d+")
        assert terminal.end() == 5
    with at(workspace, "shell", agent) as terminal:
        terminal.type("echo be''gun; stty size\n")
        terminal.until(r"begun\r\n.*30 100")
        terminal.resize(77, 22)
        terminal.type("until [ \"$(stty size)\" = '22 77' ]; do sleep 0.1; done; echo resi''zed\n")
        terminal.until("resized")
        terminal.type("sh -c \"echo sl''eeping; exec sleep 1000\"\n")
        terminal.until("sleeping")
        terminal.type("\x03")
        terminal.type("echo code $?\n")
        terminal.until("code 130")
        terminal.type("exit 6\n")
        assert terminal.end() == 6


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signals_go_to_the_command(workspace: Workspace, agent: str, number: signal.Signals, code: int) -> None:
    words = command(workspace, "exec", agent, "--", "sh", "-c", "echo begun; exec sleep 1234")
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, out, err) == (code, b"", b"")
    assert b"1234" not in cli(
        workspace, "exec", agent, "--", "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep 'sleep 123[4]' || :"
    )


def test_a_command_that_heeds_a_signal_says_how_it_ended(workspace: Workspace, agent: str) -> None:
    words = command(
        workspace, "exec", agent, "--", "sh", "-c", "trap 'echo over; exit 9' INT; echo begun; while :; do sleep 0.1; done"
    )
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == b"over\n"
    assert process.returncode == 9


def test_run(workspace: Workspace) -> None:
    assert cli(workspace, "run", "--image", IMAGE, "--", "sh", "-c", "cat; exit 3", given=b"", code=3).count(b"Traceback") == 0
    assert cli(workspace, "run", "--image", IMAGE, "--", "cat", given=b"given") == b"given"
    gone(workspace)
    with at(workspace, "run", "--image", IMAGE) as terminal:
        terminal.type("echo be''gun; stty size\n")
        terminal.until(r"begun\r\n.*30 100")
        assert len(names(workspace)) == 1
        terminal.type("exit 4\n")
        assert terminal.end() == 4
    gone(workspace)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("begun", [False, True], ids=["while it is made", "while it runs"])
def test_run_leaves_nothing(workspace: Workspace, number: signal.Signals, begun: bool) -> None:
    words = command(workspace, "run", "--image", IMAGE, "--no-stdin", "--", "sh", "-c", "echo begun; exec sleep 1234")
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert (process.stdout if begun else process.stderr).readline() != b""
        process.send_signal(number)
        _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 128 + number
    assert b"Traceback" not in err
    gone(workspace)


def test_run_in_a_terminal_that_is_closed(workspace: Workspace) -> None:
    with at(workspace, "run", "--image", IMAGE) as terminal:
        terminal.type("echo be''gun\n")
        terminal.until("begun")
        terminal.process.send_signal(signal.SIGHUP)
        assert terminal.end() == 129
    gone(workspace)


def gone(workspace: Workspace) -> None:
    """Soon there is none left."""
    for name in names(workspace):
        cli(workspace, "wait", name, "--for", "deleted", "--timeout", "60")
    assert names(workspace) == []


def test_logs(workspace: Workspace) -> None:
    line = "printf 'a\\033[31mb gws_abcdef\\n'; sleep 3; echo last; sleep 1000"
    cli(workspace, "create", "talker", "--image", IMAGE, "--", "sh", "-c", line)
    with subprocess.Popen(command(workspace, "logs", "-f", "talker"), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"a\x1b[31mb gws_abcdef\n"
        assert process.stdout.readline() == b"last\n"
        process.send_signal(signal.SIGINT)
    assert process.returncode == 130
    assert cli(workspace, "logs", "talker", "--tail", "1") == b"last\n"
    with at(workspace, "logs", "talker") as terminal:
        assert terminal.until("last") == "a\\x1b[31mb gws_…\r\nlast"
        assert terminal.end() == 0
    with at(workspace, "exec", "talker", "--", "printf", r"a\033]0;title\007\n") as terminal:
        terminal.until(r"a\\x1b\]0;title\\x07\r\n")
        assert terminal.end() == 0


def test_wait_and_restart(workspace: Workspace, agent: str) -> None:
    assert cli(workspace, "wait", agent) == b"devbox.devbox-gateway.io/agent ready\n"
    before = cli(workspace, "get", agent, "-o", "wide").decode().split("\n")[1]
    cli(workspace, "restart", agent, "--wait")
    assert before != cli(workspace, "get", agent, "-o", "wide").decode().split("\n")[1]
    assert "running" in cli(workspace, "ls").decode()
    cli(workspace, "rm", agent)
    assert names(workspace) == []


def test_a_devbox_that_dies_under_a_command(workspace: Workspace, agent: str) -> None:
    with subprocess.Popen(
        command(workspace, "exec", agent, "--", "sh", "-c", "echo begun; exec sleep 1234"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        cli(workspace, "rm", agent)
        _, err = process.communicate(timeout=SECONDS)
    assert process.returncode in (125, 137, 143)
    assert b"Traceback" not in err


def test_from_a_key_to_an_answer(workspace: Workspace, tmp_path: Path) -> None:
    """What README says, typed; the key is in nothing that is printed."""
    key = workspace.key()
    line = ("init", "--api", "anthropic", "--endpoint", f"https://{HOSTS['anthropic']}", "--policy")
    out = cli(workspace, *line, given=key.value.reveal().encode())
    assert out.split()[0::2][-1] == b"devbox.devbox-gateway.io/agent"
    call = """curl -sS "$ANTHROPIC_URL/v1/messages" -H "Authorization: Bearer $ANTHROPIC" -H "anthropic-version: 2023-06-01" \\
      -H "Content-Type: application/json" \\
      -d '{"model": "claude-sonnet-5-5", "max_tokens": 100, "messages": [{"role": "user", "content": "Hello!"}]}'"""
    assert b'"assistant"' in cli(workspace, "exec", "agent", "--", "sh", "-c", call)
    gateway = "ANTHROPIC=anthropic:anthropic-key"
    assert b'"assistant"' in cli(workspace, "run", "--gateway", gateway, "--", "sh", "-c", call)
    everything = b"".join(
        cli(workspace, *words, "-o", "yaml")
        for words in (("ls",), ("get", "agent"), ("gateway", "ls"), ("secret", "ls"), ("policy", "ls"))
    )
    assert key.value.reveal().encode() not in everything + out
    assert b"is used by" in cli(workspace, "gateway", "rm", "anthropic", code=7)
    assert b"or cut them off: --force" in cli(workspace, "secret", "rm", "anthropic-key", code=7)


def test_the_readmes_devbox_starts_as_it_stands(workspace: Workspace) -> None:
    workspace.kubectl("-n", workspace.name, "apply", "-f", "-", stdin=readme_objects())
    assert cli(workspace, "wait", "agent") == b"devbox.devbox-gateway.io/agent ready\n"
    assert cli(workspace, "exec", "agent", "--", "sh", "-c", "echo $ANTHROPIC").startswith(b"gws_")


def test_cp(workspace: Workspace, agent: str, tmp_path: Path) -> None:
    data = os.urandom(5_000_000)
    (folder := tmp_path / "folder" / "sub").mkdir(parents=True)
    (folder / "data").write_bytes(data)
    (folder / "link").symlink_to("data")
    cli(workspace, "cp", str(tmp_path / "folder"), f"{agent}:there")
    cli(workspace, "cp", f"{agent}:there", str(tmp_path / "back"))
    assert (tmp_path / "back" / "sub" / "data").read_bytes() == data
    assert (tmp_path / "back" / "sub" / "link").is_symlink()
    cli(workspace, "cp", f"{agent}:there/sub/data", str(tmp_path / "data"))
    assert (tmp_path / "data").read_bytes() == data
    assert b"there is no nope in the devbox" in cli(workspace, "cp", f"{agent}:nope", str(tmp_path), code=3)
