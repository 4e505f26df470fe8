"""One devbox: what it is doing, commands and files in it, its end."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, ClassVar, Final

from devbox_api import names
from devbox_gateway.errors import ConflictError, DevboxGatewayError, InvalidError, NotFoundError, NotReadyError
from devbox_gateway.exec.activity import LASTS_SECONDS, InUse
from devbox_gateway.exec.commands import AsyncCommands
from devbox_gateway.exec.files import AsyncFiles
from devbox_gateway.exec.pod import Pod
from devbox_gateway.given import number, seconds
from devbox_gateway.kube.session import MERGE, Object
from devbox_gateway.naming import (
    DEVBOX,
    GATEWAY_CONFIG,
    SECRET,
    Kind,
    Reference,
)
from devbox_gateway.polling import seconds_of

from .base import STRICT, Cluster, Resource, given_name
from .waiting import (
    RESTARTED_FROM,
    WAIT_SECONDS,
    Callback,
    at_rest,
    conditions_of,
    is_restarting,
    is_resuming,
    is_suspended,
    is_to_rest,
    progress_of,
    until_ready,
    until_suspended,
)

METADATA: Final = "devbox-gateway.io/metadata"
RESTARTED_AT: Final = "devbox-gateway.io/restarted-at"
KEPT_ALIVE_AT: Final = names.KEPT_ALIVE_AT_ANNOTATION
ACTIVE_UNTIL: Final = names.ACTIVE_UNTIL_ANNOTATION
RESUMED_AT: Final = names.RESUMED_AT_ANNOTATION
STATUSES: Final = {
    "Pending": "provisioning",
    "Mounting": "initializing",
    "Starting": "initializing",
    "Running": "running",
    "Suspended": "suspended",
    "Succeeded": "shutdown",
    "Failed": "failure",
    "Restarting": "provisioning",
    "Suspending": "provisioning",
    "Terminating": "provisioning",
}
"""Of a phase: what the pod does. (It is the pod that is terminating, of a devbox that stays: another one follows.)"""
TRIES: Final = 10
"""To write what the operator writes to as well."""


@dataclass(frozen=True)
class GatewaySpec:
    """One gateway of a devbox, as its spec has it."""

    gateway_config_id: str
    secret_id: str | None
    """None: the gateway config's own secret."""


@dataclass(frozen=True)
class DevboxInfo:
    """What `get_info()` answers."""

    id: str
    name: str
    namespace: str
    status: str
    """provisioning, initializing, running, suspending, suspended, resuming, failure, shutdown."""
    reason: str
    message: str
    """Of the condition Ready; of one that is suspended, of Suspended."""
    image: str | None
    gateways: Mapping[str, str]
    """Variable to address: {"ANTHROPIC": "https://…"}."""
    gateway_specs: Mapping[str, GatewaySpec]
    """By variable: which gateway config and secret."""
    metadata: Mapping[str, str]
    pod: str | None
    create_time_ms: int
    expires_time_ms: int | None
    """When it is deleted by itself, unless it is kept alive; None: never, or the operator has not said it yet."""
    last_activity_time_ms: int | None
    """When it was last in use, as was known some minutes ago; None: nothing becomes of it when it is idle, or it is not known yet."""


