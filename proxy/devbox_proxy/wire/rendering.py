"""The heads of both messages as bytes: what goes to the API, what goes to the client, and how each says where its body ends.

Goes in: an `UpstreamRequest`; the API's status and headers. Comes out: bytes for the wire and a `Framing`. Pure.
"""

import base64
import hashlib
from enum import Enum
from http import HTTPStatus
from typing import Final, NamedTuple

from devbox_api.judge.refusals import Refusal
from devbox_proxy.wire import addresses, cors, grammar, refusing
from devbox_proxy.wire.guard import Headers, RequestHead
from devbox_proxy.wire.messages import UpstreamRequest

_REMOVED: Final = grammar.HOP_BY_HOP | grammar.NOT_RETURNED | {b"content-length"}
_BODYLESS: Final = frozenset({204, 304})
"""RFC 9112 6.3, beside 1xx and whatever answers HEAD."""
_AS_IT_IS: Final = frozenset({b"", b"identity", b"none", b"7bit", b"8bit", b"binary", b"utf-8", b"aws-chunked"})
"""No codings, though some APIs name them as such. S3 keeps the last one from an upload."""
_NOT_TAKEN: Final = frozenset({408, 411, 413, 417})
"""RFC 9110 15.5: answers about a request's body that is not waited for."""
_STATUS_LINES: Final = {status.value: b"HTTP/1.1 %d %s\r\n" % (status.value, status.phrase.encode()) for status in HTTPStatus}
_WEBSOCKET: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CLOSES: Final = b"Connection: close\r\n"
"""What an answer says of its connection, if it is the last on it; else `stays`."""
CHUNKS_END: Final = b"0\r\n\r\n"
DISCARDED: Final = 256 * 1024
"""Bytes of a body that are still read after the whole answer was sent: closing at once would make a reset of it."""


class Framing(Enum):
    """How a body's end is told (RFC 9112 6.3)."""

    NONE = "none"
    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"


Fields = dict[bytes, list[bytes]]
"""Headers' values by their names in lower case."""
_ASKED_FOR: Final = {
    b"access-control-allow-origin",
    b"connection",
    b"content-encoding",
    b"content-length",
    b"content-type",
    b"keep-alive",
    b"sec-websocket-accept",
    b"transfer-encoding",
    b"upgrade",
    b"x-request-id",
}


def fields_of(headers: Headers) -> Fields:
    """Those headers of an answer that the gateway itself looks at."""
    fields: Fields = {}
    for name, value in headers:
        lower = name.lower()
        if lower in _ASKED_FOR:
            if lower in fields:
                fields[lower].append(value)
            else:
                fields[lower] = [value]
    return fields


class ResponseHead(NamedTuple):
    """The API's answer without its body."""

    status: int
    headers: Headers
    fields: Fields
    framing: Framing
    length: bytes | None
    """Content-Length as it was sent; also where there is no body, as with HEAD."""

    def value(self, name: bytes) -> str:
        """The first value of a header (`name` in lower case); empty if there is none."""
        values = self.fields.get(name)
        return values[0].decode("latin-1") if values else ""


def chunk(data: bytes) -> bytes:
    """One chunk (RFC 9112 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def request_head(request: UpstreamRequest, framing: Framing, length: bytes | None, *, last: bool = False) -> bytes:
    """Request line and headers; the body's framing is ours, whatever the client wrote about it. `last`: none will follow it."""
    start = request.wire + b"Connection: close\r\n" if last else request.wire
    if framing is Framing.CHUNKED:
        return start + b"Transfer-Encoding: chunked\r\n\r\n"
    if length is None and request.method in grammar.WITH_BODY:
        length = b"0"  # RFC 9110 8.6: a server that expects a body would have to guess that there is none
    if length is not None:
        return b"%bContent-Length: %b\r\n\r\n" % (start, length)
    return start + b"\r\n"


