"""HTTP/1.1 messages read as strictly as RFC 9112 is written, by a reader that shares nothing with the gateway.

Goes in: bytes. Comes out: heads, bodies and framing, or a ValueError that says what two servers could read differently. Heads are
read by the grammar here; `h11_agrees` asks h11 for a second opinion on whole messages.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import h11

_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST_LINE: Final = re.compile(rb"(" + _TOKEN + rb") ([^\x00-\x20\x7f]+) HTTP/1\.([01])")
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9]) ([\t\x20-\x7e\x80-\xff]*)")
_HEADER: Final = re.compile(
    rb"(" + _TOKEN + rb"):[ \t]*((?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?)[ \t]*"
)
_CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})(;[\t\x20-\x7e\x80-\xff]*)?")
_ONE_BYTE_CHUNKS: Final = re.compile(rb"(?:1\r\n.\r\n)+", re.DOTALL)
_LENGTH: Final = re.compile(rb"[0-9]{1,18}")
HEAD_END: Final = b"\r\n\r\n"
Header = tuple[bytes, bytes]


@dataclass
class Head:
    """What comes before a body."""

    raw: bytes
    first: tuple[bytes, ...]
    """Method and target, or status and reason."""
    minor: int
    """1 for HTTP/1.1."""
    headers: list[Header]
    """As they came."""

    def values(self, name: str) -> list[bytes]:
        """All values of a header."""
        return [value for key, value in self.headers if key.lower() == name.encode().lower()]

    def names(self) -> list[str]:
        """Lower-case names, in order."""
        return [key.decode().lower() for key, _ in self.headers]

    def length(self) -> int | None:
        """The body's length in bytes; None for chunked. Raises ValueError where framing is not one plain statement."""
        lengths, codings = self.values("content-length"), self.values("transfer-encoding")
        if codings:
            if lengths or len(codings) > 1 or codings[0].lower() != b"chunked" or self.minor == 0:
                raise ValueError("framing: more than one plain Transfer-Encoding: chunked")
            return None
        if len(lengths) > 1 or (lengths and not _LENGTH.fullmatch(lengths[0])):
            raise ValueError("framing: more than one plain Content-Length")
        return int(lengths[0]) if lengths else 0


def _head(raw: bytes, line: re.Pattern[bytes]) -> tuple[re.Match[bytes], list[Header]]:
    first, *rest = raw.removesuffix(HEAD_END).split(b"\r\n")
    match = line.fullmatch(first)
    if match is None:
        raise ValueError("the first line is not valid")
    headers = []
    for text in rest:
        header = _HEADER.fullmatch(text)
        if header is None:
            raise ValueError("a header line is not valid")
        headers.append((header[1], header[2]))
    return match, headers


def request_head(raw: bytes) -> Head:
    """A request's head, CRLF CRLF and all. Raises ValueError."""
    match, headers = _head(raw, _REQUEST_LINE)
    return Head(raw, (match[1], match[2]), int(match[3]), headers)


def response_head(raw: bytes) -> Head:
    """A response's head. Raises ValueError."""
    match, headers = _head(raw, _STATUS_LINE)
    return Head(raw, (match[2], match[3]), int(match[1]), headers)