class AsyncDevbox(Resource):
    """One devbox. `async with` shuts it down at the end."""

    kind: ClassVar[Kind] = DEVBOX

    def __init__(self, cluster: Cluster, where: Reference, seen: Object | None = None) -> None:
        super().__init__(cluster, where, seen)
        self._in_use = InUse(cluster.session, self._path, cluster.in_use, self._say_that_it_is_in_use)
        self.cmd = AsyncCommands(cluster.session, self._pod, self.id)
        self.file = AsyncFiles(cluster.session, self._pod)

    @property
    def files(self) -> AsyncFiles:
        """The same as `file`."""
        return self.file

    async def __aenter__(self) -> "AsyncDevbox":
        return self

    async def __aexit__(self, *error: object) -> None:
        with suppress(NotFoundError):
            await self.shutdown()

    async def get_info(self) -> DevboxInfo:
        """Read it anew. Of one that is gone, what was known last, with status `shutdown`."""
        try:
            seen = await self._read()
        except NotFoundError:
            if self._object is None:
                raise
            return self._info(self._object, "shutdown")
        return self._info(seen, status_of(seen))

    def _info(self, seen: Object, status: str) -> DevboxInfo:
        summary = summary_of(seen)
        metadata = seen["metadata"]
        expires, active = ((seen.get("status") or {}).get(field) for field in ("expiresAt", "lastActivity"))
        return DevboxInfo(
            id=self.id,
            name=given_name(seen),
            namespace=self.namespace,
            status=status,
            reason=str(summary.get("reason", "")),
            message=str(summary.get("message", "")),
            image=seen["spec"].get("image"),
            gateways={gateway["name"]: gateway["url"] for gateway in (seen.get("status") or {}).get("gateways") or []},
            gateway_specs={gateway["name"]: self._gateway(gateway) for gateway in seen["spec"].get("gateways") or []},
            metadata=_metadata(seen),
            pod=(seen.get("status") or {}).get("podName"),
            create_time_ms=_milliseconds(metadata["creationTimestamp"]),
            expires_time_ms=_milliseconds(expires) if expires else None,
            last_activity_time_ms=_milliseconds(active) if active else None,
        )

    def _gateway(self, spec: Object) -> GatewaySpec:
        config, secret, home = spec["gatewayRef"], (spec.get("secretRef") or {}).get("name"), self._cluster.namespace
        return GatewaySpec(
            Reference(config.get("namespace") or self.namespace, config["name"]).id(GATEWAY_CONFIG, home),
            Reference(self.namespace, secret).id(SECRET, home) if secret else None,
        )

    async def await_running(
        self, *, timeout: float = WAIT_SECONDS, polling_config: object = None, progress: Callback | None = None
    ) -> DevboxInfo:
        """Wait until it is ready. Raises NotReadyError where it will not become so by itself."""
        limit = seconds("timeout", seconds_of(timeout, polling_config))
        self._object = await until_ready(self._cluster.session, self._path, limit, progress)
        return self._info(self._object, "running")

    async def await_suspended(
        self, *, timeout: float = WAIT_SECONDS, polling_config: object = None, progress: Callback | None = None
    ) -> DevboxInfo:
        """Wait until it is suspended. Raises NotReadyError where it was asked to be and can't."""
        limit = seconds("timeout", seconds_of(timeout, polling_config))
        self._object = await until_suspended(self._cluster.session, self._path, limit, progress)
        return self._info(self._object, "suspended")

    async def suspend(self) -> None:
        """Take its pod away, and keep what is in its PersistentVolumeClaims. Returns at once."""
        await self._merge({"spec": {"suspend": True}})

    async def resume(self, *, timeout: float = WAIT_SECONDS, polling_config: object = None) -> DevboxInfo:
        """Give it a pod again, and wait until it is ready. Raises NotReadyError where it will not become so by itself."""
        await self.resume_async()
        return await self.await_running(timeout=timeout, polling_config=polling_config)

    async def resume_async(self) -> None:
        """Likewise, without waiting."""
        # (One that is suspended since it was idle: another value than before resumes it.)
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        await self._merge({"metadata": {"annotations": {RESUMED_AT: now}}, "spec": {"suspend": None}})

    async def keep_alive(self) -> None:
        """Have its time to live begin anew, and the time after which it is idle. One without (spec.lifecycle) goes on as it is, and
        nothing is written. Raises NotFoundError for one that is being deleted, too."""
        seen = await self._read()
        if "deletionTimestamp" in seen["metadata"]:
            raise NotFoundError(f"devbox {self._reference.name!r} is being deleted")
        if lives_for(seen) or idle_after(seen):
            # (Not that of another one of its name.)
            notes = {KEPT_ALIVE_AT: _written(await self._now())}
            await self._merge({"metadata": {"uid": seen["metadata"]["uid"], "annotations": notes}})

    async def _now(self) -> datetime:
        """By the API server's clock, as the operator counts. (It tells its time to everybody, but for what may stand between.)"""
        now: datetime | None = None
        with suppress(DevboxGatewayError):
            now = await self._cluster.session.date()
        return now or datetime.now(timezone.utc)

    async def _say_that_it_is_in_use(self) -> None:
        notes = {ACTIVE_UNTIL: _written(await self._now() + timedelta(seconds=LASTS_SECONDS))}
        change = {"metadata": {"uid": self._seen["metadata"]["uid"], "annotations": notes}}
        # (What the caller knows of it stays as it was read.)
        await self._cluster.session.request("PATCH", self._path, STRICT, change, kind=MERGE)

    async def restart(self) -> None:
        """Give it a new pod, with the spec as it is now. `await_running()`, of whichever process, then waits for that one. Raises
        NotReadyError for one that is suspended, which `resume()` gives a new pod."""
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        for attempt in range(1, TRIES + 1):
            seen = await self._read()
            if is_to_rest(seen):
                raise at_rest(self._reference.name, seen)
            notes = {RESTARTED_AT: now, RESTARTED_FROM: (seen.get("status") or {}).get("podUID")}
            try:
                # (The pod that is named must be the one that there is when this is written: the next one would count for new.)
                await self._merge({"metadata": {"resourceVersion": seen["metadata"]["resourceVersion"], "annotations": notes}})
            except ConflictError:
                if attempt == TRIES:
                    raise
            else:
                return

    async def shutdown(self) -> None:
        """Delete it, for good, with what is in it."""
        await self._cluster.session.request("DELETE", self._path)

    async def delete(self) -> None:
        """The same as `shutdown`."""
        await self.shutdown()

    async def logs(self, *, tail: int | None = None) -> str:
        """What its command has printed: the last `tail` lines, or all that the node has."""
        return b"".join([piece async for piece in self.log_pieces(tail=tail)]).decode("utf-8", "replace")

    async def log_pieces(
        self, *, tail: int | None = None, since_seconds: int | None = None, timestamps: bool = False, follow: bool = False
    ) -> AsyncIterator[bytes]:
        """The same as it comes. `follow`: and what it prints from then on, until its pod ends."""
        where = await self._pod()
        namespace, _, pod = where.partition("/")
        query = {"container": "devbox"}
        for name, value in (("tailLines", tail), ("sinceSeconds", since_seconds)):
            if value is not None:
                query[name] = str(number({"tailLines": "tail", "sinceSeconds": "since_seconds"}[name], value))
        query |= {name: "true" for name, wanted in (("timestamps", timestamps), ("follow", follow)) if wanted}
        try:
            async for piece in self._cluster.session.pieces(f"/api/v1/namespaces/{namespace}/pods/{pod}/log", query):
                yield piece
        except (InvalidError, NotFoundError) as error:
            # (Of a container that has never begun there are none, which the API server calls a bad request.)
            raise await where.reason(error) from error

    async def _pod(self) -> Pod:
        """The name of the pod that is its now."""
        seen = await self._read()
        pod = (seen.get("status") or {}).get("podName")
        if not pod and is_to_rest(seen):
            raise at_rest(self._reference.name, seen)
        if not pod:
            progress = progress_of(seen)
            raise NotReadyError(
                f"devbox {self._reference.name!r} has no pod yet: {progress.message}; devbox.await_running()",
                progress.reason,
            )
        return Pod.of(self.namespace, pod, self._reason, self._in_use if idle_after(seen) else None)

    async def _reason(self, pod: str, error: DevboxGatewayError) -> DevboxGatewayError:
        """Why nothing could be begun in that pod of its."""
        name = self._reference.name
        try:
            seen = await self._read()
        except NotFoundError:
            return NotFoundError(f"there is no devbox {name!r} in namespace {self.namespace} any more")
        except DevboxGatewayError:
            return error
        if is_to_rest(seen):
            return at_rest(name, seen)
        if (seen.get("status") or {}).get("podName") not in (None, pod):
            return NotFoundError(f"pod {pod} of devbox {name!r} is gone, and it has another one")
        if (conditions_of(seen).get("PodReady") or {}).get("status") == "True" and not is_restarting(seen):
            return error
        progress = progress_of(seen)
        return NotReadyError(f"devbox {name!r} is not running: {progress.message}; devbox.await_running()", progress.reason)


