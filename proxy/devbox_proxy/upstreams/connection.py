"""One connection to an API: llhttp reads its answers, an `Exchange` gets them, and anything odd makes it unfit for a second use.

Goes in: bytes of a request, the API's bytes. Comes out: a checked head, pieces of a body, an end or a failure, once per read, so that
what came together goes on together.
"""

import asyncio
from typing import Any, Final, Protocol

import structlog
from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpResponseParser

from devbox_api.judge.refusals import Refusal
from devbox_proxy.kit.barren import NOTHING, Barren
from devbox_proxy.kit.ids import where
from devbox_proxy.kit.keepalive import is_gone
from devbox_proxy.kit.rounds import Rounds
from devbox_proxy.kit.transports import BUFFER, LARGE, LINGER_SECONDS, SMALL, Transport, buffered
from devbox_proxy.known.credentials import PoolKey
from devbox_proxy.wire import grammar, rendering
from devbox_proxy.wire.rendering import Framing, ResponseHead

log = structlog.get_logger()
MAX_HEAD: Final = 32 * 1024
"""Bytes of an answer's head."""
MAX_HEADERS: Final = 256
MAX_INFORMATIONAL: Final = 16
"""1xx answers before the real one."""
NAMED: Final = 64
"""Bytes of a header's name that are told."""
TOLD: Final = 100
"""Characters of llhttp's reason."""


class UpstreamError(Exception):
    """The API gave no answer that can be passed on."""

    def __init__(self, refusal: Refusal, detail: str, said: str = "") -> None:
        super().__init__(refusal.code)
        self.refusal = refusal
        self.detail = detail
        """For the log: the kind of the error, never what was sent."""
        self.said = said
        """For the caller, behind "the API": what it did; nothing of what was sent, and no address. Empty: what the refusal says."""


class Receiver(Protocol):
    """What takes an API's answers: an Exchange."""

    def informed(self, head: ResponseHead) -> None:
        """A 1xx answer."""

    def answered(self, head: ResponseHead) -> None:
        """The answer's head."""

    def answer_data(self, data: bytes) -> None:
        """A piece of its body, without framing."""

    def flush_answer(self) -> None:
        """That was all that one read brought."""

    def answer_ended(self, *, reusable: bool) -> None:
        """The answer is whole; `reusable`: the connection may serve another request."""

    def switched(self, head: ResponseHead, data: bytes) -> None:
        """101: from here on the bytes belong to the WebSocket; `data` are the first."""

    def tunnel_data(self, data: bytes) -> None:
        """Bytes of the WebSocket."""

    def upstream_failed(self, error: UpstreamError) -> None:
        """No (whole) answer will come."""

    def upstream_writable(self, *, writable: bool) -> None:
        """Backpressure: whether more of the request should be read."""


_SPENT: Final = HttpResponseParser(object())


