"""One connection of a devbox to the forward proxy: heads are read and answered until one becomes a tunnel, or is refused.

Goes in: bytes. Comes out: answers, a dial, and then everything goes to the `Tunnel`. Only a 407 for a CONNECT without a token leaves the
connection open, since clients (git) ask like that at first. Its deadlines are looked at from outside (`check`).
"""

import asyncio
from collections.abc import Callable, Coroutine
from time import monotonic as now
from typing import Any, Final

import structlog

from devbox_api.judge.refusals import Refusal
from devbox_proxy.decide.admission import Refuse
from devbox_proxy.decide.connect_decision import Grant
from devbox_proxy.kit.ids import new_request_id, where
from devbox_proxy.kit.transports import Side
from devbox_proxy.tunnels import whereabouts
from devbox_proxy.tunnels.far_side import FarSide
from devbox_proxy.tunnels.forwarder import Forwarder
from devbox_proxy.tunnels.tunnel import Stage, Tunnel
from devbox_proxy.wire import connect_head, mistaken
from devbox_proxy.wire.connect_head import ConnectRequest, HeadReader

CHALLENGES: Final = 8
"""So many 407 leave a connection open."""

log = structlog.get_logger()


class ConnectConnection(Side):
    """asyncio's callbacks on one side, a head's reader or a tunnel on the other."""

    __slots__ = (
        "_challenges",
        "_early",
        "_forwarder",
        "_on_lost",
        "_on_made",
        "_reader",
        "_request",
        "_request_id",
        "_since",
        "_started",
        "_task",
        "_vouch",
        "peer",
        "tunnel",
    )

    def __init__(
        self,
        forwarder: Forwarder,
        peer: str,
        *,
        on_made: "Callable[[ConnectConnection], None]",
        on_lost: "Callable[[ConnectConnection], None]",
        vouch: Callable[[], None] | None = None,
    ) -> None:
        """`on_made`, `on_lost`: told when there is a connection, and when it is gone; `vouch()`: told that a CONNECT on it was
        authenticated."""
        super().__init__()
        self.peer = peer
        """The IP address that the connection comes from."""
        self.tunnel: Tunnel | None = None
        self._forwarder = forwarder
        self._on_made = on_made
        self._on_lost = on_lost
        self._vouch = vouch
        self._reader = HeadReader(forwarder.settings.head_bytes)
        self._request: ConnectRequest | None = None
        """The one that is decided about."""
        self._early = b""
        """What came behind it."""
        self._task: asyncio.Task[None] | None = None
        self._challenges = 0
        self._request_id = ""
        self._started = self._since = now()
        """When the CONNECT was read; when the present wait for one began."""

    # asyncio.Protocol

    def connection_made(self, transport: Any) -> None:
        """A devbox is there."""
        self.transport = transport
        transport.set_write_buffer_limits(high=self._forwarder.write_buffer)
        self._on_made(self)

    def data_received(self, data: bytes) -> None:
        if self.closing_at is not None:
            return
        if self.tunnel is not None:
            self.tunnel.from_client(data)
        elif self._request is not None:
            self._early += data  # one read of it: reading is paused
        else:
            self._feed(data)

    def eof_received(self) -> bool:
        if self.tunnel is None or self.closing_at is not None:
            return False
        self.tunnel.client_eof()
        return True

    # Side

    def lost(self) -> None:
        """The connection is gone."""
        self._on_lost(self)
        if self._task is not None:
            self._task.cancel()
        if self.tunnel is not None:
            tunnel, self.tunnel = self.tunnel, None
            tunnel.client_lost()

    def writable(self, *, writable: bool) -> None:
        """Backpressure from the devbox."""
        if self.tunnel is not None:
            self.tunnel.client_writable(writable=writable)

    # for the port

    @property
    def busy(self) -> bool:
        """A tunnel, or a CONNECT that is decided about. What was refused, or is over but for the devbox's own taking its time, is neither:
        it is no tunnel that counts (forwarder.leave), and would keep others' places as long as it likes."""
        if self.tunnel is not None:
            return self.tunnel.stage is not Stage.DONE
        return self._request is not None and self.closing_at is None

    def close_idle(self) -> None:
        """Close if nothing is under way: the gateway is going."""
        if not self.busy:
            self.finish()

    def shut_down(self) -> None:
        """Cut it: the gateway's time is over."""
        self.abort()

    def abort(self) -> None:
        """Cut it."""
        if self.tunnel is not None:
            self.tunnel.cut("shutdown")
        self.abort_connection()

    def check(self, present: float) -> None:
        """Look at the deadlines (monotonic seconds). Called about twice a second."""
        if self.closing_at is not None:
            if present > self.closing_at:
                self.abort_connection()
        elif self.tunnel is not None:
            self.tunnel.check(present)
        elif self._request is None and present - self._since > self._forwarder.settings.head_seconds:
            if self._reader.begun:
                self._refuse(Refuse(Refusal.REQUEST_TIMEOUT))
            else:
                self.abort_connection()

    # heads

    def _feed(self, data: bytes) -> None:
        """One read: heads, one after the other."""
        while (found := self._reader.feed(data)) is not None:
            if isinstance(found, Refusal):
                self._refuse(Refuse(found, said=mistaken.said(found, self._reader.seen)))
                return
            head, data = found
            if head == whereabouts.ASKED:
                self._say_where()
                return
            request = connect_head.read(head, self.peer)
            if isinstance(request, ConnectRequest):
                self._request, self._early = request, data
                self._begin(request)
                return
            stays = request is Refusal.PROXY_TOKEN_MISSING and self._challenges < CHALLENGES
            if not stays or self._forwarder.load.draining:
                self._refuse(Refuse(request, said=mistaken.said(request, head)))
                return
            self._challenges += 1
            self._since = now()
            self._say(Refuse(request), close=False)

    def _say_where(self) -> None:
        """To whoever asks which pod this is, and close."""
        if self.transport is not None:
            here = self.transport.get_extra_info("sockname")
            forwarder = self._forwarder
            self.write(whereabouts.CROWDED if forwarder.crowded() else whereabouts.answer(str(here[0]), forwarder.whereabouts))
            self.finish()

    def _begin(self, request: ConnectRequest) -> None:
        """A CONNECT is whole: nothing more is read until it is decided."""
        self._request_id = new_request_id()
        self._started = now()
        self.pause(paused=True)
        decision = self._forwarder.decide(request)
        if isinstance(decision, Refuse):
            self._refuse(decision)
        elif isinstance(decision, Grant):
            self._start(self._open(request, decision))
        else:
            self._start(self._wait(request, decision))

    def _start(self, work: Coroutine[None, None, None]) -> None:
        self._task = asyncio.create_task(work)
        self._task.add_done_callback(self._worked)

    def _worked(self, task: "asyncio.Task[None]") -> None:
        self._task = None
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("request_failed", request_id=self._request_id, error=type(error).__name__, where=where(error))
            if self.tunnel is None:
                self._refuse(Refuse(Refusal.INTERNAL))
            else:
                self.tunnel.cut("internal")

    async def _wait(self, request: ConnectRequest, decision: Any) -> None:
        final = await self._forwarder.wait(request, decision)
        if isinstance(final, Refuse):
            self._refuse(final)
        else:
            await self._open(request, final)

    async def _open(self, request: ConnectRequest, grant: Grant) -> None:
        """Dial, and make a tunnel of it."""
        # Not by a `finally` that looks whether self.tunnel is there: compiled, that reads it as what the try's last line made it (mypyc
        # 2.4.1), and a TypeError takes the place of leave() where there is none.
        forwarder = self._forwarder
        if self._vouch is not None:
            self._vouch()
        forwarder.load.activity.seen(grant.caller.pod_uid)
        tunnels = forwarder.load.tunnels
        refusal = tunnels.enter(grant.caller)
        try:
            outcome = Refuse(refusal, grant.caller) if refusal is not None else await self._dial(request, grant)
        except BaseException:
            tunnels.leave(grant.caller)
            raise
        if isinstance(outcome, Refuse):
            tunnels.leave(grant.caller)
            self._refuse(outcome)
            return
        tunnel, far = outcome
        self.tunnel = tunnel
        early, self._early = self._early, b""
        self.write(connect_head.ESTABLISHED)
        self.pause(paused=False)
        far.attach(tunnel, forwarder.write_buffer)
        tunnel.begin(early)

    async def _dial(self, request: ConnectRequest, grant: Grant) -> tuple[Tunnel, FarSide] | Refuse:
        """A tunnel that has not begun, its first audit line written; or why there is none."""
        forwarder = self._forwarder
        outcome = await forwarder.dial(grant, FarSide)
        if isinstance(outcome, Refuse):
            return outcome
        far, address = outcome
        if not forwarder.recorder.tunnel_starts(self._request_id, grant, address):
            far.abort_connection()
            return Refuse(Refusal.AUDIT_FULL, grant.caller)
        tunnel = Tunnel(
            forwarder,
            self,
            far,
            request=request,
            grant=grant,
            address=address,
            request_id=self._request_id,
            started=self._started,
        )
        return tunnel, far

    # no

    def _refuse(self, refuse: Refuse) -> None:
        """Say so and close: nobody could tell what follows from a request."""
        self._say(refuse, close=True)
        self.finish()

    def _say(self, refuse: Refuse, *, close: bool) -> None:
        if refuse.verified and refuse.caller is not None:
            self._forwarder.load.activity.seen(refuse.caller.pod_uid)
        request_id = self._request_id or new_request_id()
        target = self._request.target.text if self._request is not None else ""
        self._forwarder.recorder.tunnel_refused(refuse, request_id, self.peer, target)
        self.write(connect_head.answer(refuse.refusal, request_id, said=refuse.said, close=close))
