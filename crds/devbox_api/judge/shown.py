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
