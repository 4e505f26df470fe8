"""Text from a cluster or a devbox on its way to a terminal.

Goes in: anything that somebody else may have written. Comes out: text that a terminal only shows: control characters and marks of
direction as escapes, tokens replaced, cut where it is long. Nothing here makes links or knows markup. Pure.
"""

import codecs
import re
import string
from typing import Final

from devbox_api.judge.shown import lines, one_line, visible

MOST_CELL: Final = 200
MOST_MESSAGE: Final = 4096
_TOKEN: Final = re.compile(r"(?<![A-Za-z0-9])gws_[A-Za-z0-9._=-]+")
_TOKEN_BEGINS: Final = re.compile(r"(?<![A-Za-z0-9])(gws_|g(ws?)?\Z)")
_IN_TOKEN: Final = f"{string.ascii_letters}{string.digits}._=-"
HIDDEN_TOKEN: Final = "gws_…"  # noqa: S105 (what stands for one)
_BREAKS: Final = re.compile(r"\r\n?")


def without_tokens(text: str) -> str:
    """A token is of no use outside its pod; still it belongs in no terminal's history."""
    return _TOKEN.sub(HIDDEN_TOKEN, text)


def cell(text: object, most: int = MOST_CELL) -> str:
    """In one line, as in a table."""
    return _cut(one_line(without_tokens(str(text))), most)


def message(text: object, most: int = MOST_MESSAGE) -> str:
    """Of several lines."""
    return _cut(lines(without_tokens(_BREAKS.sub("\n", str(text)))), most)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


class Filter:
    """The same for a stream of bytes (UTF-8) as it comes: nothing waits for a line's end, and a token in two pieces is one."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self._before = ""
        """A letter, where one was last."""
        self._in_token = False

    def feed(self, data: bytes, *, last: bool = False) -> str:
        """What may be shown of it now."""
        text = self._held + self._decoder.decode(data, last)
        self._held = ""
        if self._in_token:
            text = text.lstrip(_IN_TOKEN)
            self._in_token = not text and not last
        front, text = self._before, self._before + text
        # (From where a token could begin that goes on to the end: to try each "gws_" would take the square of a text of them.)
        begun = None if last else _TOKEN_BEGINS.search(text, len(text.rstrip(_IN_TOKEN)))
        if begun is not None and len(text) - begun.start() > len("gws_"):
            self._in_token = True
        elif begun is not None:
            self._held, text = text[begun.start() :], text[: begun.start()]
        if text.endswith("\r") and not last:
            self._held, text = "\r" + self._held, text[:-1]
        if len(text) > len(front):
            self._before = "x" if text[-1].isalnum() and text[-1].isascii() else ""
        return _shown(without_tokens(text)[len(front) :])


def _shown(text: str) -> str:
    broken = _BREAKS.sub("\n", text)
    return "\n".join("\t".join(visible(part) for part in line.split("\t")) for line in broken.split("\n"))
