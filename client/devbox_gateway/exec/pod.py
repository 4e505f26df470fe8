"""Where commands run: a pod, whom to ask what it is about when nothing can be begun in it, and whom to tell that something was.

Goes in: names, and a question for the devbox's state. Comes out: `namespace/name`, which is handed on as text.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext

from devbox_gateway.errors import DevboxGatewayError

from .activity import InUse

Reason = Callable[[str, DevboxGatewayError], Awaitable[DevboxGatewayError]]
"""Of a pod and what the API server answered: the error that says why."""


class Pod(str):
    """`namespace/name`."""

    _reason: Reason
    _in_use: InUse | None

    @classmethod
    def of(cls, namespace: str, name: str, reason: Reason, in_use: InUse | None = None) -> "Pod":
        """Of a devbox, which is asked for the reason. `in_use`: None where nothing becomes of one that is idle."""
        made = cls(f"{namespace}/{name}")
        made._reason, made._in_use = reason, in_use
        return made

    async def reason(self, error: DevboxGatewayError) -> DevboxGatewayError:
        """Why nothing could be begun in it."""
        return await self._reason(self.partition("/")[2], error)

    def in_use(self) -> AbstractContextManager[None]:
        """While something runs in it."""
        return nullcontext() if self._in_use is None else self._in_use.while_open()
