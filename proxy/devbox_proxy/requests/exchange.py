"""One request from its head to the end of its answer: a state machine without sockets.

Goes in: what the client's connection and the API's tell, in any order. Comes out: calls on both. Nothing is buffered, and a slow
reader slows its writer down. No coroutine and no task on the fast path: a task starts only where something must be waited for (a
TokenReview, the mirror, a dial).

    from       to         when
    DECIDING   DIALLING   it may go; no connection to the API is at rest
    DECIDING   SENDING    it may go, on a connection that was at rest
    DECIDING   DONE       it is refused, or the client is gone
    DIALLING   SENDING    there is a connection
    DIALLING   DONE       there will be none, it may not go on, or the client is gone
    SENDING    ANSWERING  the answer's head is there
    SENDING    TUNNEL     the API switches to a WebSocket
    SENDING    DONE       no answer will come, it may not go on, or the client is gone
    ANSWERING  DONE       the answer is whole, or was cut on one side
    TUNNEL     DONE       one side has ended it, nothing was said for too long, or it may not go on
"""

import asyncio
from collections.abc import Coroutine
from enum import Enum
from time import monotonic as now
from typing import Final

import structlog

from devbox_api.judge.refusals import Refusal
from devbox_proxy.accounting.activity import PodActivity
from devbox_proxy.accounting.audit import End
from devbox_proxy.decide import injection
from devbox_proxy.decide.admission import Refuse, Wait
from devbox_proxy.decide.caller import Caller
from devbox_proxy.decide.identity import Decision, Forward, Preflight
from devbox_proxy.kit import metrics
from devbox_proxy.kit.ids import new_request_id, where
from devbox_proxy.requests.client import Client
from devbox_proxy.requests.data_path import DataPath
from devbox_proxy.requests.decider import Decider
from devbox_proxy.upstreams.connection import UpstreamConnection, UpstreamError
from devbox_proxy.wire import cors, rendering
from devbox_proxy.wire.bodies import Answer, Upload
from devbox_proxy.wire.frames import WebSocket
from devbox_proxy.wire.messages import UpstreamRequest
from devbox_proxy.wire.reader import Begun
from devbox_proxy.wire.rendering import Framing, ResponseHead

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_HANDSHAKE: Final = "gave an answer that can't be passed on: a 101 that does not answer this WebSocket handshake"
_THE_APIS: Final = (502, 504)
"""Status of refusals that say what an API did."""
LINGER_SECONDS: Final = 2.0
"""For how long the rest of a body is still read after the whole answer was sent: closing at once would make a reset of it."""
log = structlog.get_logger()


class ExchangeState(Enum):
    """Where a request is."""

    DECIDING = "deciding"
    """Waiting for a review or for the mirror."""
    DIALLING = "dialling"
    """It may go; there is no connection yet."""
    SENDING = "sending"
    """It goes out; no answer has come."""
    ANSWERING = "answering"
    """The answer's head has gone to the client."""
    TUNNEL = "tunnel"
    """A WebSocket: bytes both ways."""
    DONE = "done"


