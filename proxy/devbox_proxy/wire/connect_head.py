"""CONNECT on the wire: a request's head, read strictly, and the answers to it.

Goes in: a client's bytes, cut anywhere. Comes out: a `ConnectRequest` or what is wrong, and answers as bytes. A parser of its own, in
place of llhttp, which takes more than a tunnel's head may be. Pure. RFC 9110 9.3.6, RFC 9112.
"""

import re
from typing import Final, NamedTuple

from devbox_api.judge.refusals import Refusal
from devbox_api.judge.targets import Target, local, parse
from devbox_api.names import TOKEN_PREFIX, token_digest
from devbox_proxy.wire import grammar, refusing, tokens

ESTABLISHED: Final = b"HTTP/1.1 200 Connection established\r\n\r\n"
_END: Final = b"\r\n\r\n"
_BARE: Final = re.compile(rb"\r[^\n]|(?<!\r)\n|\0")
"""A CR without its LF, or the other way round: some reader takes it for a line's end (RFC 9112 2.2)."""
_LINE: Final = re.compile(rb"([A-Za-z]+) ([!-~]+) HTTP/([0-9])\.([0-9])")
_PLAIN: Final = re.compile(rb"(?i:http)://(\[[^\]/?#@]*\]|[^\[\]:/?#@]+)(:[0-9]+)?(?:[/?#].*)?")
"""What a client asks a proxy for by plain http (absolute-form, RFC 9112 3.2.2)."""
_SCHEMES: Final = (b"basic ", b"bearer ")
_ONCE: Final = (b"host", b"proxy-authorization", b"content-length")


class ConnectRequest(NamedTuple):
    """A CONNECT that is well made, with a token that is whole. Whether it is listed, and what it may, is connect_decision.py's business."""

    target: Target
    digest: str
    """SHA-256 of the token, as in Routes."""
    pod_uid: str | None
    """What the token claims, not verified."""
    peer: str


class HeadReader:
    """Bytes until the empty line."""

    __slots__ = ("_data", "_most", "_searched")

    def __init__(self, most: int) -> None:
        """`most`: bytes of a head, with its empty line."""
        self._most = most
        self._data = bytearray()
        self._searched = 0

    @property
    def begun(self) -> bool:
        """Something has come."""
        return bool(self._data)

    @property
    def seen(self) -> bytes:
        """What has come of a head that is not whole, or that was refused."""
        return bytes(self._data)

    def feed(self, data: bytes) -> tuple[bytes, bytes] | Refusal | None:
        """The head and what stands behind it; None: there is more to come."""
        self._data += data
        start, buffer = self._searched, self._data
        if not buffer:
            return None
        end = buffer.find(_END, max(0, start - 3))
        head_ends = len(buffer) if end < 0 else end + len(_END)
        # Looked at as it comes: who ends lines otherwise would wait for an answer until the time-out.
        if not buffer[:1].isalpha() or _BARE.search(buffer, max(0, start - 1), head_ends):
            return Refusal.MALFORMED_REQUEST
        if head_ends > self._most:
            return Refusal.HEAD_TOO_LARGE
        if end < 0:
            self._searched = len(buffer)
            return None
        head, rest = bytes(buffer[:end]), bytes(buffer[head_ends:])
        self._data, self._searched = bytearray(), 0
        return head, rest


def read(head: bytes, peer: str) -> ConnectRequest | Refusal:
    """One head, without its last empty line."""
    first, *lines = head.split(b"\r\n")
    line = _LINE.fullmatch(first)
    if line is None:
        return Refusal.MALFORMED_REQUEST
    method, target, version = line[1], line[2], (int(line[3]), int(line[4]))
    if version not in ((1, 0), (1, 1)):
        return Refusal.VERSION_UNSUPPORTED
    if method != b"CONNECT":
        return Refusal.LOCAL_ADDRESS if _local(target, peer) else Refusal.CONNECT_ONLY
    fields = _fields(lines)
    if isinstance(fields, Refusal):
        return fields
    if any(len(fields.get(name, ())) > 1 for name in _ONCE):
        return Refusal.HEADER_DUPLICATE
    if version == (1, 1) and b"host" not in fields:
        return Refusal.MALFORMED_REQUEST
    if b"transfer-encoding" in fields or fields.get(b"content-length", [b"0"]) != [b"0"]:
        return Refusal.CONNECT_WITH_BODY
    # Host says nothing here: some clients leave the port out of it, and what counts is what is asked for.
    where = parse(target)
    if where is None:
        return Refusal.CONNECT_TARGET_INVALID
    return _with_token(where, fields, peer)


def answer(what: Refusal, request_id: str, *, said: str = "", close: bool = True) -> bytes:
    """A refusal as a whole response. The reason is in the status line too: most clients show that of a CONNECT, and nothing else."""
    status = what.proxy_status
    body = refusing.body(what, request_id, said)
    headers = refusing.headers(what, request_id)
    headers.pop("WWW-Authenticate", None)
    if status == 407:
        headers["Proxy-Authenticate"] = 'Basic realm="devbox-gateway"'
    if what is Refusal.CONNECT_ONLY or what is Refusal.LOCAL_ADDRESS:
        headers["Allow"] = "CONNECT"
    if close:
        headers["Connection"] = "close"
    lines = [f"HTTP/1.1 {status} {what.code}: {said or what.message}", *(f"{name}: {value}" for name, value in headers.items())]
    lines += ["Server: devbox-gateway", f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode("ascii", "replace") + body


def _local(target: bytes, peer: str) -> bool:
    """Plain http to the devbox itself, which needs no proxy."""
    found = _PLAIN.fullmatch(target)
    where = parse(found[1] + (found[2] or b":80")) if found else None
    return where is not None and local(where, peer)


def _fields(lines: list[bytes]) -> dict[bytes, list[bytes]] | Refusal:
    """Values by lower-case names. A name with a space behind it, or a line that goes on, is none (RFC 9112 5.1, 5.2)."""
    if len(lines) > grammar.MAX_HEADERS:
        return Refusal.HEAD_TOO_LARGE
    fields: dict[bytes, list[bytes]] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        # No regular expression: one that takes spaces away at an end is slow where there are thousands of them.
        if not colon or not name or name.translate(None, grammar.TOKEN_CHARACTERS) or grammar.CONTROL.search(value):
            return Refusal.MALFORMED_REQUEST
        fields.setdefault(name.lower(), []).append(value.strip(b" \t"))
    return fields


def _with_token(where: Target, fields: dict[bytes, list[bytes]], peer: str) -> ConnectRequest | Refusal:
    """The token is the password of Basic, whoever the user is, or Bearer's. Nothing else carries one here."""
    value = fields.get(b"proxy-authorization", [b""])[0]
    held = tokens.held_in(value) if value.lower().startswith(_SCHEMES) else None
    if held is None:
        return Refusal.PROXY_TOKEN_MISSING
    if len(held) != 1:
        return Refusal.TOKEN_AMBIGUOUS if held else Refusal.TOKEN_MALFORMED
    jwt = held.pop().decode("ascii").removeprefix(TOKEN_PREFIX)
    return ConnectRequest(where, token_digest(jwt), tokens.claimed_pod(jwt), peer)
