"""The data port: TLS, HTTP/1.1, one request at a time per connection; decides, then relays.

Goes in: connections of devboxes. Comes out: the API's answers, or refusals. aiohttp's low-level server reads HTTP (its C parser; the
program does not start on the other one). Nothing of a request is ever logged but what audit.py writes.
"""

import asyncio
import logging
import ssl
import time
import uuid
from collections import Counter
from typing import Any, Final

import structlog
from aiohttp import HttpVersion11, http_parser, web
from aiohttp.web_protocol import RequestHandler

from . import grammar, metrics, relay
from .audit import AuditFull, AuditLog
from .guard import RequestHead
from .identity import Caller, Decision, For, Forward, Refuse, Wait, decide
from .refusals import Refusal
from .reviews import Reviewer
from .state import State
from .upstream import UpstreamCut, UpstreamError, Upstreams
from .view import Limits

KEEPALIVE_SECONDS: Final = 75.0
"""Longer than the connection pools of the SDKs (httpx 5 s, undici 4 s); also the bound for a request's head."""
WAITERS_PER_PEER: Final = 64
REVIEW_SECONDS: Final = 2.0
"""What a TokenReview may take beyond the wait."""
CLOSING: Final = frozenset({400, 405})
"""Refusals after which nothing that follows on the connection is to be trusted as a request."""

log = structlog.get_logger()
_silent = logging.getLogger("devbox_proxy.aiohttp")
_silent.addHandler(logging.NullHandler())
_silent.propagate = False  # aiohttp quotes the offending header line, token included


class Gateway:
    """What one request needs."""

    def __init__(
        self,
        state: State,
        reviewer: Reviewer,
        upstreams: Upstreams,
        audit: AuditLog,
        *,
        limits: Limits,
        wait_seconds: float,
        public_url: str,
    ) -> None:
        self._state = state
        self._reviewer = reviewer
        self._upstreams = upstreams
        self._audit = audit
        self._limits = limits
        self._wait_seconds = wait_seconds
        self._public_url = public_url.rstrip("/")
        self._waiting: Counter[str] = Counter()
        self.draining = False
        """Answers tell clients to connect anew, which leads them to another replica."""

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        request_id = f"req_{uuid.uuid4().hex}"
        head = head_of(request)
        if head.version not in ((1, 0), (1, 1)):
            request._version = HttpVersion11  # aiohttp answers in the client's version, also in one that does not exist
        with metrics.IN_FLIGHT.track_inprogress():
            try:
                decision = await self._decide(head)
                if isinstance(decision, Forward):
                    return await self._forward(request, head, decision, request_id)
                assert isinstance(decision, Refuse)  # noqa: S101 (for the type checker: _decide does not return Wait)
                return self._refuse(head, decision.refusal, decision.caller, request_id)
            except AuditFull:
                metrics.REFUSALS.labels(Refusal.AUDIT_FULL.code).inc()
                return error_response(Refusal.AUDIT_FULL, request_id, close=True)

    async def _decide(self, head: RequestHead) -> Decision:
        deadline = time.monotonic() + self._wait_seconds
        while True:
            now = time.monotonic()
            decision = decide(head, self._state.known, now, self._limits)
            if not isinstance(decision, Wait):
                return decision
            if now >= deadline:
                return decision.otherwise
            try:
                if decision.what is For.MIRROR:
                    # Nobody has vouched for this request yet: a bound on what it may hold.
                    if self._waiting[head.peer] >= WAITERS_PER_PEER:
                        return Refuse(Refusal.TOO_MANY_WAITING, decision.otherwise.caller)
                    await self._wait_for_mirror(head.peer, deadline - now)
                elif decision.subject is not None:
                    async with asyncio.timeout(deadline - now + REVIEW_SECONDS):  # a review has a time-out of its own
                        await self._reviewer.review(*decision.subject)
            except TimeoutError:
                return decision.otherwise

    async def _wait_for_mirror(self, peer: str, seconds: float) -> None:
        self._waiting[peer] += 1
        try:
            await self._state.changed(seconds)
        finally:
            self._waiting[peer] -= 1
            if not self._waiting[peer]:
                del self._waiting[peer]

    async def _forward(
        self, request: web.BaseRequest, head: RequestHead, decision: Forward, request_id: str
    ) -> web.StreamResponse:
        if decision.refresh is not None:
            self._reviewer.start(*decision.refresh)
        caller, started, received, sent = decision.caller, time.monotonic(), [0], [0]
        facts: dict[str, Any] = {"method": head.method, "path": head.path.decode("latin-1")}
        self._audit.put("start", request_id, caller, **facts)
        expects = head.version == (1, 1) and b"100-continue" in (value.lower() for value in head.values(b"expect"))
        if expects and request.transport is not None:
            # Only now: before the checks it would invite a body that nobody may send.
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = relay.request_body(request, received) if request.can_read_body else None
        status, ended = 0, "complete"
        try:
            async with self._upstreams.send(decision.pool, decision.upstream, body, _length(head, body)) as upstream:
                status = upstream.status
                metrics.SECONDS.labels(caller.namespace, caller.gateway).observe(time.monotonic() - started)
                return await relay.respond(
                    request,
                    upstream,
                    self._upstreams.chunks(upstream),
                    decision.upstream,
                    public_url=self._public_url,
                    request_id=request_id,
                    close=self.draining,
                    counted=sent,
                )
        except UpstreamError as error:
            log.warning("upstream_failed", request_id=request_id, gateway=caller.gateway, detail=error.detail)
            metrics.REFUSALS.labels(error.refusal.code).inc()
            status, ended = error.refusal.status, error.refusal.code
            return error_response(error.refusal, request_id, close=True)
        except UpstreamCut:
            ended = "upstream_cut"
            abort(request)
            raise ConnectionResetError from None
        except (ConnectionError, asyncio.CancelledError):
            ended = "client_gone"
            raise
        finally:
            metrics.REQUESTS.labels(caller.namespace, caller.gateway, str(status)).inc()
            took = round((time.monotonic() - started) * 1000, 1)
            try:
                counts = {"received": received[0], "sent": sent[0], "ms": took}
                self._audit.put("end", request_id, caller, **facts, status=status, ended=ended, **counts)
            except AuditFull:
                log.error("audit_line_lost", request_id=request_id)

    def _refuse(self, head: RequestHead, refusal: Refusal, caller: Caller | None, request_id: str) -> web.Response:
        metrics.REFUSALS.labels(refusal.code).inc()
        method = head.method if head.method in grammar.METHODS else "OTHER"
        self._audit.put("refused", request_id, caller, method=method, peer=head.peer, code=refusal.code, status=refusal.status)
        # A client that waits for 100 Continue may send its body after all, or not: nobody could tell it from a request.
        close = self.draining or refusal.status in CLOSING or bool(head.values(b"expect"))
        return error_response(refusal, request_id, close=close)


