"""What may be a credential, and is nearly always a mistake of whoever stored it: a warning, and no refusal.

Goes in: a value that keys.py has let pass, and how it goes into a request. Comes out: doubts, whose words say what to do and nothing of the
value. Pure. An API's author may choose keys as odd as any of these, and so the gateway sends them all the same.
"""

import base64
import binascii
import re
from enum import Enum
from typing import Final, NamedTuple

LINE_BYTES: Final = 7800
"""Of a credential as it stands in a header: with the header's name it is longer than the 8 KB that common servers take of one line."""


class Doubt(Enum):
    """What a value looks like."""

    SCHEME = "begins with the word of a scheme (Bearer, Basic, Token …), which goes in front by itself; store what is behind that word"
    QUOTED = "stands in quotation marks; store what is between them"
    NAMED = "looks like a line of a shell or an .env file (NAME=…); store what is behind the '='"
    LABELLED = "looks like a whole header or a line of YAML (name: …); store what is behind the ':'"
    JSON = (
        "is JSON; store the one field that is the key (a service account's file is no key: an API wants a token made with it)"
    )
    PEM = "is a certificate or a private key (-----BEGIN …), which no API takes in a header; store the API's key"
    ENCODED = "is base64 of another text; a Secret's `data` is base64 once: store the text itself, e.g. under `stringData`"
    ADDRESS = "is an address (https://…); that belongs to spec.endpoint: store the key"
    FILE = "is the name of a file; store what the file holds, e.g. with --from-file"
    REFERENCE = (
        "is a variable or a reference ($NAME, {{…}}, op://…) that nobody has put the key in place of; store the key itself"
    )
    PLACEHOLDER = "is a placeholder of an example (changeme, <your key> …); store the key itself"
    MASKED = "is a key as it is shown to people, masked or cut (***, xxxx, …); copy it whole, or make a new one"
    ESCAPED = "holds an escape that was not resolved (\\n, \\u…, %2D, &amp;); store the key as it is"
    ENDING = "ends with a mark (, ; . %) that was copied with it, of a line of code, a sentence or a shell; store the key alone"
    DOUBLED = "is the same text twice; store it once"
    SPACED = "holds a space, which keys don't; see whether words, or a second key, were copied with it"
    UNUSUAL = (
        "holds a no-break space, a typographic dash or another character that keys don't; copy it anew from where it was made"
    )
    LONG = "is longer than the 8 KB that many servers take of a header; see whether it is the key alone"


class Place(NamedTuple):
    """How a credential goes into a request, as authMechanism has it."""

    type: str = "Bearer"
    key: str = ""
    """Of a header or query parameter."""
    prefix: str = ""
    whole: bool = False
    """The value is user:password, of which the password is looked at."""


USUAL: Final = Place()
_SHORT: Final = 256
"""Characters: a placeholder has no more, and patterns that try several ways no more to try them on."""
_QUOTES: Final = "\"'`\u201c\u201d\u201e\u2018\u2019\u00ab\u00bb"
_SCHEME: Final = re.compile(r"(?:bearer|basic|token|apikey|api-key)(?:\s+|$)", re.IGNORECASE)
_NAMED: Final = re.compile(r"(export\s+|set\s+|setx\s+|\$env:)?([A-Za-z_][A-Za-z0-9_]{0,63})\s?=\s?(?=[^=\s])")
_KEYLIKE: Final = re.compile(r"key|token|secret|pass|pwd|auth|cred|api", re.IGNORECASE)
_UPPER: Final = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")
_LABEL: Final = re.compile(
    r"[A-Za-z][A-Za-z0-9_-]{2,63}:\s+(?=\S)|(?:proxy-)?authorization:|x-api-key:|api-key:|x-goog-api-key:", re.I
)
_ADDRESS: Final = re.compile(r"(?:https?|wss?)://", re.IGNORECASE)
_FILE: Final = re.compile(
    r"(?:@?(?:/(?:run|var|etc|home|root|tmp|mnt|opt|secrets|Users)/|\.{1,2}/|~/)|[A-Za-z]:\\|file:)\S*|@?[A-Za-z0-9_-]{1,64}\.(?:txt|json|pem|key|env)"
)
_REFERENCE: Final = re.compile(
    r"\$\{?[A-Za-z_][A-Za-z0-9_]*\}?|\$\(.*\)|%[A-Za-z_][A-Za-z0-9_]*%|(?:op|vault|awssm|gcpsm|ref\+[a-z]{1,20})://\S+|vault:\S+"
    r"|[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*_(?:KEY|TOKEN|SECRET|PASSWORD)|(?:process\.env|os\.environ|secrets|env)[.\[(]\S*|arn:aws\S*|ENC\[.*\]"
)
_PLACEHOLDER: Final = re.compile(
    r"<[^<>]*>|\[[A-Za-z][A-Za-z _-]*\]"
    r"|(?:.*[-_. ])?(?:change[-_ ]?me|replace[-_ ]?(?:me|this)|placeholder|fill[-_ ]?me|fixme|todo|tbd)\d*(?:[-_. ].*)?"
    r"|(?:an?[-_ ])?(?:example|sample)(?:[-_ ]?(?:api[-_ ]?)?(?:key|token|secret|password))?|api[-_ ]?key"
    r"|(?:[a-z]{2,8}[-_])?(?:your|my|insert|enter|paste|replace)[-_ ]?(?:[a-z]{1,16}[-_ ]){0,4}(?:api|access)?"
    r"(?:key|token|secret|password|credential|here)s?(?:[-_ ](?:here|goes[-_ ]here|value))?"
    r"|null|none|nil|undefined|\(null\)|<nil>|n/a|\[object object\]|redacted|hidden",
    re.IGNORECASE,
)
_MASKED: Final = re.compile(
    r".*(?:\*{3,}|[\u2022\u25cf\u00b7]{3,}|\u2026|\.{3}).*|(?:[A-Za-z0-9]{1,12}[-_]){0,4}[xX]{3,}[xX_-]*|[A-Za-z]{2,8}[-_]|(.)\1{3,}"
)
_FORMS: Final = (
    (Doubt.REFERENCE, _REFERENCE),
    (Doubt.PLACEHOLDER, _PLACEHOLDER),
    (Doubt.MASKED, _MASKED),
    (Doubt.FILE, _FILE),
)
_ESCAPED: Final = re.compile(r"\\(?:[nrt](?![A-Za-z0-9])|u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2})")
_IN_URLS: Final = re.compile(r"%[0-9A-Fa-f]{2}|&(?:amp|quot|lt|gt|#\d{1,4});")
_JWT: Final = "eyJ"
"""(One that is not signed ends with a dot.)"""
_DOUBLED: Final = 16
"""Characters, from which on the same text twice is no chance."""
_PEM: Final = re.compile(r"-----BEGIN [A-Z ]{1,40}-----")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")


