"""What git and the servers say, on its way to logs and to the Devbox's status.

Goes in: bytes that strangers chose. Comes out: lines that a terminal only shows, without tokens, and of those the last few. Pure.
"""

from typing import Final

from devbox_api.judge import shown

FULL: Final = "the workspace is full; give it more room (spec.workspace.size), or clone less (depth: 1)"
MOST_LINE: Final = 400
"""Characters."""


def cleaned(output: bytes) -> list[str]:
    """Line by line, without empty ones."""
    lines = shown.spoken(output.decode("utf-8", "replace"))
    return [line if len(line) <= MOST_LINE else f"{line[: MOST_LINE - 1]}…" for line in lines]


def last(first: str, lines: list[str]) -> str:
    """The termination message: a sentence of ours, and the end of what was said."""
    return "\n".join((first, *shown.last(lines, shown.MOST_BYTES - len(first.encode()), shown.MOST_LINES - 1)))
