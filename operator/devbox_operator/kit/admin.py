"""The admin port: /healthz, /readyz, /metrics.

Goes in: functions that say how we are. Comes out: the port. A standby is ready: it serves nobody either way.
"""

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from devbox_common.adminport import AdminPort, Metrics

SILENT: float = 600.0
"""Seconds without a word from the API server about one of the kinds that are always watched (a silent watch is opened anew every minute)
after which a restart is the better way."""


def port(
    last_event: Callable[[], float | None], synced: Callable[[], bool], observe: Callable[[], None], number: int
) -> AdminPort:
    """`last_event()`: age in seconds of the API server's last word, None for a standby. `observe()` sets gauges. On all addresses."""

    async def healthz() -> web.Response:
        age = last_event()
        if age is not None and age > SILENT:
            return web.Response(status=503, text=f"no word from the API server for {age:.0f} s\n")
        return web.Response(text="ok\n")

    async def readyz() -> web.Response:
        return web.Response(text="ok\n") if synced() else web.Response(status=503, text="not synced yet\n")

    def write() -> bytes:
        observe()
        return generate_latest()

    text = Metrics(write)

    async def metrics() -> web.Response:
        return web.Response(body=text.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return AdminPort({"/healthz": healthz, "/readyz": readyz, "/metrics": metrics}, "", number)
