"""The admin port of both programs: health and metrics over HTTP, for the kubelet and Prometheus, and for nobody else to make use of.

Goes in: paths and what each says. Comes out: a port that answers. Whoever may reach it is nobody who is known, so it has few places, a
few for each address, one request for each connection, and a few seconds for all of that.
"""

from collections.abc import Awaitable, Callable, Mapping
from time import monotonic
from typing import Final

from aiohttp import web

from .briefserver import Bounds, BriefServer

CONNECTIONS: Final = 64
PER_ADDRESS: Final = 16
SECONDS: Final = 10.0
"""For a connection, from its first packet to its last: Prometheus gives up a scrape after as long."""
REST: Final = 4
"""After metrics took some time to be written they are handed out as they are for so many times as long."""

Answer = Callable[[], Awaitable[web.Response]]


class AdminPort:
    """Answers GET."""

    def __init__(
        self, answers: Mapping[str, Answer], host: str, port: int, *, refused: Callable[[str], None] = lambda why: None
    ) -> None:
        app = web.Application()
        for path, answer in answers.items():
            app.router.add_get(path, _handler(answer))
        self._server = BriefServer("admin", app, (host, port), Bounds(CONNECTIONS, PER_ADDRESS, SECONDS), refused=refused)

    async def start(self) -> int:
        """Listen; returns the port."""
        return await self._server.start()

    async def stop(self) -> None:
        """Cut what is open, and listen no more."""
        await self._server.stop()


def _handler(answer: Answer) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handler(_: web.Request) -> web.Response:
        return await answer()

    return handler


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