def head_of(request: web.BaseRequest) -> RequestHead:
    """The request as it was sent: aiohttp's decoded views are not looked at."""
    message = request._message  # not request.version, which would remember what handle() may have to replace
    peername = request.transport.get_extra_info("peername") if request.transport is not None else None
    return RequestHead(
        method=request.method,
        target=request.raw_path.encode("utf-8", "surrogateescape"),
        version=(message.version.major, message.version.minor),
        headers=tuple(request.raw_headers),
        peer=str(peername[0]).partition("%")[0] if peername else "",
    )


def _length(head: RequestHead, body: object | None) -> str | None:
    lengths = head.values(b"content-length")
    if not lengths:
        return None
    # `Content-Length: 0` is a fact of its own (POST without a body): passed on.
    return lengths[0].decode() if body is not None or lengths[0] == b"0" else None


def error_response(refusal: Refusal, request_id: str, *, close: bool = False) -> web.Response:
    """A refusal as HTTP."""
    response = web.Response(status=refusal.status, headers=refusal.headers(request_id), body=refusal.body(request_id))
    response.headers["Server"] = "devbox-gateway"
    if close:
        response.force_close()
    return response


def abort(request: web.BaseRequest) -> None:
    """Cut the client's connection: an end without the last chunk is the only honest one."""
    if request.transport is not None:
        request.transport.abort()


class _Handler(RequestHandler):
    """aiohttp's connection, less its own words in errors and logs."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if request.writer.output_size > 0:
            raise ConnectionError("the response has begun")
        request_id = f"req_{uuid.uuid4().hex}"
        refusal = Refusal.MALFORMED_REQUEST if status < 500 else Refusal.INTERNAL
        metrics.REFUSALS.labels(refusal.code).inc()
        if refusal is Refusal.INTERNAL:
            # The kind of the error and where: its text may quote the request.
            frames = exc.__traceback__ if exc else None
            while frames and frames.tb_next:
                frames = frames.tb_next
            where = f"{frames.tb_frame.f_code.co_filename}:{frames.tb_lineno}" if frames else ""
            log.error("request_failed", request_id=request_id, error=type(exc).__name__, where=where)
        return error_response(refusal, request_id, close=True)


class _Server(web.Server):
    def __call__(self) -> RequestHandler:
        return _Handler(self, loop=self._loop, **self._kwargs)


class DataPort:
    """The listening socket and its connections."""

    def __init__(self, gateway: Gateway, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        require_c_parser()
        self._gateway = gateway
        server = _Server(
            gateway.handle,
            handler_cancellation=True,  # a client that leaves ends its request to the API
            keepalive_timeout=KEEPALIVE_SECONDS,
            access_log=None,
            logger=_silent,
            max_line_size=grammar.MAX_LINE,
            max_field_size=grammar.MAX_FIELD,
            max_headers=grammar.MAX_HEADERS,
            auto_decompress=False,
            read_bufsize=2**16,
            lingering_time=2.0,
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=0.1)
        self._host, self._port, self._tls = host or None, port, tls
        self._site: web.TCPSite | None = None

    async def start(self) -> int:
        """Listen; returns the port."""
        await self._runner.setup()
        self._site = web.TCPSite(self._runner, self._host, self._port, ssl_context=self._tls, backlog=1024)
        await self._site.start()
        return int(self._runner.addresses[0][1])

    def drain(self) -> None:
        """Serve on, but let every answer end its connection."""
        self._gateway.draining = True

    async def stop(self, seconds: float) -> None:
        """Take no new connection, close the idle ones, let requests end for `seconds`, then cut what is left."""
        if self._site is not None:
            await self._site.stop()
        server = self._runner.server
        if server is not None:
            server.pre_shutdown()
            deadline = time.monotonic() + seconds
            while server.connections and time.monotonic() < deadline:  # noqa: ASYNC110 (aiohttp has no event for it)
                await asyncio.sleep(0.05)
            await server.shutdown(timeout=0.1)
        await self._runner.cleanup()


def require_c_parser() -> None:
    """aiohttp's pure-Python parser takes requests that its C parser refuses: never serve on it."""
    if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
        raise RuntimeError("aiohttp runs without its C extension; install the wheel, and unset AIOHTTP_NO_EXTENSIONS")
