"""Where clones are made, and how a finished one is known.

Goes in: the workspace and a mount's path. Comes out: a `Place`. A clone is made in a folder of our own (`.devbox-gateway/cloning` of the
workspace, which is in nobody's work tree), noted beside that (`.devbox-gateway/clones`), and then renamed: whatever interrupts that, what
is at its place is whole, and what is half made lies where the next run takes it away. A finished one is the agent's, and nothing of it is
read or written again. (No part of a mount's path begins with a dot.)

The workspace may hold whatever an agent left in it, so that no link is followed: one would lead out of the workspace.
"""

import contextlib
import hashlib
import json
import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

OWN: Final = ".devbox-gateway"
NOTED: Final = "clones"
"""Below it: notes of finished clones."""
HALF_MADE: Final = "cloning"
"""Below it: what is being made."""
MOST_NOTE: Final = 4096
"""Bytes of a note: more than ours has. (What an agent put in its place may be as long as the disk.)"""


class PlaceError(Exception):
    """Nothing can be cloned there; the text says what is there and what to do."""


@dataclass(frozen=True)
class Place:
    """Of one mount."""

    workspace: Path
    path: str

    @property
    def target(self) -> Path:
        """Where the clone is in the end."""
        return self.workspace / self.path

    @property
    def staging(self) -> Path:
        """Where it is made."""
        return self.workspace / OWN / HALF_MADE / self._key

    @property
    def marker(self) -> Path:
        """The note of a finished clone."""
        return self.workspace / OWN / NOTED / f"{self._key}.json"

    @property
    def _key(self) -> str:
        """(A path may be as long as a file's name may.)"""
        return hashlib.sha256(self.path.encode()).hexdigest()[:16]

    def finished(self, repository: str) -> bool:
        """It is there. Raises PlaceError where something else is."""
        self._walk(self.target.parent)
        kind = _kind(self.target)
        noted = self._noted()
        if kind == "nothing":
            return False
        if kind != "a folder":
            raise PlaceError(f"{self.target} is {kind}, so that nothing is cloned there; remove it, or choose another path")
        if noted == repository:
            return True
        if noted is not None:
            raise PlaceError(f"{self.target} is a clone of {noted}; move it away, or choose another path for this repository")
        if any(self.target.iterdir()):
            raise PlaceError(
                f"{self.target} holds files that are no clone of a code mount; move them away, or choose another path"
            )
        return False

    def prepare(self) -> Path:
        """The folders above are there. Returns where to clone to."""
        self._make(self.target.parent)
        self._make(self.staging.parent)
        return self.staging

    def finish(self, repository: str) -> None:
        """Note it, then put it in its place. (Between the two the place is empty, which counts as not finished.)"""
        self._make(self.marker.parent)
        new = self.marker.with_suffix(".new")
        new.unlink(missing_ok=True)
        with new.open("x", encoding="utf-8") as file:
            json.dump({"path": self.path, "repository": repository}, file)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.marker)
        self.staging.rename(self.target)

    def _noted(self) -> str | None:
        """The repository of the finished clone."""
        self._walk(self.marker.parent)
        if _kind(self.marker) != "a file":
            return None
        try:
            with self.marker.open("rb") as file:
                noted = json.loads(file.read(MOST_NOTE))["repository"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
        return noted if isinstance(noted, str) else None

    def _walk(self, folder: Path) -> None:
        _walk(self.workspace, folder)

    def _make(self, folder: Path) -> None:
        for one in _down_to(self.workspace, folder):
            with contextlib.suppress(FileExistsError):
                one.mkdir()
        self._walk(folder)


def clear(workspace: Path) -> None:
    """What is half made goes: of mounts, too, that nobody asks for any more. Raises PlaceError."""
    folder = workspace / OWN / HALF_MADE
    _walk(workspace, folder.parent)
    kind = _kind(folder)
    if kind == "a folder":
        shutil.rmtree(folder)
    elif kind != "nothing":
        folder.unlink()


def _walk(workspace: Path, folder: Path) -> None:
    """Every part of it that is there is a folder."""
    for one in _down_to(workspace, folder):
        kind = _kind(one)
        if kind == "nothing":
            return
        if kind != "a folder":
            raise PlaceError(f"{one} is {kind}, where a folder has to be; remove it, or choose another path")


def _down_to(workspace: Path, folder: Path) -> list[Path]:
    parts = folder.relative_to(workspace).parts
    return [workspace.joinpath(*parts[: number + 1]) for number in range(len(parts))]


def _kind(path: Path) -> str:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return "nothing"
    if stat.S_ISDIR(mode):
        return "a folder"
    return "a file" if stat.S_ISREG(mode) else "a link" if stat.S_ISLNK(mode) else "neither a file nor a folder"
