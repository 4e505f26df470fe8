"""One tunnel from its 200 to its end: a state machine without sockets.

Goes in: what the devbox's connection and the far one tell, in any order. Comes out: calls on both. No byte of the devbox's reaches the
far side before a whole ClientHello has been read and found to ask for the host that was allowed; then bytes pass as they are, nothing
is buffered, each side's end is passed on as such, and a slow reader slows its writer down.

    from    to      when
    HELLO   ANSWER  a whole ClientHello names the host that was allowed
    HELLO   DONE    it names another one, is none, or does not come; one side is gone; it may not go on
    ANSWER  HELLO   the server asks for another ClientHello (RFC 8446 4.1.4)
    ANSWER  OPEN    the server answers anything else, or has sent EOF
    ANSWER  DONE    one side is gone, or it may not go on
    OPEN    ENDING  both have sent EOF
    OPEN    DONE    one side is gone, reads nothing, or it may not go on
    ENDING  DONE    what was said is delivered
"""

import asyncio
from enum import Enum
from operator import is_
from time import monotonic as now
from typing import Final

from devbox_api.judge.refusals import Refusal
from devbox_proxy.accounting.audit import End
from devbox_proxy.decide import connect_decision
from devbox_proxy.decide.admission import For, Refuse, Wait
from devbox_proxy.decide.connect_decision import Grant
from devbox_proxy.kit import metrics
from devbox_proxy.kit.transports import Side
from devbox_proxy.tunnels.far_side import FarEvents
from devbox_proxy.tunnels.forwarder import Forwarder
from devbox_proxy.wire import client_hello
from devbox_proxy.wire.client_hello import NotHello
from devbox_proxy.wire.connect_head import ConnectRequest

HELD: Final = 64 * 1024
"""Bytes of the devbox's that may wait for the server's first ones."""
DECIDE_SECONDS: Final = 5.0
"""After so long an open tunnel is decided about anew, also if nothing of what it rests on was replaced."""
ACCESS_DENIED: Final = 49
"""The TLS alert (RFC 8446 6.2): clients show its name."""


class Stage(Enum):
    """Where a tunnel is."""

    HELLO = "the devbox's first message is not whole"
    ANSWER = "the server has not answered it: it may ask for another one"
    OPEN = "bytes pass"
    ENDING = "both have sent EOF, and the last bytes are on their way"
    DONE = "over"


