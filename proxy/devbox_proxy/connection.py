"""One connection of a devbox: llhttp reads its requests, one `Exchange` at a time answers them.

Goes in: bytes. Comes out: calls on the current exchange (a head, pieces of a body, an end), and the exchange's bytes back. Requests that
are pipelined behind it wait here, parsed, within bounds. Made by server.py, which also looks after its deadlines (`check`).
"""

import asyncio
from collections import deque
from collections.abc import Callable
from enum import Enum
from time import monotonic as now
from typing import Final, cast

import structlog
from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpRequestParser

from . import grammar, heads, metrics, relay
from .exchange import Begun, Exchange, new_request_id
from .gateway import Gateway
from .guard import RequestHead
from .refusals import Refusal
from .upstream import where

MAX_HEAD: Final = 32 * 1024
"""Bytes of a request's head in all."""
MAX_PIPELINED: Final = 64
"""Heads that may wait behind the request that is being answered."""
OVERHEAD: Final = (512 * 1024, 32)
"""Bytes besides the body itself, in chunk framing and trailers: so many (two reads), and so many times the body's length. One-byte
chunks have five times theirs."""
TURN: Final = 64 * 1024
"""Bytes that are parsed before other connections have their turn."""
LINGER_SECONDS: Final = 1.0
"""For what a client has on its way when it is refused: closing before it arrives would make a reset of our answer."""
_VERSIONS: Final = {"1.1": (1, 1), "1.0": (1, 0)}


class Hold(Enum):
    """Why nothing is read from a client at the moment."""

    EXCHANGE = "the API takes no more, or is not there yet"
    PIPELINE = "requests wait for their turn"
    SWITCH = "the API has not agreed to switch protocols"
    TURN = "what was read is not worked through"


class _End:
    """A request's end, among what waits."""


_END: Final = _End()

log = structlog.get_logger()


