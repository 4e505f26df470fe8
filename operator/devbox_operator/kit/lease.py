"""One of the replicas works: a small elector on a Lease.

Goes in: the API, the Lease's place, who we are. Comes out: `held()` (asked before every write), and `run()`, which ends when the
Lease is lost. The deadline is on the clock that counts pauses (clock.py) and counted from *before* the request that renewed the Lease
was sent, so that we stop before anybody else may start; after a pause it has passed, whatever the clock says: the Lease is renewed before
anything is written. (kubernetes.aio.leaderelection 37 neither releases on exit nor bounds its requests.)
"""

import asyncio
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from devbox_api import names
from devbox_common.clock import CLOCK, Clock
from devbox_common.kube import ApiError, KubeApi, Object

log = structlog.get_logger()

MARGIN: Final = 0.8
"""The part of the Lease's duration in which a write may start; the rest is for requests that are under way."""


POLL: Final = 0.5
"""Seconds between a standby's looks: one that was given back is taken at once."""


class Elector:
    """Takes, renews and releases one Lease."""

    def __init__(
        self,
        api: KubeApi,
        namespace: str,
        name: str,
        identity: str,
        *,
        duration: float,
        renew: float,
        owner: Object | None = None,
        clock: Clock = CLOCK,
    ) -> None:
        """`duration` and `renew` in seconds; `owner` becomes the Lease's ownerReference."""
        self._api = api
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._namespace, self._name, self._identity = namespace, name, identity
        self._duration, self._renew = duration, renew
        self._owner = owner
        self._clock = clock
        self._deadline = 0.0
        self._seen: tuple[str, str] | None = None
        """(holder, renewTime) as last read, and since when: other clocks than ours are not trusted."""
        self._seen_since = 0.0
        self._lease: Object | None = None
        self._note = ""
        self._awake_by = 0.0
        """Until when an answer is waited for after a pause: a machine that has just woken may have no network for some seconds. (Nothing is
        written meanwhile.)"""

    def held(self) -> bool:
        """A write may start now."""
        return self._clock.now() < self._deadline

    def noted(self) -> str:
        """What whoever worked last wrote down for who works next; empty: nothing."""
        notes = ((self._lease or {}).get("metadata") or {}).get("annotations") or {}
        return self._note or str(notes.get(names.ACTIVITY_ANNOTATION, ""))

    def note(self, text: str) -> None:
        """Write it down, with the next renewal."""
        self._note = text

    def left(self) -> float:
        """Seconds until another replica may be at work: no request may last longer."""
        return self._deadline + (1 - MARGIN) * self._duration - self._clock.now()

    async def acquire(self) -> None:
        """Wait until the Lease is ours."""
        with self._clock.telling(self._forget):
            while not await self._try():  # noqa: ASYNC110 (a poll)
                await asyncio.sleep(min(POLL, self._renew))
        log.info("lease_acquired", identity=self._identity)

    def _forget(self, _: float) -> None:
        """How long the holder was silent is not known any more: it may have slept as we did, or our clock be wrong."""
        self._seen = None

    async def keep(self) -> None:
        """Renew until that fails for too long; returns when the Lease is lost."""
        with self._clock.telling(self._paused):
            failed = False
            while True:
                left = self._deadline - self._clock.now()
                await self._clock.rest(POLL if failed and left <= 0 else max(0.0, min(self._renew, left)))
                pauses = self._clock.pauses
                failed = not await self._try()
                if not failed:
                    self._awake_by = 0.0
                elif self._clock.pauses != pauses:
                    failed = False  # (A try with a pause in it says nothing: its connection was cut.)
                elif not self.held() and (self._lease is None or self._clock.now() >= self._awake_by):
                    log.error("lease_lost", identity=self._identity)
                    return

    def _paused(self, _: float) -> None:
        self._deadline = 0.0
        self._awake_by = self._clock.now() + self._duration

    async def release(self) -> None:
        """Give the Lease back so that another replica starts at once. No write starts from now on."""
        was_held, self._deadline = self.held(), 0.0
        if not was_held or self._lease is None:
            return
        body = {**self._lease, "spec": {**self._lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}}
        try:
            await self._api.request("PUT", f"{self._path}/{self._name}", body=body, timeout=3.0)
            log.info("lease_released", identity=self._identity)
        except ApiError as error:
            log.warning("lease_not_released", reason=error.reason)

    async def _try(self) -> bool:
        """One attempt to take or renew the Lease."""
        started = self._clock.now()
        try:
            # A request that outlives the renewal interval is of no use; the next one may succeed.
            async with asyncio.timeout(self._renew):
                self._lease = await self._renewed() or await self._write(await self._read())
        except (ApiError, TimeoutError) as error:
            log.warning("lease_not_renewed", error=str(error) or type(error).__name__)
            return False
        if self._lease is None:
            self._deadline = 0.0  # it is another's, whatever our clock says
            return False
        self._deadline = started + self._duration * MARGIN
        return True

    async def _renewed(self) -> Object | None:
        """By one request, while it is ours as we know it: where every answer takes seconds, two in a row would come too late."""
        if self._lease is None or not self.held():
            return None
        try:
            return await self._write(self._lease)
        except ApiError as error:
            if error.status in (404, 409):
                return None
            raise

    async def _read(self) -> Object | None:
        try:
            return await self._api.request("GET", f"{self._path}/{self._name}", timeout=self._renew)
        except ApiError as error:
            if error.not_found:
                return None
            raise

    async def _write(self, found: Object | None) -> Object | None:
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        spec: dict[str, Any] = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": max(1, round(self._duration)),
            "renewTime": now,
        }
        if found is None:
            metadata: Object = {"name": self._name, "namespace": self._namespace}
            if self._owner:
                metadata["ownerReferences"] = [self._owner]
            spec |= {"acquireTime": now, "leaseTransitions": 0}
            body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
            return await self._api.request("POST", self._path, body=body, timeout=self._renew)
        old = found.get("spec") or {}
        holder = old.get("holderIdentity") or ""
        if holder and holder != self._identity and not self._expired(holder, old):
            return None
        taken = holder != self._identity
        spec["acquireTime"] = now if taken else old.get("acquireTime", now)
        spec["leaseTransitions"] = int(old.get("leaseTransitions") or 0) + taken
        # The resourceVersion that was read makes two takers collide: one gets a conflict.
        more: Object = {"ownerReferences": [self._owner]} if self._owner else {}
        if self._note:
            more["annotations"] = {**(found["metadata"].get("annotations") or {}), names.ACTIVITY_ANNOTATION: self._note}
        body = {**found, "metadata": {**found["metadata"], **more}, "spec": {**old, **spec}}
        return await self._api.request("PUT", f"{self._path}/{self._name}", body=body, timeout=self._renew)

    def _expired(self, holder: str, spec: Object) -> bool:
        seen = (holder, str(spec.get("renewTime")))
        if seen != self._seen:
            self._seen, self._seen_since = seen, self._clock.now()
        return self._clock.now() - self._seen_since > float(spec.get("leaseDurationSeconds") or self._duration)
