"""One connection of a devbox: llhttp reads its requests, one `Exchange` at a time answers them.

Goes in: bytes. Comes out: calls on the current exchange (a head, pieces of a body, an end), and the exchange's bytes back. Requests that
are pipelined behind it wait here, parsed, within bounds. Its deadlines are looked at from outside (`check`).

    from      to        when
    REQUESTS  SWITCH    a request to switch protocols was read
    REQUESTS  CLOSING   the last answer was given, or a refusal that ends it; it is idle for too long; the gateway goes
    SWITCH    TUNNEL    the API has agreed
    SWITCH    CLOSING   another answer was given
    TUNNEL    CLOSING   the API's side has ended
"""

import asyncio
from collections import deque
from collections.abc import Callable
from enum import Enum
from time import monotonic as now
from typing import Any, Final

import structlog

from devbox_api.judge.refusals import Refusal
from devbox_proxy.kit import metrics
from devbox_proxy.kit.barren import NOTHING, Barren
from devbox_proxy.kit.ids import new_request_id, where
from devbox_proxy.kit.transports import BUFFER, LINGER_SECONDS, Transport, buffered
from devbox_proxy.requests.client import Client
from devbox_proxy.requests.data_path import DataPath
from devbox_proxy.requests.decider import Decider
from devbox_proxy.requests.exchange import Exchange
from devbox_proxy.wire import rendering
from devbox_proxy.wire.reader import Begun, RequestReader

MAX_PIPELINED: Final = 64
"""Heads that may wait behind the request that is being answered."""
TURN: Final = 16 * 1024
"""Bytes that are parsed before other connections have their turn."""
FAREWELL_SECONDS: Final = 30.0
"""For an answer's last bytes, where the transport does not say that they are gone: what TLS has encrypted can't be seen."""
AT_ONCE: Final = 64 * 1024
"""Bytes that the socket takes at once, whoever reads how."""


class Hold(Enum):
    """Why nothing is read from a client at the moment."""

    EXCHANGE = "the API takes no more, or is not there yet"
    PIPELINE = "requests wait for their turn"
    SWITCH = "the API has not agreed to switch protocols"
    TURN = "what was read is not worked through"


class Phase(Enum):
    """What is done with bytes that are read."""

    REQUESTS = "llhttp gets them"
    SWITCH = "they wait for the API's answer to a request to switch protocols"
    TUNNEL = "they are passed on as they are"
    CLOSING = "they are dropped: all that is to be sent is on its way, and then it is closed"


class _End:
    """A request's end, among what waits."""


_END: Final = _End()

log = structlog.get_logger()


