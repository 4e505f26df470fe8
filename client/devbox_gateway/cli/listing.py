"""Which devboxes `ls` shows, and what becomes of them from then on.

Goes in: names, a selector, one namespace or all. Comes out: the objects, and every change of them as it happens.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from devbox_gateway.client import AsyncDevboxGateway
from devbox_gateway.errors import APIConnectionError, InvalidError
from devbox_gateway.kube.session import Object
from devbox_gateway.naming import DEVBOX
from devbox_gateway.objects.base import where_seen
from devbox_gateway.objects.devbox import AsyncDevbox

PAUSE: Final = 0.5
WATCH_SECONDS: Final = "240"


@dataclass(frozen=True)
class Wanted:
    """Of which devboxes. `names`: of their objects; none: all."""

    names: Sequence[str] = ()
    selector: str | None = None
    everywhere: bool = False

    def path(self, client: AsyncDevboxGateway) -> str:
        """Of the collection."""
        return f"{DEVBOX.base}/{DEVBOX.plural}" if self.everywhere else DEVBOX.path(client.namespace)

    def query(self) -> dict[str, str]:
        """(A watch of several names takes all, and leaves out the others.)"""
        return {} if self.selector is None else {"labelSelector": self.selector}

    def has(self, seen: Object) -> bool:
        """It is one of them."""
        return not self.names or seen["metadata"]["name"] in self.names


async def now(client: AsyncDevboxGateway, wanted: Wanted) -> list[AsyncDevbox]:
    """Those that are there. Raises InvalidError for an invalid selector."""
    try:
        found = await client._session.list(wanted.path(client), wanted.query())
    except InvalidError as error:
        raise InvalidError("--selector" if wanted.selector else error.field, error.message) from None
    return [_devbox(client, seen) for seen in found if wanted.has(seen)]


def _devbox(client: AsyncDevboxGateway, seen: Object) -> AsyncDevbox:
    return AsyncDevbox(client.devboxes._cluster, where_seen(seen), seen)


async def changes(
    client: AsyncDevboxGateway, wanted: Wanted, known: Sequence[AsyncDevbox]
) -> AsyncIterator[tuple[AsyncDevbox, bool]]:
    """Each one that is another than it was last, and whether it is gone; without an end.

    A stream that ends, or an API server that is away for a moment, is taken up again, and what changed meanwhile is told.
    """
    last = {one.id: one for one in known}
    while True:
        with suppress(APIConnectionError):
            # (Without a version it begins with all that there is.)
            async for kind, seen in client._session.watch(
                wanted.path(client), {**wanted.query(), "timeoutSeconds": WATCH_SECONDS}
            ):
                if kind not in ("ADDED", "MODIFIED", "DELETED"):
                    break
                if not wanted.has(seen):
                    continue
                devbox = _devbox(client, seen)
                if kind == "DELETED":
                    last.pop(devbox.id, None)
                    yield devbox, True
                elif devbox.id not in last or _version(last[devbox.id]) != _version(devbox):
                    last[devbox.id] = devbox
                    yield devbox, False
            there = {one.id for one in await now(client, wanted)}
            for name in [name for name in last if name not in there]:
                yield last.pop(name), True
        await asyncio.sleep(PAUSE)


def _version(devbox: AsyncDevbox) -> str:
    return str(devbox._seen["metadata"]["resourceVersion"])
