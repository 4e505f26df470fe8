"""The credential, taken out of what an API sends back: a second line of defence, behind "an endpoint is what its author says".

Goes in: header values, or a body in pieces. Comes out: the same number of bytes, the credential's overwritten with `*`. Found are
the credential as it is, in base64, alone or within something longer, and, whole, as what it was sent as (Basic); each of them also
percent-encoded or JSON-escaped, in whole or in part. Other transformations are not. Pure.

Every byte is looked at by functions of C alone, a fixed number of times, whatever it is: all escapes are undone at once, and what comes out
is searched for the ends of the forms. What that finds is looked at closely, by patterns. These cost a hundred times as much, and whoever
writes both the credential and the API's answers may have them run on every byte: so only so many bytes are looked at closely for a
credential, and of a long one none. Beyond that all that stands around the form's parts is overwritten.
"""

import base64
import re
from binascii import a2b_qp
from typing import Final, NamedTuple
from urllib.parse import quote, quote_plus

from devbox_common.redacted import Redacted

MIN_LENGTH: Final = 12
"""Characters: a shorter one would be found by chance in text that has nothing to do with it."""
HELD_LEAST: Final = 1024
"""Bytes at a body's end that wait for what follows, at least."""
_WINDOW: Final = 2048
"""Bytes that are looked at closely at a time, at least."""
CLOSELY: Final = 1 << 20
"""Bytes that are looked at closely for one version of a credential. An API that shows it in one of the usual ways needs none."""
_LONGEST_CLOSELY: Final = 256
"""Bytes of a form for which there is a pattern. Of longer ones its beginning could stand at every byte, and be compared there."""
_LONGEST_OF_ESCAPES: Final = 40
"""The same, of one that is full of escapes: nothing of it is found without them, so it is looked for closely in whatever comes."""
_TELLING: Final = 6
"""Bytes of a form that do not stand in other text by chance."""
_PARTS: Final = 8
_TAKEN: Final = 5
"""Bytes at a part's beginning that may be taken for the rest of an escape, at most (`_anchor`)."""
_JSON_SHORT: Final = b'"\\/'
"""Characters with an escape of two characters (RFC 8259 7)."""
_LONGEST_ESCAPE: Final = len(r"\u0000")


class _Form(NamedTuple):
    """How one form is looked at where its anchor was found."""

    anchor: bytes
    parts: tuple[bytes, ...]
    """Some of it, that `plain` leaves as they are: where these are all there the form is, near enough. None, if it is full of escapes."""
    pattern: re.Pattern[bytes] | None
    """Of all of it; None where it is too long."""


