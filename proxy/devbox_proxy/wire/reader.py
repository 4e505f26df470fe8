"""A client's bytes to requests: llhttp reads them, and what it takes too lightly is refused here.

Goes in: reads of one connection, cut anywhere. Comes out: calls on a `Sink`: a head, pieces of a body, an end; or what is wrong, once.
Reads are cut at the borders of heads and bodies, so that each head is seen whole or from its start.
"""

from sys import intern
from time import monotonic as now
from typing import Final, NamedTuple, Protocol

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpRequestParser

from devbox_api.judge.refusals import Refusal
from devbox_proxy.wire import grammar, head_cache
from devbox_proxy.wire.guard import RequestHead
from devbox_proxy.wire.head_cache import Heads, SplitRead

OVERHEAD: Final = (512 * 1024, 32)
"""Bytes besides the body itself, in chunk framing and trailers: so many (two reads), and so many times the body's length. One-byte
chunks have five times theirs."""
_END: Final = b"\r\n\r\n"
_VERSIONS: Final = {"1.1": (1, 1), "1.0": (1, 0)}


class HeadLimits(NamedTuple):
    """How large a head may be; what is larger is refused with 414 or 431."""

    target: int = grammar.MAX_LINE
    """Bytes of the path and query."""
    field: int = grammar.MAX_FIELD
    """Bytes of one header, name and value."""
    fields: int = grammar.MAX_HEADERS
    """Headers."""
    whole: int = grammar.MAX_HEAD
    """Bytes of all headers."""


class Begun(NamedTuple):
    """A head that was read, and what llhttp says of it."""

    head: RequestHead
    length: bytes | None
    """Content-Length."""
    keep_alive: bool
    switching: bool
    """It asks for another protocol."""
    split: SplitRead | None
    """For head_cache.py to know it again; None if it did not come in one piece, or was known."""


class Sink(Protocol):
    """What takes the requests: a Connection."""

    def head_read(self, begun: Begun) -> None:
        """A request begins."""

    def body_read(self, data: bytes) -> None:
        """A piece of its body, without framing."""

    def end_read(self) -> None:
        """It is whole."""

    def misread(self, refusal: Refusal) -> None:
        """What came is no request, and nothing that follows is looked at."""

    def switch_read(self, rest: bytes) -> None:
        """What follows a request to switch protocols."""


