"""A request's body that is asked about when its bytes are about to go out, not when the request was thought of.

In between, a program waits for a connection and for its turn, or is stopped (SIGSTOP, a frozen node) and goes on much later. aiohttp
sends the head together with the body's first bytes, so a body that holds itself back holds back all.
"""

from collections.abc import Callable

from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import BytesPayload


class NotSentError(Exception):
    """The request did not go out: it was no longer allowed to."""


class Guarded(BytesPayload):
    """Bytes, and whether they may be sent."""

    def __init__(self, value: bytes, may_send: Callable[[], bool] | None) -> None:
        """`may_send()`: None: always."""
        super().__init__(value)
        self._may_send = may_send
        self.withheld = False
        """It was asked, and may not."""

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Raises NotSentError, and nothing was sent."""
        if self._may_send is not None and not self._may_send():
            self.withheld = True
            raise NotSentError
        await super().write_with_length(writer, content_length)
