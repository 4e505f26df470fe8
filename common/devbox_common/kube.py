"""The Kubernetes API over HTTP: requests with JSON in and out, lists in pages, watches, server-side apply.

Goes in: paths and plain dicts. Comes out: plain dicts, or an `ApiError` whose text is the API server's own message. The generated
models of the `kubernetes` package are not used, since everything here is level-triggered on whole objects.

A page of a list has as many objects as fit into PAGE_BYTES: one that turns out larger is cut off, and asked for in smaller ones.
"""

from __future__ import annotations  # in a class with a method `list`, Python 3.14 takes `list[…]` for that method

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import aiohttp
import orjson
from aiohttp import hdrs

from devbox_api import names

from .access import Access, find
from .answers import OBJECT_BYTES, Answer, ApiError, Object, Reader, TooLargeError, error_of
from .clock import CLOCK, Clock
from .guarded import Guarded, NotSentError
from .sockets import Sockets

__all__ = ("APPLY_PATCH", "JSON_PATCH", "MERGE_PATCH", "ApiError", "KubeApi", "Object", "Page")

PAGE: Final = 500
"""Objects a page at most: what kubectl asks for."""
FIRST_PAGE: Final = 50
"""Objects of the first page, of which nothing is known: the API server makes the whole of it, whether it is taken or not."""
PAGE_BYTES: Final = 4 << 20
"""Of a page with more than one object. As Python's objects these may be twenty times as many (a map of many short names)."""
FULL: Final = 0.75
"""Part of PAGE_BYTES that the next page is to have, if its objects are as large as those before."""
WATCH_SECONDS: Final = 290
"""The API server ends a watch after this long; below the 5 min at which it would by itself."""
SILENT_SECONDS: Final = 60
"""A watch that said nothing for this long is opened anew: the answer tells a kind in which nothing changes (bookmarks come with
changes only) from a connection that something in between keeps open though it is dead, which no keepalive finds."""
OPEN_SECONDS: Final = 10
"""The API server answers a request for a watch within this."""
APPLY_PATCH: Final = "application/apply-patch+yaml"
MERGE_PATCH: Final = "application/merge-patch+json"
JSON_PATCH: Final = "application/json-patch+json"


class Page(NamedTuple):
    """A part of a list."""

    items: list[Object]
    """Emptied when the next page is asked for."""
    version: str
    """The resourceVersion of the whole list."""


