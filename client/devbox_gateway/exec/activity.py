"""That a devbox is in use while something of this client runs in it: a gateway sees its calls of APIs alone, not who works in it by exec.

Goes in: how to say so (an annotation of the Devbox). Comes out: it is said when something begins, and again while it lasts; a minute apart
at the least. Whoever may not say it, or can't, works on all the same.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from math import inf
from time import monotonic
from typing import Final

from devbox_gateway.errors import APIConnectionError, APITimeoutError, DevboxGatewayError
from devbox_gateway.kube.session import Session

PACE_SECONDS: Final = 60.0
"""Between two words."""
LASTS_SECONDS: Final = 150
"""For which one counts: one may come late, or be lost."""


class InUse:
    """Of one devbox."""

    def __init__(self, session: Session, path: str, said: dict[str, float], say: Callable[[], Awaitable[object]]) -> None:
        """`path`: the devbox's; `said`: when it may be said again of each path, whoever holds which object of this client; `say()`: that it
        is in use for LASTS_SECONDS from now. Raises DevboxGatewayError."""
        self._session, self._path, self._next, self._say = session, path, said, say
        self._open = 0
        self._nothing = asyncio.Event()
        self._saying: asyncio.Task[None] | None = None

    @contextmanager
    def while_open(self) -> Iterator[None]:
        """Something runs in it."""
        self._open += 1
        self._nothing.clear()
        if self._saying is None or self._saying.done():
            self._saying = self._session.beside(self._keep_saying())
        try:
            yield
        finally:
            self._open -= 1
            if not self._open:
                self._nothing.set()

    async def _keep_saying(self) -> None:
        while True:
            with suppress(TimeoutError, asyncio.TimeoutError):
                await asyncio.wait_for(self._nothing.wait(), max(0.0, self._again() - monotonic()))
            if self._again() > monotonic():
                return  # (it is over, and what was said last lasts)
            self._next[self._path] = monotonic() + PACE_SECONDS
            try:
                await self._say()
            except (APIConnectionError, APITimeoutError):
                pass
            except DevboxGatewayError:
                self._next[self._path] = inf  # (no right to, say: it will not be otherwise the next time)
            if not self._open:
                return

    def _again(self) -> float:
        return self._next.get(self._path, -inf)
