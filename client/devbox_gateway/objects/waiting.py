"""Waiting for a devbox: until it is ready, will never be, or the time is over.

Goes in: a session, a path, a deadline. Comes out: the object as it was last seen, and on the way every change of what it waits for.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

from devbox_gateway.errors import APIConnectionError, APITimeoutError, NotFoundError, NotReadyError
from devbox_gateway.kube.session import Object, Session
from devbox_gateway.kube.timing import within

WAIT_SECONDS: Final = 600.0
PAUSE: Final = 0.5
UNSEEN_SECONDS: Final = 10.0
"""After which it is said that no operator has looked."""


@dataclass(frozen=True)
class Progress:
    """What a devbox that is being made waits for: phase, and the reason and message of the condition that holds it up."""

    name: str
    phase: str
    reason: str
    message: str


Callback = Callable[[Progress], object]


async def until_ready(session: Session, path: str, seconds: float, callback: Callback | None = None) -> Object:
    """The Devbox once it is ready. Raises NotReadyError where it will not become so by itself, APITimeoutError, NotFoundError."""
    last: Object | None = None
    said: Progress | None = None
    started = monotonic()
    changes = _changes(session, path)

    def unseen() -> None:
        if callback is not None and last is not None and not conditions_of(last):
            callback(progress_of(last))

    # (Every devbox is one that no operator has seen, for a moment.)
    timer = asyncio.get_running_loop().call_later(UNSEEN_SECONDS, unseen)
    try:
        while (left := seconds - (monotonic() - started)) > 0:
            with suppress(TimeoutError):
                last = await within(left, _next(changes))
                progress = progress_of(last)
                if callback is not None and progress != said and conditions_of(last):
                    callback(progress)
                said = progress
                if is_ready(last):
                    return last
                _refuse_hopeless(last)
                continue
            break
    finally:
        timer.cancel()
        with suppress(RuntimeError):
            await changes.aclose()  # type: ignore[attr-defined]
    what = "nothing was heard of it" if last is None else describe(progress_of(last))
    raise APITimeoutError(f"devbox {path.rpartition('/')[2]!r} was not ready within {seconds:g} s: {what}")


async def _next(changes: AsyncIterator[Object]) -> Object:
    return await changes.__anext__()


async def _changes(session: Session, path: str) -> AsyncIterator[Object]:
    """The object, and again whenever it changes; a stream that ends, or an API server that is away for a moment, is taken up again."""
    collection, _, name = path.rpartition("/")
    while True:
        seen = await session.request("GET", path)
        yield seen
        version = seen["metadata"]["resourceVersion"]
        query = {"fieldSelector": f"metadata.name={name}", "resourceVersion": version, "timeoutSeconds": "240"}
        with suppress(APIConnectionError):
            async for kind, changed in session.watch(collection, query):
                if kind == "DELETED":
                    raise NotFoundError(f"devbox {name!r} was deleted meanwhile")
                if kind not in ("ADDED", "MODIFIED"):
                    break  # (too old a version, or the like: read it anew)
                yield changed
        await asyncio.sleep(PAUSE)


def conditions_of(seen: Object) -> dict[str, dict[str, Any]]:
    """By type, of this generation's or an earlier one's spec."""
    return {condition["type"]: condition for condition in (seen.get("status") or {}).get("conditions") or []}


def is_current(seen: Object) -> bool:
    """Whether the operator has seen this spec."""
    return bool((seen.get("status") or {}).get("observedGeneration", 0) >= seen["metadata"].get("generation", 0))


def is_ready(seen: Object) -> bool:
    """Ready, as this spec wants it."""
    return is_current(seen) and (conditions_of(seen).get("Ready") or {}).get("status") == "True"


def _refuse_hopeless(seen: Object) -> None:
    name = seen["metadata"]["name"]
    if "deletionTimestamp" in seen["metadata"]:
        raise NotFoundError(f"devbox {name!r} is being deleted")
    stalled = conditions_of(seen).get("Stalled") or {}
    if is_current(seen) and stalled.get("status") == "True":
        raise NotReadyError(
            f"devbox {name!r} will not become ready: {stalled.get('message', '')}", str(stalled.get("reason", ""))
        )


def progress_of(seen: Object) -> Progress:
    """What it waits for now: the first condition that is not what it is to be."""
    phase = str((seen.get("status") or {}).get("phase") or "Pending")
    found = conditions_of(seen)
    for kind in ("Accepted", "CredentialsResolved", "EgressConfined", "TokensIssued", "PodReady", "Ready"):
        condition = found.get(kind)
        if condition is not None and condition["status"] != "True" and condition["reason"] != "Waiting":
            return Progress(seen["metadata"]["name"], phase, str(condition["reason"]), str(condition["message"]))
    ready = found.get("Ready") or {"reason": "Progressing", "message": "the operator has not seen it yet; is it running?"}
    return Progress(seen["metadata"]["name"], phase, str(ready["reason"]), str(ready["message"]))


def describe(progress: Progress) -> str:
    """In one line."""
    return f"{progress.phase}, {progress.reason}: {progress.message}"
