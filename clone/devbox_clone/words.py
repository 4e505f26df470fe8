"""What git and the servers say, on its way to logs and to the Devbox's status.

Goes in: bytes that strangers chose. Comes out: lines that a terminal only shows, without tokens, and of those the last few. Pure.
"""

import re
from typing import Final

from devbox_api.judge.shown import visible

FULL: Final = "the workspace is full; give it more room (spec.workspace.size), or clone less (depth: 1)"
MOST_LINES: Final = 20
MOST_BYTES: Final = 2048
"""Of the termination message: the kubelet keeps 4 KiB, and all of a pod's share 12."""
MOST_LINE: Final = 400
"""Characters."""
_TOKEN: Final = re.compile(r"gws_[A-Za-z0-9._=-]*")
_BREAK: Final = re.compile(r"[\r\n]+")


def cleaned(output: bytes) -> list[str]:
    """Line by line, without empty ones."""
    text = _TOKEN.sub("gws_…", output.decode("utf-8", "replace"))
    # (A tab is a space here; every other control character is seen as an escape.)
    lines = (visible(line.replace("\t", " ").strip()) for line in _BREAK.split(text))
    return [line if len(line) <= MOST_LINE else f"{line[: MOST_LINE - 1]}…" for line in lines if line]


def last(first: str, lines: list[str]) -> str:
    """The termination message: a sentence of ours, and the end of what was said."""
    kept = [first]
    room = MOST_BYTES - len(first.encode())
    for line in reversed(lines[-(MOST_LINES - 1) :]):
        room -= len(line.encode()) + 1
        if room < 0:
            break
        kept.insert(1, line)
    return "\n".join(kept)