class Connection(Client):
    """asyncio's callbacks on one side, llhttp's on the other, and the exchange between them."""

    __slots__ = (
        "_closing_at",
        "_decider",
        "_early",
        "_exchange",
        "_held",
        "_later",
        "_look_at",
        "_on_lost",
        "_on_made",
        "_path",
        "_pending",
        "_phase",
        "_reader",
        "_since",
        "_unsent",
        "_vouch",
        "_waiting",
        "_written",
        "transport",
    )

    def __init__(
        self,
        path: DataPath,
        decider: Decider,
        peer: str,
        *,
        on_made: "Callable[[Connection], None]",
        on_lost: "Callable[[Connection], None]",
        vouch: Callable[[], None] | None = None,
    ) -> None:
        """`on_made`, `on_lost`: told when there is a connection, and when it is gone; `vouch()`: told once, that a request on it was
        authenticated."""
        super().__init__(peer)
        self.transport: Transport | None = None
        self._path = path
        self._decider = decider
        self._on_made = on_made
        self._on_lost = on_lost
        self._vouch = vouch
        self._reader = RequestReader(self, peer, path.heads, path.head_limits)
        self._exchange: Exchange | None = None
        self._pending: deque[Begun | bytes | Refusal | _End] = deque()
        self._waiting = 0
        """Heads among them."""
        self._held: set[Hold] = set()
        self._later: deque[bytes] = deque()
        """What was read and not yet looked at."""
        self._early: list[bytes] = []
        """What came behind a request to switch protocols."""
        self._phase = Phase.REQUESTS
        self._since = now()
        """When the present rest began."""
        self._look_at = self._since + path.keepalive.every
        """When it is asked next whether the client is there."""
        self._closing_at: float | None = None
        """When it is cut, if it is CLOSING and has not ended by then."""
        self._unsent = 0
        """Bytes that had not been sent at the last look, since it has been closing."""
        self._written = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.transport.set_write_buffer_limits(high=self._path.limits.write_buffer)
        self._on_made(self)

    def data_received(self, data: bytes) -> None:
        if self._phase is Phase.CLOSING:
            return
        if self._later:
            self._later.append(data)
        elif len(data) <= TURN or self._phase is not Phase.REQUESTS or self._reader.expects_length:
            self._take(data)
        else:
            self._later.append(data)
            self._hold(Hold.TURN)
            self._take_turn()

    def eof_received(self) -> bool:
        # A client that has sent EOF is taken for gone: an agent that was killed must not go on costing tokens.
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        self._reader.close()
        self._drop_pending()
        self._on_lost(self)
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
            self._written += len(data)
            self.transport.write(data)

    def pause(self, *, paused: bool) -> None:
        """Backpressure: stop or go on reading from the client."""
        if paused:
            self._hold(Hold.EXCHANGE)
        else:
            self._let_go(Hold.EXCHANGE)

    def abort(self) -> None:
        """Cut the connection: an end without the last chunk is the only honest one."""
        self._reader.ended = True
        if self.transport is not None:
            self.transport.abort()

    def exchange_done(self, *, keep_alive: bool) -> None:
        """The answer is whole. Serve the next request, or close."""
        self._exchange = None
        self._since = now()
        self._let_go(Hold.EXCHANGE)
        if not keep_alive or self.transport is None or self.transport.is_closing():
            self._drop_pending()
            self._close(FAREWELL_SECONDS if self._written > AT_ONCE else LINGER_SECONDS)
        elif self._pending:
            self._serve_pending()
        elif self._reader.ended:
            self._close()

    def authenticated(self) -> None:
        """A request on it may go: it is no stranger's connection."""
        if self._vouch is not None:
            vouch, self._vouch = self._vouch, None
            vouch()

    def open_tunnel(self) -> None:
        """From here on bytes are passed on as they are."""
        self._phase = Phase.TUNNEL
        early, self._early = self._early, []
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

    def shut_down(self) -> None:
        """Cut it: the gateway's time is over. (What is told so at that has a moment to hear it.)"""
        if self._exchange is None:
            self.abort()
        else:
            self._exchange.shut_down()

    def check(self, present: float) -> None:
        """Look at the deadlines (monotonic seconds). Called about twice a second."""
        limits = self._path.limits
        if self._closing_at is not None:
            self._check_closing(present, self._closing_at)
        elif self.stalled_since is not None and present - self.stalled_since > limits.write_stall_seconds:
            metrics.CUT.labels("stuck_reader").inc()
            self._fail_exchange("stuck_reader")
        elif self._vanished(present):
            metrics.CUT.labels("client_vanished").inc()
            self._fail_exchange("client_vanished")
        elif self._exchange is not None:
            self._exchange.check(present)
        elif self._reader.in_head:
            if present - self._reader.since > limits.head_seconds:
                self._refuse(Refusal.REQUEST_TIMEOUT)
        elif self._reader.unused:
            if present - self._since > limits.head_seconds:
                self.abort()
        elif present - self._since > limits.keepalive_seconds:
            self._close()

    def _vanished(self, present: float) -> bool:
        if present < self._look_at:
            return False
        self._look_at = present + self._path.keepalive.every
        return self._path.keepalive.vanished(self.transport)

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
        if not self._later:
            return  # dropped meanwhile
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
        if self._phase is Phase.REQUESTS:
            try:
                self._reader.feed(data)
                if self._exchange is not None:
                    self._exchange.flush()
            except Exception as error:
                self._internal_error(error)
        elif self._phase is Phase.TUNNEL:
            if self._exchange is not None:
                self._exchange.tunnel_up(data)
        elif self._phase is Phase.SWITCH:
            self._early.append(data)

    def _refuse(self, refusal: Refusal) -> None:
        """Refuse what never became a request."""
        self._reader.ended = True
        request_id = new_request_id()
        self._path.recorder.request_refused(refusal, self.peer, request_id)
        self.write(rendering.refusal(refusal, request_id))
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

    def _close(self, seconds: float = LINGER_SECONDS) -> None:
        """Close once everything is sent, and give what is still on its way here a moment to arrive: so many seconds from then on."""
        self._reader.ended = True
        transport = self.transport
        if transport is None or self._phase is Phase.CLOSING:
            return
        self._phase = Phase.CLOSING
        self._closing_at = now() + seconds
        self._held.clear()
        self._later.clear()  # (Its turns would fall behind what goes on coming, which is read again from here on.)
        if not transport.is_closing():
            transport.resume_reading()
        if transport.can_write_eof():
            transport.write_eof()  # after what is to be sent; check() closes it
        elif not transport.get_write_buffer_size():
            transport.close()  # TLS has a farewell of its own, for which there is little time; so check() waits for its turn

    def _check_closing(self, present: float, until: float) -> None:
        """An answer that is read slowly is not to be cut at its end."""
        transport = self.transport
        unsent = 0 if transport is None else transport.get_write_buffer_size()
        if unsent != self._unsent:
            self._unsent = unsent
            self._closing_at = until = present + (self._path.limits.write_stall_seconds if unsent else FAREWELL_SECONDS)
        if present > until:
            self.abort()
        elif not unsent and transport is not None and not transport.can_write_eof() and not transport.is_closing():
            transport.close()

    # requests, in their order

    def _begin(self, begun: Begun) -> None:
        self._exchange = Exchange(self._path, self._decider, self, begun)
        self._exchange.begin()

    def _serve_pending(self) -> None:
        """Hand on what was parsed while another request was under way."""
        while self._pending and self._phase is not Phase.CLOSING:
            item, exchange = self._pending[0], self._exchange
            if exchange is not None and exchange.request_ended:
                break
            self._pending.popleft()
            if isinstance(item, Begun):
                self._waiting -= 1
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

    def _drop_pending(self) -> None:
        self._pending.clear()
        self._waiting = 0

    # reader.Sink

    def head_read(self, begun: Begun) -> None:
        """A request begins: now, or once those before it are answered."""
        if self._exchange is None and not self._pending:
            self._begin(begun)
        elif self._waiting >= MAX_PIPELINED:
            self.misread(Refusal.TOO_MANY_PIPELINED)
        else:
            self._pending.append(begun)
            self._waiting += 1
            self._hold(Hold.PIPELINE)

    def body_read(self, data: bytes) -> None:
        """A piece of its body."""
        if self._pending:
            self._pending.append(data)
        elif self._exchange is not None:
            self._exchange.request_data(data)

    def end_read(self) -> None:
        """It is whole."""
        if self._pending:
            self._pending.append(_END)
        elif self._exchange is not None:
            self._exchange.end_request()

    def misread(self, refusal: Refusal) -> None:
        """What was read is no request. If it belongs to one that is being served, that one ends; else it is answered in its turn."""
        self._reader.ended = True
        exchange = self._exchange
        if exchange is None:
            self._refuse(refusal)
        elif self._pending or exchange.request_ended:
            self._pending.append(refusal)
        else:
            exchange.request_broken(refusal)

    def switch_read(self, rest: bytes) -> None:
        """What follows a request to switch protocols."""
        self._phase = Phase.SWITCH
        if rest:
            self._early.append(rest)
        self._hold(Hold.SWITCH)


class TlsConnection(Connection):
    """The same as an asyncio.BufferedProtocol: uvloop decrypts into what it is given."""

    __slots__ = ("_barren",)

    def __init__(
        self,
        path: DataPath,
        decider: Decider,
        peer: str,
        *,
        on_made: "Callable[[Connection], None]",
        on_lost: "Callable[[Connection], None]",
        vouch: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(path, decider, peer, on_made=on_made, on_lost=on_lost, vouch=vouch)
        self._barren = Barren()

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        # What is not decrypted yet: by itself 256 KiB, and as much again.
        transport.set_read_buffer_limits(high=len(BUFFER))

    def get_buffer(self, sizehint: int) -> bytearray:
        """What is read goes here. (Nothing is read into what holds nothing.)"""
        if self._barren.too_much(sizehint):
            log.warning("barren_records", peer=self.peer)
            self.abort()
            return NOTHING
        return BUFFER

    def buffer_updated(self, count: int) -> None:
        """So many bytes are there."""
        self._barren.brought(count)
        self.data_received(buffered(count))
