"""The admin port of both programs: health and metrics over HTTP, for the kubelet and Prometheus, and for nobody else to make use of.

Goes in: paths and what each says. Comes out: a port that answers. Whoever may reach it is nobody who is known, so it has few places, a
few for each address, one request for each connection, and a few seconds for all of that.
"""

from collections.abc import Awaitable, Callable, Mapping
from time import monotonic
from typing import Final

from aiohttp import web

from .door import BriefDoor
from .seats import Seats

CONNECTIONS: Final = 64
PER_ADDRESS: Final = 16
SECONDS: Final = 10.0
"""For a connection, from its first packet to its last: Prometheus gives up a scrape after as long."""
GRACE_SECONDS: Final = 0.0
"""A probe's request comes with its connection, so the last to come is the one that means it."""
REST: Final = 4
"""After metrics took some time to be written they are handed out as they are for so many times as long."""

Answer = Callable[[], Awaitable[web.Response]]


class AdminPort:
    """Listens, answers GET, and closes."""

    def __init__(
        self, answers: Mapping[str, Answer], host: str, port: int, *, refused: Callable[[str], None] = lambda why: None
    ) -> None:
        app = web.Application(middlewares=[_once])
        for path, answer in answers.items():
            app.router.add_get(path, _handler(answer))
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=2.0, lingering_time=0)
        self._address = host, port
        self._refused = refused
        self._door: BriefDoor | None = None

    async def start(self) -> int:
        """Listen; returns the port."""
        await self._runner.setup()
        server = self._runner.server
        assert server is not None  # noqa: S101 (for the type checker)
        seats = Seats(CONNECTIONS, PER_ADDRESS, strangers=CONNECTIONS, grace=GRACE_SECONDS)
        self._door = BriefDoor("admin", self._address, seats, server, seconds=SECONDS, refused=self._refused)
        return await self._door.open()

    async def stop(self) -> None:
        """Cut what is open, and listen no more."""
        if self._door is not None:
            await self._door.close()
        await self._runner.cleanup()


def _handler(answer: Answer) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handler(_: web.Request) -> web.Response:
        return await answer()

    return handler


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


class Metrics:
    """The metrics as text. Writing them takes time in proportion to the tenants there are, and stops everything else: a fifth of it at most
    may go into that, however often somebody asks."""

    def __init__(self, write: Callable[[], bytes]) -> None:
        self._write = write
        self._text = b""
        self._until = 0.0

    def text(self) -> bytes:
        """Now, or of a moment ago."""
        if monotonic() >= self._until:
            began = monotonic()
            self._text = self._write()
            self._until = monotonic() + REST * (monotonic() - began)
        return self._text
