"""Is this request one that can be passed on without two readers of it disagreeing?

Goes in: a `RequestHead`, as it came. Comes out: None, or the first refusal. Pure. The order of the checks is that
of the threat list in docs/architecture.md.
"""

from dataclasses import dataclass, field
from typing import Any

from devbox_api.judge import paths
from devbox_api.judge.refusals import Refusal
from devbox_proxy.wire import grammar

Headers = tuple[tuple[bytes, bytes], ...]
"""Name and value of each line, in their order, the name as it was sent."""


class Memo:
    """What was concluded from a head, by whoever concluded it: a client repeats its heads (head_cache.py)."""

    __slots__ = ("cached", "examined")

    def __init__(self) -> None:
        self.examined: Any = None
        """What the head alone tells (identity.examine)."""
        self.cached: Any = None
        """Where it led (identity.CachedDecision)."""


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
    fields: dict[bytes, list[bytes]] = field(init=False, repr=False, compare=False)
    """The headers' values by their names in lower case: every check and the data path look here."""
    chunked: bool = field(init=False, repr=False, compare=False)
    """Its body comes in chunks."""
    expects_continue: bool = field(init=False, repr=False, compare=False)
    """The client waits for a 100 before it sends the body."""
    memo: Memo = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        fields: dict[bytes, list[bytes]] = {}
        for name, value in self.headers:
            lower = name.lower()
            if lower in fields:
                fields[lower].append(value)
            else:
                fields[lower] = [value]
        object.__setattr__(self, "fields", fields)
        object.__setattr__(self, "chunked", b"transfer-encoding" in fields)
        expected = [value.lower() for value in fields.get(b"expect", ())]
        object.__setattr__(self, "expects_continue", b"100-continue" in expected)
        object.__setattr__(self, "memo", Memo())

    @property
    def path(self) -> bytes:
        """The target's path, as it is judged and sent."""
        return paths.split(self.target)[0]

    @property
    def query(self) -> bytes | None:
        """What follows the first '?'; None if there is none."""
        return paths.split(self.target)[1]

    def values(self, name: bytes) -> list[bytes]:
        """All values of a header; `name` in lower case."""
        return self.fields.get(name, [])

    @property
    def connection_options(self) -> set[bytes]:
        """What Connection lists, in lower case (RFC 9110 7.6.1)."""
        return {option.strip().lower() for value in self.values(b"connection") for option in value.split(b",")}

    @property
    def websocket(self) -> bool:
        """It asks for a WebSocket (RFC 6455 4.1): with `check` passed, that is the only protocol that it can ask for."""
        return b"upgrade" in self.fields and b"upgrade" in self.connection_options


def check(head: RequestHead) -> Refusal | None:
    """The first thing that is wrong with the request, or None."""
    if head.version not in ((1, 0), (1, 1)):
        return Refusal.VERSION_UNSUPPORTED
    if head.method not in paths.METHODS:
        return Refusal.METHOD_UNSUPPORTED
    if framing := _framing(head):
        return framing
    if (target := paths.wrong(head.target)) is not None:
        return target
    if not _fields_are_plain(head):
        return Refusal.MALFORMED_REQUEST
    hosts = head.values(b"host")
    if len(hosts) > 1 or len(head.values(b"authorization")) > 1:
        return Refusal.HEADER_DUPLICATE
    if not (grammar.HOST.fullmatch(hosts[0]) if hosts else head.version == (1, 0)):
        return Refusal.MALFORMED_REQUEST
    if head.websocket and not _handshake_is_sound(head):
        return Refusal.UPGRADE_UNSUPPORTED
    return None


def _framing(head: RequestHead) -> Refusal | None:
    """RFC 9112 6.1 and 6.3, the strict reading: what two servers could take differently is refused."""
    codings, lengths = head.values(b"transfer-encoding"), head.values(b"content-length")
    if codings and (codings != [b"chunked"] or head.version != (1, 1) or lengths):
        return Refusal.FRAMING_INVALID
    if lengths and (len(lengths) > 1 or not grammar.LENGTH.fullmatch(lengths[0])):
        return Refusal.FRAMING_INVALID
    return None


def _fields_are_plain(head: RequestHead) -> bool:
    """RFC 9110 5.1 and 5.5, whatever the parser in front lets through: names are tokens, values hold no control characters."""
    if b"" in head.fields or b"".join(head.fields).translate(None, grammar.TOKEN_CHARACTERS):
        return False
    values = b"".join([value for _, value in head.headers])
    return len(values.translate(None, grammar.CONTROL_CHARACTERS)) == len(values)


def _handshake_is_sound(head: RequestHead) -> bool:
    """RFC 6455 4.1 and 4.2.1, all of it, and no body: what some server would not take for a handshake opens no tunnel."""
    keys = head.values(b"sec-websocket-key")
    return (
        head.method == "GET"
        and head.version == (1, 1)
        and [value.lower() for value in head.values(b"upgrade")] == [b"websocket"]
        and not head.values(b"transfer-encoding")
        and head.values(b"content-length") in ([], [b"0"])
        and head.values(b"sec-websocket-version") == [b"13"]
        and len(keys) == 1
        and grammar.WEBSOCKET_KEY.fullmatch(keys[0]) is not None
    )
