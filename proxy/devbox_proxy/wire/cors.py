"""What a browser has to be told before a page may read an answer (CORS: fetch.spec.whatwg.org, "HTTP-access-control").

Goes in: a `RequestHead`; an answer's headers. Comes out: header lines. Pure.

A page has no more rights by it: whoever knows no token is refused, whatever its origin, and a browser is never told to send what it keeps
(cookies, passwords) by itself: there is no `Access-Control-Allow-Credentials` of ours. So any origin may be echoed.
"""

import re
from typing import Final

from devbox_api.judge import paths
from devbox_proxy.wire import grammar
from devbox_proxy.wire.guard import RequestHead

MAX_AGE: Final = 600
"""Seconds for which a browser need not ask again; they keep it for 2 hours at most."""
_ORIGIN: Final = re.compile(rb"null|[a-z][a-z0-9+.-]{0,31}://[A-Za-z0-9.\[\]:_-]{1,260}")
"""RFC 6454 6.2, of one origin; `null` is that of a page in a sandbox, or of a file."""
_NAMES: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:[ \t]*,[ \t]*[!#$%&'*+.^_`|~0-9A-Za-z-]+)*")
_LONGEST: Final = 2048
"""Bytes of a list of headers' names that is echoed."""
_EXPOSED: Final = b"*"
"""Headers that a page may read: all, but for Authorization (which no answer has)."""
_METHODS: Final = ", ".join(sorted(paths.METHODS)).encode()

Lines = list[tuple[bytes, bytes]]


def origin_of(head: RequestHead) -> bytes:
    """The page's origin; empty where there is none, or none that can be one."""
    values = head.values(b"origin")
    return values[0] if len(values) == 1 and _ORIGIN.fullmatch(values[0]) else b""


def is_preflight(head: RequestHead) -> bool:
    """A browser asks whether a page may send a request. It sends no token with it: in a header the page's own never are, and one in the
    query is the real request's, which comes next."""
    return (
        head.method == "OPTIONS"
        and b"access-control-request-method" in head.fields
        and origin_of(head) != b""
        and not head.chunked
        and head.values(b"content-length") in ([], [b"0"])
        and b"upgrade" not in head.fields
        and not any(grammar.TOKEN_START in value or name.lower() == b"authorization" for name, value in head.headers)
    )


def preflight(head: RequestHead) -> Lines:
    """The answer's headers: any method that the gateway knows, and the headers that the page wants to send, if they are names."""
    lines = [
        (b"Access-Control-Allow-Origin", origin_of(head)),
        (b"Access-Control-Allow-Methods", _METHODS),
        (b"Access-Control-Max-Age", b"%d" % MAX_AGE),
        (b"Vary", b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
    ]
    wanted = b", ".join(head.values(b"access-control-request-headers"))
    if len(wanted) <= _LONGEST and _NAMES.fullmatch(wanted):
        lines.insert(2, (b"Access-Control-Allow-Headers", wanted))
    return lines


def readable(origin: bytes) -> Lines:
    """Of an answer: the page of this origin may read it. None, if it is empty."""
    if not origin:
        return []
    return [
        (b"Access-Control-Allow-Origin", origin),
        (b"Access-Control-Expose-Headers", _EXPOSED),
        (b"Vary", b"Origin"),
    ]