def may_stay_unread(request: UpstreamRequest, framing: Framing, length: bytes | None) -> bool:
    """It has a body that its method does not define. An API that ignores it takes the body for the next request."""
    return request.method in grammar.NO_BODY and (framing is Framing.CHUNKED or int(length or 0) > 0)


def ends_plainly(head: ResponseHead) -> bool:
    """Whoever reads this answer knows where it ends, and the API has read the request that it answers. Else more
    may come: what can have no body announces one, or the status says that the request's body was not taken."""
    if head.status in _BODYLESS:
        return head.length in (None, b"0") and b"transfer-encoding" not in head.fields
    return head.status not in _NOT_TAKEN


def response_framing(status: int, fields: Fields, *, version: str, to_head: bool) -> tuple[Framing, bytes | None] | None:
    """Where the API's body ends, strictly read; None if two readers could disagree about it."""
    codings, lengths = fields.get(b"transfer-encoding"), fields.get(b"content-length")
    if codings and (version != "1.1" or lengths or [coding.lower() for coding in codings] != [b"chunked"]):
        return None
    if lengths and (len(lengths) > 1 or not lengths[0].isdigit()):
        return None
    length = lengths[0] if lengths else None
    if to_head or status in _BODYLESS or status < 200:
        return Framing.NONE, length
    if codings:
        return Framing.CHUNKED, None
    return (Framing.CLOSE, None) if length is None else (Framing.LENGTH, length)


def is_encoded(head: ResponseHead) -> bool:
    """Its body is not what it says but something that a client makes it of (RFC 9110 8.4): nothing would be found in it."""
    codings = b",".join(head.fields.get(b"content-encoding", ())).lower()
    return head.framing is not Framing.NONE and any(coding.strip() not in _AS_IT_IS for coding in codings.split(b","))


def media_type(head: ResponseHead) -> bytes:
    """What its body says to be, in lower case and without parameters; empty where that is not said once (RFC 9110 8.3)."""
    said = head.fields.get(b"content-type", ())
    return said[0].partition(b";")[0].strip().lower() if len(said) == 1 else b""


def response_head(
    head: ResponseHead, sent: UpstreamRequest, *, public_url: bytes, request_id: str, http10: bool, connection: bytes
) -> tuple[bytes, Framing]:
    """Status line and headers for the client, and how its body is framed.

    The reason phrase is not passed on: it is free text that some clients show, and has no meaning (RFC 9112 4).
    """
    lines = [_STATUS_LINES.get(head.status) or b"HTTP/1.1 %d \r\n" % head.status]
    lines += _for_client(head, sent, public_url)
    if sent.origin and b"access-control-allow-origin" not in head.fields:
        # The preflight was answered here, and what the API says to others of its own origins is the API's.
        lines += [b"%b: %b\r\n" % line for line in cors.readable(sent.origin)]
    if b"x-request-id" not in head.fields:
        lines.append(b"X-Request-Id: %b\r\n" % request_id.encode())
    framing = head.framing
    if head.length is not None and head.status != HTTPStatus.NO_CONTENT:  # RFC 9110 8.6
        lines.append(b"Content-Length: %b\r\n" % head.length)
    elif framing is not Framing.NONE:
        # The client learns that a body was cut by the missing last chunk, also where the API's ended with its connection.
        framing = Framing.CLOSE if http10 else Framing.CHUNKED
        if framing is Framing.CHUNKED:
            lines.append(b"Transfer-Encoding: chunked\r\n")
    lines.append(CLOSES if framing is Framing.CLOSE else connection)
    lines.append(b"\r\n")
    return b"".join(lines), framing


def informational(head: ResponseHead, sent: UpstreamRequest, *, public_url: bytes) -> bytes:
    """A 1xx answer (RFC 9110 15.2), such as 103 Early Hints; 101 with what the WebSocket handshake needs."""
    lines = [_STATUS_LINES.get(head.status) or b"HTTP/1.1 %d \r\n" % head.status]
    lines += _for_client(head, sent, public_url)
    if head.status == HTTPStatus.SWITCHING_PROTOCOLS:
        lines.append(b"Connection: Upgrade\r\nUpgrade: websocket\r\n")
    lines.append(b"\r\n")
    return b"".join(lines)


