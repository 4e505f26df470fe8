"""One mount, by git: cloned, checked out, with its submodules and its large files.

Goes in: a `Mount`, a folder that is not there yet, the container's environment. Comes out: a repository in it whose settings lead
through the gateway, or a CloneError with what was said.
"""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from devbox_api.judge import mounts

from . import programs, settings, words
from .document import Gateway, Mount

MOST_SUBMODULES: Final = 200
"""In all, at whatever depth: a repository that holds itself has no end."""
_COMMIT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_ABBREVIATED: Final = re.compile(r"[0-9a-f]{7,64}")
_REDIRECTED: Final = re.compile(r"returned error: 30[12378]\b")
_NOT_ALLOWED: Final = re.compile(r"HTTP code 403 from proxy after CONNECT|CONNECT tunnel failed, response 403")
_ABSENT: Final = re.compile(r"fatal: repository '[^']*' not found")
_NOT_TAKEN: Final = "fatal: Authentication failed"
_NO_ROOM: Final = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)
"""As git says it, and as git-lfs does."""
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
        # By their paths, which are no patterns: what was not judged is not fetched. (Large files' program has patterns of its own.)
        command, paths = (
            ("--literal-pathspecs", "-C", str(folder), "submodule", "--quiet"),
            [path for path, _ in wanted.values()],
        )
        self._git(*command, "init", "--", *paths)
        addresses = _named(self._settings(folder, "--local"), ".url")
        for name, (_, asked) in wanted.items():
            _check_submodule(name, asked, addresses.get(name, ""), repository)
        self._git(*command, "update", *self._depth(), "--", *paths)
        for name, (path, _) in wanted.items():
            inner = folder.resolve() / path
            if inner.resolve() == inner and (inner / ".git").is_file():
                self._complete(inner, addresses[name])

    def _listed(self, folder: Path) -> dict[str, tuple[str, str]]:
        """Submodules that the commit has, by name: path and address, as .gitmodules has them."""
        there, _ = self._try("-C", str(folder), "cat-file", "-e", "HEAD:.gitmodules")
        if not there:
            return {}
        said = self._settings(folder, "--blob", "HEAD:.gitmodules")
        paths, addresses = _named(said, ".path"), _named(said, ".url")
        # (.gitmodules alone is a text that may name any folder; in the tree no path leads out of it.)
        tree = self._records(folder, "ls-tree", "-r", "-z", "HEAD", beginning=_SUBMODULE)
        links = {record.partition("\t")[2] for record in tree}
        return {name: (path, addresses[name]) for name, path in paths.items() if path in links and name in addresses}

    def _settings(self, folder: Path, *place: str) -> dict[str, str]:
        """`submodule.<name>.<key>`, and their values."""
        records = self._records(folder, "config", *place, "-z", "--list", beginning=b"submodule.")
        return {key: value for key, _, value in (record.partition("\n") for record in records)}

    def _records(self, folder: Path, *command: str, beginning: bytes) -> list[str]:
        try:
            done, found = programs.records(("git", "-C", str(folder), *command), self._environment(), beginning)
        except programs.TooMuchError as error:
            raise CloneError(f"its submodules can't be listed: {error}; set submodules: false") from None
        if not done:
            raise CloneError("its submodules can't be listed: .gitmodules is not what git can read; set submodules: false")
        return [record.decode("utf-8", "surrogateescape") for record in found]

    def _in(self, folder: Path, *arguments: str) -> None:
        self._git("-C", str(folder), *arguments)

    def _git(self, *arguments: str, more: tuple[tuple[str, str], ...] = ()) -> None:
        done, output = self._try(*arguments, more=more)
        if not done:
            lines = words.cleaned(output)
            verb = next((word for word in arguments if word in _VERBS), arguments[0])
            raise CloneError(_hint(f"git {verb} failed", output, self._mount.gateway), lines)

    def _try(self, *arguments: str, more: tuple[tuple[str, str], ...] = ()) -> tuple[bool, bytes]:
        """Did it end well, and the end of what it said."""
        return programs.run(("git", *arguments), self._environment(*more))

    def _environment(self, *more: tuple[str, str]) -> dict[str, str]:
        # (Never in the workspace, nor above a clone: git would look there for a repository, and read the settings that an agent left.)
        ceiling = {"GIT_CEILING_DIRECTORIES": str(self._folder.parent)}
        return settings.environment(self._container, self._mount.gateway, *more) | ceiling


_SUBMODULE: Final = b"160000 "
"""The mode of a submodule in a tree."""
_VERBS: Final = frozenset({"clone", "init", "remote", "fetch", "checkout", "config", "lfs", "submodule"})


def _named(found: Mapping[str, str], key: str) -> dict[str, str]:
    """By the submodule's name, which may hold dots itself."""
    return {name.removeprefix("submodule.").removesuffix(key): value for name, value in found.items() if name.endswith(key)}


def _check_submodule(name: str, asked: str, address: str, repository: str) -> None:
    """`asked`: as .gitmodules has it; `address`: what git made of it. Raises CloneError."""
    shown = words.cleaned(f"submodule {name}: {asked}".encode("utf-8", "surrogateescape")) or ["submodule"]
    try:
        there = mounts.check_repository(address)
    except ValueError as error:
        raise CloneError(f"{shown[0]}: {error}; or set submodules: false") from None
    if asked.startswith(("./", "../")) and there.origin != mounts.check_repository(repository).origin:
        raise CloneError(
            f"{shown[0]}: it leads above the root of the repository's host, to another one; or set submodules: false"
        )


def _hint(text: str, output: bytes, gateway: Gateway | None) -> str:
    """What to do, where git's own words don't say it. (They may stand at the end of a line that is too long to be shown.)"""
    said = output.decode("utf-8", "replace")
    if _REDIRECTED.search(said):
        return f"{text}: the address answers with a redirect, which is not followed; write the address that it leads to"
    if _NO_PASSWORD in said and gateway is None:
        return f"{text}: the repository takes a credential; name a gateway that has it (codeMounts[].gateway)"
    if _NOT_TAKEN in said and gateway is not None:
        return (
            f"{text}: the host does not take the credential of gateway {gateway.binding}; see the Secret of its GatewayConfig"
        )
    if _ABSENT.search(said):
        private = (
            "it is private: name a gateway that may read it (codeMounts[].gateway)"
            if gateway is None
            else f"the credential of gateway {gateway.binding} may not read it"
        )
        return f"{text}: there is no such repository, or {private}"
    if _NOT_ALLOWED.search(said):
        return f"{text}: the devbox's EgressPolicy does not allow the repository's host; add it to allowedHostnames"
    if _NO_ROOM.search(said):
        return f"{text}: {words.FULL}"
    return text


def say(line: str) -> None:
    """To the container's log."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
