"""Repositories for a git host: bare ones, and the work trees that push to them.

Goes in: two folders. Comes out: `Repositories`; what is committed may be as hostile as a test likes.
"""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

_AUTHOR = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    **{f"GIT_{who}_{what}": f"{who}@devbox.test" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}


def git(folder: Path, *arguments: str, more: dict[str, str] | None = None) -> str:
    """On this side; returns what it printed."""
    command = ["git", "-C", str(folder), "-c", "protocol.file.allow=always", *arguments]
    return subprocess.run(
        command, env={**os.environ, **_AUTHOR, **(more or {})}, check=True, capture_output=True, text=True
    ).stdout.strip()


@dataclass
class Repositories:
    """Of one host."""

    root: Path
    """Of the bare ones, `<name>.git`."""
    work: Path
    """Of the work trees."""

    def repository(self, name: str, files: dict[str, str | bytes] | None = None) -> Path:
        """A bare one at the server, with one commit on main; returns its work tree."""
        work, bare = self.work / name, self.root / f"{name}.git"
        work.mkdir(parents=True)
        git(work, "init", "-q", "-b", "main")
        bare.parent.mkdir(parents=True, exist_ok=True)
        git(work, "clone", "-q", "--bare", str(work), str(bare))
        git(work, "remote", "add", "origin", str(bare))
        self.commit(work, files or {"README": "hello\n"})
        return work

    def commit(self, work: Path, files: dict[str, str | bytes], branch: str = "main") -> str:
        """Files on top of what is there, at the server too; returns the commit."""
        for name, content in files.items():
            path = work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        git(work, "add", "-A", "-f")
        return self.committed(work, branch)

    def committed(self, work: Path, branch: str = "main") -> str:
        """What is staged, at the server too; returns the commit."""
        git(work, "commit", "-qm", "another", "--allow-empty")
        git(work, "push", "-q", "origin", f"HEAD:{branch}", "--tags")
        return git(work, "rev-parse", "HEAD")

    def submodule(self, work: Path, name: str, url: str, commit: str, path: str | None = None, **more: str) -> None:
        """As an attacker would: .gitmodules by hand, and a link in the tree."""
        lines = [f'[submodule "{name}"]', f"\tpath = {path or name}", f"\turl = {url}"]
        with (work / ".gitmodules").open("a", encoding="utf-8") as file:
            file.write("\n".join([*lines, *(f"\t{key} = {value}" for key, value in more.items()), ""]))
        git(work, "add", ".gitmodules")
        git(work, "update-index", "--add", "--cacheinfo", f"160000,{commit},{path or name}")
        self.committed(work)
