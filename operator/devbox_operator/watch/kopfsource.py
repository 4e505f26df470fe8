"""Kopf's lists and watches, by our own client: page by page by size, and nothing of an object but who it is.

Goes in: the API. Comes out: functions that kopf asks in place of its own, and when the API server last answered them. Given
to it before it starts.

By itself kopf asks once, at its start, which kinds there are, and never watches one that is missing in that answer, which may be that of an
API server that does not know of it yet. So it is told which there are; the lists are asked for until they come.

By itself kopf asks for whole objects, some hundred at a time whatever they weigh, and keeps each for seconds in a task of its own: what
thousands of Devboxes of 1 MiB come to is more than any limit. Handlers only put a key into the queue (handlers.py), so that name, version
and the time of deletion are enough for them. There is no setting for it; names of kopf's that are gone end the operator at its start.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator
from typing import Any, Final

import aiohttp
import structlog
from kopf._cogs.clients import fetching, scanning, watching
from kopf._cogs.structs.references import Resource

from devbox_api import names
from devbox_common.kube import ApiError, KubeApi, Object
from devbox_operator.kit import paths

KEPT: Final = ("name", "namespace", "uid", "resourceVersion", "deletionTimestamp")
PAUSES: Final = (0.1, 0.3, 1.0, 2.0, 5.0)
"""Seconds before the next request, after so many failures in a row."""

_VERBS: Final = frozenset({"list", "watch"})
KINDS: Final = (
    *(
        Resource(names.GROUP, names.VERSION, plural, namespaced=True, verbs=_VERBS)
        for plural in ("devboxes", "gatewayconfigs", "egresspolicies")
    ),
    Resource("", "v1", "namespaces", namespaced=False, verbs=_VERBS),
)
"""What handlers.py has handlers for."""

log = structlog.get_logger()


class Source:
    """Lists and watches, as kopf's own functions give them."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api
        self._failures: dict[str, int] = {}
        self._heard: dict[str, float] = {}
        """When the API server last said anything about what is asked for (monotonic seconds), or when it was first asked."""

    def last_event(self) -> float:
        """Of the most silent of them; now while kopf has asked for none."""
        return min(self._heard.values(), default=time.monotonic())

    async def kinds(self, **_: Any) -> tuple[Resource, ...]:
        """What there is to watch, whatever the API server knows of it by now. It is asked all the same: what kopf is told before its other
        tasks wait for it they never hear, and a question over the network takes longer than they take."""
        with contextlib.suppress(ApiError):
            await self._api.request("GET", paths.DEVBOXES)
        return KINDS

    async def objects(self, *, resource: Any, namespace: str | None, **_: Any) -> AsyncIterator[tuple[list[Object], str]]:
        """A page, and the list's version."""
        path = self._asked(resource, namespace)
        try:
            async with contextlib.aclosing(self._api.pages(path, metadata_only=True)) as pages:
                async for page in pages:
                    self._heard[path] = time.monotonic()
                    yield [_thin(item) for item in page.items], page.version
        except ApiError as error:
            await self._failed(path, error)
            # Kopf begins anew after this one alone.
            raise aiohttp.ClientConnectionError from None
        self._worked(path)

    async def events(
        self, *, resource: Any, namespace: str | None, since: str | None = None, **_: Any
    ) -> AsyncIterator[Object]:
        """Until the watch ends; kopf goes on where it ended, or from a new list."""
        path = self._asked(resource, namespace)
        try:
            watch = self._api.watch(path, since or "0", opened=lambda: self._worked(path), metadata_only=True)
            async with contextlib.aclosing(watch) as stream:
                async for event in stream:
                    self._heard[path] = time.monotonic()
                    kind, item = event["type"], _thin(event["object"])
                    del event
                    yield {"type": kind, "object": item}
        except ApiError as error:
            if error.status == 410:
                yield {"type": "ERROR", "object": {"code": 410}}
            else:
                await self._failed(path, error)

    def _asked(self, resource: Any, namespace: str | None) -> str:
        path = "/" + str(resource.get_url(namespace=namespace)).lstrip("/")
        self._heard.setdefault(path, time.monotonic())
        return path

    def _worked(self, path: str) -> None:
        self._heard[path] = time.monotonic()
        self._failures.pop(path, None)

    async def _failed(self, path: str, error: ApiError) -> None:
        failures = self._failures[path] = self._failures.get(path, 0) + 1
        log.warning("watch_failed", path=path, status=error.status, reason=error.reason, tries=failures)
        pause = PAUSES[min(failures, len(PAUSES)) - 1]
        await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 (jitter)


def install(source: Source) -> None:
    """Have kopf ask that."""
    for module, name, function in (
        (fetching, "fetch_objs", source.objects),
        (watching, "watch_objs", source.events),
        (scanning, "scan_resources", source.kinds),
    ):
        getattr(module, name)
        setattr(module, name, function)


def _thin(item: Object) -> Object:
    metadata = {key: item["metadata"][key] for key in KEPT if key in item["metadata"]}
    return {"apiVersion": item.get("apiVersion"), "kind": item.get("kind"), "metadata": metadata}
