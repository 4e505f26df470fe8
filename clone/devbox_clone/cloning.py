"""One mount, by git: cloned, checked out, with its submodules and its large files.

Goes in: a `Mount`, a folder that is not there yet, the container's environment. Comes out: a repository in it whose settings lead
through the gateway, or a CloneError with what was said.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from devbox_api.judge import mounts

from . import settings, words
from .document import Gateway, Mount

MOST_SUBMODULES: Final = 200
"""In all, at whatever depth: a repository that holds itself has no end."""
KEPT_OUTPUT: Final = 1 << 16
"""Bytes of what one command says."""
_COMMIT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_ABBREVIATED: Final = re.compile(r"[0-9a-f]{7,64}")
_REDIRECTED: Final = re.compile(r"returned error: 30[12378]\b")
_NOT_ALLOWED: Final = re.compile(r"HTTP code 403 from proxy after CONNECT|CONNECT tunnel failed, response 403")
_NO_PASSWORD: Final = "terminal prompts disabled"  # noqa: S105 (git's words)


class CloneError(Exception):
    """A mount that can't be made; `lines`: what git said, cleaned."""

    def __init__(self, text: str, lines: list[str] | None = None) -> None:
        super().__init__(text)
        self.lines = lines or []


class Cloning:
    """One mount."""

    def __init__(self, mount: Mount, folder: Path, container: Mapping[str, str]) -> None:
        self._mount = mount
        self._folder = folder
        self._container = container
        self._submodules = 0

    def run(self) -> None:
        """All of it. Raises CloneError."""
        mount = self._mount
        if mount.ref is not None and mount.depth is not None and _COMMIT.fullmatch(mount.ref):
            self._git("init", "--quiet", "--", str(self._folder))
            self._in(self._folder, "remote", "add", "origin", mount.repository)
            self._in(self._folder, "fetch", "--quiet", *self._depth(), "origin", mount.ref)
            self._in(self._folder, "checkout", "--quiet", "--detach", mount.ref)
        elif mount.depth is not None:
            # (With a depth one branch or tag is fetched, no more.)
            branch = [] if mount.ref is None else [f"--branch={mount.ref}"]
            self._git("clone", "--quiet", *self._depth(), *branch, "--", mount.repository, str(self._folder))
        else:
            checkout = [] if mount.ref is None else ["--no-checkout"]
            self._git("clone", "--quiet", *checkout, "--", mount.repository, str(self._folder))
            if mount.ref is not None:
                self._check_out(mount.ref)
        self._complete(self._folder, mount.repository)

    def _depth(self) -> list[str]:
        return [] if self._mount.depth is None else [f"--depth={self._mount.depth}"]

    def _check_out(self, ref: str) -> None:
        """A branch, else a tag, else a commit."""
        if self._is_there(f"refs/remotes/origin/{ref}"):
            self._in(self._folder, "checkout", "--quiet", "-B", ref, "--track", f"refs/remotes/origin/{ref}")
        elif self._is_there(f"refs/tags/{ref}"):
            self._in(self._folder, "checkout", "--quiet", "--detach", f"refs/tags/{ref}")
        elif _ABBREVIATED.fullmatch(ref) and self._is_there(ref):
            self._in(self._folder, "checkout", "--quiet", "--detach", ref)
        else:
            raise CloneError(f"{ref} is neither a branch nor a tag of the repository, nor a commit that one of them leads to")

    def _is_there(self, name: str) -> bool:
        found, _ = self._try("-C", str(self._folder), "rev-parse", "--quiet", "--verify", f"{name}^{{commit}}")
        return found

    def _complete(self, folder: Path, repository: str) -> None:
        """What is beside the commit itself. A submodule is a repository like every other."""
        for key, value in settings.through(self._mount.gateway) if self._mount.gateway is not None else ():
            self._in(folder, "config", "--local", key, value)
        if self._mount.lfs:
            self._large_files(folder, repository)
        if self._mount.submodules:
            self._fetch_submodules(folder, repository)

    def _large_files(self, folder: Path, repository: str) -> None:
        # First, since without its filters git-lfs puts no file in its place; and to the agent's own git every one would look changed. (No
        # hooks are installed.)
        self._in(folder, "lfs", "install", "--local", "--skip-repo")
        url = settings.lfs_url(repository, self._mount.gateway)
        self._git("-C", str(folder), "lfs", "pull", more=(("lfs.url", url),))

    def _fetch_submodules(self, folder: Path, repository: str) -> None:
        wanted = self._listed(folder)
        if not wanted:
            return
        self._submodules += len(wanted)
        if self._submodules > MOST_SUBMODULES:
            raise CloneError(f"more than {MOST_SUBMODULES} submodules, those of submodules among them; set submodules: false")
        self._in(folder, "submodule", "--quiet", "init")
        addresses = self._values(folder, "config", "--local", "-z", "--get-regexp", r"^submodule\..*\.url$")
        for name, (_, asked) in wanted.items():
            _check_submodule(name, asked, addresses.get(name, ""), repository)
        self._in(folder, "submodule", "--quiet", "update", *self._depth())
        for name, (path, _) in wanted.items():
            inner = folder / path
            if inner.resolve() == inner and (inner / ".git").is_file():
                self._complete(inner, addresses[name])

    def _listed(self, folder: Path) -> dict[str, tuple[str, str]]:
        """Submodules that the commit has, by name: path and address, as .gitmodules has them."""
        there, _ = self._try("-C", str(folder), "cat-file", "-e", "HEAD:.gitmodules")
        if not there:
            return {}
        command = ("config", "-z", "--blob", "HEAD:.gitmodules", "--get-regexp")
        paths = self._values(folder, *command, r"^submodule\..*\.path$")
        addresses = self._values(folder, *command, r"^submodule\..*\.url$")
        _, tree = self._try("-C", str(folder), "ls-tree", "-r", "-z", "HEAD")
        # (.gitmodules alone is a text that may name any folder; in the tree no path leads out of it.)
        links = {line.partition("\t")[2] for line in tree.decode("utf-8", "replace").split("\0") if line.startswith(_SUBMODULE)}
        return {name: (path, addresses[name]) for name, path in paths.items() if path in links and name in addresses}

    def _values(self, folder: Path, *command: str) -> dict[str, str]:
        """Of `submodule.<name>.<key>`, by name; none where git finds none."""
        found, output = self._try("-C", str(folder), *command)
        pairs = (record.partition("\n") for record in output.decode("utf-8", "replace").split("\0") if record)
        return {key.partition(".")[2].rpartition(".")[0]: value for key, _, value in pairs} if found else {}

    def _in(self, folder: Path, *arguments: str) -> None:
        self._git("-C", str(folder), *arguments)

    def _git(self, *arguments: str, more: tuple[tuple[str, str], ...] = ()) -> None:
        done, output = self._try(*arguments, more=more)
        if not done:
            lines = words.cleaned(output)
            verb = next((word for word in arguments if word in _VERBS), arguments[0])
            raise CloneError(_hint(f"git {verb} failed", lines, self._mount.gateway), lines)

    def _try(self, *arguments: str, more: tuple[tuple[str, str], ...] = ()) -> tuple[bool, bytes]:
        """Did it end well, and the end of what it said."""
        # (Never in the workspace, nor above a clone: git would look there for a repository, and read the settings that an agent left.)
        environment = settings.environment(self._container, self._mount.gateway, *more)
        environment["GIT_CEILING_DIRECTORIES"] = str(self._folder.parent)
        return run(("git", *arguments), environment)


