"""What may be a credential: the one judgement, for the operator, which says so in a condition, and the gateway, which sends it.

Goes in: a Secret's value, as bytes. Comes out: the credential, or a `Flaw` whose text says what to do and nothing of the value. Pure.

It is the same for a header, for Basic and for a query: what is refused here is no key that anybody was given, but a mistake of a copy,
and in a header it would end it, change it on its way (RFC 9110 5.5: blanks around a value are not part of it) or be searched for in vain
where an API shows it again. Letters beyond ASCII pass, as UTF-8: passwords have them.
"""

import unicodedata
from enum import Enum
from typing import Final

from devbox_api.names import TOKEN_PREFIX

from .redacted import Redacted

MOST_BYTES: Final = 8 * 1024
"""What common servers take of one header."""
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Classes of Unicode: control characters (a tab, DEL and NUL among them), what has no width (a byte order mark), ends of lines."""
_TOKEN: Final = f"{TOKEN_PREFIX}eyJ"
"""How every devbox's token begins."""


class Flaw(Enum):
    """What is wrong with a value."""

    EMPTY = "the value is empty; store the credential"
    NOT_TEXT = "the value is not text (UTF-8); store the credential alone"
    UNSEEN = (
        "the value holds a tab, a line break within, or another character that can't be seen; store the credential alone, e.g. with "
        "kubectl create secret generic NAME --from-file=KEY=FILE"
    )
    BLANKS = "the value begins or ends with a blank; store the credential alone"
    TOKEN = "the value holds a devbox's token (gws_…), not an API's credential; store the API's own"  # noqa: S105 (words)
    TOO_LONG = "the value is longer than 8 KiB, which no header takes; store the credential alone"


def judge(raw: bytes) -> Redacted | Flaw:
    """The credential without newlines at its end; or what is wrong with it."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return Flaw.NOT_TEXT
    text = text.rstrip("\r\n")
    if not text.strip():
        return Flaw.EMPTY
    if any(unicodedata.category(character) in _UNSEEN for character in text):
        return Flaw.UNSEEN
    if text != text.strip():
        return Flaw.BLANKS
    if _TOKEN in text:
        return Flaw.TOKEN
    if len(text.encode()) > MOST_BYTES:
        return Flaw.TOO_LONG
    return Redacted(text)


def pair(credential: Redacted) -> tuple[Redacted, Redacted] | None:
    """User and password of `user:password`; None where it is none. (One of the two may be empty: some APIs take their key as a user.)"""
    user, colon, password = credential.reveal().partition(":")
    return (Redacted(user), Redacted(password)) if colon and (user or password) else None
