"""Folders between this machine and a devbox, as one tar stream each way; the image needs tar, which even busybox has.

Goes in: a devbox, two paths. Comes out: the folder at its other place, whole or not there. What comes out of a devbox may be anybody's:
nothing of it leads out of the folder that it is unpacked in (unpacking.py).
"""

import os
import tarfile
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

from devbox_api.judge.shown import one_line
from devbox_gateway.errors import DevboxGatewayError, InvalidError
from devbox_gateway.exec.files import FIND, check
from devbox_gateway.objects.devbox import AsyncDevbox

from . import unpacking

NO_TAR: Final = 69
PACK: Final = f"""{FIND}
command -v tar >/dev/null 2>&1 || exit {NO_TAR}
cd "$c" || exit 1
exec tar -cf - . </dev/null
"""
UNPACK: Final = f"""{FIND}
command -v tar >/dev/null 2>&1 || exit {NO_TAR}
case "$c" in */*) mkdir -p "${{c%/*}}" || exit 1 ;; esac
t="$c.devbox-gateway.$$"
trap 'rm -rf "$t"' EXIT
mkdir "$t" || exit 1
tar -xof - -C "$t" || exit 1
mv "$t" "$c"
"""


class _Thread(threading.Thread):
    """Whose failure is told at its end."""

    def __init__(self, work: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self._work = work
        self._failure: BaseException | None = None

    def run(self) -> None:
        try:
            self._work()
        except BaseException as error:
            self._failure = error

    def end(self) -> None:
        self.join()
        if self._failure is not None:
            raise self._failure


async def upload(devbox: AsyncDevbox, source: Path, target: str) -> None:
    """A folder of this machine to a path that is not there yet. Raises InvalidError for a link that may lead out of it."""
    _check_links(source)
    reading, writing = os.pipe()

    def pack() -> None:
        with os.fdopen(writing, "wb") as file, tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT) as archive:
            archive.add(source, ".", filter=_ours)

    thread = _Thread(pack)
    thread.start()
    try:
        with os.fdopen(reading, "rb") as file:
            done = await devbox.file._run(UNPACK, target, after=file)
    except BaseException:
        thread.join()
        raise
    try:
        thread.end()
    except BrokenPipeError:
        pass  # (the devbox's tar had enough; its exit code says why)
    except OSError as error:
        raise InvalidError("source", f"{error.filename or source}: {error.strerror}") from None
    _told(done.exit_code, target)
    check(done, target)


def _check_links(source: Path) -> None:
    """As what comes out of a devbox is checked: there a link that leads out of the folder would lead somewhere else."""
    for folder, folders, files in os.walk(source):
        for name in (*folders, *files):
            path = Path(folder, name)
            inside = path.relative_to(source)
            if path.is_symlink() and not unpacking.stays(target := str(path.readlink()), len(inside.parts) - 1):
                raise InvalidError(
                    "source",
                    f"{one_line(str(inside))} is a link that may lead out of the folder: {one_line(target)}; put what it leads to in its "
                    "place, nothing was copied",
                )


def _ours(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Without whose it is here, and without devices, pipes and sockets."""
    if not (member.isfile() or member.isdir() or member.issym() or member.islnk()):
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


async def download(devbox: AsyncDevbox, source: str, target: Path) -> None:
    """A folder of the devbox to a path that is not there yet."""
    if not hasattr(tarfile, "data_filter"):
        raise InvalidError("Python", "folders need 3.10.12, 3.11.4 or newer, which unpack what strangers packed")
    with tempfile.TemporaryDirectory(dir=target.absolute().parent, prefix=f".{target.name}.") as place:
        (part := Path(place) / "part").mkdir()
        reading, writing = os.pipe()

        def unpack() -> None:
            with os.fdopen(reading, "rb") as file:
                unpacking.unpack(file, part)
                _drain(file)

        thread = _Thread(unpack)
        thread.start()
        try:
            with os.fdopen(writing, "wb") as out:
                done = await devbox.file._run(PACK, source, sink=out.write)
        except BrokenPipeError:
            done = None
        except BaseException:
            thread.join()
            raise
        if done is not None:
            _told(done.exit_code, source)
            check(done, source)
        try:
            thread.end()
        except Exception as error:  # (of whatever kind: a stranger's bytes brought it about)
            raise DevboxGatewayError(f"{source} can't be unpacked here, nothing was: {one_line(str(error))}") from None
        part.rename(target)


def _drain(file: BinaryIO) -> None:
    while file.read(1 << 20):
        pass


def _told(code: int, path: str) -> None:
    if code == NO_TAR:
        raise InvalidError(
            "image", f"the devbox's image has no tar, which a folder such as {path} needs; copy files one by one"
        )