class UpstreamConnection:
    """A connection that was dialled for one pool key."""

    __slots__ = (
        "_answer_head",
        "_asked",
        "_body",
        "_codings",
        "_ended",
        "_flaw",
        "_gentle",
        "_head_size",
        "_headers",
        "_informational",
        "_keep_alive",
        "_method",
        "_parser",
        "_read",
        "_stopped",
        "_tunnel",
        "_version",
        "_waits",
        "_websocket",
        "address",
        "host",
        "idle_seconds",
        "idle_since",
        "judged",
        "key",
        "pool",
        "receiver",
        "rested",
        "transport",
    )

    def __init__(self, key: PoolKey, pool: "Returns") -> None:
        self.key = key
        self.pool = pool
        self.host = self.address = ""
        """What was dialled: the API's name, and the IP address that it led to."""
        self.judged = 0
        """By what state it was found to be good for somebody (current.py)."""
        self.transport: Transport | None = None
        self.receiver: Receiver | None = None
        self.idle_since = 0.0
        self.idle_seconds: float | None = None
        """What the API itself announced (`Keep-Alive: timeout=5`), less a second."""
        self.rested = 0.0
        """Seconds, before it was used this time; 0: it was not used before."""
        self._parser = HttpResponseParser(self)
        self._tunnel = False
        self._method = "GET"
        self._websocket = self._gentle = False
        self._stopped = self._waits = False
        """Nothing is read: the receiver takes no more; others have their turn."""
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_size = self._read = 0
        """Bytes of the head in earlier reads, and of the present read."""
        self._answer_head: ResponseHead | None = None
        self._body: list[bytes] = []
        self._ended = self._keep_alive = False
        self._asked = False
        """Something of the request has been sent."""
        self._flaw: str | None = None
        self._informational = 0

    def start(self, receiver: Receiver, method: str, *, websocket: bool, gentle: bool = False) -> None:
        """The next answer is for this receiver. `gentle`: in small pieces, since each takes long."""
        self.receiver = receiver
        self._method = method
        self._websocket, self._gentle = websocket, gentle
        self._headers, self._body = [], []
        self._head_size = self._informational = 0
        self._answer_head = self._flaw = None
        self._ended = self._asked = False

    def write(self, data: bytes) -> None:
        """Send bytes of the request."""
        self._asked = True
        if self.transport is not None:
            self.transport.write(data)

    def pause(self, *, paused: bool) -> None:
        """Backpressure: stop or go on reading the answer."""
        self._stopped = paused
        self._pause()

    def wait_turn(self, *, waits: bool) -> None:
        """The same, for others' sake (rounds.py)."""
        self._waits = waits
        self._pause()

    def _pause(self) -> None:
        if self.transport is None or self.transport.is_closing():
            return
        if self._stopped or self._waits:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def abort(self) -> None:
        """Close at once; nothing more is heard of it."""
        self.receiver = None
        if self.transport is not None:
            self.transport.abort()

    def part(self, last: bytes) -> None:
        """Close, once all that was written is sent, and `last`; nothing more is heard of it."""
        self.receiver = None
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        if last:
            transport.write(last)
        transport.close()
        asyncio.get_running_loop().call_later(LINGER_SECONDS, transport.abort)  # who takes nothing is not waited for

    # asyncio.Protocol

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def pause_writing(self) -> None:
        if self.receiver is not None:
            self.receiver.upstream_writable(writable=False)

    def resume_writing(self) -> None:
        if self.receiver is not None:
            self.receiver.upstream_writable(writable=True)

    def data_received(self, data: bytes) -> None:
        if self.receiver is None:
            # Nobody asked: whatever this is, it is nobody's answer. (Some say 408 before they close what is at rest.)
            self.abort()
            self.pool.closed(self)
        elif self._tunnel:
            self.receiver.tunnel_data(data)
        else:
            try:
                self._feed(data)
            except Exception as error:
                self._internal_error(error)

    def eof_received(self) -> bool:
        if self.receiver is None:
            # Here and now: TLS says so a round of the event loop before the connection is lost, and drops what is written meanwhile.
            self.abort()
            self.pool.closed(self)
        return False

    def connection_lost(self, error: Exception | None) -> None:
        receiver, self.receiver, self.transport = self.receiver, None, None
        self._parser = _SPENT  # it refers back to us: without it we are freed at once
        head = self._answer_head
        if receiver is None:
            self.pool.closed(self, dead=is_gone(error))
            return
        if head is None:
            self.pool.unanswered(self)
        if error is None and head is not None and head.framing is Framing.CLOSE:
            receiver.answer_ended(reusable=False)
        else:
            why = Refusal.UPSTREAM_TIMEOUT if is_gone(error) else Refusal.UPSTREAM_CLOSED
            receiver.upstream_failed(UpstreamError(why, type(error).__name__ if error else "closed"))

    def _internal_error(self, error: Exception) -> None:
        """Ours, not the API's."""
        log.error("answer_failed", error=type(error).__name__, where=where(error))
        receiver = self.receiver
        self.abort()
        self.pool.forget(self)
        if receiver is not None:
            receiver.upstream_failed(UpstreamError(Refusal.INTERNAL, type(error).__name__))

    def _fail(self, flaw: str) -> None:
        """What it sent can't be an answer."""
        receiver = self.receiver
        self.abort()
        if receiver is None:
            self.pool.closed(self)
        else:
            self.pool.forget(self)
            receiver.upstream_failed(
                UpstreamError(Refusal.UPSTREAM_INVALID, flaw, f"gave an answer that can't be passed on: {flaw}")
            )

    # one read

    def _feed(self, data: bytes) -> None:
        rest: bytes | None = None
        self._read = len(data)
        in_head = self._answer_head is None
        if not self._asked:
            self._flaw = "an answer before the request"  # so it is another one's
        if in_head and not self._head_size and data.lstrip(b"\r\n")[:1] in (b"R", b"I"):
            self._flaw = "another protocol"  # llhttp takes RTSP/1.0 and ICE/1.0, too
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            rest = data[upgrade.args[0] :]
        except HttpParserCallbackError as error:
            raise error.__context__ or error from None
        except HttpParserError as error:
            self._flaw = self._flaw or self._unreadable(str(error), in_head=in_head)
        if in_head and self._answer_head is None:
            self._head_size += len(data)  # a line that does not end is not told by llhttp
            if self._head_size > MAX_HEAD:
                self._flaw = self._flaw or "a head that is too large"
        self._deliver(rest)

    def _deliver(self, rest: bytes | None) -> None:
        """Tell the receiver what this read brought. It may let go of the connection at any of these calls."""
        receiver, body = self.receiver, self._body
        self._body = []
        if receiver is None:
            return
        if self._switching() and rest is None:
            self._flaw = self._flaw or "101 without an upgrade"
        if self._flaw is not None and not self._ended:
            self._fail(self._flaw)
            return
        if rest is not None and self._answer_head is not None and self._switching():
            self._tunnel = True
            receiver.switched(self._answer_head, rest)
            return
        if body:
            receiver.answer_data(body[0] if len(body) == 1 else b"".join(body))
        if self._ended and self.receiver is receiver:
            self.receiver = None
            # Some servers send a body to HEAD all the same, later: it must not be the next request's answer.
            plain = self._method != "HEAD" and self._answer_head is not None and rendering.ends_plainly(self._answer_head)
            self._answer_head, self._headers = None, []  # up to 60 KiB, and it may rest for minutes
            receiver.answer_ended(reusable=plain and self._flaw is None and rest is None and self._keep_alive)
        else:
            receiver.flush_answer()

    def _switching(self) -> bool:
        return self._answer_head is not None and self._answer_head.status == 101

    # httptools

    def on_message_begin(self) -> None:
        if self._ended or self._answer_head is not None:
            self._flaw = "bytes behind the answer"
        self._headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._answer_head is not None:
            return  # trailers are dropped: RFC 9110 6.5.1
        if len(self._headers) > MAX_HEADERS:
            self._flaw = self._flaw or "too many headers"
        else:
            self._headers.append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        if self._flaw is not None or self._ended:
            return
        status = self._parser.get_status_code()
        version = self._parser.get_http_version()
        headers = tuple(self._headers)
        fields = rendering.fields_of(headers)
        framing = rendering.response_framing(status, fields, version=version, to_head=self._method == "HEAD")
        flaw = self._wrong(status, version, headers)
        if flaw is not None or framing is None:
            self._flaw = flaw or "Content-Length and Transfer-Encoding that can be read in two ways"
            return
        head = ResponseHead(status, headers, fields, *framing)
        if status < 200 and status != 101:
            self._informational += 1
            if self._informational > MAX_INFORMATIONAL:
                self._flaw = "too many 1xx answers"
            elif self.receiver is not None and status != 100:  # 100 was the gateway's to say
                self.receiver.informed(head)
            return
        self._answer_head = head
        if status == 101 or self.receiver is None:
            return  # _deliver tells, once the parser has said where HTTP ends
        if hint := head.value(b"keep-alive"):
            self.idle_seconds = _announced(hint)
        self.receiver.answered(head)
        if self._method == "HEAD":
            self._ended = True  # llhttp can't be told that no body follows, and waits for one

    def on_body(self, data: bytes) -> None:
        head = self._answer_head
        if self._ended or head is None or head.framing is Framing.NONE:
            self._flaw = self._flaw or "a body where there can be none"
        elif self._flaw is None:
            self._body.append(data)

    def on_message_complete(self) -> None:
        if self._answer_head is None:
            self._headers = []  # it was a 1xx answer: the real one follows
        elif self._answer_head.status != 101:
            self._ended = True
            # llhttp knows it here and now only. HTTP/1.0 knows no chunks, in which the request may have gone.
            self._keep_alive = self._parser.should_keep_alive() and self._parser.get_http_version() == "1.1"

    def _unreadable(self, reason: str, *, in_head: bool) -> str:
        """What llhttp says of it, which holds nothing of what came; and where, since it does not say that."""
        after = f", in or behind the header {_named(self._headers[-1][0])}" if in_head and self._headers else ""
        return f"{reason[:TOLD] or 'it is no HTTP/1.1'}{after}"

    def _wrong(self, status: int, version: str, headers: tuple[tuple[bytes, bytes], ...]) -> str | None:
        """Why the answer can't be passed on, though llhttp let it through."""
        if version not in ("1.0", "1.1"):
            return "another HTTP version"
        if status == 101:
            return None if self._websocket else "status 101 although no upgrade was asked for"
        if not 100 <= status <= 999:
            return f"status {status}"
        values = b"".join([value for _, value in headers])
        if self._read + self._head_size > MAX_HEAD and sum([len(name) + 4 for name, _ in headers]) + len(values) > MAX_HEAD:
            return "a head that is too large"
        if len(values.translate(None, grammar.CONTROL_CHARACTERS)) != len(values):
            return f"control characters in the header {_name_of_flawed(headers)}"
        return None


