"""Gateway and operator as the image's user starts them, with an API server that answers nobody: what a process is, not what it does.

Goes in: the program's name, and the limit of its files. Comes out: a process that runs.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import yaml

from devbox_stage.credentials import make_certificates

from .gateway_process import FILES, HOST, settings, write_files

USER: Final = 65532
"""The image's."""
FIRST: Final = {"devbox_proxy": "started", "devbox_operator": "waiting_for_api"}
"""What each says when it runs."""


def as_user(*command: str, files: tuple[int, int] | None = None) -> list[str]:
    """As the image's user where this is root, who may read everything; else as who we are."""
    limit = ["prlimit", f"--nofile={files[0]}:{files[1]}"] if files else FILES
    user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"] if os.geteuid() == 0 else []
    return [*limit, *user, *command]


@contextmanager
def started(program: str, files: tuple[int, int] | None = None, **change: Any) -> Iterator[subprocess.Popen[str]]:
    """A program of ours, up to its first words; its API server answers nobody."""
    with tempfile.TemporaryDirectory(prefix="process-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        write_files(folder, make_certificates((HOST,)), "http://127.0.0.1:1")
        if program == "devbox_proxy":
            config = settings(folder)
        else:
            config = folder / "operator.yaml"
            content = {
                "releaseNamespace": "r",
                "credentialsNamespace": "c",
                "image": {"reference": "i"},
                "adminPort": 0,
                **change,
            }
            config.write_text(yaml.safe_dump(content))
        process = subprocess.Popen(
            as_user(sys.executable, "-m", program, "run", "--config", str(config), files=files),
            env={**os.environ, "KUBECONFIG": str(folder / "kubeconfig"), "HOME": str(folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


def said(process: subprocess.Popen[str], event: str) -> dict[str, object]:
    """The line of its log that names the event."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if f'"{event}"' in line:
            found: dict[str, object] = json.loads(line)
            return found
    raise AssertionError("".join(lines))


def limit_of(pid: int, name: str) -> tuple[str, str]:
    """Soft and hard, as everybody may read them."""
    line = next(line for line in Path(f"/proc/{pid}/limits").read_text().splitlines() if line.startswith(name))
    soft, hard = line.removeprefix(name).split()[:2]
    return soft, hard
