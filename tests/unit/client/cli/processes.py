"""The command line as processes."""

import os
import subprocess
import sys
from pathlib import Path

from .standin import Standin

NOWHERE = {"KUBECONFIG": "/nonexistent", "HOME": "/nonexistent"}


def cli(*words: str, stdin: str = "", **environ: str) -> "subprocess.CompletedProcess[str]":
    """A real process."""
    done = subprocess.run(
        [sys.executable, "-m", "devbox_gateway.cli", *words],
        capture_output=True,
        text=True,
        check=False,
        input=stdin,
        env={**os.environ, **NOWHERE, **environ},
        timeout=60,
    )
    assert "Traceback" not in done.stderr
    return done


def kubeconfig(folder: Path, server: str) -> str:
    """Of a cluster at that address."""
    (path := folder / "config").write_text(
        f"""{{apiVersion: v1, kind: Config, current-context: c,
clusters: [{{name: c, cluster: {{server: "{server}"}}}}],
users: [{{name: u, user: {{token: not-for-eyes}}}}],
contexts: [{{name: c, context: {{cluster: c, user: u}}}}]}}"""
    )
    return str(path)


SECONDS = 60


def command(server: Standin, *words: str) -> list[str]:
    first, *rest = words
    path = kubeconfig(server.home.parent, server.url)
    return [sys.executable, "-m", "devbox_gateway.cli", first, "--kubeconfig", path, *rest]


def done(server: Standin, *words: str, given: bytes = b"") -> tuple[int, bytes, bytes]:
    ended = subprocess.run(command(server, *words), input=given, capture_output=True, timeout=SECONDS, check=False)
    assert b"Traceback" not in ended.stderr
    return ended.returncode, ended.stdout, ended.stderr
