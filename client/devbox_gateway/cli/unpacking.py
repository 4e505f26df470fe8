"""What a stranger has packed as a tar stream, unpacked into an empty folder that is ours alone.

Goes in: the stream, the folder. Comes out: files, folders and links in it; or any exception, and then nothing of it is to be used.
Python's own filter (PEP 706) is the second line of defence, since versions in use can be led out by a path that is too long for them to
follow its links (CVE-2025-4517). So here no path that was packed is ever followed: nothing is made through a link, over anything, or as
another name of anything but a file; and where a link leads is told by its words alone.
"""

import os
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

MOST_HEAD: Final = 64 << 10
"""Bytes of what stands before a file: tarfile keeps all of it in memory, however long it says that it is."""
MOST_MEMBERS: Final = 1_000_000
MOST_DEPTH: Final = 200
"""Folders in each other."""


class Unpacking(ValueError):
    """Why it is not unpacked."""


class _Heads:
    """The stream; of what is no file's content only so much is read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.left: int | None = MOST_HEAD

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        if self.left is not None:
            self.left -= len(data)
            if self.left < 0:
                raise Unpacking(f"there are more than {MOST_HEAD >> 10} KiB before a file")
        return data


def unpack(file: BinaryIO, folder: Path) -> None:
    """All of it. Raises whatever the reading of a stream that is no archive may raise."""
    heads = _Heads(file)
    with tarfile.open(fileobj=heads, mode="r|") as archive:  # type: ignore[call-overload] # (it needs no more than `read`)
        for _ in range(MOST_MEMBERS):
            heads.left = MOST_HEAD
            member = archive.next()
            heads.left = None
            if member is None:
                return
            _check(member, folder)
            archive.extract(member, folder, filter="data")
            # (It remembers all that there was.)
            archive.members.clear()
            archive.pax_headers.clear()
    raise Unpacking(f"there are more than {MOST_MEMBERS} files")


def _check(member: tarfile.TarInfo, folder: Path) -> None:
    parts = _parts(member.name.lstrip("/"))
    place = folder.joinpath(*parts)
    if not _free(folder, parts) and not (member.isdir() and _mode(place, stat.S_ISDIR)):
        raise Unpacking(f"{member.name!r} is there already, or behind a link")
    if member.issym() and not stays(member.linkname, len(parts) - 1):
        raise Unpacking(f"{member.name!r} is a link that may lead out: {member.linkname!r}")
    if member.islnk():
        target = _parts(member.linkname)
        if not _real(folder, target[:-1]) or not _mode(folder.joinpath(*target), stat.S_ISREG):
            raise Unpacking(f"{member.name!r} is another name of what is no file here: {member.linkname!r}")


def _parts(name: str) -> tuple[str, ...]:
    parts = PurePosixPath(name).parts
    if ".." in parts or len(parts) > MOST_DEPTH or name.startswith("/") or (os.name == "nt" and set(name) & set("\\:")):
        raise Unpacking(f"{name[:MOST_DEPTH]!r} leads out, or too deep")
    return parts


def _free(folder: Path, parts: tuple[str, ...]) -> bool:
    """Whether nothing is there yet, and what leads there are folders."""
    return bool(parts) and _real(folder, parts[:-1]) and not os.path.lexists(folder.joinpath(*parts))


def _real(folder: Path, parts: tuple[str, ...]) -> bool:
    """All of them are folders, or not there yet: no link among them."""
    places = [folder.joinpath(*parts[: number + 1]) for number in range(len(parts))]
    return all(_mode(place, stat.S_ISDIR) or not os.path.lexists(place) for place in places)


def _mode(place: Path, kind: Callable[[int], bool]) -> bool:
    """Whether it is of that kind itself."""
    try:
        return kind(place.lstat().st_mode)
    except FileNotFoundError:
        return False


def stays(target: str, depth: int) -> bool:
    """Whether a link in a folder so deep leads nowhere but further in, behind as many `..` as there are folders above it. (A `..` behind a
    name may lead out, where the name is a link's.)"""
    parts = PurePosixPath(target).parts
    up = next((number for number, part in enumerate(parts) if part != ".."), len(parts))
    inside = not target.startswith("/") and up <= depth and ".." not in parts[up:]
    return inside and not (os.name == "nt" and set(target) & set("\\:"))