@dataclass
class ChunkReader:
    """Takes a chunked body apart as it comes: no extensions lost, nothing lenient."""

    body: bytearray = field(default_factory=bytearray)
    keep: int = 1 << 20
    """Bytes of the body that are kept; the rest is only counted."""
    size: int = 0
    chunks: int = 0
    extensions: int = 0
    trailers: list[bytes] = field(default_factory=list)
    done: bool = False
    _buffer: bytearray = field(default_factory=bytearray)
    _left: int = -1
    """Bytes of the current chunk and its CRLF that are still to come; -1: a size line is next, -2: a trailer line."""

    def feed(self, data: bytes) -> bytes:
        """Returns what comes behind the end. Raises ValueError."""
        self._buffer += data
        while not self.done and self._step():
            pass
        if not self.done:
            return b""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest

    def _step(self) -> bool:
        if self._left >= 0:
            return self._data()
        if self._left == -1 and (run := _ONE_BYTE_CHUNKS.match(self._buffer)):
            # A million of them are a test of their own.
            data = run[0][3::6]
            self.chunks += len(data)
            self._take(data)
            del self._buffer[: run.end()]
            return True
        end = self._buffer.find(b"\r\n")
        if end < 0:
            return False
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        if self._left == -2:
            self.done = not line
            self.trailers += [line] if line else []
            return True
        match = _CHUNK_LINE.fullmatch(line)
        if match is None:
            raise ValueError("a chunk's size line is not valid")
        self.extensions += match[2] is not None
        size = int(match[1], 16)
        self.chunks += 1
        self._left = size + 2 if size else -2
        return True

    def _data(self) -> bool:
        piece = self._buffer[: self._left]
        if not piece:
            return False
        if len(piece) == self._left and not piece.endswith(b"\r\n"):
            raise ValueError("a chunk does not end with CRLF")
        if self._left - len(piece) == 1:
            # The LF is still to come: keep the CR for then.
            piece = piece[:-1]
            if not piece:
                return False
        self._take(piece[: max(0, self._left - 2)])
        del self._buffer[: len(piece)]
        self._left = self._left - len(piece) or -1
        return True

    def _take(self, data: bytes | bytearray) -> None:
        self.size += len(data)
        self.body += data[: max(0, self.keep - len(self.body))]


@dataclass
class Response:
    """One answer, as a client got it."""

    head: Head
    body: bytes = b""
    complete: bool = False
    """It ended as its framing says."""
    until_close: bool = False
    """Its end is the connection's."""

    @property
    def status(self) -> int:
        """Three digits."""
        return int(self.head.first[0])


def responses(data: bytes, methods: Sequence[bytes], *, closed: bool) -> tuple[list[Response], bytes]:
    """The answers to requests with `methods`, 1xx among them, and what is left over. Raises ValueError for what no client should get.

    More answers than `methods` are read as answers to GET. `closed`: no more bytes will come.
    """
    found: list[Response] = []
    final = 0
    while (end := data.find(HEAD_END)) >= 0:
        head = response_head(data[: end + 4])
        data = data[end + 4 :]
        response = Response(head)
        found.append(response)
        if response.status == 101:
            return found, data
        if response.status < 200:
            response.complete = True
            continue
        method = methods[final] if final < len(methods) else b"GET"
        final += 1
        if method == b"CONNECT" and response.status < 300:
            response.complete = True  # what follows is the tunnel's (RFC 9110 9.3.6)
            return found, data
        data = _body(response, method, data, closed=closed)
        if not response.complete or response.until_close:
            break
    return found, data


def _body(response: Response, method: bytes, data: bytes, *, closed: bool) -> bytes:
    length = response.head.length()
    if method == b"HEAD" or response.status in (204, 304):
        response.complete = True
        return data
    if length is None:
        reader = ChunkReader(keep=1 << 30)
        rest = reader.feed(data)
        response.body, response.complete = bytes(reader.body), reader.done
        return rest
    if not response.head.values("content-length"):
        response.until_close = True
        response.body, response.complete = data, closed
        return b""
    response.body, response.complete = data[:length], len(data) >= length
    return data[length:]


def h11_requests(data: bytes) -> list[tuple[h11.Request, bytes]]:
    """The whole requests in `data` as h11 reads them, with their bodies. Raises h11.RemoteProtocolError."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(data)
    found: list[tuple[h11.Request, bytes]] = []
    request: h11.Request | None = None
    body = bytearray()
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            request = event
            body.clear()
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            assert request is not None
            found.append((request, bytes(body)))
            _answered(connection)
            if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                return found
            connection.start_next_cycle()
        else:
            return found


def _answered(connection: h11.Connection) -> None:
    # h11 reads the next request only after an answer to this one; after a 2xx to CONNECT it would read none.
    if connection.our_state is h11.SEND_RESPONSE:
        connection.send(h11.Response(status_code=404, headers=[("Content-Length", "0")]))
        connection.send(h11.EndOfMessage())
