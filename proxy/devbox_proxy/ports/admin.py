"""The admin port: health and metrics, for the kubelet and Prometheus. On the pod only, in no Service."""

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from devbox_common import adminport
from devbox_common.clock import now
from devbox_proxy.accounting.limits import Load
from devbox_proxy.kit import metrics
from devbox_proxy.known.facts import LIVE
from devbox_proxy.known.state import ClusterState
from devbox_proxy.reviews.questions import Urgency
from devbox_proxy.reviews.reviewer import Reviewer
from devbox_proxy.reviews.waiting import Waiting
from devbox_proxy.reviews.warm import Warmth
from devbox_proxy.settings import Listen


class AdminPort:
    """/healthz, /readyz, /metrics."""

    def __init__(
        self, load: Load, waiting: Waiting, state: ClusterState, reviewer: Reviewer, warmth: Warmth, *, listen: Listen
    ) -> None:
        self._load = load
        self._waiting = waiting
        self._state = state
        self._reviewer = reviewer
        self._warmth = warmth
        self.draining = False
        self._text = adminport.Metrics(self._write)
        answers = {"/healthz": self._healthz, "/readyz": self._readyz, "/metrics": self._metrics}
        self._port = adminport.AdminPort(answers, listen.host, listen.admin, refused=metrics.cut)

    async def start(self) -> int:
        """Listen; returns the port."""
        return await self._port.start()

    async def stop(self) -> None:
        """Stop listening."""
        await self._port.stop()

    async def _healthz(self) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self) -> web.Response:
        if self.draining:
            return web.Response(status=503, text="draining\n")
        if not self._state.known.synced:
            return web.Response(status=503, text="the first lists from the API server are not in yet\n")
        if self._state.floor is None:
            return web.Response(status=503, text="the operator has not written the floor document yet, or it is lost\n")
        # Not live is still ready, for a while: what is known goes on being served when the API server is away.
        if (silent := self._state.silent()) is not None:
            return web.Response(status=503, text=f"{silent}\n")
        if not self._warmth.started:
            return web.Response(status=503, text=f"{self._warmth.said()}\n")
        return web.Response(text="ok\n")

    async def _metrics(self) -> web.Response:
        return web.Response(body=self._text.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    def _write(self) -> bytes:
        known = self._state.known
        metrics.IN_FLIGHT.set(self._load.requests.total)
        metrics.CONNECTIONS.set(self._load.sockets)
        metrics.TUNNELS.set(self._load.tunnels.total)
        metrics.ROUTES.set(len(known.routes))
        metrics.WAITING.set(self._waiting.count)
        metrics.AWAY.set(known.api_away_since is not None)
        metrics.AT_ONCE.set(self._reviewer.limiter.at_once)
        for urgency in Urgency:
            metrics.QUEUED.labels(urgency.value).set(self._reviewer.queued(urgency))
        for watch, as_of in (("routes", known.routes_as_of), ("pods", known.pods_as_of)):
            metrics.LIVE.labels(watch).set(as_of == LIVE)
            metrics.AGE.labels(watch).set(0.0 if as_of == LIVE else now() - as_of)
        return generate_latest(metrics.REGISTRY)