def lives_for(seen: Object) -> str:
    """Its spec.lifecycle.ttl; empty: it has none."""
    return str((seen["spec"].get("lifecycle") or {}).get("ttl") or "")


def idle_after(seen: Object) -> str:
    """Its spec.lifecycle.idle.after; empty: nothing becomes of it when it is idle."""
    return str(((seen["spec"].get("lifecycle") or {}).get("idle") or {}).get("after") or "")


def _written(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _milliseconds(timestamp: str) -> int:
    return int(datetime.fromisoformat(timestamp.replace("Z", "+00:00")).timestamp() * 1000)


def status_of(seen: Object) -> str:
    """One of the words of `get_info().status`. What runs is `running`, also where a grant was taken away or a secret is gone."""
    if "deletionTimestamp" in seen["metadata"]:
        return "shutdown"
    status = STATUSES.get(str((seen.get("status") or {}).get("phase") or "Pending"), "provisioning")
    if is_suspended(seen):
        return "suspended"
    stalled = (conditions_of(seen).get("Stalled") or {}).get("status") == "True"
    if stalled and status not in ("running", "shutdown"):
        return "failure"
    if is_to_rest(seen):
        return "suspending"
    if is_resuming(seen) and status not in ("running", "shutdown"):
        return "resuming"
    return "provisioning" if status == "running" and is_restarting(seen) and not stalled else status


def summary_of(seen: Object) -> dict[str, Any]:
    """The condition that says how it is: Ready, or Suspended, without Ready. Empty: the operator has not seen it."""
    found = conditions_of(seen)
    return found.get("Ready") or found.get("Suspended") or {}


def _metadata(seen: Object) -> dict[str, str]:
    try:
        noted = json.loads((seen["metadata"].get("annotations") or {}).get(METADATA) or "{}")
    except ValueError:
        return {}
    return {str(key): str(value) for key, value in noted.items()} if isinstance(noted, dict) else {}
