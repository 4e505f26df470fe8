"""Text that comes from somebody else, on its way to a terminal: commands to paste, and words to read.

Goes in: names, annotations, messages of the API server or of a container. Comes out: text in which nothing is left to the shell or the
terminal that reads it. Pure.
"""

import json
import re
import shlex
from typing import Final

_HIDDEN: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\xad\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164"
                            r"\ud800-\udfff\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff]")  # fmt: skip
"""What a terminal obeys (C0, DEL and C1, of which U+009B begins a sequence like ESC), and what turns or hides the text around it."""
_SPACE: Final = re.compile(r"\s+")
_TOKEN: Final = re.compile(r"gws_[A-Za-z0-9._=-]*")
_REST_OF_TOKEN: Final = re.compile(r"\A[A-Za-z0-9._=-]{40,}")
_BREAK: Final = re.compile(r"[\r\n]+")
MOST_LINES: Final = 20
MOST_BYTES: Final = 2048
"""Of what a container said, in a status: the kubelet keeps 4 KiB of a termination message, and all of a pod's share 12."""


def command(*words: str) -> str:
    """A line for a POSIX shell that runs these words as they are, whatever they hold."""
    return shlex.join(visible(word) for word in words)


def visible(text: str) -> str:
    """Control characters, line breaks and marks of direction as escapes (`\\x1b`, `\\u202e`)."""
    return _HIDDEN.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def json_visible(document: str) -> str:
    """A document of JSON that says the same, and holds nothing that a terminal obeys (it has no line breaks: JSON escapes those)."""
    return _HIDDEN.sub(lambda found: json.dumps(found[0])[1:-1], document)


def one_line(text: str) -> str:
    """Somebody's words within a sentence of ours: visible, and without line breaks."""
    return visible(_SPACE.sub(" ", text).strip())


def lines(text: str) -> str:
    """Visible, line by line: the breaks are our own."""
    return "\n".join(visible(line) for line in text.split("\n"))


def spoken(text: str, *, cut: bool = False) -> list[str]:
    """What a program said, line by line: visible, without empty lines, and without tokens. `cut`: its beginning may be missing, and what
    is left of a token with it."""
    whole = _TOKEN.sub("gws_…", text)
    if cut:
        whole = _REST_OF_TOKEN.sub("gws_…", whole)
    # (A tab is a space here; every other control character is seen as an escape.)
    found = [visible(line.replace("\t", " ").strip()) for line in _BREAK.split(whole)]
    return [line for line in found if line]


def last(said: list[str], most_bytes: int = MOST_BYTES, most_lines: int = MOST_LINES) -> list[str]:
    """The end of it, in whole lines: so many, and so many bytes with their breaks."""
    kept: list[str] = []
    room = most_bytes
    for line in reversed(said[-most_lines:]):
        room -= len(line.encode()) + 1
        if room < 0:
            break
        kept.insert(0, line)
    return kept
