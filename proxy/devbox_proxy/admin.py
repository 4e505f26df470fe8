"""The admin port: health and metrics, for the kubelet and Prometheus. On the pod only, in no Service."""

from time import monotonic

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from . import metrics
from .gateway import Gateway
from .state import State
from .view import LIVE


class AdminPort:
    """/healthz, /readyz, /metrics."""

    def __init__(self, gateway: Gateway, state: State, host: str, port: int) -> None:
        self._gateway = gateway
        self._state = state
        self.draining = False
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None)
        self._host, self._port = host or None, port

    async def start(self) -> int:
        """Listen; returns the port."""
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        if self.draining:
            return web.Response(status=503, text="draining\n")
        if not self._state.known.synced:
            return web.Response(status=503, text="the first lists from the API server are not in yet\n")
        if self._state.floor is None:
            return web.Response(status=503, text="the operator has not written the floor document yet, or it is lost\n")
        # Not live is still ready, for a while: what is known goes on being served when the API server is away.
        if (silent := self._state.silent()) is not None:
            return web.Response(status=503, text=f"{silent}\n")
        return web.Response(text="ok\n")

    async def _metrics(self, _: web.Request) -> web.Response:
        known = self._state.known
        metrics.IN_FLIGHT.set(self._gateway.requests)
        metrics.CONNECTIONS.set(self._gateway.sockets)
        metrics.TUNNELS.set(self._gateway.tunnels)
        metrics.ROUTES.set(len(known.routes))
        for watch, as_of in (("routes", known.routes_as_of), ("pods", known.pods_as_of)):
            metrics.LIVE.labels(watch).set(as_of == LIVE)
            metrics.AGE.labels(watch).set(0.0 if as_of == LIVE else monotonic() - as_of)
        return web.Response(body=generate_latest(metrics.REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST})
