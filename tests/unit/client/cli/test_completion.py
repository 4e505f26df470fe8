"""What TAB offers: by kubectl's protocol, and in real shells."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devbox_gateway.cli.table import VERBS
from devbox_stage.kubectl import tool_path

from .processes import NOWHERE, cli, kubeconfig
from .standin import Standin, standin


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Standin]:
    with standin(tmp_path) as made:
        yield made


def offered(*words: str, **environ: str) -> list[str]:
    """By kubectl_complete-devbox."""
    done = subprocess.run(
        [sys.executable, "-m", "devbox_gateway.cli.kubectl_complete", *words],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **NOWHERE, **environ},
        timeout=60,
    )
    assert done.stderr == ""
    return [line.partition("\t")[0] for line in done.stdout.splitlines()]


def test_verbs_and_options() -> None:
    assert offered("") == [*VERBS, ":4"]
    assert offered("l") == ["ls", "logs", ":4"]
    assert offered("secret", "ro") == ["rotate", ":4"]
    assert offered("ls", "-o", "") == ["json", "yaml", "name", "wide", ":4"]
    assert "--follow" in offered("logs", "--")
    assert offered("--kubeconfig", "") == [":0"]
    assert offered("nope", "x") == [":4"]


def test_names_that_are_there(server: Standin, tmp_path: Path) -> None:
    path = kubeconfig(tmp_path, server.url)
    for verb in ("get", "exec", "logs", "rm", "shell", "explain"):
        assert offered(verb, "", KUBECONFIG=path) == ["agent", ":4"], verb
    assert offered("--kubeconfig", path, "get", "ag") == ["agent", ":4"]
    assert offered("get", "--kubeconfig", path, "") == ["agent", ":4"]
    assert offered("get", "b", KUBECONFIG=path) == [":4"]
    assert offered("ls", "--context", "", KUBECONFIG=path) == ["c", ":4"]


def test_a_cluster_that_does_not_answer_holds_nobody_up(tmp_path: Path) -> None:
    started = time.monotonic()
    assert offered("get", "", KUBECONFIG=kubeconfig(tmp_path, "http://127.0.0.1:1")) == [":4"]
    assert offered("get", "") == [":4"]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.listen()
        path = kubeconfig(tmp_path, f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert offered("get", "", KUBECONFIG=path) == [":4"]
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts(shell: str) -> None:
    text = cli("completion", shell).stdout
    assert f"{shell}_complete" in text
    assert "kubectl-devbox" in text
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=text, text=True, check=True)


def test_bash_itself(server: Standin, tmp_path: Path) -> None:
    (bin_ := tmp_path / "bin").mkdir()
    (bin_ / "kubectl-devbox").write_text(f'#!/bin/sh\nexec {sys.executable} -m devbox_gateway.cli "$@"\n')
    (bin_ / "kubectl-devbox").chmod(0o755)
    script = f"""{cli("completion", "bash").stdout}
COMP_WORDS=(kubectl-devbox get ag) COMP_CWORD=2
_kubectl_devbox_completion kubectl-devbox
echo "${{COMPREPLY[@]}}"
"""
    environ = {**os.environ, "PATH": f"{bin_}:{os.environ['PATH']}", "KUBECONFIG": kubeconfig(tmp_path, server.url)}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, env=environ, timeout=60)
    assert done.stdout == "agent\n"


def test_kubectl_itself(server: Standin, tmp_path: Path) -> None:
    kubectl = shutil.which("kubectl", path=tool_path())
    assert kubectl is not None
    (bin_ := tmp_path / "bin").mkdir()
    for name, module in (("kubectl-devbox", "cli"), ("kubectl_complete-devbox", "cli.kubectl_complete")):
        (bin_ / name).write_text(f'#!/bin/sh\nexec {sys.executable} -m devbox_gateway.{module} "$@"\n')
        (bin_ / name).chmod(0o755)
    environ = {**os.environ, "PATH": f"{bin_}:{os.environ['PATH']}", "KUBECONFIG": kubeconfig(tmp_path, server.url)}
    for words, said in (
        (("__complete", "devbox", "rest"), f"restart\t{VERBS['restart'].help}\n:4\n"),
        (("__complete", "devbox", "get", "a"), "agent\n:4\n"),
        (("devbox", "ls", "-o", "name"), "devbox.devbox-gateway.io/agent\n"),
    ):
        done = subprocess.run([kubectl, *words], capture_output=True, text=True, check=True, env=environ, timeout=60)
        assert done.stdout == said


def test_what_is_no_shell() -> None:
    assert cli("completion", "tcsh").returncode == 2
    assert cli("completion").returncode == 2


def test_what_a_shell_would_run_is_not_offered(tmp_path: Path) -> None:
    """A kubeconfig may be somebody else's, and the shell puts names into the line as they are."""
    names = ["$(touch x)", "`x`", "a b", "a;b", "a\\nb", "it's", "team-a@cluster/x:1"]
    listed = ", ".join(f'{{name: "{name}", context: {{cluster: c}}}}' for name in names)
    (path := tmp_path / "config").write_text(f"{{contexts: [{listed}]}}")
    assert offered("ls", "--context", "", KUBECONFIG=str(path)) == ["team-a@cluster/x:1", ":4"]