class Connection(asyncio.Protocol):
    """asyncio's callbacks on one side, llhttp's on the other, and the exchange between them."""

    __slots__ = (
        "_bad",
        "_begun",
        "_body_bytes",
        "_closing_at",
        "_early",
        "_exchange",
        "_gateway",
        "_head_least",
        "_head_most",
        "_headers",
        "_heard",
        "_held",
        "_in_head",
        "_later",
        "_on_lost",
        "_parser",
        "_pending",
        "_raw_bytes",
        "_read",
        "_since",
        "_target",
        "_tunnel",
        "peer",
        "stalled_since",
        "transport",
    )

    def __init__(self, gateway: Gateway, peer: str, on_lost: Callable[[str], None]) -> None:
        self.peer = peer
        """The IP address that the connection comes from."""
        self.transport: asyncio.Transport | None = None
        self.stalled_since: float | None = None
        """Since when the client takes no bytes, though some wait for it."""
        self._gateway = gateway
        self._on_lost = on_lost
        self._parser = HttpRequestParser(self)
        self._exchange: Exchange | None = None
        self._pending: deque[Begun | bytes | Refusal | _End] = deque()
        self._tunnel = False
        self._early: list[bytes] | None = None
        """What came behind a request to switch protocols; None if there was none."""
        self._held: set[Hold] = set()
        self._later: deque[bytes] = deque()
        """What was read and not yet looked at."""
        self._bad = False
        """Nothing more is read as a request."""
        self._in_head = False
        self._since = now()
        """When the wait for a head began."""
        self._closing_at: float | None = None
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_least = self._head_most = 0
        """Bytes of the open head in earlier reads: no less, and no more."""
        self._begun = 0
        """Requests that began in the present read."""
        self._raw_bytes = self._body_bytes = 0
        self._read = 0
        """Bytes of the present read."""
        self._heard = False

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are not of that class
        self.transport.set_write_buffer_limits(high=self._gateway.bounds.write_buffer)
        self._gateway.connections.add(self)

    def data_received(self, data: bytes) -> None:
        if self._later:
            self._later.append(data)
        elif len(data) <= TURN or self._tunnel or (self._exchange is not None and self._exchange.expects_length):
            self._take(data)
        else:
            self._later.append(data)
            self._hold(Hold.TURN)
            self._take_turn()

    def eof_received(self) -> bool:
        # A client that has said its last word is taken for gone: an agent that was killed must not go on costing tokens.
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        self._bad = True
        self._gateway.connections.discard(self)
        self._on_lost(self.peer)
        if self._exchange is not None:
            exchange, self._exchange = self._exchange, None
            exchange.client_gone()

    def pause_writing(self) -> None:
        self.stalled_since = now()
        if self._exchange is not None:
            self._exchange.client_writable(writable=False)

    def resume_writing(self) -> None:
        self.stalled_since = None
        if self._exchange is not None:
            self._exchange.client_writable(writable=True)

    # for the exchange

    def write(self, data: bytes) -> None:
        """Send bytes to the client."""
        if self.transport is not None:
            self.transport.write(data)

    def pause(self, *, paused: bool) -> None:
        """Backpressure: stop or go on reading from the client."""
        if paused:
            self._hold(Hold.EXCHANGE)
        else:
            self._let_go(Hold.EXCHANGE)

    def abort(self) -> None:
        """Cut the connection: an end without the last chunk is the only honest one."""
        self._bad = True
        if self.transport is not None:
            self.transport.abort()

    def exchange_done(self, *, keep_alive: bool) -> None:
        """The answer is whole. Serve the next request, or close."""
        self._exchange = None
        self._since = now()
        self._let_go(Hold.EXCHANGE)
        if not keep_alive or self.transport is None or self.transport.is_closing():
            self._pending.clear()
            self._close()
        elif self._pending:
            self._serve_pending()
        elif self._bad:
            self._close()

    def open_tunnel(self) -> None:
        """From here on bytes are passed on as they are."""
        self._tunnel = True
        early, self._early = self._early or [], None
        if early and self._exchange is not None:
            self._exchange.tunnel_up(b"".join(early))
        self._let_go(Hold.SWITCH)

    # for the server

    @property
    def busy(self) -> bool:
        """A request is under way."""
        return self._exchange is not None

    def close_idle(self) -> None:
        """Close if nothing is under way: the gateway is going."""
        if self._exchange is None:
            self._close()

    def check(self, present: float) -> None:
        """Look at the deadlines (monotonic seconds). Called about twice a second."""
        bounds = self._gateway.bounds
        if self._closing_at is not None:
            if present > self._closing_at:
                self.abort()
        elif self.stalled_since is not None and present - self.stalled_since > bounds.write_stall_seconds:
            metrics.CUT.labels("stuck_reader").inc()
            self._fail_exchange("stuck_reader")
        elif self._exchange is not None:
            self._exchange.check(present)
        elif self._in_head or not self._heard:
            # The first head, or one that has begun.
            if present - self._since > bounds.head_seconds:
                self._refuse(Refusal.REQUEST_TIMEOUT) if self._in_head else self.abort()
        elif present - self._since > bounds.keepalive_seconds:
            self._close()

    def _hold(self, why: Hold) -> None:
        """Read nothing, for as long as there is a reason."""
        if not self._held and self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()
        self._held.add(why)

    def _let_go(self, why: Hold) -> None:
        if why in self._held:
            self._held.discard(why)
            if not self._held and self.transport is not None and not self.transport.is_closing():
                self.transport.resume_reading()

    # one read

    def _take_turn(self) -> None:
        """Work on a part of a long read, and let others have their turn: tens of thousands of chunks may be in it."""
        data = self._later.popleft()
        if len(data) > TURN:
            self._later.appendleft(data[TURN:])
        self._take(data[:TURN])
        if self._later and self.transport is not None:
            asyncio.get_running_loop().call_soon(self._take_turn)
        else:
            self._later.clear()
            self._let_go(Hold.TURN)

    def _take(self, data: bytes) -> None:
        if self._closing_at is not None or self._bad:
            return
        if self._tunnel:
            if self._exchange is not None:
                self._exchange.tunnel_up(data)
        elif self._early is not None:
            self._early.append(data)
        else:
            try:
                self._feed(data)
            except Exception as error:
                self._internal_error(error)

    def _feed(self, data: bytes) -> None:
        if self._exchange is not None or self._in_head or self._pending or (read := heads.cut(self.peer, data)) is None:
            self._parse(data)
        elif (head := self._gateway.heads.known(read, data)) is not None:
            self._heard = True
            self._begin(Begun(head, read.length, keep_alive=True, switching=False))
            self._whole(data[read.body_at :])
        else:
            self._parse(data)
            if self._exchange is not None and self._exchange.may_repeat:
                self._gateway.heads.keep(read, self._exchange.head)

    def _whole(self, body: bytes) -> None:
        """The body of a request that came in one read."""
        exchange = self._exchange
        if exchange is not None:
            if body:
                exchange.request_data(body)
            exchange.end_request()
            exchange.flush()

    def _parse(self, data: bytes) -> None:
        # Whether all of this read can only belong to a head, if one is open after it.
        alone = self._in_head or (self._exchange is None and not self._pending)
        self._begun = 0
        self._read = len(data)
        self._raw_bytes += len(data)
        self._heard = True
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            self._early = [data[upgrade.args[0] :]] if upgrade.args[0] < len(data) else []
            self._hold(Hold.SWITCH)
        except HttpParserCallbackError as error:
            raise (error.__context__ or error) from None
        except HttpParserError:
            self._broken(Refusal.MALFORMED_REQUEST)
        if self._in_head:
            # A line that does not end is not told by llhttp.
            self._head_most += len(data)
            self._head_least += len(data) if alone and self._begun <= 1 else 0
            if self._head_least > MAX_HEAD:
                self._broken(Refusal.HEAD_TOO_LARGE)
        fixed, times = OVERHEAD
        if self._raw_bytes > fixed + (times + 1) * self._body_bytes:
            self._broken(Refusal.FRAMING_INVALID)
        if self._exchange is not None:
            self._exchange.flush()

    def _broken(self, refusal: Refusal) -> None:
        """What was read is no request. If it belongs to one that is being served, that one ends; else it is answered in its turn."""
        if self._bad:
            return
        exchange = self._exchange
        if exchange is None:
            self._refuse(refusal)
        elif self._pending or exchange.request_ended:
            self._pending.append(refusal)
            self._bad = True
        else:
            self._bad = True
            exchange.request_broken(refusal)

    def _refuse(self, refusal: Refusal) -> None:
        """Refuse what never became a request."""
        self._bad = True
        request_id = new_request_id()
        self._gateway.refused(refusal, self.peer, request_id)
        self.write(relay.refusal(refusal, request_id))
        self._close()

    def _internal_error(self, error: Exception) -> None:
        """Ours, not the client's."""
        log.error("request_failed", error=type(error).__name__, where=where(error))
        self._fail_exchange("internal")

    def _fail_exchange(self, why: str) -> None:
        exchange, self._exchange = self._exchange, None
        self.abort()
        if exchange is not None:
            exchange.client_gone(why)

    def _close(self) -> None:
        """Close once everything is sent, and give what is still on its way here a moment to arrive."""
        self._bad = True
        transport = self.transport
        if transport is None or self._closing_at is not None:
            return
        self._closing_at = now() + LINGER_SECONDS
        if transport.can_write_eof():
            self._held.clear()
            transport.resume_reading()
            transport.write_eof()  # check() closes it
        else:
            transport.close()  # TLS has a farewell of its own

    # requests, in their order

    def _begin(self, begun: Begun) -> None:
        self._exchange = Exchange(self._gateway, self, begun)
        self._exchange.begin()

    def _serve_pending(self) -> None:
        """Hand on what was parsed while another request was under way."""
        while self._pending and self._closing_at is None:
            item, exchange = self._pending[0], self._exchange
            if exchange is not None and exchange.request_ended:
                break
            self._pending.popleft()
            if isinstance(item, Begun):
                self._begin(item)
            elif isinstance(item, Refusal):
                if exchange is None:
                    self._refuse(item)
                else:
                    exchange.request_broken(item)
            elif exchange is not None:
                if isinstance(item, _End):
                    exchange.end_request()
                else:
                    exchange.request_data(item)
        if self._exchange is not None:
            self._exchange.flush()
        if not self._pending:
            self._let_go(Hold.PIPELINE)

    # httptools

    def on_message_begin(self) -> None:
        self._in_head = True
        self._since = now()
        self._target = b""
        self._headers = []
        self._begun += 1
        self._head_least = self._head_most = self._raw_bytes = self._body_bytes = 0

    def on_url(self, part: bytes) -> None:
        self._target += part
        if len(self._target) > grammar.MAX_LINE:
            self._broken(Refusal.TARGET_TOO_LONG)

    def on_header(self, name: bytes, value: bytes) -> None:
        # Trailers come here too, and are dropped (RFC 9110 6.5.1): nobody looks at the headers once the head is complete.
        if len(self._headers) <= grammar.MAX_HEADERS:
            self._headers.append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._bad:
            return
        if len(self._headers) > grammar.MAX_HEADERS or (
            self._read + self._head_most > grammar.MAX_FIELD and _too_large(self._headers)
        ):
            self._broken(Refusal.HEAD_TOO_LARGE)
            return
        parser = self._parser
        version = _VERSIONS.get(parser.get_http_version(), (0, 0))
        head = RequestHead(parser.get_method().decode("ascii"), self._target, version, tuple(self._headers), self.peer)
        lengths = head.values(b"content-length")
        begun = Begun(head, lengths[0] if lengths else None, parser.should_keep_alive(), parser.should_upgrade())
        if self._exchange is None and not self._pending:
            self._begin(begun)
        elif sum(isinstance(item, Begun) for item in self._pending) >= MAX_PIPELINED:
            self._broken(Refusal.TOO_MANY_PIPELINED)
        else:
            self._pending.append(begun)
            self._hold(Hold.PIPELINE)

    def on_body(self, data: bytes) -> None:
        if self._bad:
            return
        self._body_bytes += len(data)
        if self._pending:
            self._pending.append(data)
        elif self._exchange is not None:
            self._exchange.request_data(data)

    def on_message_complete(self) -> None:
        if self._bad:
            return
        if self._pending:
            self._pending.append(_END)
        elif self._exchange is not None:
            self._exchange.end_request()


def _too_large(headers: list[tuple[bytes, bytes]]) -> bool:
    sizes = [len(name) + len(value) for name, value in headers]
    return max(sizes, default=0) > grammar.MAX_FIELD or sum(sizes) > MAX_HEAD
