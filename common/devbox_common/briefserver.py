"""An HTTP server for callers who ask little and seldom: few places, a few of them for each address, one request for each connection, and
a few seconds for all of that.

Goes in: an aiohttp application and its bounds. Comes out: a port that answers. Called by the admin ports of both programs, and by the
gateway's activity port.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Final, NamedTuple

from aiohttp import web

from .door import BriefDoor
from .seats import Seats

GRACE_SECONDS: Final = 0.0
"""A caller's request comes with its connection, so the last to come is the one that means it."""
LOOK_SECONDS: Final = 0.02


class Bounds(NamedTuple):
    """How much it takes on."""

    connections: int
    per_address: int
    seconds: float
    """For a connection, from its first packet to its last."""


class BriefServer:
    """Listens, answers, and closes."""

    def __init__(
        self,
        name: str,
        app: web.Application,
        address: tuple[str, int],
        bounds: Bounds,
        *,
        tls: ssl.SSLContext | None = None,
        wait: Callable[[str], float] | None = None,
        refused: Callable[[str], None] = lambda why: None,
    ) -> None:
        """`tls`: None for plain HTTP; `wait(address)`: seconds before its handshake may begin; `refused(why)`: a connection was closed, or
        cut for another."""
        app.middlewares.append(_once)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=2.0, lingering_time=0)
        self._name, self._address, self._bounds = name, address, bounds
        self._tls, self._wait = tls, wait
        self._refused = refused
        self._seats = Seats(bounds.connections, bounds.per_address, strangers=bounds.connections, grace=GRACE_SECONDS)
        self._door: BriefDoor | None = None

    async def start(self) -> int:
        """Listen; returns the port."""
        await self._runner.setup()
        server = self._runner.server
        assert server is not None  # noqa: S101 (for the type checker)
        self._door = BriefDoor(
            self._name,
            self._address,
            self._seats,
            server,
            seconds=self._bounds.seconds,
            tls=self._tls,
            wait=self._wait,
            refused=self._refused,
        )
        return await self._door.open()

    async def stop(self, seconds: float = 0.0) -> None:
        """Cut what is still open after so many seconds, and listen no more."""
        until = monotonic() + seconds
        while len(self._seats) and monotonic() < until:  # noqa: ASYNC110 (each of them ends by itself)
            await asyncio.sleep(LOOK_SECONDS)
        if self._door is not None:
            await self._door.close()
        await self._runner.cleanup()


@web.middleware
async def _once(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
    """One request for each connection."""
    try:
        response = await handler(request)
    except web.HTTPException as refusal:
        refusal.force_close()
        raise
    response.force_close()
    return response