def _name_of_flawed(headers: tuple[tuple[bytes, bytes], ...]) -> str:
    """The first header whose value holds what none may."""
    return _named(next(name for name, value in headers if len(value.translate(None, grammar.CONTROL_CHARACTERS)) != len(value)))


def _named(name: bytes) -> str:
    return name[:NAMED].decode("ascii", "replace")


class Returns(Protocol):
    """Where connections come from and go back to."""

    rounds: Rounds

    def forget(self, connection: UpstreamConnection) -> None:
        """It is closed, or about to be."""

    def closed(self, connection: UpstreamConnection, *, dead: bool = False) -> None:
        """It is closed, while nobody used it. `dead`: nobody said so, the kernel gave it up."""

    def unanswered(self, connection: UpstreamConnection) -> None:
        """It was closed under a request, before an answer began."""


def _announced(keep_alive: str) -> float | None:
    """Seconds of `timeout=5, max=100`, less one for the way."""
    for part in keep_alive.split(","):
        name, _, seconds = part.strip().partition("=")
        if name.lower() == "timeout" and seconds.isascii() and seconds.isdigit():
            return max(0.0, float(seconds[:6]) - 1.0)
    return None


class BufferedUpstreamConnection(UpstreamConnection):
    """The same as an asyncio.BufferedProtocol: uvloop reads, or decrypts, into what it is given. For TLS, and for what is searched."""

    __slots__ = ("_barren",)

    def __init__(self, key: PoolKey, pool: "Returns") -> None:
        super().__init__(key, pool)
        self._barren: Barren | None = None
        """None: it is in clear."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if transport.get_extra_info("sslcontext") is not None:
            # What is not decrypted yet: by itself 256 KiB, and as much again.
            transport.set_read_buffer_limits(high=len(BUFFER))
            self._barren = Barren()

    def get_buffer(self, sizehint: int) -> bytearray | memoryview:
        """What is read goes here. (Nothing is read into what holds nothing.)"""
        if self._barren is not None and self._barren.too_much(sizehint):
            self._fail("records that bring nothing")
            return NOTHING
        return SMALL if self._gentle else BUFFER

    def buffer_updated(self, count: int) -> None:
        """So many bytes are there."""
        if self._barren is not None:
            self._barren.brought(count)
        self.data_received(buffered(count))
        if self._gentle and count >= LARGE and self.receiver is not None:
            self.pool.rounds.took(self)
