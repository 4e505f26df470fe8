"""What a request asks for: method, path and query, as far as they alone decide.

Goes in: a request target, as it was sent. Comes out: what is wrong with it, or the path that an API is asked for. Pure.
"""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_plus, unquote_to_bytes

from .refusals import Refusal

METHODS: Final[frozenset[str]] = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""RFC 9110 9.3 and RFC 5789, without CONNECT (the forward proxy's) and TRACE (which reflects what it got, credentials included)."""

PATH: Final = re.compile(rb"/[^\x00-\x20\x7f\\#]*\Z")
"""RFC 9112 3.2.1 origin-form: no control characters, spaces, fragment, nor backslashes (some servers take '\\' for '/')."""
BROKEN_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
"""RFC 3986 2.1."""
CONTROL_ESCAPE: Final = re.compile(rb"%(?:0[0-9A-Fa-f]|1[0-9A-Fa-f]|7[Ff])")
OVERLONG: Final = re.compile(rb"[\xc0\xc1][\x80-\xbf]|\xe0[\x80-\x9f][\x80-\xbf]|\xf0[\x80-\x8f][\x80-\xbf]{2}")
"""A character in more bytes than it needs (RFC 3629 3 and 10): to decoders that take it, %c0%ae is a dot and %c0%af a slash."""
TOKEN_IN_PATH: Final = b"gws_eyJ"
"""Every JWT begins so (`{"` in base64url); a path may well hold the four characters of the prefix alone."""
OTHER_METHOD: Final = frozenset(b"_method x-http-method-override x-http-method x-method-override".split())
"""What some servers take for the method where it is in the query (Symfony's Request::getMethod, Express's method-override)."""
PARAMETER: Final = re.compile(rb"(?:\A|[&;])[^&;]*")
"""Of a query, each with the separator before it."""


_VERSION: Final = re.compile(rb"/[vV][0-9][0-9A-Za-z.-]*(?=/|\Z)")
"""A segment that names a version of an API: /v1, /v1beta, /v2.1."""


def split(target: bytes) -> tuple[bytes, bytes | None]:
    """Path and query of a target; no query: None. All that is judged and sent is made of these two.

    Slashes at the path's beginning become one: clients that put `/v1/models` behind a base URL with a slash at its end send two, which
    some servers read as a host's name.
    """
    path, mark, query = target.partition(b"?")
    if path.startswith(b"//"):
        path = b"/" + path.lstrip(b"/")
    return path, query if mark else None


def wrong(target: bytes) -> Refusal | None:
    """What some server would read differently in a path and query, or None."""
    if not target.startswith(b"/"):
        return Refusal.TARGET_INVALID
    if not PATH.match(target) or _is_treacherous(split(target)[0]):
        return Refusal.PATH_INVALID
    return None


def holds_token(path: bytes) -> bool:
    """A token is in the path, where it would end in logs."""
    return (_UNDERSCORE in path or _PERCENT in path) and TOKEN_IN_PATH in unquote_to_bytes(path)


_UNDERSCORE, _PERCENT = b"_%"


@dataclass(frozen=True, slots=True)
class BasePath:
    """What stands before the paths that are asked for."""

    path: bytes = b""
    """Empty for the root."""
    of: frozenset[bytes] = frozenset()
    """First segments of the paths before which it stands; empty: all."""

    def join(self, path: bytes) -> bytes:
        """The path at the API."""
        if self.of and path[1:].partition(b"/")[0].partition(b":")[0] not in self.of:
            return path
        return join(self.path, path)


def join(base: bytes, path: bytes) -> bytes:
    """The base path before the path, unless it stands there already (`/v1` and `/v1/models` give `/v1/models`).

    Nor is an end of the base path doubled that names a version: `/api/v1` and `/v1/models` give `/api/v1/models`, since clients are told
    a base URL with or without it. Other words may well stand there twice.
    """
    if not base or _begins(path, base):
        return path
    at = base.find(b"/", 1)
    while at > 0:
        end = base[at:]
        if _begins(path, end) and _VERSION.search(end):
            return base[:at] + path
        at = base.find(b"/", at + 1)
    return base + path


def _begins(path: bytes, base: bytes) -> bool:
    """With whole segments."""
    return path.startswith(base) and path[len(base) : len(base) + 1] in (b"", b"/")


def parameter_names(query: bytes) -> set[bytes]:
    """The names in a query, as a lenient server reads them."""
    return {parameter_name(parameter.lstrip(b"&;")) for parameter in PARAMETER.findall(query)}


def parameter_name(parameter: bytes) -> bytes:
    """Of `name=value`: decoded, without case, spaces around it and what follows a NUL, none of which count everywhere."""
    name = unquote_plus(parameter.partition(b"=")[0].decode("latin-1"), encoding="latin-1")
    return name.partition("\0")[0].strip().lower().encode("latin-1")


def _is_treacherous(path: bytes) -> bool:
    """A segment that some server resolves: '.', '..', '..;x', also where it is hidden in an escape."""
    if b"%" not in path and b"/." not in path:
        return False  # nearly every path: a segment that begins with a dot is what is looked for
    if BROKEN_ESCAPE.search(path) or CONTROL_ESCAPE.search(path):
        return True
    if OVERLONG.search(unquote_to_bytes(path)):
        return True
    for segment in path.split(b"/"):
        # Once decoded, an encoded slash or backslash may make new segments for whoever decodes before splitting.
        for part in unquote_to_bytes(segment).replace(b"\\", b"/").split(b"/"):
            if part in (b".", b"..") or part.startswith(b"..;"):
                return True
    return False