_SUBMODULE: Final = "160000 "
"""The mode of a submodule in a tree."""
_VERBS: Final = frozenset({"clone", "init", "remote", "fetch", "checkout", "config", "lfs", "submodule"})


def run(command: tuple[str, ...], environment: Mapping[str, str]) -> tuple[bool, bytes]:
    """A program, to its end; what it started ends with it, and with us."""
    with subprocess.Popen(
        command,
        cwd="/",
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None  # noqa: S101 (for the type checker)
        kept = b""
        try:
            while data := os.read(process.stdout.fileno(), 1 << 14):
                kept = (kept + data)[-KEPT_OUTPUT:]
            return process.wait() == 0, kept
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _check_submodule(name: str, asked: str, address: str, repository: str) -> None:
    """`asked`: as .gitmodules has it; `address`: what git made of it. Raises CloneError."""
    shown = words.cleaned(f"submodule {name}: {asked}".encode()) or ["submodule"]
    try:
        there = mounts.check_repository(address)
    except ValueError as error:
        raise CloneError(f"{shown[0]}: {error}; or set submodules: false") from None
    if asked.startswith(("./", "../")) and there.origin != mounts.check_repository(repository).origin:
        raise CloneError(
            f"{shown[0]}: it leads above the root of the repository's host, to another one; or set submodules: false"
        )


def _hint(text: str, lines: list[str], gateway: Gateway | None) -> str:
    """What to do, where git's own words don't say it."""
    said = "\n".join(lines)
    if _REDIRECTED.search(said):
        return f"{text}: the address answers with a redirect, which is not followed; write the address that it leads to"
    if _NO_PASSWORD in said and gateway is None:
        return f"{text}: the repository takes a credential; name a gateway that has it (codeMounts[].gateway)"
    if _NOT_ALLOWED.search(said):
        return f"{text}: the devbox's EgressPolicy does not allow the repository's host; add it to allowedHostnames"
    if "No space left on device" in said or "Disk quota exceeded" in said:
        return f"{text}: the workspace is full; give it more room, or clone less (depth: 1)"
    return text


def say(line: str) -> None:
    """To the container's log."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
