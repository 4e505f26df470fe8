"""The one NetworkPolicy of a namespace that outlives its devboxes' last packets: `devbox-gateway-deny`.

Goes in: a namespace. Comes out: the policy as it should be, or its deletion. Each pod has a policy of its own, which allows what a devbox
may; that one goes with its pod, as soon as the pod's deletion begins, while its processes may live on for a grace period. This one denies
every devbox of the namespace everything and is owned by nobody, so that whatever takes an allowing policy away only closes. It is
looked at before a gate opens, and wherever there is a pod; the sweep alone deletes it.

How a late deletion can't meet a new pod: the sweep marks an unused policy first, and deletes that very version of it, by resourceVersion,
after it has seen by live lists that there is nobody. `confirm`, which reads it live when the pod is there already and its gate is not open
yet, takes the mark off: whichever of the two comes second at the API server finds another version, or none.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, Protocol
from weakref import WeakValueDictionary

import structlog

from devbox_api import names
from devbox_common.kube import ApiError, Object
from devbox_operator.attach import network
from devbox_operator.kit import paths
from devbox_operator.kit.encoding import format_time, parse_time
from devbox_operator.kit.writer import Writer
from devbox_operator.seen.namespaced import PolicyView

log = structlog.get_logger()

UNUSED: Final = timedelta(minutes=10)
"""A namespace without devboxes keeps its policy for this long."""
TRIES: Final = 3


class Cluster(Protocol):
    """Where it looks (observe.py)."""

    async def get(self, path: str) -> Object | None:
        """An object as it is now."""

    async def inhabited(self, namespace: str) -> bool:
        """By live lists: there is a Devbox, or a pod with the devbox label."""


class Denial:
    """Keeps it, and takes it away."""

    def __init__(self, cluster: Cluster, seen: Callable[[str], PolicyView | None], writer: Writer) -> None:
        """`seen(namespace)`: the policy as it is mirrored."""
        self._cluster, self._seen, self._writer = cluster, seen, writer
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def ensure(self, namespace: str) -> None:
        """As far as the mirror knows, it is there and intact; costs nothing then. Raises `ApiError`."""
        await self._unless(lambda: self._intact(namespace), namespace)

    async def confirm(self, namespace: str) -> None:
        """By a live look it is there, intact and not about to be deleted. Raises `ApiError`."""
        found = await self._cluster.get(_path(namespace))
        if found is None or network.repairs(found):
            await self._unless(lambda: False, namespace)

    async def retire(self, namespace: str, now: datetime) -> None:
        """The sweep saw nobody there: mark it; after a while, and another look, delete it. Raises `ApiError`."""
        found = await self._cluster.get(_path(namespace))
        if found is None:
            return
        metadata = found["metadata"]
        since = _time((metadata.get("annotations") or {}).get(names.UNUSED_SINCE_ANNOTATION))
        if since is None:
            # (With its version: what is looked at by somebody else meanwhile is left alone.)
            mark = {names.UNUSED_SINCE_ANNOTATION: format_time(now)}
            body = {"metadata": {"resourceVersion": metadata["resourceVersion"], "annotations": mark}}
            await self._writer.merge(_path(namespace), body, kind="NetworkPolicy")
        elif now - since >= UNUSED and not await self._cluster.inhabited(namespace):
            version = metadata["resourceVersion"]
            await self._writer.delete(_path(namespace), uid=metadata["uid"], version=version, kind="NetworkPolicy")
            log.info("denial_retired", namespace=namespace, unused_since=format_time(since))

    async def _unless(self, fine: Callable[[], bool], namespace: str) -> None:
        """One at a time for a namespace: devboxes come in crowds, and one write is enough for all of them."""
        if fine():
            return
        lock = self._locks.setdefault(namespace, asyncio.Lock())
        async with lock:
            if not fine():
                await self._put_right(namespace)

    def _intact(self, namespace: str) -> bool:
        found = self._seen(namespace)
        return found is not None and found.intact

    async def _put_right(self, namespace: str) -> None:
        for _ in range(TRIES):
            found = await self._cluster.get(_path(namespace))
            try:
                answer = await self._written(namespace, found)
            except ApiError as error:
                if not (error.conflict or error.not_found):
                    raise
                continue  # somebody was faster
            if not network.repairs(answer):
                return
        message = f"NetworkPolicy {namespace}/{names.DENY_POLICY} does not stay as it is written; find out what changes it"
        raise ApiError(409, "Conflict", message)

    async def _written(self, namespace: str, found: Object | None) -> Object:
        if found is None:
            return await self._writer.create(paths.networkpolicies(namespace), network.denial(namespace))
        if not (operations := network.repairs(found)):
            return found
        log.warning("denial_restored", namespace=namespace, changed=[operation["path"] for operation in operations])
        same = {"op": "test", "path": "/metadata/uid", "value": found["metadata"]["uid"]}
        answer = await self._writer.patch(_path(namespace), [same, *operations], kind="NetworkPolicy")
        if "deletionTimestamp" in found["metadata"]:
            raise ApiError(409, "Conflict", "what held it is gone, and so is the policy")
        return answer


def _path(namespace: str) -> str:
    return paths.networkpolicies(namespace, names.DENY_POLICY)


def _time(value: object) -> datetime | None:
    try:
        return parse_time(value)
    except ValueError:
        return None  # (whoever may annotate it may write anything)
