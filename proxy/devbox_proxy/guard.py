"""Is this request one that can be passed on without two readers of it disagreeing?

Goes in: a `RequestHead`, as it came. Comes out: None, or the first refusal. Pure. Called by identity.decide before anything else;
the order of the checks is that of the threat list in docs/architecture.md.
"""

from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from . import grammar
from .refusals import Refusal

Headers = tuple[tuple[bytes, bytes], ...]
"""Name and value of each line, in their order, the name as it was sent."""


@dataclass(frozen=True, slots=True)
class RequestHead:
    """A request without its body."""

    method: str
    target: bytes
    """The request target as it was sent: path and query, not decoded."""
    version: tuple[int, int]
    headers: Headers
    peer: str
    """The IP address that the connection comes from."""

    @property
    def path(self) -> bytes:
        """The target without its query."""
        return self.target.partition(b"?")[0]

    @property
    def query(self) -> bytes | None:
        """What follows the first '?'; None if there is none."""
        _, mark, query = self.target.partition(b"?")
        return query if mark else None

    def values(self, name: bytes) -> list[bytes]:
        """All values of a header; `name` in lower case."""
        return [value for key, value in self.headers if key.lower() == name]


def check(head: RequestHead) -> Refusal | None:
    """The first thing that is wrong with the request, or None."""
    if head.version not in ((1, 0), (1, 1)):
        return Refusal.VERSION_UNSUPPORTED
    if head.method not in grammar.METHODS:
        return Refusal.METHOD_UNSUPPORTED
    if framing := _framing(head):
        return framing
    if not head.target.startswith(b"/") or head.target.startswith(b"//"):
        return Refusal.TARGET_INVALID
    if not grammar.PATH.match(head.target) or b"#" in head.target or _path_is_treacherous(head.path):
        return Refusal.PATH_INVALID
    if any(grammar.CONTROL.search(value) for _, value in head.headers):
        return Refusal.MALFORMED_REQUEST
    if len(head.values(b"host")) > 1:
        return Refusal.HEADER_DUPLICATE
    if not head.values(b"host") and head.version == (1, 1):
        return Refusal.MALFORMED_REQUEST
    if len(head.values(b"authorization")) > 1:
        return Refusal.HEADER_DUPLICATE
    if head.values(b"upgrade") and any(b"upgrade" in value.lower() for value in head.values(b"connection")):
        return Refusal.UPGRADE_UNSUPPORTED
    return None


def _framing(head: RequestHead) -> Refusal | None:
    """RFC 9112 6.1 and 6.3, the strict reading: what two servers could take differently is refused."""
    codings, lengths = head.values(b"transfer-encoding"), head.values(b"content-length")
    if codings and (codings != [b"chunked"] or head.version != (1, 1) or lengths):
        return Refusal.FRAMING_INVALID
    if lengths and (len(lengths) > 1 or not lengths[0].isdigit()):
        return Refusal.FRAMING_INVALID
    return None


def _path_is_treacherous(path: bytes) -> bool:
    """A segment that some server resolves: '.', '..', '..;x', also where it is hidden in an escape."""
    if grammar.BROKEN_ESCAPE.search(path) or grammar.CONTROL_ESCAPE.search(path):
        return True
    for segment in path.split(b"/"):
        # Once decoded, an encoded slash or backslash may make new segments for whoever decodes before splitting.
        for part in unquote_to_bytes(segment).replace(b"\\", b"/").split(b"/"):
            if part in (b".", b"..") or part.startswith(b"..;"):
                return True
    return False
