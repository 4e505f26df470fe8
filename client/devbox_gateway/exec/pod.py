"""Where commands run: a pod, and whom to ask what it is about when nothing can be begun in it.

Goes in: names, and a question for the devbox's state. Comes out: `namespace/name`, which is handed on as text.
"""

from collections.abc import Awaitable, Callable

from devbox_gateway.errors import DevboxGatewayError

Reason = Callable[[str, DevboxGatewayError], Awaitable[DevboxGatewayError]]
"""Of a pod and what the API server answered: the error that says why."""


class Pod(str):
    """`namespace/name`."""

    _reason: Reason

    @classmethod
    def of(cls, namespace: str, name: str, reason: Reason) -> "Pod":
        """Of a devbox, which is asked for the reason."""
        made = cls(f"{namespace}/{name}")
        made._reason = reason
        return made

    async def reason(self, error: DevboxGatewayError) -> DevboxGatewayError:
        """Why nothing could be begun in it."""
        return await self._reason(self.partition("/")[2], error)
