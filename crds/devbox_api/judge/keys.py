"""What can be no credential at all: refused by operator and gateway, and told by the client that stores one.

Goes in: a value, as text. Comes out: what is wrong with it, in words that say what to do and nothing of the value. Pure. (What may well be
one, but is nearly always a mistake, is doubts.py's.)
"""

import unicodedata
from enum import Enum
from typing import Final

from devbox_api.names import TOKEN_PREFIX

MOST_BYTES: Final = 8 * 1024
"""What common servers take of one header."""
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Classes of Unicode: control characters (a tab, DEL and NUL among them), what has no width, ends of lines."""
_MARK: Final = "\ufeff"
"""A byte order mark, with which some editors begin a file."""
_TOKEN: Final = f"{TOKEN_PREFIX}eyJ"
"""How every devbox's token begins."""


class Flaw(Enum):
    """What is wrong with a value."""

    EMPTY = "the value is empty; store the credential"
    NOT_TEXT = "the value is not text (UTF-8); store the credential alone"
    MARK = "the value begins with a byte order mark (BOM), as some editors write it; save the file as UTF-8 without one, and store it anew"
    UNSEEN = (
        "the value holds a tab, a line break within, or another character that can't be seen; store the credential alone, e.g. with "
        "kubectl create secret generic NAME --from-file=KEY=FILE"
    )
    BLANKS = "the value begins or ends with a blank; store the credential alone"
    TOKEN = "the value holds a devbox's token (gws_…), not an API's credential; store the API's own"  # noqa: S105 (words)
    TOO_LONG = "the value is longer than 8 KiB, which no header takes; store the credential alone"


def flaw(text: str) -> Flaw | None:
    """Of a value without the newlines at its end; None: it may be a credential."""
    if not text.strip():
        return Flaw.EMPTY
    if text.startswith(_MARK):
        return Flaw.MARK
    if any(unicodedata.category(character) in _UNSEEN for character in text):
        return Flaw.UNSEEN
    if text != text.strip():
        return Flaw.BLANKS
    if _TOKEN in text:
        return Flaw.TOKEN
    if len(text.encode("utf-8", "surrogatepass")) > MOST_BYTES:
        return Flaw.TOO_LONG
    return None
