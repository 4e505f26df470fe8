"""Waiting for a devbox: until it is ready or suspended, will never be, or the time is over.

Goes in: a session, a path, a deadline. Comes out: the object as it was last seen, and on the way every change of what it waits for.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

from devbox_api import names
from devbox_gateway.errors import APIConnectionError, APITimeoutError, NotFoundError, NotReadyError
from devbox_gateway.kube.session import Object, Session

from .pulling import Pulling

WAIT_SECONDS: Final = 600.0
PAUSE: Final = 0.5
UNSEEN_SECONDS: Final = 10.0
"""After which it is said that no operator has looked."""
RESTARTED_FROM: Final = "devbox-gateway.io/restarted-from"
"""An annotation: the UID of the pod that a restart is to replace. (For processes that did not ask for it, too.)"""
RESTART_SECONDS: Final = 10.0
"""For an operator to see that a restart was asked for: what stalled the pod before it counts no longer by then."""
REFERENCE_SECONDS: Final = 5.0
"""How long a devbox may lack what it refers to: one `kubectl apply` brings them all, but each is seen on a watch of its own."""
REFERENCES: Final = frozenset(
    {
        *("GatewayNotFound", "GatewayNotAccepted", "NamespaceNotAllowed", "EgressPolicyNotFound", "EgressPolicyNotAccepted"),
        *("NoCredential", "SecretNotFound", "KeyNotFound", "SecretNotGranted", "SecretNotMountable"),
        *("VolumeNotFound", "VolumeNotMountable"),
    }
)
"""Reasons that other objects end: with them, or with a label of theirs."""


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
    return await _until(_Patience(), session, path, seconds, callback)


async def until_suspended(session: Session, path: str, seconds: float, callback: Callback | None = None) -> Object:
    """The Devbox once it is suspended. Raises NotReadyError where it was asked to be and can't, APITimeoutError, NotFoundError."""
    return await _until(_Suspending(), session, path, seconds, callback)


async def _until(patience: "_Patience", session: Session, path: str, seconds: float, callback: Callback | None) -> Object:
    last: Object | None = None
    said: Progress | None = None
    end = monotonic() + seconds
    changes = _changes(session, path)

    def unseen() -> None:
        if callback is not None and last is not None and not conditions_of(last):
            callback(progress_of(last))

    # (Every devbox is one that no operator has seen, for a moment.)
    timer = asyncio.get_running_loop().call_later(UNSEEN_SECONDS, unseen)
    following: asyncio.Task[Object] | None = None
    try:
        while (left := end - monotonic()) > 0:
            following = following or asyncio.create_task(_next(changes))
            await asyncio.wait({following}, timeout=min(left, patience.left))
            if following.done():
                last, following = following.result(), None
                progress = progress_of(last)
                if callback is not None and progress != said and conditions_of(last):
                    callback(progress)
                said = progress
                if patience.is_over(last):
                    return last
            if last is not None:
                patience.look(last)
    finally:
        timer.cancel()
        if following is not None:
            following.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await following
        with suppress(RuntimeError):
            await changes.aclose()  # type: ignore[attr-defined]
    what = "nothing was heard of it" if last is None else describe(progress_of(last))
    raise APITimeoutError(f"devbox {path.rpartition('/')[2]!r} was not {patience.goal} within {seconds:g} s: {what}")


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


def is_restarting(seen: Object) -> bool:
    """Whether its pod is still the one that a restart is to replace, or there is none yet."""
    replaced = (seen["metadata"].get("annotations") or {}).get(RESTARTED_FROM)
    return bool(replaced) and (seen.get("status") or {}).get("podUID") in (None, "", replaced)


def is_ready(seen: Object) -> bool:
    """Ready, as this spec wants it, in the pod that the last restart asked for."""
    return is_current(seen) and not is_restarting(seen) and (conditions_of(seen).get("Ready") or {}).get("status") == "True"


def is_woken(seen: Object) -> bool:
    """Whether it was suspended since it was idle, and somebody has resumed it meanwhile, which the operator has not seen."""
    status, notes = seen.get("status") or {}, seen["metadata"].get("annotations") or {}
    return status.get("suspendedBy") == "Idle" and notes.get(names.RESUMED_AT_ANNOTATION, "") != status.get("resumedAt", "")


def is_to_rest(seen: Object) -> bool:
    """Whether it is to have no pod: it is suspended, or about to be. (A command that ended for good has nothing to suspend.)"""
    found = conditions_of(seen).get("Suspended")
    if found is None or not is_current(seen) or is_woken(seen):
        return bool(seen["spec"].get("suspend"))
    return bool(found["reason"] != "NotSuspended")


def is_suspended(seen: Object) -> bool:
    """Whether it is so, as this spec wants it."""
    return is_current(seen) and not is_woken(seen) and (conditions_of(seen).get("Suspended") or {}).get("status") == "True"


