"""`devbox.file`: files in a devbox.

Goes in: paths (relative ones, and `~/…`, are under $HOME) and contents. Comes out: contents. What is written is whole or not there: it is
written beside its place, counted, and renamed into it.
"""

from __future__ import annotations  # in a class with a method `list`, Python 3.14 takes `list[…]` for that method

import io
import os
import re
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from devbox_gateway.errors import DevboxGatewayError, ExecLostError, InvalidError, NotFoundError
from devbox_gateway.given import content_of
from devbox_gateway.kube.session import Session

from . import scripts
from .commands import Pod
from .simple import Done, run

PIECE: Final = 1 << 20
_SIZE: Final = re.compile("[0-9]{1,19}")
MOST_IN_MEMORY: Final = 256 << 20
"""Bytes of a file that is read into memory: how long a file says it is, and whether it ever ends, is the devbox's to choose."""
KINDS: Final = ("file", "directory", "link")
NOT_THERE, IS_FOLDER, NO_FILE, CUT = 66, 67, 68, 74
"""Exit codes of our scripts."""
FIND: Final = f"""{scripts.READ_LINES}
case "$c" in "~") c=${{HOME:-/}} ;; "~/"*) c="${{HOME:-/}}/${{c#"~/"}}" ;; /*) ;; *) c="${{HOME:-/}}/$c" ;; esac
"""
READ: Final = f"""{FIND}
[ -e "$c" ] || exit {NOT_THERE}
[ -d "$c" ] && exit {IS_FOLDER}
[ -f "$c" ] || exit {NO_FILE}
exec cat "$c" </dev/null
"""
"""(A pipe without a writer, or a device, has no end.)"""
WRITE: Final = f"""{FIND}
[ -d "$c" ] && exit {IS_FOLDER}
case "$c" in */*) mkdir -p "${{c%/*}}" || exit 1 ;; esac
t="$c.devbox-gateway.$$"
trap 'rm -f "$t" 2>/dev/null' EXIT
if [ -f "$c" ]; then cp -p "$c" "$t" 2>/dev/null; fi
e=$( (: >"$t") 2>&1) || {{ echo "${{e##*: }}" >&2; exit 1; }}
head -c "$1" >"$t" || exit 1
[ "$(wc -c <"$t")" -eq "$1" ] || exit {CUT}
mv -f "$t" "$c"
"""
EXISTS: Final = f"""{FIND}
[ -e "$c" ] || [ -L "$c" ]
"""
DELETE: Final = f"""{FIND}
[ -e "$c" ] || [ -L "$c" ] || exit {NOT_THERE}
if [ -d "$c" ] && [ ! -L "$c" ] && [ -z "$1" ]; then exit {IS_FOLDER}; fi
rm -rf "$c"
"""
LIST: Final = f"""{FIND}
[ -e "$c" ] || exit {NOT_THERE}
[ -d "$c" ] || exit {IS_FOLDER}
for f in "$c"/* "$c"/.[!.]* "$c"/..?*; do
  if [ -L "$f" ]; then k=link; elif [ -d "$f" ]; then k=directory; elif [ -e "$f" ]; then k=file; else continue; fi
  printf '%s\\0%s\\0%s\\0' "$k" "$(stat -c %s "$f" 2>/dev/null)" "${{f##*/}}"
done
"""


@dataclass(frozen=True)
class FileEntry:
    """One entry of a folder."""

    name: str
    kind: str
    """file, directory or link."""
    size: int | None
    """Bytes, where the image can tell."""