class RequestReader:
    """The state between two reads."""

    __slots__ = (
        "_body",
        "_chunked",
        "_headers",
        "_left",
        "_limits",
        "_line",
        "_parser",
        "_peer",
        "_raw",
        "_sink",
        "_split",
        "_store",
        "_tail",
        "_target",
        "ended",
        "in_head",
        "since",
        "unused",
    )

    def __init__(self, sink: Sink, peer: str, store: Heads, limits: HeadLimits) -> None:
        self.in_head = False
        """A head has begun and is not whole."""
        self.since = now()
        """When it began."""
        self.unused = True
        """Nothing has come yet."""
        self.ended = False
        """Nothing more is read as a request."""
        self._sink = sink
        self._peer = peer
        self._store = store
        self._limits = limits
        self._parser = HttpRequestParser(self)
        self._left = 0
        """Bytes of a body with Content-Length that are still to come."""
        self._chunked = False
        """A body in chunks is being read."""
        self._line: bytes | None = b""
        """The request line so far; None once it is whole."""
        self._tail = b""
        """The last bytes of an earlier read of the open head or chunked body: its end may be cut in two."""
        self._split: SplitRead | None = None
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._raw = self._body = 0
        """Bytes of the open head or chunked body: all of them, and those that are body."""

    @property
    def expects_length(self) -> bool:
        """What comes next is body by Content-Length: there is nothing to parse in it."""
        return self._left > 0

    def close(self) -> None:
        """Let go of what refers back to the reader: a connection that is gone is freed at once, without the garbage collector."""
        self.ended = True
        self._parser = _SPENT
        self._sink = _NOBODY

    def feed(self, data: bytes) -> None:
        """One read. Errors of the sink come out as they are."""
        self.unused = False
        while data and not self.ended:
            if self._left:
                piece, data = data[: self._left], data[self._left :]
            elif self._chunked:
                # It ends in an empty line as a head does, after the last chunk or its trailers; one within it does no harm.
                piece, data = self._to_empty_line(data)
            else:
                if not self.in_head and not self._line and self._again(data):
                    return
                piece, data = self._to_empty_line(data)
                if not self._line_is_strict(piece):
                    self._wrong(Refusal.MALFORMED_REQUEST)
                    return
            self._parse(piece, data)

    def _again(self, data: bytes) -> bool:
        """The whole of this read is one request, whose head was read before."""
        self._split = head_cache.split(self._peer, data)
        head = self._store.known(self._split, data) if self._split else None
        if head is None or self._split is None:
            return False
        self._sink.head_read(Begun(head, self._split.length, keep_alive=True, switching=False, split=None))
        if self._split.body_at < len(data):
            self._sink.body_read(data[self._split.body_at :])
        self._sink.end_read()
        return True

    def _to_empty_line(self, data: bytes) -> tuple[bytes, bytes]:
        """What there is up to the end of an empty line, and what follows it."""
        end = (self._tail + data).find(_END)
        if end < 0:
            self._tail = (self._tail + data)[-3:]
            self._split = None
            return data, b""
        at = end + len(_END) - len(self._tail)
        self._tail = b""
        return data[:at], data[at:]

    def _line_is_strict(self, piece: bytes) -> bool:
        """RFC 9112 2.2 and 3: empty lines before it end in CRLF, one space stands between its parts, and it names HTTP. llhttp takes
        more, such as `POST /x RTSP/1.1`, whose version it tells as 1.1."""
        if self._line is None:
            return True
        line = self._line + piece
        while line.startswith(b"\r\n"):
            line = line[2:]
        if line[:1] in (b"\n", b" ", b"\t") or (line[:1] == b"\r" and len(line) > 1):
            return False
        line, end, _ = line.partition(b"\r\n")
        self._line = None if end else line[: 2 * self._limits.target]
        if end and line.count(b" ") > 1 and not line.rpartition(b" ")[2].startswith(b"HTTP/"):
            return False
        return b"  " not in line

    def _parse(self, piece: bytes, rest: bytes) -> None:
        self._raw += len(piece)
        try:
            self._parser.feed_data(piece)
        except HttpParserUpgrade as upgrade:
            if not self.ended:
                self.ended = True
                self._sink.switch_read(piece[upgrade.args[0] :] + rest)
        except HttpParserCallbackError as error:
            raise (error.__context__ or error) from None
        except HttpParserError:
            self._wrong(Refusal.MALFORMED_REQUEST)
        fixed, times = OVERHEAD
        if self.in_head and self._raw > self._limits.whole + self._limits.target:
            self._wrong(Refusal.HEAD_TOO_LARGE)  # a line that does not end is not told by llhttp
        elif self._chunked and self._raw > fixed + (times + 1) * self._body:
            self._wrong(Refusal.FRAMING_INVALID)

    def _wrong(self, refusal: Refusal) -> None:
        if not self.ended:
            self.ended = True
            self._sink.misread(refusal)

    # httptools

    def on_message_begin(self) -> None:
        self.in_head = True
        self.since = now()
        self._target = b""
        self._headers = []
        self._chunked = False

    def on_url(self, part: bytes) -> None:
        self._target += part
        if len(self._target) > self._limits.target:
            self._wrong(Refusal.TARGET_TOO_LONG)

    def on_header(self, name: bytes, value: bytes) -> None:
        # Trailers come here too, and are dropped (RFC 9110 6.5.1): nobody looks at the headers once the head is complete.
        if len(self._headers) <= self._limits.fields:
            self._headers.append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        self.in_head = False
        if self.ended:
            return
        headers = self._headers
        if len(headers) > self._limits.fields or (self._raw > self._limits.field and _too_large(headers, self._limits)):
            self._wrong(Refusal.HEAD_TOO_LARGE)
            return
        self._raw = self._body = 0
        parser = self._parser
        version = _VERSIONS.get(parser.get_http_version(), (0, 0))
        head = RequestHead(intern(parser.get_method().decode("ascii")), self._target, version, tuple(headers), self._peer)
        lengths = head.values(b"content-length")
        self._chunked = head.chunked
        # A head that is not sound is refused by the guard, and then nothing of its body is read.
        self._left = int(lengths[0]) if lengths and grammar.LENGTH.fullmatch(lengths[0]) and not self._chunked else 0
        length = lengths[0] if lengths else None
        # To HTTP/1.0 it would have to be promised, and it is not: such a client waits for the end of the connection.
        keep_alive = parser.should_keep_alive() and version == (1, 1)
        self._sink.head_read(Begun(head, length, keep_alive, parser.should_upgrade(), self._split))

    def on_body(self, data: bytes) -> None:
        self._left = max(0, self._left - len(data))
        self._body += len(data)
        if not self.ended:
            self._sink.body_read(data)

    def on_message_complete(self) -> None:
        self._left = self._raw = 0
        self._chunked = False
        self._line = b""
        if not self.ended:
            self._sink.end_read()


class _Nobody:
    """The sink of a reader that is closed."""

    def head_read(self, begun: Begun) -> None: ...
    def body_read(self, data: bytes) -> None: ...
    def end_read(self) -> None: ...
    def misread(self, refusal: Refusal) -> None: ...
    def switch_read(self, rest: bytes) -> None: ...


_NOBODY: Final[Sink] = _Nobody()
_SPENT: Final = HttpRequestParser(_NOBODY)


def _too_large(headers: list[tuple[bytes, bytes]], limits: HeadLimits) -> bool:
    sizes = [len(name) + len(value) for name, value in headers]
    return max(sizes, default=0) > limits.field or sum(sizes) > limits.whole