class Tunnel(FarEvents):
    """Two connections and what passes between them."""

    __slots__ = (
        "_activity",
        "_again",
        "_answer",
        "_client",
        "_client_ended",
        "_client_gone",
        "_decide_at",
        "_far",
        "_far_ended",
        "_forwarder",
        "_grant",
        "_held",
        "_look_at",
        "_mark",
        "_request",
        "_since",
        "_started",
        "address",
        "received",
        "request_id",
        "sent",
        "stage",
    )

    def __init__(
        self,
        forwarder: Forwarder,
        client: Side,
        far: Side,
        *,
        request: ConnectRequest,
        grant: Grant,
        address: str,
        request_id: str,
        started: float,
    ) -> None:
        self.request_id = request_id
        self.address = address
        """That was dialled, with its port."""
        self.received = self.sent = 0
        """Bytes from and to the devbox."""
        self.stage = Stage.HELLO
        self._forwarder = forwarder
        self._client = client
        self._far = far
        self._request = request
        self._grant = grant
        self._activity = forwarder.load.activity.of(grant.caller.pod_uid)
        """Of the devbox: bytes alone count, that a tunnel is open says nothing."""
        self._held = bytearray()
        """Of the devbox's, not passed on yet."""
        self._answer = b""
        """Of the server's, likewise."""
        self._again = False
        """It is the second ClientHello that is awaited."""
        self._client_ended = self._far_ended = self._client_gone = False
        self._started = started
        self._since = now()
        """When the present stage began."""
        self._mark = (self._since, 0)
        """When bytes last passed, and how many there were by then."""
        self._decide_at = 0.0
        self._look_at = self._since + forwarder.keepalive.every
        """When it is asked next whether both sides are there."""

    def begin(self, early: bytes) -> None:
        """The 200 is on its way; `early` came with the CONNECT."""
        if early:
            self.from_client(early)

    # from the devbox

    def from_client(self, data: bytes) -> None:
        """Bytes."""
        self.received += len(data)
        self._activity.last = now()
        if self.stage is Stage.OPEN:
            self._far.write(data)
        elif self.stage is Stage.HELLO:
            self._held += data
            self._read_hello()
        elif self.stage is Stage.ANSWER:
            self._held += data
            self._hold_back()

    def client_eof(self) -> None:
        """Its EOF: the host hears it, and may go on."""
        self._client_ended = True
        if self.stage is Stage.HELLO:
            self._turn_away(Refusal.NOT_TLS)
        elif self.stage is Stage.OPEN:
            self._far.write_eof()
            self._end_if_both()

    def client_lost(self) -> None:
        """Its connection is gone."""
        self._client_gone = True
        if self.stage is Stage.ENDING:
            if self._far.transport is None:
                self._over("complete")
            else:  # what it said is still on its way
                seconds = self._forwarder.stall_seconds
                asyncio.get_running_loop().call_later(seconds, self._far.abort_connection)
        elif self.stage is not Stage.DONE:
            self._far.abort_connection()
            self._over("client_gone")

    def client_writable(self, *, writable: bool) -> None:
        """Backpressure."""
        if self.stage in (Stage.ANSWER, Stage.OPEN):
            self._far.pause(paused=not writable)

    # from the host

    def from_far(self, data: bytes) -> None:
        """Bytes."""
        self.sent += len(data)
        self._activity.last = now()
        if self.stage is Stage.OPEN:
            self._client.write(data)
        elif self.stage is Stage.HELLO:
            self._answer += data  # before anybody asked: one read of it waits
            self._far.pause(paused=True)
        elif self.stage is Stage.ANSWER:
            self._answer += data
            self._read_answer()

    def far_eof(self) -> None:
        """Its EOF: the devbox hears it, and may go on."""
        self._far_ended = True
        if self.stage is Stage.HELLO:
            self._far.abort_connection()
            self._client.finish()
            self._over("upstream_gone")
            return
        if self.stage is Stage.ANSWER:
            self._open()
        if self.stage is Stage.OPEN:
            self._client.write_eof()
            self._end_if_both()

    def far_lost(self) -> None:
        """Its connection is gone. What came of it is still delivered."""
        if self.stage is Stage.ENDING:
            if self._client_gone:
                self._over("complete")
        elif self.stage is not Stage.DONE:
            if self._answer and self.stage is Stage.ANSWER:
                self._client.write(self._answer)
            self._client.close(self._forwarder.stall_seconds)
            self._over("upstream_gone")

    def far_writable(self, *, writable: bool) -> None:
        """Backpressure."""
        if self.stage is Stage.OPEN:
            self._client.pause(paused=not writable)

    # the first messages

    def _read_hello(self) -> None:
        try:
            hello = client_hello.read(self._held, again=self._again)
        except NotHello:
            self._turn_away(Refusal.NOT_TLS)
            return
        if hello is None:
            return
        settings = self._forwarder.settings
        wrong = connect_decision.wrong_hello(
            hello, self._grant, allow_ech=settings.allow_ech, allow_no_sni=settings.allow_no_sni
        )
        if wrong is not None:
            self._turn_away(wrong)
            return
        self._far.write(bytes(self._held[: hello.length]))
        del self._held[: hello.length]
        self.stage, self._since = Stage.ANSWER, now()
        self._hold_back()
        self._far.pause(paused=self._client.stalled_since is not None)
        if self._answer:
            self._read_answer()

    def _hold_back(self) -> None:
        """What follows a hello waits until it is known that no second one is asked for: that could name another server."""
        if len(self._held) > HELD:
            self._client.pause(paused=True)

    def _read_answer(self) -> None:
        answer = self._answer
        if len(answer) < client_hello.ANSWER_BYTES and answer[0] == client_hello.HANDSHAKE:
            return
        if answer[0] == client_hello.HANDSHAKE and not self._again and client_hello.asks_again(answer):
            self._answer = b""
            self._client.write(answer)
            self._again = True
            self.stage, self._since = Stage.HELLO, now()
            self._client.pause(paused=False)
            if self._client_ended:
                self._turn_away(Refusal.NOT_TLS)
            elif self._held:
                self._read_hello()
        else:
            self._open()

    def _open(self) -> None:
        self.stage, self._since = Stage.OPEN, now()
        if self._answer:
            self._client.write(self._answer)
        if self._held:
            self._far.write(bytes(self._held))
        self._answer, self._held = b"", bytearray()
        self._client.pause(paused=self._far.stalled_since is not None)
        if self._client_ended:
            self._far.write_eof()

    def _turn_away(self, refusal: Refusal) -> None:
        """TLS that may not begin: clients show the alert; what speaks another protocol would not know one."""
        metrics.REFUSALS.labels(refusal.code).inc()
        self._far.abort_connection()
        if refusal in (Refusal.SNI_MISMATCH, Refusal.SNI_MISSING, Refusal.ECH_NOT_ALLOWED):
            self._client.write(client_hello.alert(ACCESS_DENIED))
        self._client.finish()
        self._over(refusal.code)

    # deadlines

    def check(self, present: float) -> None:
        """Look at the deadlines and at whether it may go on (monotonic seconds). Called about twice a second."""
        settings = self._forwarder.settings
        total = self.received + self.sent
        if total != self._mark[1]:
            self._mark = (present, total)
        if self.stage in (Stage.ENDING, Stage.DONE):
            return  # the client's connection has a deadline of its own
        if (why := self._forbidden(present)) is not None:
            metrics.CUT.labels(why.code).inc()
            self.cut(why.code)
        elif self.stage is Stage.HELLO and present - self._since > settings.hello_seconds:
            self._turn_away(Refusal.HELLO_TIMEOUT)
        elif self._stuck(present, self._forwarder.stall_seconds):
            metrics.CUT.labels("stuck_reader").inc()
            self.cut("stuck_reader")
        elif present >= self._look_at and (gone := self._vanished(present)) is not None:
            metrics.CUT.labels(gone).inc()
            self.cut(gone)
        elif present - self._mark[0] > settings.idle_seconds:
            metrics.CUT.labels("idle").inc()
            self.cut("idle")

    def cut(self, why: str) -> None:
        """End it at once, on both sides."""
        self._far.abort_connection()
        self._client.abort_connection()
        self._over(why)

    def _forbidden(self, present: float) -> Refusal | None:
        """Why it may not go on: its pod, Route, policy or review is another one now, and says no."""
        grant = self._grant
        unchanged = all(map(is_, connect_decision.basis(self._forwarder.known, grant.caller.pod_uid), grant.because))
        if unchanged and present < self._decide_at:
            return None
        self._decide_at = present + DECIDE_SECONDS
        decision = self._forwarder.decide(self._request)
        if isinstance(decision, Refuse):
            return decision.refusal
        if isinstance(decision, Wait):
            if decision.what is For.MIRROR:
                return decision.otherwise.refusal  # it was there: it is gone, not on its way
            if decision.subject is not None:
                self._forwarder.renew(decision.subject)
            return None
        self._grant = decision
        return None if self._forwarder.may_stay(decision, self.address) else Refusal.ADDRESS_NOT_ALLOWED

    def _stuck(self, present: float, seconds: float) -> bool:
        waiting = [since for since in (self._client.stalled_since, self._far.stalled_since) if since is not None]
        return bool(waiting) and present - min(waiting) > seconds

    def _vanished(self, present: float) -> str | None:
        keepalive = self._forwarder.keepalive
        self._look_at = present + keepalive.every
        if keepalive.vanished(self._client.transport):
            return "client_vanished"
        return "upstream_vanished" if keepalive.vanished(self._far.transport) else None

    # the end

    def _end_if_both(self) -> None:
        if self._client_ended and self._far_ended:
            self.stage, self._since = Stage.ENDING, now()
            self._far.close(self._forwarder.stall_seconds)
            self._client.close(self._forwarder.stall_seconds)

    def _over(self, ended: str) -> None:
        """Let go of everything and write the last line. The devbox's connection is the caller's business."""
        if self.stage is Stage.DONE:
            return
        self.stage = Stage.DONE
        self._held, self._answer = bytearray(), b""
        self._forwarder.load.tunnels.leave(self._grant.caller)
        end = End(200, ended, self.received, self.sent, now() - self._started)
        self._forwarder.recorder.tunnel_ended(self.request_id, self._grant, self.address, end)