def doubts(text: str, place: Place = USUAL) -> tuple[Doubt, ...]:
    """What the value looks like, if it is to go there. Empty: like a key."""
    found: list[Doubt] = []
    basic = place.type == "Basic"
    if place.whole:
        text = text.partition(":")[2]
    text = _unwrapped(text, place, found)
    whole = _whole(text, place)
    if whole is not None:
        return (*found, whole)
    if _ESCAPED.search(text):
        found.append(Doubt.ESCAPED)
    if len(text) >= _DOUBLED and text[: len(text) // 2] * 2 == text:
        found.append(Doubt.DOUBLED)
    if not basic:
        if place.type != "Query" and _IN_URLS.search(text) and Doubt.ESCAPED not in found:
            found.append(Doubt.ESCAPED)
        if text.endswith((",", ";", ".", "%")) and not text.startswith(_JWT):
            found.append(Doubt.ENDING)
        if " " in text:
            found.append(Doubt.SPACED)
        if any(ord(character) > 0x7E for character in text):
            found.append(Doubt.UNUSUAL)
    elif "\u00a0" in text:  # (passwords have letters of all kinds)
        found.append(Doubt.UNUSUAL)
    size = len(text.encode("utf-8", "surrogatepass"))
    if (size * 4 / 3 if basic else size) > LINE_BYTES:
        found.append(Doubt.LONG)
    return tuple(dict.fromkeys(found))


def _unwrapped(text: str, place: Place, found: list[Doubt]) -> str:
    """The value without what was copied with it, which is noted."""
    if text[:1] in _QUOTES:
        text = _unquoted(text, place, found)
    if match := _LABEL.match(text) if place.type != "Basic" else None:
        found.append(Doubt.LABELLED)
        text = _behind(match, text).strip(_QUOTES)
        return _behind(scheme, text) if (scheme := _SCHEME.match(text)) else text
    if (match := _NAMED.match(text)) and _assigned(match, text, place):
        found.append(Doubt.NAMED)
        text = _behind(match, text).strip(_QUOTES)
    if match := _SCHEME.match(text):
        if not _may_spell(place):
            found.append(Doubt.SCHEME)
        text = _behind(match, text)
    return _unquoted(text, place, found)


def _behind(match: re.Match[str], text: str) -> str:
    end = match.end()
    return text[end:].strip()


def _unquoted(text: str, place: Place, found: list[Doubt]) -> str:
    """(A password may begin or end with such a mark.)"""
    marks = (text[:1] in _QUOTES, text[-1:] in _QUOTES)
    if len(text) < 2 or not (all(marks) if place.type == "Basic" else any(marks)):
        return text
    found.append(Doubt.QUOTED)
    return text.strip(_QUOTES).strip()


def _assigned(match: "re.Match[str]", text: str, place: Place) -> bool:
    """`NAME=value`, and not a cookie, a query's text or a key with a '=' in it."""
    if place.key.lower() == "cookie" or (place.type == "Query" and "&" in text):
        return False
    return bool(match[1] or _UPPER.fullmatch(match[2]) or (len(match[2]) > 2 and _KEYLIKE.search(match[2])))


def _may_spell(place: Place) -> bool:
    """The scheme is the value's own: nothing else writes one."""
    return place.type == "Header" and not place.prefix and "auth" in place.key.lower()


def _whole(text: str, place: Place) -> "Doubt | None":
    """What all of it is, in place of a key."""
    if (text[:1], text[-1:]) in (("{", "}"), ("[", "]")) and '"' in text:
        return Doubt.JSON
    if _PEM.match(text):
        return Doubt.PEM
    if ("{{" in text and "}}" in text) or ("<%" in text and "%>" in text):
        return Doubt.REFERENCE
    if len(text) <= _SHORT:
        for doubt, pattern in _FORMS:
            if pattern.fullmatch(text):
                return doubt
    if _ADDRESS.match(text):
        return Doubt.ADDRESS
    return Doubt.ENCODED if _encoded(text, place) else None


def _encoded(text: str, place: Place) -> bool:
    """It is base64 of what people can read. Of 12 bytes that mean nothing one in a million times."""
    if not _BASE64.fullmatch(text):
        return False
    try:
        raw = base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return False
    inner = raw.rstrip(b"\r\n")
    if len(inner) < 12 or not all(0x20 <= byte < 0x7F for byte in inner):
        return False
    # (`id:secret` in base64 is what some APIs call a key; Basic makes that by itself.)
    return b":" not in inner or place.type == "Basic" or inner.startswith(b"{")