class Exchange:
    """A request and its answer. Implements upstream.Receiver and ticks.Holder."""

    __slots__ = (
        "_activity",
        "_answer",
        "_client",
        "_decider",
        "_forward",
        "_keep_alive",
        "_length",
        "_look_at",
        "_mark",
        "_path",
        "_progress_at",
        "_request",
        "_seen",
        "_socket",
        "_started",
        "_switching",
        "_task",
        "_throttled",
        "_upload",
        "_upstream",
        "head",
        "request_ended",
        "request_id",
        "state",
    )

    def __init__(self, path: DataPath, decider: Decider, client: Client, begun: Begun) -> None:
        self.request_id = new_request_id()
        self.request_ended = False
        """The whole body has been read from the client."""
        self.state = ExchangeState.DECIDING
        self._path = path
        self._decider = decider
        self._client = client
        self.head, self._length, self._keep_alive, self._switching, self._seen = begun
        self._forward: Forward | None = None
        self._activity: PodActivity | None = None
        """The caller's, from when the request may go."""
        self._request: UpstreamRequest | None = None
        """What goes to the API, once there is a connection."""
        self._upstream: UpstreamConnection | None = None
        self._task: asyncio.Task[None] | None = None
        self._socket: WebSocket | None = None
        """What passes, once the protocol is switched."""
        self._upload = Upload(self._length, chunked=self.head.chunked)
        self._answer = Answer()
        self._throttled = False
        """The API takes the body more slowly than the client sends it."""
        self._started = self._progress_at = now()
        self._mark = (self._started, 0)
        """Time and received bytes at the start of the present window of the minimum rate."""
        self._look_at = self._started + path.keepalive.every
        """When it is asked next whether the API is there."""

    # from the client

    def begin(self) -> None:
        """The head is there."""
        self._decided(self._decider.decide(self.head))

    def request_data(self, data: bytes) -> None:
        """A piece of the body, without framing."""
        self._upload.add(data)
        self._progress_at = now()
        if self.state is ExchangeState.DONE:
            self._upload.drop()
            if self._upload.received - self._mark[1] > rendering.DISCARDED:
                self._client.exchange_done(keep_alive=False)
            return
        if self._forward is not None and self._path.too_long(self._forward.access.api, self._upload.received):
            self._fail(Refusal.BODY_TOO_LARGE)
            return
        if self._upstream is None:
            self._client.pause(paused=True)

    def end_request(self) -> None:
        """The body is whole."""
        self.request_ended = True
        if self.state is ExchangeState.DONE:
            self._client.exchange_done(keep_alive=self._keep_alive)

    def request_broken(self, refusal: Refusal) -> None:
        """What came is not a body."""
        if self.state is ExchangeState.DONE:
            self._client.exchange_done(keep_alive=False)
        else:
            self._fail(refusal)

    def client_gone(self, why: str = "client_gone") -> None:
        """Nobody is there for the answer: the API's work ends too."""
        if self.state is not ExchangeState.DONE:
            parted = self._socket is not None and self._socket.parted and why == "client_gone"
            self._over("complete" if parted else why)

    def shut_down(self) -> None:
        """The gateway's time is over."""
        if self.state is ExchangeState.TUNNEL:
            self._part("shutdown")
        else:
            self.client_gone("shutdown")
            self._client.abort()

    def client_writable(self, *, writable: bool) -> None:
        """Backpressure from the client."""
        if writable:
            self.flush_answer()
        if self._upstream is not None and not self._answer.waits:
            # As it is by now: the last piece that waited may be one too many again.
            self._upstream.pause(paused=self._client.stalled_since is not None)

    def tunnel_up(self, data: bytes) -> None:
        """Bytes of the WebSocket, from the client."""
        self._upload.received += len(data)
        self._passed()
        if self._upstream is not None and self._socket is not None:
            self._socket.up.feed(data)
            self._upstream.write(data)

    def flush(self) -> None:
        """Send what one read of the client brought, in one piece."""
        if self._upstream is not None and (out := self._upload.take(ended=self.request_ended)):
            self._upstream.write(out)

    # towards a connection

    def _decided(self, decision: Decision) -> None:
        if isinstance(decision, Forward):
            self._go(decision)
        elif isinstance(decision, Refuse):
            if decision.verified and decision.caller is not None:
                self._path.load.activity.seen(decision.caller.pod_uid)
            self._refuse(decision.refusal, decision.caller, decision.said)
        elif isinstance(decision, Preflight):
            self._tell_browser()
        else:
            self._start(self._wait(decision))

    def _start(self, work: Coroutine[None, None, None]) -> None:
        self._task = asyncio.create_task(work)
        self._task.add_done_callback(self._worked)

    def _worked(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("request_failed", request_id=self.request_id, error=type(error).__name__, where=where(error))
            self._fail(Refusal.INTERNAL)

    async def _wait(self, decision: Wait) -> None:
        final = await self._decider.wait(self.head, decision)
        self._task = None
        self._decided(final)
        self.flush()

    def _go(self, forward: Forward) -> None:
        """The request may go: what is left to check is how much of it there may be."""
        self._forward = forward
        self._activity = activity = self._path.load.activity.of(forward.caller.pod_uid)
        activity.begin()
        self._client.authenticated()
        refusal = self._path.load.requests.enter(forward.caller)
        if refusal is None and self._switching != self.head.websocket:
            refusal = Refusal.UPGRADE_UNSUPPORTED
        if refusal is None and self._path.too_long(forward.access.api, max(self._upload.received, int(self._length or 0))):
            refusal = Refusal.BODY_TOO_LARGE
        if refusal is None and not self._path.recorder.request_starts(self.request_id, forward):
            refusal = Refusal.AUDIT_FULL
        if refusal is not None:
            self._forward = None
            activity.end(now())
            self._path.load.requests.leave(forward.caller)
            self._refuse(refusal, forward.caller)
            return
        if self._seen is not None and self._keep_alive and not self._switching:
            self._path.heads.keep(self._seen, self.head)
        idle = self._path.upstreams.idle(forward.pool)
        if idle is not None:
            self._connected(idle)
        else:
            self.state = ExchangeState.DIALLING
            self._start(self._dial(forward))

    async def _dial(self, forward: Forward) -> None:
        try:
            connection = await self._path.upstreams.dial(forward.pool, forward.access.api)
        except UpstreamError as error:
            self._task = None
            self.upstream_failed(error)
            return
        self._task = None
        self._connected(connection)
        self.flush()

    def _connected(self, connection: UpstreamConnection) -> None:
        assert self._forward is not None  # noqa: S101 (for the type checker)
        request = self._request = injection.render(self.head, self._forward)
        self._upstream = connection
        self.state = ExchangeState.SENDING
        self._progress_at = now()
        connection.start(self, request.method, websocket=request.websocket, gentle=request.redact_body)
        self._upload.begin(request, self._length)
        if not self.request_ended:
            if not self._upload.received and self.head.version == (1, 1) and self.head.expects_continue:
                # Only now: before the checks it would invite a body that nobody may send.
                self._client.write(_CONTINUE)
            self._mark = (self._progress_at, self._upload.received)
            self._client.pause(paused=False)

    # from the API

    def informed(self, head: ResponseHead) -> None:
        """A 1xx answer."""
        if self._request is not None and self.head.version == (1, 1):
            self._client.write(rendering.informational(head, self._request, public_url=self._path.public_url))

    def answered(self, head: ResponseHead) -> None:
        """The answer's head."""
        forward, request = self._forward, self._request
        assert forward is not None and request is not None  # noqa: S101, PT018 (for the type checker)
        if forward.access.api.refuse_encoded and rendering.is_encoded(head):
            self._fail(Refusal.UPSTREAM_ENCODED)
            return
        self.state = ExchangeState.ANSWERING
        # The API answers half a request: it has read no more of it, and perhaps never will.
        self._upload.last = self._upload.last or not self._upload.all_sent
        # And for the client: the rest would have to be read first.
        self._keep_alive = self._keep_alive and self.request_ended and not self._path.load.draining and not self._switching
        self._answer.begin(
            head,
            request,
            public_url=self._path.public_url,
            request_id=self.request_id,
            http10=self.head.version == (1, 0),
            connection=self._path.stays if self._keep_alive else rendering.CLOSES,
        )
        self._path.recorder.request_answered(forward.caller, now() - self._started)

    def answer_data(self, data: bytes) -> None:
        """A piece of its body, without framing."""
        self._progress_at = now()
        self._answer.add(data)

    def answer_ended(self, *, reusable: bool) -> None:
        """The answer is whole."""
        self._answer.end(self._client)
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            if reusable and not self._upload.last:
                self._path.upstreams.release(upstream)
            else:
                upstream.abort()
        self._keep_alive = self._keep_alive and self._answer.framing is not Framing.CLOSE
        self._mark = (now(), self._upload.received)
        self._over("complete")
        if self.request_ended:
            self._client.exchange_done(keep_alive=self._keep_alive)

    def flush_answer(self) -> None:
        """Send what one read of the API brought, in one piece."""
        self._answer.flush(self._client)
        if self._answer.holds:
            self._path.ticks.add(self)

    def let_go(self) -> bool:
        """What was held back for the sake of the search has waited for long enough. Whether more is held."""
        if self.state is not ExchangeState.ANSWERING:
            return False
        self._answer.let_go()
        self._answer.flush(self._client)
        return self._answer.holds

    def switched(self, head: ResponseHead, data: bytes) -> None:
        """101: from here on the bytes belong to the WebSocket; `data` are the first."""
        forward, request = self._forward, self._request
        assert forward is not None and request is not None  # noqa: S101, PT018 (for the type checker)
        if not rendering.accepts_websocket(head, self.head):
            self._fail(Refusal.UPSTREAM_INVALID, f"the API of GatewayConfig {forward.caller.gateway} {_HANDSHAKE}")
            return
        if request.redact_body:
            metrics.UNSEARCHED.inc()
        self.state = ExchangeState.TUNNEL
        self._socket = WebSocket()
        if self._activity is not None:
            self._activity.end(now())  # from here on bytes count
        self._answer.status = head.status
        self._path.recorder.request_answered(forward.caller, now() - self._started)
        self._client.write(rendering.informational(head, request, public_url=self._path.public_url))
        self._client.open_tunnel()
        if data:
            self.tunnel_data(data)

    def tunnel_data(self, data: bytes) -> None:
        """Bytes of the WebSocket, from the API."""
        self._answer.sent += len(data)
        self._passed()
        if self._socket is not None:
            self._socket.down.feed(data)
        self._client.write(data)

    def _passed(self) -> None:
        """Bytes of the WebSocket."""
        self._progress_at = now()
        if self._activity is not None:
            self._activity.last = self._progress_at

    def upstream_failed(self, error: UpstreamError) -> None:
        """No (whole) answer will come."""
        self._upstream = None
        if self._socket is not None and self._socket.parted:
            self._over("complete")
            self._client.exchange_done(keep_alive=False)
            return
        said, detail = error.said, error.detail
        if self._request is not None:  # (a header's name may be of the API's making)
            said, detail = (self._request.redact(text.encode()).decode() for text in (said, detail))
        if self._forward is not None:
            gateway = self._forward.caller.gateway
            log.warning("upstream_failed", request_id=self.request_id, gateway=gateway, detail=detail)
            said = f"the API of GatewayConfig {gateway} {said}" if said else ""
        self._fail(error.refusal, said)

    def upstream_writable(self, *, writable: bool) -> None:
        """Backpressure from the API."""
        self._throttled = not writable
        self._mark = (now(), self._upload.received)
        self._client.pause(paused=not writable)

    # deadlines

    def check(self, present: float) -> None:
        """Look at the deadlines and at whether the caller may still call (monotonic seconds)."""
        forward = self._forward
        if self.state is ExchangeState.DONE:
            if present - self._mark[0] > LINGER_SECONDS:
                self._client.exchange_done(keep_alive=False)
        elif forward is not None and (why := self._forbidden(forward)) is not None:
            self._cut(why)
        elif self.state is ExchangeState.SENDING and self._too_slow(present):
            self._cut(Refusal.REQUEST_TIMEOUT)
        elif self._upstream is not None and self._vanished(present, self._upstream):
            self._cut(Refusal.UPSTREAM_TIMEOUT)
        elif forward is not None and self._upstream is not None and self._client.stalled_since is None:
            if self.state is ExchangeState.TUNNEL and not self._throttled:
                if present - self._progress_at > self._path.silence(forward.access.api.timeouts):
                    metrics.CUT.labels("idle").inc()
                    self._part("idle")
                return
            if self.state is ExchangeState.SENDING and not self.request_ended and not self._throttled:
                return  # it is the client's turn, whose pace is looked at above
            patience = self._path.patience(forward.access.api.timeouts, answered=self.state is not ExchangeState.SENDING)
            if present - self._progress_at > patience:
                self._cut(Refusal.UPSTREAM_TIMEOUT)

    def _forbidden(self, forward: Forward) -> Refusal | None:
        return self._decider.forbidden(forward.caller.pod_uid, endless=self.state is ExchangeState.TUNNEL)

    def _vanished(self, present: float, upstream: UpstreamConnection) -> bool:
        if present < self._look_at:
            return False
        self._look_at = present + self._path.keepalive.every
        return self._path.keepalive.vanished(upstream.transport)

    def _too_slow(self, present: float) -> bool:
        """The client sends its body below the minimum rate, and not because it was asked to wait."""
        limits = self._path.limits
        since, received = self._mark
        if self.request_ended or self._throttled or present - since < limits.body_window_seconds:
            return False
        self._mark = (present, self._upload.received)
        return self._upload.received - received < limits.body_min_rate * limits.body_window_seconds

    # the end

    def _refuse(self, refusal: Refusal, caller: Caller | None, said: str = "") -> None:
        """No, before anything was sent anywhere."""
        self.state = ExchangeState.DONE
        self._path.recorder.request_refused(refusal, self._client.peer, self.request_id, caller, self.head.method)
        self._say(refusal, said)

    def _fail(self, refusal: Refusal, said: str = "") -> None:
        """The exchange can't go on: say so if nothing was said yet, else cut, so that half an answer does not look whole. `said`: in place
        of the refusal's own message."""
        answering = self.state in (ExchangeState.ANSWERING, ExchangeState.TUNNEL)
        ended = "upstream_cut" if answering and refusal.status in _THE_APIS else refusal.code
        if self.state is ExchangeState.TUNNEL:
            self._part(ended)
            return
        self._answer.status = self._answer.status or refusal.status
        self._over(ended)
        if answering:
            self._client.abort()
        else:
            metrics.REFUSALS.labels(refusal.code).inc()
            self._say(refusal, said)

    def _cut(self, refusal: Refusal) -> None:
        metrics.CUT.labels(refusal.code).inc()
        self._fail(refusal)

    def _part(self, ended: str) -> None:
        """A WebSocket can't go on. What has come is delivered. Where nothing is half said, each side is told that this is the end, but for
        the API's: without its farewell a client knows that it was none."""
        socket = self._socket
        last = socket.to_client(ended) if socket is not None and ended != "upstream_cut" else b""
        self._over(ended)
        if self._client.stalled_since is not None:
            self._client.abort()  # it would not hear of it
            return
        if last:
            self._client.write(last)
        self._client.exchange_done(keep_alive=False)

    def _say(self, refusal: Refusal, said: str = "") -> None:
        stays = self._keep_alive and not self._switching and not self._path.load.draining
        stays = stays and rendering.outlives(refusal, self.head, self._length)
        to_head, origin = self.head.method == "HEAD", cors.origin_of(self.head)
        connection = self._path.stays if stays else rendering.CLOSES
        self._client.write(
            rendering.refusal(refusal, self.request_id, said=said, origin=origin, to_head=to_head, connection=connection)
        )
        if stays and not self.request_ended:
            self._mark = (now(), self._upload.received)
            self._client.pause(paused=False)
        else:
            self._client.exchange_done(keep_alive=stays)

    def _tell_browser(self) -> None:
        """What a page may send: nobody's request, so it is in no book."""
        self.state = ExchangeState.DONE
        stays = self._keep_alive and not self._path.load.draining
        connection = self._path.stays if stays else rendering.CLOSES
        self._client.write(rendering.preflight(self.head, self.request_id, connection=connection))
        self._mark = (now(), self._upload.received)
        if self.request_ended:
            self._client.exchange_done(keep_alive=stays)
        else:
            self._keep_alive = stays

    def _over(self, ended: str) -> None:
        """Let go of everything and write the last line. The client's connection is the caller's business."""
        was, self.state = self.state, ExchangeState.DONE
        self._path.ticks.drop(self)
        self._upload.drop()
        if self._task is not None:
            self._task.cancel()
            self._task = None
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            if self._socket is None or self._throttled:
                upstream.abort()
            else:
                upstream.part(self._socket.to_api(ended))
        if self._forward is not None:
            forward, self._forward = self._forward, None
            self._path.load.requests.leave(forward.caller)
            present = now()
            if self._activity is not None and was is not ExchangeState.TUNNEL:
                self._activity.end(present)
            end = End(self._answer.status, ended, self._upload.received, self._answer.sent, present - self._started)
            self._path.recorder.request_ended(self.request_id, forward, end)