def is_resuming(seen: Object) -> bool:
    """Whether it was suspended, and has not been ready since."""
    if is_to_rest(seen):
        return False
    suspended, ready = (conditions_of(seen).get(kind) or {} for kind in ("Suspended", "Ready"))
    if suspended.get("status") == "True":
        return True  # (the operator has not seen yet that it is resumed)
    since = suspended.get("lastTransitionTime")
    return bool(since and ready.get("status") == "False" and ready["lastTransitionTime"] <= since)


def at_rest(name: str, seen: Object) -> NotReadyError:
    """For who wants to do something in a devbox that is to have no pod."""
    is_so = "is suspended" if is_suspended(seen) else "is being suspended"
    return NotReadyError(f"devbox {name!r} {is_so}; devbox.resume()", progress_of(seen).reason)


class _Patience:
    """Of one wait: what is hopeless at once, and what is so after a while."""

    goal = "ready"

    def __init__(self) -> None:
        self._began = monotonic()
        self._pulling = Pulling()
        self._stalled_since: float | None = None
        self._hopeless_at: float | None = None

    @property
    def left(self) -> float:
        """Seconds until it is to be looked at again, though nothing changed."""
        return min(self._pulling.left, 60.0 if self._hopeless_at is None else max(0.05, self._hopeless_at - monotonic()))

    def is_over(self, seen: Object) -> bool:
        """What was waited for is there."""
        return is_ready(seen)

    def look(self, seen: Object) -> None:
        """Raises NotReadyError, NotFoundError."""
        name = seen["metadata"]["name"]
        _check_that_it_stays(seen)
        if is_to_rest(seen):
            raise at_rest(name, seen)
        # (Its reason is the kubelet's own, which says more than that the operator calls it hopeless, too.)
        self._pulling.look(name, conditions_of(seen).get("PodReady") or {})
        self._hopeless_at = self._hopeless(seen)
        if self._hopeless_at is not None and self._hopeless_at <= monotonic():
            stalled = conditions_of(seen)["Stalled"]
            raise NotReadyError(
                f"devbox {name!r} will not become ready: {stalled.get('message', '')}", str(stalled.get("reason", ""))
            )

    def _hopeless(self, seen: Object) -> float | None:
        """When (by the monotonic clock) what stalls it now is to be believed; None: nothing stalls it."""
        stalled = conditions_of(seen).get("Stalled") or {}
        if not is_current(seen) or stalled.get("status") != "True":
            self._stalled_since = None
            return None
        self._stalled_since = self._stalled_since or monotonic()
        believed = self._stalled_since
        if stalled.get("reason") in REFERENCES:
            believed += REFERENCE_SECONDS
        return max(believed, self._began + RESTART_SECONDS) if is_restarting(seen) else believed


class _Suspending(_Patience):
    """Of a wait for the opposite."""

    goal = "suspended"

    def is_over(self, seen: Object) -> bool:
        return is_suspended(seen)

    def look(self, seen: Object) -> None:
        """Raises NotReadyError, NotFoundError."""
        _check_that_it_stays(seen)
        found = conditions_of(seen).get("Suspended")
        asked = found is not None and is_current(seen) and bool(seen["spec"].get("suspend"))
        stalled = (conditions_of(seen).get("Stalled") or {}).get("status") == "True"
        if found is not None and asked and stalled and not is_suspended(seen):
            name, said = seen["metadata"]["name"], str(found["message"])
            raise NotReadyError(f"devbox {name!r} will not be suspended: {said}", str(found["reason"]))


def _check_that_it_stays(seen: Object) -> None:
    if "deletionTimestamp" in seen["metadata"]:
        raise NotFoundError(f"devbox {seen['metadata']['name']!r} is being deleted")


def progress_of(seen: Object) -> Progress:
    """What it waits for now: the first condition that is not what it is to be."""
    phase = str((seen.get("status") or {}).get("phase") or "Pending")
    found = conditions_of(seen)
    if is_to_rest(seen):
        suspended = found.get("Suspended") if is_current(seen) else None
        suspended = suspended or {"reason": "Suspending", "message": "the operator has not seen it yet; is it running?"}
        return Progress(seen["metadata"]["name"], phase, str(suspended["reason"]), str(suspended["message"]))
    for kind in ("Accepted", "CredentialsResolved", "EgressConfined", "TokensIssued", "CodeMounted", "PodReady", "Ready"):
        condition = found.get(kind)
        if condition is not None and condition["status"] != "True" and condition["reason"] != "Waiting":
            return Progress(seen["metadata"]["name"], phase, str(condition["reason"]), str(condition["message"]))
    if is_restarting(seen):
        return Progress(seen["metadata"]["name"], phase, "Restarting", "it gets another pod")
    ready = found.get("Ready") or {"reason": "Progressing", "message": "the operator has not seen it yet; is it running?"}
    return Progress(seen["metadata"]["name"], phase, str(ready["reason"]), str(ready["message"]))


def describe(progress: Progress) -> str:
    """In one line."""
    return f"{progress.phase}, {progress.reason}: {progress.message}"
