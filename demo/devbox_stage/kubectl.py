"""kubectl and helm as functions: arguments in, output or an error that can be read out.

Secrets go in by standard input, never as an argument.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devbox_cluster.paths import bin_dir

Object = dict[str, Any]


class CommandError(Exception):
    """A command failed; the text is the command and what it printed on standard error."""

    def __init__(self, argv: Sequence[str], code: int, errors: str) -> None:
        super().__init__(f"{' '.join(argv)}\nexit code {code}\n{errors.strip()}")
        self.code = code
        self.errors = errors


@dataclass(frozen=True)
class Result:
    """What a command printed."""

    code: int
    out: str
    err: str


def tool_path() -> str:
    """PATH with the cache folder's tools in it: what `make` sets, for whoever is not started by make."""
    return f"{bin_dir()}:{os.environ.get('PATH', os.defpath)}"


def environment() -> dict[str, str]:
    """For a process that has to find the tools."""
    return {**os.environ, "PATH": tool_path()}


def run(
    argv: Sequence[str],
    *,
    stdin: str | bytes | None = None,
    timeout: float = 60.0,
    check: bool = True,
) -> Result:
    """Run one command. Raises `CommandError` where it fails (unless `check` is off) or takes longer than `timeout` seconds.

    The error holds what came on standard error, and nothing of standard output, which may be a Secret.
    """
    program = shutil.which(argv[0], path=tool_path())
    if program is None:
        raise CommandError(argv, 127, f"{argv[0]} is not there; run: make cluster")
    try:
        done = subprocess.run(
            [program, *argv[1:]],
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            timeout=timeout,
            check=False,
            env=environment(),
        )
    except subprocess.TimeoutExpired:
        raise CommandError(argv, 124, f"no end within {timeout:.0f} s") from None
    out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    if check and done.returncode:
        raise CommandError(argv, done.returncode, err)
    return Result(done.returncode, out, err)


@dataclass(frozen=True)
class Kubectl:
    """One cluster."""

    kubeconfig: Path

    @property
    def command(self) -> list[str]:
        """The beginning of every command line."""
        return ["kubectl", f"--kubeconfig={self.kubeconfig}"]

    def __call__(self, *arguments: str, stdin: str | None = None, timeout: float = 60.0, check: bool = True) -> Result:
        """Any kubectl command."""
        return run([*self.command, *arguments], stdin=stdin, timeout=timeout, check=check)

    def helm(self, *arguments: str, stdin: str | None = None, timeout: float = 300.0, check: bool = True) -> Result:
        """Any helm command."""
        return run(["helm", f"--kubeconfig={self.kubeconfig}", *arguments], stdin=stdin, timeout=timeout, check=check)

    def get(self, kind: str, name: str, namespace: str | None = None) -> Object | None:
        """One object, or None."""
        where = ["-n", namespace] if namespace else []
        out = self("get", kind, name, *where, "-o", "json", "--ignore-not-found").out
        return json.loads(out) if out.strip() else None

    def all(self, kind: str, namespace: str | None = None, selector: str | None = None) -> list[Object]:
        """Objects of a kind, in one namespace or in all."""
        where = ["-n", namespace] if namespace else ["--all-namespaces"]
        chosen = ["-l", selector] if selector else []
        items: list[Object] = json.loads(self("get", kind, *where, *chosen, "-o", "json").out)["items"]
        return items

    def apply(self, objects: Iterable[Object], *, namespace: str | None = None) -> None:
        """`kubectl apply --server-side` of objects made here."""
        listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        where = ["-n", namespace] if namespace else []
        self("apply", "--server-side", "--force-conflicts", *where, "-f", "-", stdin=json.dumps(listed))

    def set_secret(self, namespace: str, name: str, key: str, value: str) -> None:
        """Write one key of a Secret that exists, as a person would: a patch that comes by standard input."""
        patch = json.dumps({"stringData": {key: value}})
        self("-n", namespace, "patch", "secret", name, "--type=merge", "--patch-file=/dev/stdin", stdin=patch)

    def exec_command(self, namespace: str, pod: str, container: str, argv: Sequence[str]) -> list[str]:
        """The command line that runs `argv` in a pod with standard input open."""
        return [*self.command, "-n", namespace, "exec", "-i", pod, "-c", container, "--", *argv]

    def exec(
        self,
        namespace: str,
        pod: str,
        argv: Sequence[str],
        *,
        container: str = "devbox",
        stdin: str | None = None,
        timeout: float = 60.0,
        check: bool = True,
    ) -> Result:
        """Run `argv` in a pod."""
        command = self.exec_command(namespace, pod, container, argv)
        return run(command, stdin=stdin or "", timeout=timeout, check=check)
