"""What a client did that spoke something else to the forward proxy than a CONNECT, in words.

Goes in: what was refused, a head or its first bytes, and why. Comes out: what was seen and what to do about it; nothing where the refusal's
own message says all. Pure. Of what came only a host that is well made is repeated.
"""

import re
from typing import Final

from devbox_api.judge import targets
from devbox_api.judge.refusals import Refusal

_ABSOLUTE: Final = re.compile(rb"[A-Za-z]+ (https?|wss?)://(?:[^/?#@ ]*@)?([^/?#@ ]+)", re.IGNORECASE)
"""RFC 9112 3.2.2, absolute-form: how a proxy is asked that is to read along."""
_PATH: Final = re.compile(rb"[A-Za-z]+ /")
_PORTS: Final = {b"http": 80, b"ws": 80, b"https": 443, b"wss": 443}
_TLS: Final = b"\x16"
"""The first byte of a handshake (RFC 8446 5.1)."""
_SOCKS: Final = (b"\x04", b"\x05")
"""The first byte is the version (RFC 1928 3)."""
_HTTP2: Final = b"PRI * HTTP/2."

OVER_TLS: Final = (
    "TLS was spoken to the proxy itself, which takes a CONNECT in clear: its address begins with http://, also for https:// URLs, as in "
    "$HTTPS_PROXY"
)
SOCKS: Final = (
    "SOCKS was spoken, and this is an HTTP proxy: its address begins with http://, as in $HTTPS_PROXY, not with socks"
)
HTTP2: Final = (
    "HTTP/2 was spoken to the proxy itself, which takes CONNECT by HTTP/1.1 alone; within a tunnel HTTP/2 passes, so switch it off for the "
    "proxy only"
)
NO_PROXYS_URL: Final = (
    "a path was asked for, as of a server, and this is the forward proxy: APIs are at $NAME_URL, and other hosts are reached by https:// "
    "URLs with $HTTPS_PROXY as the client's proxy"
)


def said(refusal: Refusal, data: bytes) -> str:
    """In place of the refusal's message, or empty. `data`: the head, or as much as there was of it."""
    if refusal is Refusal.MALFORMED_REQUEST:
        if data.startswith(_TLS):
            return OVER_TLS
        return SOCKS if data.startswith(_SOCKS) else ""
    if refusal is Refusal.VERSION_UNSUPPORTED:
        return HTTP2 if data.startswith(_HTTP2) else ""
    if refusal is not Refusal.CONNECT_ONLY:
        return ""
    if (asked := _ABSOLUTE.match(data)) is not None:
        return _in_clear(asked[1].lower(), asked[2])
    return NO_PROXYS_URL if _PATH.match(data) else ""


def _in_clear(scheme: bytes, authority: bytes) -> str:
    """A whole URL was asked for: the request would be read here, and go on in clear."""
    target = targets.parse(authority) or targets.parse(b"%s:%d" % (authority, _PORTS[scheme]))
    host = "a host" if target is None else target.host
    word = scheme.decode("ascii")
    if scheme in {b"https", b"wss"}:
        return (
            f"this client sends requests for {word}:// ({host}) in clear to its proxy, where it has to ask for a tunnel (CONNECT); nothing "
            "was sent on. axios does so before 1.16.1: renew it, or {proxy: false} with Node 24; busybox wget always: use curl"
        )
    secure = "wss" if scheme == b"ws" else "https"
    return f"{word}:// ({host}) is passed on to nobody, since TLS alone leaves a devbox: use {secure}://; APIs are at $NAME_URL"
