"""An API server with one collection, for tests of mirrors."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import orjson
from aiohttp import web

from devbox_common.mirror import Mirror

PATH = "/api/v1/pods"


class Api:
    """An API server with one collection, whose watches and failures the test steers."""

    def __init__(self) -> None:
        self.items: dict[str, dict[str, Any]] = {}
        self.version = 1
        self.lists = 0
        self.queries: list[dict[str, str]] = []
        self.failing = False
        self.lacking = 0
        """The status with which the kind is not there, or not for us."""
        self.nonsense = False
        self.watchless = False
        """Lists are answered, watches fail."""
        self.answering = asyncio.Event()
        self.answering.set()
        self.page = 500
        self.pages = 1 << 30
        """Of a list, before it breaks."""
        self._watchers: list[asyncio.Queue[dict[str, Any] | None]] = []

    def put(self, name: str, **spec: object) -> None:
        kind = "MODIFIED" if name in self.items else "ADDED"
        self.version += 1
        item = {"metadata": {"name": name, "namespace": "ns", "resourceVersion": str(self.version)}, "spec": spec}
        self.items[name] = item
        self.send({"type": kind, "object": item})

    def delete(self, name: str, *, silently: bool = False) -> None:
        self.version += 1
        item = self.items.pop(name)
        if not silently:
            self.send({"type": "DELETED", "object": item})

    def send(self, event: dict[str, Any] | None) -> None:
        """An event for every open watch; None ends them."""
        for queue in self._watchers:
            queue.put_nowait(event)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.queries.append(dict(request.query))
        if self.failing:
            return web.json_response({"reason": "InternalError", "message": "broken"}, status=500)
        if self.lacking:
            return web.Response(status=self.lacking, text="404 page not found")
        if self.nonsense:
            return web.json_response({"kind": "PodList"})
        if request.query.get("watch") and self.watchless:
            return web.json_response({"reason": "InternalError", "message": "broken"}, status=500)
        if request.query.get("watch"):
            return await self._watch(request)
        self.lists += 1
        start = int(request.query.get("continue", "0"))
        if start >= self.page * self.pages:
            return web.json_response({"reason": "Expired", "message": "the list is too old"}, status=410)
        items = list(self.items.values())
        metadata = {"resourceVersion": str(self.version)}
        if start + self.page < len(items):
            metadata["continue"] = str(start + self.page)
        return web.json_response({"kind": "PodList", "metadata": metadata, "items": items[start : start + self.page]})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._watchers.append(queue)
        response = web.StreamResponse()
        try:
            await self.answering.wait()
            await response.prepare(request)
            while (event := await queue.get()) is not None:
                line = orjson.dumps(event) + b"\n"
                # In two pieces: a line may arrive in any number of them.
                await response.write(line[:7])
                await asyncio.sleep(0)
                await response.write(line[7:])
        finally:
            self._watchers.remove(queue)
        return response


@contextlib.asynccontextmanager
async def running(mirror: Mirror[Any]) -> AsyncIterator[None]:
    task = asyncio.create_task(mirror.run())
    try:
        await until(lambda: mirror.live)
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(condition) -> None:  # type: ignore[no-untyped-def]
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 (conditions of several kinds)
            await asyncio.sleep(0.01)


def spec(item: dict[str, Any]) -> Any:
    return item["spec"]