class KubeApi:
    """One connection pool to one API server."""

    def __init__(
        self,
        access: Access,
        *,
        silent_seconds: float = SILENT_SECONDS,
        open_seconds: float = OPEN_SECONDS,
        clock: Clock = CLOCK,
    ) -> None:
        self._access = access
        self.base = access.base
        """The API server's URL."""
        self._silent_seconds, self._open_seconds = silent_seconds, open_seconds
        self._clock, self._telling = clock, contextlib.ExitStack()
        self._sockets = Sockets()
        connector = aiohttp.TCPConnector(ssl=access.tls or True, limit=0, socket_factory=self._sockets.make)
        self._session = aiohttp.ClientSession(
            connector=connector,
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=2**18,
            headers={
                hdrs.ACCEPT: "application/json",
                # A few KiB may be the compressed form of hundreds of MiB.
                hdrs.ACCEPT_ENCODING: "identity",
                hdrs.USER_AGENT: "devbox-gateway",
            },
        )
        self._reader = Reader()

    @classmethod
    async def connect(cls, kubeconfig: Path | None = None) -> Self:
        """A client for `kubeconfig`, or for the cluster we run in, or for $KUBECONFIG; the first that there is. Raises NoAccess."""
        return cls(await find(kubeconfig))

    async def __aenter__(self) -> Self:
        # After a pause nobody knows which connections are dead: what is under way on them is asked again on others.
        self._telling.enter_context(self._clock.telling(lambda _: self._sockets.cut()))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._telling.close()
        await self.close()

    async def close(self) -> None:
        """Close the pool, and what is left of its connections."""
        await self._session.close()
        await self._sockets.hang_up()

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | Sequence[Any] | None = None,
        content_type: str = "application/json",
        timeout: float = 10.0,  # noqa: ASYNC109 (a network time-out, not a scope)
        may_send: Callable[[], bool] | None = None,
    ) -> Object:
        """Send one request and return the JSON answer. Raises `ApiError`; `timeout` in seconds, for the whole exchange.

        `may_send()` is asked when a request that has a body is about to go out; raises `NotSentError` if it says no.
        """
        answer = await self.exchange(
            method, path, params=params, body=body, content_type=content_type, timeout=timeout, may_send=may_send
        )
        return answer.content

    async def exchange(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | Sequence[Any] | None = None,
        content_type: str = "application/json",
        timeout: float = 10.0,  # noqa: ASYNC109 (a network time-out, not a scope)
        may_send: Callable[[], bool] | None = None,
        accept: str = "application/json",
        most: int = OBJECT_BYTES,
    ) -> Answer:
        """The same, with the answer's size; `most`: bytes that it may have. Raises `TooLargeError`, too."""
        data = None if body is None else Guarded(orjson.dumps(body), may_send)
        headers = {hdrs.ACCEPT: accept, **await self._headers(content_type if body is not None else None)}
        asked = self._clock.now()
        try:
            async with self._session.request(
                method,
                self.base + path,
                params=params,
                data=data,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=timeout),
                allow_redirects=False,
            ) as response:
                self._clock.heard(response.headers.get(hdrs.DATE), asked)
                return await self._reader.answer(response, most)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            if data is not None and data.withheld:
                raise NotSentError from None
            raise _unreachable(error) from None

    async def list(self, path: str, params: Mapping[str, str] | None = None) -> tuple[list[Object], str]:
        """All objects under `path` and the resourceVersion of the list. Raises `ApiError`."""
        items: list[Object] = []
        version = ""
        async for page in self.pages(path, params):
            items += page.items
            version = page.version
        return items, version

    async def pages(
        self, path: str, params: Mapping[str, str] | None = None, *, metadata_only: bool = False
    ) -> AsyncGenerator[Page]:
        """The same, as many at a time as fit into PAGE_BYTES: for whoever need not hold all of them as they came. `metadata_only`: without
        spec, status and data. Raises `ApiError`."""
        query, limit = dict(params or {}), FIRST_PAGE
        accept = _accept("List") if metadata_only else "application/json"
        while True:
            query["limit"] = str(limit)
            most = PAGE_BYTES if limit > 1 else OBJECT_BYTES
            try:
                answer, size = await self.exchange("GET", path, params=query, timeout=60.0, accept=accept, most=most)
            except TooLargeError:
                if limit == 1:
                    raise
                limit = max(1, limit // 4)
                continue
            kind, version = str(answer.get("kind", "List")).removesuffix("List"), answer.get("apiVersion", "v1")
            # Items of a list carry neither kind nor apiVersion; a watch's events do. The same shape for both.
            items = [{"apiVersion": version, "kind": kind, **item} for item in answer.get("items") or ()]
            metadata = answer["metadata"]
            limit = _next_limit(limit, len(items), size)
            del answer  # nothing of this page is held while the next one is on its way
            yield Page(items, metadata.get("resourceVersion", ""))
            items.clear()
            if not metadata.get("continue"):
                return
            query["continue"] = metadata["continue"]

    async def watch(
        self,
        path: str,
        resource_version: str,
        params: Mapping[str, str] | None = None,
        *,
        opened: Callable[[], None] = lambda: None,
        metadata_only: bool = False,
    ) -> AsyncGenerator[Object]:
        """Events after `resource_version` (`{"type", "object"}`), bookmarks included, until the watch ends.

        It ends when the server ends it and after a minute without a word; the caller goes on with a new one. `opened()` is
        called when the server has agreed; `metadata_only`: as `pages` has it. Raises `ApiError`; status 410: the version is too old, the
        caller has to list anew.
        """
        query = {
            **(params or {}),
            "watch": "true",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_SECONDS),
            "resourceVersion": resource_version,
        }
        try:
            request = self._session.get(
                self.base + path,
                params=query,
                headers={hdrs.ACCEPT: _accept() if metadata_only else "application/json", **await self._headers(None)},
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=self._silent_seconds),
                allow_redirects=False,
            )
            async with contextlib.AsyncExitStack() as stack:
                async with asyncio.timeout(self._open_seconds):
                    response = await stack.enter_async_context(request)
                    if response.status != 200:
                        await self._reader.answer(response)
                opened()
                with contextlib.suppress(aiohttp.SocketTimeoutError):
                    async for event in self._reader.events(response.content):
                        if event["type"] == "ERROR":
                            raise error_of(event["object"].get("code", 500), event["object"])
                        yield event
                        del event
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _unreachable(error) from None

    async def apply(self, path: str, body: Object, *, may_send: Callable[[], bool] | None = None) -> Object:
        """Server-side apply as `names.FIELD_MANAGER`, taking fields over from other managers. `may_send`: as `request` has it."""
        query = {"fieldManager": names.FIELD_MANAGER, "force": "true"}
        return await self.request("PATCH", path, params=query, body=body, content_type=APPLY_PATCH, may_send=may_send)

    async def _headers(self, content_type: str | None) -> dict[str, str]:
        headers: dict[str, str] = {} if content_type is None else {hdrs.CONTENT_TYPE: content_type}
        if (authorization := await self._access.authorization()) is not None:
            headers[hdrs.AUTHORIZATION] = authorization.reveal()
        return headers


def _accept(what: str = "") -> str:
    """Objects without spec, status and data."""
    return f"application/json;as=PartialObjectMetadata{what};g=meta.k8s.io;v=v1"


def _next_limit(limit: int, came: int, size: int) -> int:
    """Objects of the next page: as many as would fit, were they as those before; and no sudden leap, since they need not be."""
    fit = int(PAGE_BYTES * FULL * came / size) if came else PAGE
    return max(1, min(PAGE, 4 * limit, fit))


def _unreachable(error: BaseException) -> ApiError:
    # Only the kind of the error: an aiohttp error's text may quote what was sent.
    return ApiError(0, "Unreachable", f"no answer from the API server ({type(error).__name__})")
