"""Every write of the operator goes through here: none starts without the Lease or outlives it, and each is counted.

Goes in: paths and plain objects. Comes out: the API server's answer, or an `ApiError`.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from devbox_common.guarded import NotSentError
from devbox_common.kube import JSON_PATCH, MERGE_PATCH, ApiError, KubeApi, Object
from devbox_operator.kit import metrics


class NotLeadingError(Exception):
    """Another replica may be at work; the write was not sent."""


class Writer:
    """Writes, guarded."""

    def __init__(
        self,
        api: KubeApi,
        held: Callable[[], bool],
        left: Callable[[], float] | None = None,
        note: Callable[[Object], None] = lambda _: None,
    ) -> None:
        """`held()` is asked before every write, and again when its bytes are about to go out; `left()`: seconds that it may take;
        `note(object)` is told what the API server has now, so that the next look need not wait for the watch to say so."""
        self._api = api
        self._held = held
        self._left = left or (lambda: 60.0)
        self._note = note

    async def apply(self, path: str, body: Object) -> Object:
        """Server-side apply; with metadata.resourceVersion or uid in the body it fails (409) on any other object."""
        self._start("apply", body)
        return self._noted(await self._in_time(self._api.apply(path, body, may_send=self._held)))

    async def create(self, collection: str, body: Object) -> Object:
        """POST."""
        self._start("create", body)
        return self._noted(await self._in_time(self._request("POST", collection, body=body)))

    async def delete(
        self, path: str, *, uid: str | None = None, version: str | None = None, grace: int | None = None, kind: str = ""
    ) -> bool:
        """DELETE, of that very object if `uid` is given, as it was at `version`; False if it was gone already, or is another.
        `grace`: seconds, in place of what a pod says of itself."""
        self._start("delete", {"kind": kind})
        options: Object = {"kind": "DeleteOptions", "apiVersion": "v1"}
        if uid:
            options["preconditions"] = {"uid": uid, **({"resourceVersion": version} if version else {})}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        try:
            await self._in_time(self._request("DELETE", path, body=options))
        except ApiError as error:
            if error.not_found or (error.conflict and uid):
                return False  # gone, or another object of that name
            raise
        return True

    async def merge(self, path: str, body: Object, *, kind: str) -> Object:
        """Merge patch; metadata.resourceVersion in the body is a precondition."""
        self._start("patch", {"kind": kind})
        return await self._in_time(self._request("PATCH", path, body=body, content_type=MERGE_PATCH))

    async def patch(self, path: str, operations: Sequence[Mapping[str, Any]], *, kind: str) -> Object:
        """JSON patch."""
        self._start("patch", {"kind": kind})
        return self._noted(await self._in_time(self._request("PATCH", path, body=operations, content_type=JSON_PATCH)))

    async def strategic(self, path: str, body: Object, *, kind: str) -> Object:
        """Strategic merge patch: lists with a merge key (ownerReferences by uid) are added to."""
        self._start("patch", {"kind": kind})
        request = self._request("PATCH", path, body=body, content_type="application/strategic-merge-patch+json")
        return self._noted(await self._in_time(request))

    def _request(self, method: str, path: str, **options: Any) -> Coroutine[Any, Any, Object]:
        return self._api.request(method, path, may_send=self._held, **options)

    def _noted(self, answer: Object) -> Object:
        self._note(answer)
        return answer

    async def _in_time(self, request: Coroutine[Any, Any, Object]) -> Object:
        try:
            async with asyncio.timeout(max(0.0, self._left())):
                return await request
        except NotSentError:
            raise NotLeadingError("the Lease ended before the request went out") from None
        except TimeoutError:
            raise NotLeadingError("the Lease ended before the API server answered") from None

    def _start(self, verb: str, body: Object) -> None:
        if not self._held():
            raise NotLeadingError("the Lease is not held")
        metrics.WRITES.labels(verb, str(body.get("kind", ""))).inc()
