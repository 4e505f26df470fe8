"""The command line's frame: help, options, exit codes, and that no failure is a traceback."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from devbox_gateway.cli.app import program
from devbox_gateway.cli.table import VERBS

from .processes import cli, kubeconfig


def test_help_names_every_verb_and_loads_none() -> None:
    code = (
        "import sys; from devbox_gateway.cli.app import run; code = run(['--help']); "
        "print([name for name in ('aiohttp', 'asyncio', 'yaml', 'rich', 'devbox_gateway.client') if name in sys.modules], code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[] 0"
    for name, entry in VERBS.items():
        assert f"  {name} " in done.stdout
        assert entry.help in done.stdout


def test_help_is_quick() -> None:
    """0.4 s; on a busy machine the best of some tries."""
    taken = []
    for _ in range(5):
        started = time.monotonic()
        assert cli("--help").returncode == 0
        taken.append(time.monotonic() - started)
    assert min(taken) < 0.4, taken


@pytest.mark.parametrize("name", list(VERBS))
def test_every_verb_has_help(name: str) -> None:
    done = cli(name, "--help")
    assert done.returncode == 0
    assert f"Usage: kubectl devbox {name}" in done.stdout
    assert program.get_command(None, name) is not None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        ((), "Usage", 2),
        (("nope",), "No such command 'nope'", 2),
        (("delete", "x"), "No such command 'delete'; here it is 'rm'", 2),
        (("list",), "No such command 'list'; here it is 'ls'", 2),
        (("describe", "x"), "here it is 'get'", 2),
        (("secret", "get", "x"), "No such command 'get'; here it is 'ls'", 2),
        (("secret", "update", "x"), "here it is 'rotate'", 2),
        (("gateway", "delete", "x"), "here it is 'rm'", 2),
        (("completion",), "Choose from: bash, zsh, fish", 2),
        (("audit", "-o", "name"), "no names", 2),
        (("cp", "agent:x", "-"), "kubectl devbox exec NAME -- cat PATH", 2),
        (("cp", "a", "b"), "NAMESPACE/NAME:PATH", 2),
        (("ls", "--nope"), "No such option", 2),
        (("ls", "-o", "xml"), "'xml' is not one of", 2),
        (("get",), "for all of them there is ls", 2),
        (("logs",), "Missing argument", 2),
        (("ls",), "KUBECONFIG names '/nonexistent', and there is no such file", 3),
        (("ls", "--kubeconfig", "/nope"), "there is no kubeconfig '/nope'", 3),
        (("--kubeconfig", "/nope", "ls"), "there is no kubeconfig '/nope'", 3),
        (("get", "\x1b[31mred"), "no such file", 3),
        (("\x1b[31mred",), "\\x1b[31mred", 2),
    ],
)
def test_what_is_wrong_is_one_line(words: tuple[str, ...], said: str, code: int) -> None:
    done = cli(*words)
    assert said in done.stdout + done.stderr
    assert done.returncode == code
    assert "\x1b" not in done.stderr + done.stdout
    if words:
        assert len(done.stderr.splitlines()) == 1
        assert done.stderr.startswith("kubectl devbox: ")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not YAML"),
        ("a list of: [", "is not YAML"),
        ("[]", "no kubeconfig"),
        ("current-context: x", "has no context 'x'"),
    ],
)
def test_a_kubeconfig_that_is_none(tmp_path: Path, content: str, said: str) -> None:
    (path := tmp_path / "config").write_text(content)
    done = cli("ls", KUBECONFIG=str(path))
    assert said in done.stderr
    assert done.returncode in (2, 3)


def test_an_api_server_that_is_away(tmp_path: Path) -> None:
    done = cli("ls", KUBECONFIG=kubeconfig(tmp_path, "http://127.0.0.1:1"))
    assert "can't be reached" in done.stderr
    assert done.returncode == 6
    assert "not-for-eyes" not in done.stderr
    done = cli("ls", KUBECONFIG=kubeconfig(tmp_path, "https://127.0.0.1:1"))
    assert done.returncode == 6
    assert "127.0.0.1:1 [Connect" in done.stderr
    assert "SSLContext" not in done.stderr


def test_a_machine_without_any_cluster() -> None:
    done = cli("ls", KUBECONFIG="")
    assert "no cluster is named" in done.stderr
    assert done.returncode == 4


def test_context_that_is_not_there(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path, "http://127.0.0.1:1")
    assert "has no context 'd'; it has: c" in cli("ls", "--context", "d", KUBECONFIG=path).stderr
    assert "'Up' is no name of a namespace" in cli("ls", "-n", "Up", KUBECONFIG=path).stderr


def test_a_reader_that_leaves() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "devbox_gateway.cli", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (141, b"")