class AsyncFiles:
    """Of one devbox."""

    def __init__(self, session: Session, pod: Pod) -> None:
        self._session, self._pod = session, pod

    async def read(self, *, file_path: str) -> str:
        """A text file (UTF-8)."""
        content = await self.download(path=file_path)
        try:
            return content.decode()
        except UnicodeDecodeError:
            raise InvalidError("file_path", f"{file_path} is no text (UTF-8); use download(path=…)") from None

    async def download(self, *, path: str) -> bytes:
        """A file, all of it: 256 MiB at most."""
        content = bytearray()

        def keep(piece: bytes) -> None:
            if len(content) + len(piece) > MOST_IN_MEMORY:
                raise InvalidError("path", f"{path} has more than {MOST_IN_MEMORY >> 20} MiB; use download_to(path=…, file=…)")
            content.extend(piece)

        check(await self._run(READ, path, sink=keep), path)
        return bytes(content)

    async def download_to(self, *, path: str, file: str | os.PathLike[str] | BinaryIO) -> None:
        """A file, into one of this machine: however large it is, little of it is in memory. One that is cut off leaves nothing."""
        if not isinstance(file, (str, os.PathLike)):
            _check_open(file, "write")
            check(await self._run(READ, path, sink=file.write), path)
            return
        target = _local(file)
        if target.is_dir():
            raise InvalidError("file", f"{target} is a folder: name the file in it")
        with tempfile.NamedTemporaryFile(dir=target.absolute().parent, prefix=f".{target.name}.", delete=False) as part:
            try:
                check(await self._run(READ, path, sink=part.write), path)
            except BaseException:
                Path(part.name).unlink()
                raise
        Path(part.name).replace(target)

    async def write(self, *, file_path: str, contents: str | bytes) -> None:
        """A file, new or in place of the one there; folders on the way are made."""
        await self.upload(path=file_path, file=content_of("contents", contents))

    async def upload(self, *, path: str, file: str | os.PathLike[str] | bytes | BinaryIO) -> None:
        """A file of this machine (a path, bytes, or an open one), likewise; however large it is, little of it is in memory."""
        if isinstance(file, bytes):
            file = io.BytesIO(file)
        if isinstance(file, (str, os.PathLike)):
            if (source := _local(file)).is_dir():
                raise InvalidError(
                    "file", f"{source} is a folder: kubectl devbox cp copies one, or upload its files one by one"
                )
            with source.open("rb") as opened:
                await self._upload(path, opened)
            return
        _check_open(file, "read")
        if file.seekable():
            await self._upload(path, file)
        else:
            with tempfile.TemporaryFile() as whole:
                while piece := file.read(PIECE):
                    whole.write(piece)
                whole.seek(0)
                await self._upload(path, whole)

    async def _upload(self, path: str, file: BinaryIO) -> None:
        start = file.tell()
        length = file.seek(0, os.SEEK_END) - start
        file.seek(start)
        done = await self._run(WRITE, path, str(length), after=file, length=length)
        if done.exit_code == CUT:
            raise ExecLostError(f"{path} was cut off on its way, and is as it was before")
        check(done, path)

    async def list(self, *, path: str = "~") -> list[FileEntry]:
        """What is in a folder."""
        done = await self._run(LIST, path)
        if done.exit_code == IS_FOLDER:
            raise InvalidError("path", f"{path} is no folder")
        check(done, path)
        return _entries(done.stdout, path)

    async def exists(self, *, path: str) -> bool:
        """Whether something of that name is there."""
        return yes_or_no(await self._run(EXISTS, path), path)

    async def delete(self, *, path: str, recursive: bool = False) -> None:
        """A file, or, `recursive`, a folder with all that is in it."""
        done = await self._run(DELETE, path, "yes" if recursive else "")
        if done.exit_code == IS_FOLDER:
            raise InvalidError("recursive", f"{path} is a folder; recursive=True deletes it with all that is in it")
        check(done, path)

    async def _run(
        self,
        script: str,
        path: str,
        *arguments: str,
        after: BinaryIO | None = None,
        length: int | None = None,
        sink: object = None,
    ) -> Done:
        """`length`: bytes of `after` that the script waits for; None: it reads to the end."""
        if not isinstance(path, str) or not path or "\0" in path or not scripts.is_sendable(path):
            raise InvalidError("path", "write the path of a file, e.g. /home/devbox/main.py")
        return await run(
            self._session,
            await self._pod(),
            script,
            *arguments,
            stdin=_input(path, after, length),
            sink=sink,  # type: ignore[arg-type]
        )


async def _input(path: str, file: BinaryIO | None, length: int | None) -> AsyncIterator[bytes]:
    yield scripts.framed_text(path)
    sent = 0
    while file is not None and (piece := file.read(PIECE if length is None else min(PIECE, length - sent))):
        sent += len(piece)
        yield piece
    if length is not None and sent < length:
        # (The script would wait for the rest.)
        raise InvalidError("file", f"it became shorter while it was sent; {path} in the devbox is as it was before")


def _local(file: str | os.PathLike[str]) -> Path:
    """A path of this machine. Raises InvalidError."""
    try:
        if b"\0" not in os.fsencode(file):
            return Path(file)
    except UnicodeEncodeError:
        pass
    raise InvalidError("file", f"{file!r} is no path of this machine")


def _check_open(file: object, what: str) -> None:
    """That it is a file of bytes. Raises InvalidError."""
    if isinstance(file, io.TextIOBase):
        raise InvalidError("file", f"open it for bytes: open(…, {'rb' if what == 'read' else 'wb'!r})")
    if not callable(getattr(file, what, None)):
        kinds = "a path, bytes or an open file" if what == "read" else "a path or an open file"
        raise InvalidError("file", f"{kinds} belong here, not {type(file).__name__}")


def _entries(listed: bytes, path: str) -> list[FileEntry]:
    """What LIST prints. Raises ExecLostError: whoever copies a folder makes paths of the names here, and one must not lead elsewhere."""
    *words, rest = listed.decode("utf-8", "surrogateescape").split("\0")
    kinds, sizes, names = words[0::3], words[1::3], words[2::3]
    if rest or len(words) % 3 or not set(kinds) <= set(KINDS) or any("/" in name or name in ("", ".", "..") for name in names):
        raise ExecLostError(f"{path}: what the devbox lists are no names of files")
    return [
        FileEntry(name, kind, int(size) if _SIZE.fullmatch(size) else None)
        for kind, size, name in zip(kinds, sizes, names, strict=True)
    ]


def yes_or_no(done: Done, path: str) -> bool:
    """Of a script that only looks. Raises what else it may have ended with."""
    if done.exit_code not in (0, 1):
        check(done, path)
    return done.exit_code == 0


def check(done: Done, path: str) -> None:
    """Raises what an exit code of our scripts stands for."""
    if done.exit_code == NOT_THERE:
        raise NotFoundError(f"there is no {path} in the devbox")
    if done.exit_code == IS_FOLDER:
        raise InvalidError("path", f"{path} is a folder")
    if done.exit_code == NO_FILE:
        raise InvalidError("path", f"{path} is no file: a pipe, a device or a socket")
    if done.exit_code:
        raise DevboxGatewayError(f"{path}: {done.words}")
