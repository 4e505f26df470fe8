"""The Kubernetes API over HTTP: requests with JSON in and out, lists in pages, watches, server-side apply.

Goes in: paths and plain dicts. Comes out: plain dicts, or an `ApiError` whose text is the API server's own message. The generated
models of the `kubernetes` package are not used, since everything here is level-triggered on whole objects. Called by the mirror,
by the operator's rim, by the gateway's TokenReviews.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import aiohttp
import orjson
from aiohttp import hdrs

from devbox_api import names

from .access import Access, find
from .guarded import Guarded, NotSentError
from .sockets import Sockets

Object = dict[str, Any]
"""A Kubernetes object, as the API server speaks it."""

PAGE: Final = 500
"""Objects a page: what kubectl asks for."""
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


class ApiError(Exception):
    """The API server said no, or could not be reached (`status` 0).

    `reason` is the machine-readable word of the `Status` object (`NotFound`, `AlreadyExists`, `Conflict`, `Expired`…).
    """

    def __init__(self, status: int, reason: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(f"{status} {reason}: {message}" if status else f"{reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after

    @property
    def not_found(self) -> bool:
        """The object (or its kind) is not there."""
        return self.status == 404

    @property
    def conflict(self) -> bool:
        """Somebody else was first: it exists already, or its resourceVersion moved on."""
        return self.status == 409

    @property
    def denied(self) -> bool:
        """An admission policy or a webhook said no; RBAC's refusals and what is no valid object are others."""
        return self.status in (403, 422) and (
            "ValidatingAdmissionPolicy" in self.message or "admission webhook" in self.message
        )

    @property
    def transient(self) -> bool:
        """Trying the same again later makes sense."""
        return self.status in (0, 429) or self.status >= 500


class Page(NamedTuple):
    """A part of a list."""

    items: list[Object]
    version: str
    """The resourceVersion of the whole list."""


class KubeApi:
    """One connection pool to one API server."""

    def __init__(self, access: Access, *, silent_seconds: float = SILENT_SECONDS, open_seconds: float = OPEN_SECONDS) -> None:
        self._access = access
        self._base = access.base
        self._silent_seconds, self._open_seconds = silent_seconds, open_seconds
        self._sockets = Sockets()
        connector = aiohttp.TCPConnector(ssl=access.tls or True, limit=0, socket_factory=self._sockets.make)
        self._session = aiohttp.ClientSession(
            connector=connector,
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=2**18,
            headers={hdrs.ACCEPT: "application/json", hdrs.USER_AGENT: "devbox-gateway"},
        )

    @classmethod
    async def connect(cls, kubeconfig: Path | None = None) -> Self:
        """A client for `kubeconfig`, or for the cluster we run in, or for $KUBECONFIG; the first that there is. Raises NoAccess."""
        return cls(await find(kubeconfig))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
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
        data = None if body is None else Guarded(orjson.dumps(body), may_send)
        try:
            async with self._session.request(
                method,
                self._base + path,
                params=params,
                data=data,
                headers=await self._headers(content_type if body is not None else None),
                timeout=aiohttp.ClientTimeout(total=timeout),
                allow_redirects=False,
            ) as response:
                return _decode(response, await response.read())
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

    async def pages(self, path: str, params: Mapping[str, str] | None = None) -> AsyncGenerator[Page]:
        """The same, some hundred objects at a time: for whoever need not hold all of them as they came. Raises `ApiError`."""
        query = {"limit": str(PAGE), **(params or {})}
        while True:
            answer = await self.request("GET", path, params=query, timeout=60.0)
            kind, version = str(answer.get("kind", "List")).removesuffix("List"), answer.get("apiVersion", "v1")
            # Items of a list carry neither kind nor apiVersion; a watch's events do. The same shape for both.
            items = [{"apiVersion": version, "kind": kind, **item} for item in answer.get("items") or ()]
            metadata = answer["metadata"]
            yield Page(items, metadata.get("resourceVersion", ""))
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
    ) -> AsyncGenerator[Object]:
        """Events after `resource_version` (`{"type", "object"}`), bookmarks included, until the watch ends.

        It ends when the server ends it and after a minute without a word; the caller goes on with a new one. `opened()` is
        called when the server has agreed. Raises `ApiError`; status 410: the version is too old, the caller has to list anew.
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
                self._base + path,
                params=query,
                headers=await self._headers(None),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=self._silent_seconds),
                allow_redirects=False,
            )
            async with contextlib.AsyncExitStack() as stack:
                async with asyncio.timeout(self._open_seconds):
                    response = await stack.enter_async_context(request)
                    if response.status != 200:
                        _decode(response, await response.read())
                opened()
                with contextlib.suppress(aiohttp.SocketTimeoutError):
                    async for line in _lines(response.content):
                        event: Object = orjson.loads(line)
                        if event["type"] == "ERROR":
                            raise _error(event["object"].get("code", 500), event["object"], None)
                        yield event
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


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    # Own splitting: an event may be longer than the reader's limit for a line (a Secret has up to 1 MiB).
    rest = bytearray()
    async for chunk in content.iter_any():
        rest += chunk
        while (end := rest.find(b"\n")) >= 0:
            line = bytes(rest[:end])
            del rest[: end + 1]
            if line:
                yield line


def _decode(response: aiohttp.ClientResponse, raw: bytes) -> Object:
    try:
        answer = orjson.loads(raw) if raw else {}
    except orjson.JSONDecodeError:
        answer = {}
    if response.status >= 300:
        raise _error(response.status, answer, response.headers.get(hdrs.RETRY_AFTER))
    if not isinstance(answer, dict):
        raise ApiError(response.status, "BadAnswer", "the API server did not answer with a JSON object")
    return answer


def _error(status: int, answer: Object, retry_after: str | None) -> ApiError:
    seconds = float(retry_after) if retry_after and retry_after.isdigit() else None
    return ApiError(status, answer.get("reason") or "Error", answer.get("message") or "no message", seconds)


def _unreachable(error: BaseException) -> ApiError:
    # Only the kind of the error: an aiohttp error's text may quote what was sent.
    return ApiError(0, "Unreachable", f"no answer from the API server ({type(error).__name__})")
