"""The admin port: /healthz, /readyz, /metrics.

Goes in: functions that say how we are. Comes out: an aiohttp application. A standby is ready: it serves nobody either way.
"""

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

SILENT: float = 600.0
"""Seconds without a word from the API server about one of the kinds that are always watched (a silent watch is opened anew every minute)
after which a restart is the better way."""


def application(
    last_event: Callable[[], float | None], synced: Callable[[], bool], observe: Callable[[], None]
) -> web.Application:
    """`last_event()`: age in seconds of the API server's last word, None for a standby. `observe()` sets gauges."""

    async def healthz(_: web.Request) -> web.Response:
        age = last_event()
        if age is not None and age > SILENT:
            return web.Response(status=503, text=f"no word from the API server for {age:.0f} s\n")
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n") if synced() else web.Response(status=503, text="not synced yet\n")

    async def metrics(_: web.Request) -> web.Response:
        observe()
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    return app


async def serve(app: web.Application, port: int) -> web.AppRunner:
    """Listen on all addresses; the caller cleans the runner up."""
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    await web.TCPSite(runner, port=port, shutdown_timeout=2.0).start()
    return runner