def accepts_websocket(head: ResponseHead, request: RequestHead) -> bool:
    """The 101 is the answer to this handshake (RFC 6455 4.1)."""
    keys = request.values(b"sec-websocket-key")
    expected = base64.b64encode(hashlib.sha1(b"".join(keys) + _WEBSOCKET, usedforsecurity=False).digest()).decode()
    return head.value(b"upgrade").lower() == "websocket" and head.value(b"sec-websocket-accept") == expected


def refusal(
    what: Refusal, request_id: str, *, said: str = "", origin: bytes = b"", to_head: bool = False, connection: bytes = CLOSES
) -> bytes:
    """A refusal as a whole response, without its body in answer to HEAD. `said`: in place of its message; `origin`: of the page that may
    read it; `connection`: CLOSES, or what is said of one that goes on (`stays`)."""
    body = refusing.body(what, request_id, said)
    lines = [_STATUS_LINES[what.status]]
    lines += [f"{name}: {value}\r\n".encode() for name, value in refusing.headers(what, request_id).items()]
    lines += [b"%b: %b\r\n" % line for line in cors.readable(origin)]
    lines.append(b"Server: devbox-gateway\r\nContent-Length: %d\r\n%b\r\n" % (len(body), connection))
    if not to_head:
        lines.append(body)
    return b"".join(lines)


def preflight(head: RequestHead, request_id: str, *, connection: bytes) -> bytes:
    """The answer to a browser that asks what a page may send; `connection` as above."""
    lines = [_STATUS_LINES[204], *[b"%b: %b\r\n" % line for line in cors.preflight(head)]]
    lines.append(b"X-Request-Id: %b\r\nServer: devbox-gateway\r\n%b\r\n" % (request_id.encode(), connection))
    return b"".join(lines)


def stays(seconds: float) -> bytes:
    """What an answer says of a connection that rests for so long before it is closed: a twentieth less, so that whoever heeds it never
    sends on one that is just being closed (RFC 2068 19.7.1.1; Connection has to list it)."""
    told = int(seconds * 0.95)
    return b"Connection: keep-alive\r\nKeep-Alive: timeout=%d\r\n" % told if told else b""


def outlives(what: Refusal, head: RequestHead, length: bytes | None) -> bool:
    """Whether the connection outlives this no. After most, nobody could tell what follows on it from a request. But too many at a time
    is said to a devbox that is known, of a request in order, and again and again: a handshake for each would cost the others more than
    the answer does. What is left of the body must be short, and on its way."""
    return (
        what is Refusal.TOO_MANY_REQUESTS
        and head.version == (1, 1)
        and b"transfer-encoding" not in head.fields
        and int(length or 0) <= DISCARDED
        and not head.expects_continue
    )


def _removed(head: ResponseHead) -> frozenset[bytes]:
    """The headers of one connection: the known ones and those that Connection lists (RFC 9110 7.6.1)."""
    listed = head.fields.get(b"connection")
    return _REMOVED.union(option.strip().lower() for value in listed for option in value.split(b",")) if listed else _REMOVED


def _for_client(head: ResponseHead, sent: UpstreamRequest, public_url: bytes) -> list[bytes]:
    """The headers' lines, without the credential and what is of one connection; the API's own addresses lead to the gateway."""
    removed, headers = _removed(head), head.headers
    values = b"\n".join([value for _, value in headers])
    if sent.redact.may_be_in(values):
        headers = tuple([(name, sent.redact(value)) for name, value in headers])
    if addresses.may_be_in(values, sent.endpoint):
        headers = tuple([(name, addresses.moved(name.lower(), value, sent, public_url)) for name, value in headers])
    return [b"%b: %b\r\n" % line for line in headers if line[0].lower() not in removed]
