"""The command `devbox-clone`.

Goes in: a document in $CODE_MOUNTS (document.py), tokens in variables of their own. Comes out: clones at their places and exit code 0;
or 1, with the reason in the termination log, where the kubelet, and so the operator, finds it. What is finished is left as it is.
"""

import argparse
import errno
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from . import document, words
from .cloning import CloneError, Cloning, say
from .places import Place, PlaceError, clear

TERMINATION_LOG: Final = Path("/dev/termination-log")
DOCUMENT: Final = "CODE_MOUNTS"


def main(arguments: Sequence[str] | None = None) -> int:
    """Clone what is not there."""
    parser = argparse.ArgumentParser(prog="devbox-clone", description="Clones a devbox's repositories.")
    parser.add_argument("--termination-log", type=Path, default=TERMINATION_LOG, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    # (As process 1 it would ignore the signal.)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    os.umask(0o022)
    try:
        work = document.parse(os.environ.get(DOCUMENT, ""))
    except ValueError as error:
        return _failed(f"the operator's document: {error}", [], options.termination_log)
    for mount in work.mounts:
        try:
            _one(mount, Path(work.workspace), os.environ)
        except (CloneError, PlaceError) as error:
            return _failed(f"code mount {mount.name}: {error}", getattr(error, "lines", []), options.termination_log)
        except OSError as error:
            return _failed(f"code mount {mount.name}: {_of_system(error)}", [], options.termination_log)
    return 0


def _one(mount: document.Mount, workspace: Path, container: Mapping[str, str]) -> None:
    # (What a run before this one left when it was killed: it may be what fills the disk.)
    clear(workspace)
    place = Place(workspace, mount.path)
    if place.finished(mount.repository):
        say(f"{mount.name}: already at {place.target}, left as it is")
        return
    say(f"{mount.name}: cloning {mount.repository}")
    folder = place.prepare()
    try:
        Cloning(mount, folder, container).run()
        place.finish(mount.repository)
    finally:
        # (After a success there is nothing; a failure must leave no disk full of what nobody will use.)
        clear(workspace)
    say(f"{mount.name}: at {place.target}")


def _of_system(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return words.FULL
    return ": ".join(str(part) for part in (error.strerror, error.filename) if part)


def _failed(text: str, lines: list[str], log: Path) -> int:
    # (What an agent left is told of by its name, which need be no text.)
    first = words.cleaned(" ".join(text.split()).encode("utf-8", "backslashreplace"))[0]
    for line in (*lines, first):
        say(line)
    try:
        log.write_text(words.last(first, lines), encoding="utf-8")
    except OSError as error:
        say(f"{log}: {error.strerror}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