class Redactor:
    """One credential's forms. Worked out at the first use, and kept as long as this version of the credential.

    `rendered`: a form that it is sent in and that hides it from the eye, such as what follows `Basic`.
    """

    __slots__ = ("_anchors", "_closely", "_patterns", "_rendered", "_secret", "_usual", "hold", "longest", "reach")

    def __init__(self, secret: Redacted, rendered: Redacted | None = None) -> None:
        self._secret = secret
        self._rendered = rendered or Redacted("")
        self._anchors: tuple[bytes, ...] | None = None
        self._usual: tuple[bytes, ...] | None = None
        """The ways to write the forms that are usual."""
        self._patterns: tuple[_Form, ...] | None = None
        self._closely = CLOSELY
        """Bytes that may still be looked at closely."""
        self.longest: Final = max(1, (len(secret.reveal().encode()) + 2) // 3 * 4, len(self._rendered))
        """Bytes of the longest form without escapes: base64."""
        self.reach: Final = self.longest * _LONGEST_ESCAPE
        """Bytes of the longest form with each character escaped."""
        self.hold: Final = max(HELD_LEAST, 1 << (self.reach - 1).bit_length())
        """Bytes at a body's end that wait for what follows: a power of two, so that little of the credential's length is seen in it."""

    def __call__(self, data: bytes) -> bytes:
        """The data, its length unchanged."""
        return self.exact(data) if self.may_be_in(data) else data

    def may_be_in(self, data: bytes) -> bool:
        """A look that is quick, and never says no where it is."""
        return self.shows(plain(data))

    def shows(self, text: bytes) -> bool:
        """The same for what `plain` made of it."""
        anchors = self._anchors
        if anchors is None:
            anchors = self._anchors = self._find_anchors()
        return any(anchor in text for anchor in anchors)

    def exact(self, data: bytes) -> bytes:
        """What is a form, whole, overwritten; and all around what may be one, where a look at it would cost too much."""
        if self._usual is None:
            self._usual = tuple(sorted({way for form in self._forms() for way in _usual_ways(form)}, key=len, reverse=True))
        for way in self._usual:
            if way in data:
                data = data.replace(way, b"*" * len(way))
        if not self.may_be_in(data):
            return data
        out, step = bytearray(data), max(_WINDOW, self.reach)
        for at in range(0, len(data), step):
            window = data[at : at + step + self.reach]
            text = plain(window)
            for form in self._look_closely():
                if form.anchor in text:
                    for start, end in self._places(form, window, text):
                        out[at + start : at + end] = b"*" * (end - start)
        return bytes(out)

    def _places(self, form: _Form, window: bytes, text: bytes) -> list[tuple[int, int]]:
        """What to overwrite."""
        if form.parts:
            if form.pattern is None or self._closely <= 0:
                return [(0, len(window))] if all(part in text for part in form.parts) else []
            self._closely -= len(window)
        return [] if form.pattern is None else [found.span() for found in form.pattern.finditer(window)]

    def _forms(self) -> list[bytes]:
        """Without escapes, the longest first."""
        forms = []
        if len(self._rendered) >= MIN_LENGTH:
            forms.append(self._rendered.reveal().encode())
        if len(self._secret) >= MIN_LENGTH:
            value = self._secret.reveal().encode()
            forms += [value, *sorted(_base64_forms(value))]
        return forms

    def _find_anchors(self) -> tuple[bytes, ...]:
        anchors = {anchor for anchor, _, _ in self._anchored()}
        # What is found by another one's is not searched for twice: what Basic renders ends in one of the forms of base64.
        return tuple(one for one in sorted(anchors) if not any(other != one and other in one for other in anchors))

    def _look_closely(self) -> tuple[_Form, ...]:
        """The longest first."""
        if self._patterns is None:
            self._patterns = tuple([_Form(anchor, *_closer(form, special)) for anchor, form, special in self._anchored()])
        return self._patterns

    def _anchored(self) -> list[tuple[bytes, bytes, re.Pattern[bytes]]]:
        """For each form what it is found by, and what splits it."""
        value = self._secret.reveal().encode()
        specials = [(form, _RAW if form == value else _BASE64) for form in self._forms()]
        return [(_anchor(form, special), form, special) for form, special in specials]

    def __repr__(self) -> str:
        return "Redactor(<redacted>)"


class BodyRedactor:
    """A body in pieces. Its last bytes wait for what follows, in which a form may go on: how many depends on sizes, on the time (`let_go`)
    and on where lines end, which is in no form; never on how much of the credential has been seen, or who measures would be told it."""

    __slots__ = ("_escape", "_old", "_redact", "_tail", "_text", "held")

    def __init__(self, redact: Redactor) -> None:
        self._redact = redact
        self._tail = b""
        """The last bytes, those that have gone and those that wait."""
        self.held = 0
        """How many of them wait."""
        self._old = 0
        """How many of these waited the last time that some were let go."""
        self._text = b""
        """What was made of the last bytes; all of it has been searched."""
        self._escape = b""
        """The beginning of an escape, at the end."""

    def feed(self, chunk: bytes) -> bytes:
        """What may go on now; possibly nothing."""
        redact = self._redact
        fresh = self._escape + chunk if self._escape else chunk
        whole = _whole(fresh)
        self._escape = fresh[whole:]
        text = self._text + plain(fresh[:whole] if self._escape else fresh)
        data = self._tail + chunk if self._tail else chunk
        if redact.shows(text):
            data = redact.exact(data)
        size = len(data)
        sent = size - len(chunk) - self.held
        lowest = max(0, size - redact.hold)
        line = max(data.rfind(b"\n", lowest), data.rfind(b"\r", lowest)) + 1
        cut = max(sent, line, lowest)
        self.held = size - cut
        self._old = max(0, self._old - (cut - sent))
        if line == size:
            self._tail = self._text = b""
        else:
            self._tail = data[min(cut, max(line, size - redact.reach)) :]
            self._text = text[-redact.longest :]
        return data[sent:cut]

    def let_go(self) -> bytes:
        """What has waited since the last call; what came after it waits until the next one."""
        sent = len(self._tail) - self.held
        out = self._tail[sent : sent + self._old]
        self.held = self._old = self.held - self._old
        return out

    def finish(self) -> bytes:
        """The rest."""
        rest = self._tail[len(self._tail) - self.held :]
        self.held = 0
        return rest


def _anchor(form: bytes, special: re.Pattern[bytes]) -> bytes:
    """What a form is found by: a part without what `plain` may change, or what differs between the two alphabets of base64. The last one
    if it is long enough, so that the form's beginning alone is not looked at closely; else the longest. Perhaps nothing, which is in
    everything: of a credential that is full of escapes."""
    parts = special.split(form)
    part = parts[-1] if len(parts[-1]) >= MIN_LENGTH else max(parts, key=len)
    # What stands before a form may take its first characters for the rest of an escape: "100%" before "abc", "\\u" before "00ab".
    taken = next((count for start, count in ((b"u00", 5), (b"00", 4), (b"0", 3)) if part.startswith(start)), 2)
    return part[taken:]


def _usual_ways(form: bytes) -> set[bytes]:
    """As libraries write it: found without looking closely, which takes ten times as long."""
    ways = {form, *(way.encode() for way in (quote(form), quote(form, safe=""), quote_plus(form)))}
    ways.add(form.replace(b"\\", b"\\\\").replace(b'"', b'\\"'))
    ways |= {way.replace(b"/", b"\\/") for way in ways}
    for pattern in (b"%%%02x", b"%%%02X", b"\\u00%02x", b"\\u00%02X"):
        ways.add(b"".join([pattern % byte for byte in form]))
    return ways


def plain(data: bytes) -> bytes:
    """The data with all escapes undone at once.

    Quoted-printable is the one decoder of the library that takes whatever comes: '%' becomes its '='. It also drops soft line breaks, so
    that the beginning of an escape can be replaced by as many bytes, which takes half the time.
    """
    if b"\\" in data:
        text = data.translate(_AS_QUOTED).replace(b"\\u00", b"=\r\n=")
        return a2b_qp(text.translate(None, b"\\") if b"\\" in text else text)
    if b"%" in data:
        return a2b_qp(data.translate(_AS_QUOTED))
    return data


_AS_QUOTED: Final = bytes.maketrans(b"%=\r\n", b"=\0\1\1")
"""'=' and line ends mean something there; the latter are in no form."""
_RAW: Final = re.compile(rb"[%\\= ]")
_BASE64: Final = re.compile(rb"[=+/_-]")


def _whole(data: bytes) -> int:
    """Where the beginning of an escape that goes on behind the data begins; else the data's end."""
    end = len(data)
    at = data.rfind(b"%", max(0, end - 2))
    if at >= 0:
        return at
    at = data.rfind(b"\\", max(0, end - 5))
    return at if at >= 0 and rb"\u00".startswith(data[at : at + 4]) else end


def _closer(form: bytes, special: re.Pattern[bytes]) -> tuple[tuple[bytes, ...], re.Pattern[bytes] | None]:
    """A form's parts and its pattern."""
    parts = [part[_TAKEN:] for part in special.split(form) if len(part) >= _TAKEN + _TELLING]
    longest = _LONGEST_CLOSELY if parts else _LONGEST_OF_ESCAPES
    pattern = re.compile(b"".join(map(_any_escape, form))) if len(form) <= longest else None
    return tuple(sorted(parts, key=len, reverse=True)[:_PARTS]), pattern


def _any_escape(byte: int) -> bytes:
    """A pattern for one byte, as it is or escaped as URLs or JSON do."""
    plain_byte = re.escape(bytes([byte]))
    hexadecimal = b"".join(b"[%c%c]" % (d, d - 32) if d >= ord("a") else b"%c" % d for d in b"%02x" % byte)
    choices = [plain_byte, b"%" + hexadecimal, rb"\\u00" + hexadecimal]
    if byte in _JSON_SHORT:
        choices.append(rb"\\" + plain_byte)
    if byte == ord(" "):
        choices.append(rb"\+")  # as forms write it
    if byte in b"%\\":
        choices.reverse()  # what begins an escape is taken for one
    return b"(?:" + b"|".join(choices) + b")"


def _base64_forms(value: bytes) -> set[bytes]:
    """The characters that only the value decides, in each of the three places it can have within something longer."""
    forms = set()
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + value)
        start, end = (0, 2, 3)[before], (0, 3, 2)[(before + len(value)) % 3]
        form = encoded[start : len(encoded) - end]
        forms |= {form, form.translate(bytes.maketrans(b"+/", b"-_"))}
    return forms
