"""The credential, taken out of what an API sends back: a second line of defence, behind "an endpoint is what its author says".

Goes in: header values, or a body in pieces. Comes out: the same number of bytes, the credential's overwritten with `*`. Found are
the credential as it is, percent-encoded or JSON-escaped in whole or in part, and in base64, alone or within something longer; and,
whole, what it was sent as (Basic). Other transformations are not. Pure. Called by relay.py.
"""

import base64
import re
from typing import Final

from devbox_common.redacted import Redacted

MIN_LENGTH: Final = 12
"""Characters: a shorter one would be found by chance in text that has nothing to do with it."""
HELD_BACK: Final = 16 * 1024
"""Bytes of a body that may be kept waiting for their line's end. Fixed: an amount that depended on how much of the credential
has been seen would tell it to whoever measures."""
_JSON_SHORT: Final = b'"\\/'
"""Characters with an escape of two characters (RFC 8259 7)."""


class Redactor:
    """One credential's pattern. Compiled at its first use (milliseconds), and kept as long as this version of the credential.

    `rendered`: a form that it is sent in and that hides it from the eye, such as what follows `Basic`.
    """

    __slots__ = ("_literal", "_odd", "_pattern", "_rendered", "_secret", "reach")

    def __init__(self, secret: Redacted, rendered: Redacted | None = None) -> None:
        self._secret = secret
        self._rendered = rendered or Redacted("")
        self._pattern: re.Pattern[bytes] | None = None
        self._odd = any(character in secret.reveal() for character in "%\\ ")
        """It holds characters that an escape is made of; or spaces, for which '+' stands in a query."""
        self._literal: tuple[bytes, ...] | None = None
        """The forms without escapes."""
        longest = max(len(secret.reveal().encode()) * 4 // 3, len(self._rendered))
        self.reach: Final = longest * len(r"\u0000")
        """Bytes of the longest form: base64, each character of it escaped."""

    def __call__(self, data: bytes) -> bytes:
        """The data, its length unchanged."""
        if not self.may_be_in(data):
            return data
        if self._pattern is None:
            self._pattern = re.compile(b"|".join(self._forms()))
        return self._pattern.sub(_stars, data)

    def may_be_in(self, data: bytes) -> bool:
        """A look that is quick, and never says no where it is: undo all escapes, and search for what has none."""
        if self._literal is None:
            self._literal = self._plain_forms()
        for form in self._literal:
            if form in data:
                return True
        if not self._literal or not (self._odd or b"%" in data or b"\\" in data):
            return False
        # A credential that holds these characters itself would be taken apart.
        if self._odd:
            return True
        plain = data
        # One kind after the other: a pattern that begins with a literal is found ten times as fast as a choice of two.
        for kind in _ESCAPES:
            plain = kind.sub(_unescaped, plain)
        plain = plain.replace(b"\\", b"")
        return any(form in plain for form in self._literal)

    def _plain_forms(self) -> tuple[bytes, ...]:
        forms: list[bytes] = []
        if len(self._secret) >= MIN_LENGTH:
            value = self._secret.reveal().encode()
            forms += [value, *sorted(_base64_forms(value))]
        if len(self._rendered) >= MIN_LENGTH:
            forms.append(self._rendered.reveal().encode())
        return tuple(forms)

    def _forms(self) -> list[bytes]:
        """Patterns, the longest first."""
        forms = []
        if len(self._rendered) >= MIN_LENGTH:
            forms.append(_escaped_base64(self._rendered.reveal().encode()))
        if len(self._secret) >= MIN_LENGTH:
            value = self._secret.reveal().encode()
            forms += [b"".join(map(_any_escape, value)), *map(_escaped_base64, sorted(_base64_forms(value)))]
        return forms

    def __repr__(self) -> str:
        return "Redactor(<redacted>)"


class BodyRedactor:
    """A text body in pieces. What follows the last newline waits for more, up to HELD_BACK bytes: an event of a stream ends in one."""

    __slots__ = ("_held", "_redact")

    def __init__(self, redact: Redactor) -> None:
        self._redact = redact
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        """What may go on now; possibly nothing."""
        # What is held has been searched: only a form that began in it and goes on in the chunk is new.
        begin = max(0, len(self._held) - self._redact.reach)
        data = self._held[:begin] + self._redact(self._held[begin:] + chunk)
        cut = max(data.rfind(b"\n") + 1, len(data) - HELD_BACK)
        self._held = data[cut:]
        return data[:cut]

    def finish(self) -> bytes:
        """The rest."""
        rest, self._held = self._held, b""
        return rest


_ESCAPES: Final = (re.compile(rb"\\u00([0-9A-Fa-f]{2})"), re.compile(rb"%([0-9A-Fa-f]{2})"))


def _unescaped(match: re.Match[bytes]) -> bytes:
    return bytes([int(match[1], 16)])


def _stars(match: re.Match[bytes]) -> bytes:
    return b"*" * (match.end() - match.start())


def _any_escape(byte: int) -> bytes:
    """A pattern for one byte, as it is or escaped as URLs or JSON do."""
    plain = re.escape(bytes([byte]))
    hexadecimal = b"".join(b"[%c%c]" % (d, d - 32) if d >= ord("a") else b"%c" % d for d in b"%02x" % byte)
    choices = [plain, b"%" + hexadecimal, rb"\\u00" + hexadecimal]
    if byte in _JSON_SHORT:
        choices.append(rb"\\" + plain)
    if byte == ord(" "):
        choices.append(rb"\+")  # as forms write it
    return b"(?:" + b"|".join(choices) + b")"


def _escaped_base64(form: bytes) -> bytes:
    """A pattern for base64: its '+', '/' and '=' may be escaped, and nobody escapes letters."""
    return b"".join(_any_escape(byte) if byte in b"+/=-_" else b"%c" % byte for byte in form)


def _base64_forms(value: bytes) -> set[bytes]:
    """The characters that only the value decides, in each of the three places it can have within something longer."""
    forms = set()
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + value)
        start, end = (0, 2, 3)[before], (0, 3, 2)[(before + len(value)) % 3]
        form = encoded[start : len(encoded) - end]
        forms |= {form, form.translate(bytes.maketrans(b"+/", b"-_"))}
    return forms
