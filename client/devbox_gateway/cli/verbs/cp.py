"""`cp`: files and folders, in and out."""

import posixpath
import re
from pathlib import Path
from typing import Final

import click

from devbox_gateway.cli import complete, folders, lookup
from devbox_gateway.cli.plain import cell
from devbox_gateway.cli.verb import verb
from devbox_gateway.cli.work import Here
from devbox_gateway.errors import InvalidError, NotFoundError
from devbox_gateway.exec.files import FIND, yes_or_no
from devbox_gateway.naming import DEVBOX
from devbox_gateway.objects.devbox import AsyncDevbox

_REMOTE: Final = re.compile(
    r"((?P<namespace>[a-z0-9]([a-z0-9-]*[a-z0-9])?)/)?(?P<name>[^/\\:]{2,}|[a-z]):(?P<path>.*)", re.DOTALL
)
"""NAME:PATH, or NAMESPACE/NAME:PATH. (A path of this machine with ':' is written ./a:b; one letter in upper case is a drive.)"""
IS_FOLDER: Final = f"""{FIND}
[ -d "$c" ]
"""


@verb()
@click.argument("source", shell_complete=complete.devboxes)
@click.argument("target", shell_complete=complete.devboxes)
async def cp(here: Here, source: str, target: str) -> None:
    """Copy a file or folder: cp FILE NAME:PATH, or cp NAME:PATH FILE.

    Paths in a devbox are under $HOME unless they begin with /. Into a folder that is there it goes by its own name; a folder never goes
    over one that is there. NAMESPACE/NAME:PATH is in another namespace's devbox.
    """
    if "-" in (source, target):
        raise click.UsageError(
            "`-` is no file here (one of that name is ./-): kubectl devbox exec NAME -- cat PATH prints one, and "
            "kubectl devbox exec -i NAME -- sh -c 'cat >PATH' writes what comes on stdin"
        )
    there, into = _REMOTE.fullmatch(source), _REMOTE.fullmatch(target)
    if (there is None) == (into is None):
        raise click.UsageError("One of both is in a devbox: NAME:PATH, or NAMESPACE/NAME:PATH; the other one is here")
    if into is not None:
        await _in(await _devbox(here, into), Path(source), into["path"] or "~")
    elif there is not None:
        await _out(await _devbox(here, there), there["path"] or "~", Path(target))


async def _devbox(here: Here, remote: "re.Match[str]") -> AsyncDevbox:
    name = remote["name"]
    return await lookup.devbox(
        here.client, name if remote["namespace"] is None else f"{DEVBOX.prefix}{remote['namespace']}/{name}"
    )


async def _in(devbox: AsyncDevbox, source: Path, target: str) -> None:
    if not source.exists():
        raise NotFoundError(f"there is no {cell(source)} here")
    if target.endswith("/") or await _is_folder(devbox, target):
        target = posixpath.join(target, source.absolute().name)
    if not source.is_dir():
        await devbox.file.upload(path=target, file=source)
        return
    if await devbox.file.exists(path=target):
        raise InvalidError("target", f"{cell(target)} is there already; delete it first, or choose another name")
    await folders.upload(devbox, source.resolve(), target)


async def _out(devbox: AsyncDevbox, source: str, target: Path) -> None:
    if target.is_dir():
        name = posixpath.basename(source.rstrip("/"))
        if name in ("", ".", "..", "~") or not name.isprintable() or "\\" in name:
            raise InvalidError("target", f"{cell(source)} has no name of its own; say what it is to be called here")
        target /= name
    elif not target.absolute().parent.is_dir():
        raise NotFoundError(f"there is no folder {cell(target.parent)} here")
    if not await _is_folder(devbox, source):
        await devbox.file.download_to(path=source, file=target)
        return
    if target.exists() or target.is_symlink():
        raise InvalidError("target", f"{cell(target)} is there already; delete it first, or choose another name")
    await folders.download(devbox, source, target)


async def _is_folder(devbox: AsyncDevbox, path: str) -> bool:
    return yes_or_no(await devbox.file._run(IS_FOLDER, path), path)
