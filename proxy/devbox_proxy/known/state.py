"""From the watches to `Known`: Routes, gateway and egress documents, credentials and the floor of the credentials namespace, and pods.

Goes in: Kubernetes objects as they change. Comes out: a `Known` that is always current, and an event for whoever waits.
Nothing is kept of an object but what is in `Known`: a pod's author may make it some MiB large.
"""

import asyncio
import base64
from dataclasses import replace
from sys import intern
from typing import Any, Final

import structlog
from pydantic import ValidationError

from devbox_api import names
from devbox_api.judge.hosts import parse_grant
from devbox_api.judge.keys import Flaw
from devbox_api.judge.policies import compile_egress
from devbox_api.route import (
    CONFINED,
    MAX_REQUEST_BODY,
    REDACT_RESPONSES,
    RULES,
    USER_IN_SECRET,
    EgressDocument,
    FloorDocument,
    GatewayDocument,
    Route,
)
from devbox_common.clock import CLOCK, now
from devbox_common.credential import judge
from devbox_common.kube import KubeApi, Object
from devbox_common.mirror import Key, Mirror
from devbox_proxy.known import floor
from devbox_proxy.known.apis import compile_gateway
from devbox_proxy.known.credentials import Credential
from devbox_proxy.known.facts import LIVE, Known, Pod, plain_address

SUPPORTED: Final = frozenset({RULES, MAX_REQUEST_BODY, REDACT_RESPONSES, USER_IN_SECRET, CONFINED})
"""Words in `requires` that this gateway knows how to enforce."""
OPEN_SECONDS: Final = 1.0
"""After the lists, watches that take longer to open are not waited for."""

log = structlog.get_logger()


class ClusterState:
    """`known`, kept current by list+watch mirrors."""

    def __init__(
        self,
        api: KubeApi,
        credentials_namespace: str,
        watch_namespaces: tuple[str, ...],
        own: floor.Own = floor.Own(),  # noqa: B008 (frozen)
        stale_seconds: float = 300.0,
    ) -> None:
        """`own`: what the gateway knows by itself of what nothing may lead to; it counts with every floor document. `stale_seconds`: how
        long a floor counts whose document is gone, or is there and can't be read."""
        self.known = Known()
        self._floor: floor.Floor | None = None
        self._floor_lost: float | None = None
        """Since when its document is not there, or can't be read."""
        self._stale_seconds = stale_seconds
        self._own = own
        self._changed = asyncio.Event()
        self._documents: Mirror[Seen] = Mirror(
            api, f"/api/v1/namespaces/{credentials_namespace}/secrets", self._seen, on_change=self._on_document
        )
        paths = [f"/api/v1/namespaces/{name}/pods" for name in watch_namespaces] or ["/api/v1/pods"]
        self._pods: list[Mirror[Pod]] = [
            Mirror(api, path, pod_of, label_selector=names.DEVBOX_LABEL, on_change=self._on_pod) for path in paths
        ]

    @property
    def floor(self) -> floor.Floor | None:
        """Where nothing may lead. None until the operator has written it, and where it has been lost for too long: nothing is dialled."""
        lost = self._floor_lost
        return None if lost is not None and now() - lost > self._stale_seconds else self._floor

    def silent(self) -> str | None:
        """Which watch has said nothing for so long that nothing is served; None: neither."""
        present = now()
        for watch, as_of in (("credentials namespace", self.known.routes_as_of), ("pods", self.known.pods_as_of)):
            if present - as_of > self._stale_seconds:
                return f"the watch of the {watch} has been closed for more than {self._stale_seconds:g} s; see the log, watch_failed"
        return None

    async def run(self) -> None:
        """Follow the cluster, for ever."""
        async with asyncio.TaskGroup() as tasks:
            for mirror in self._mirrors():
                tasks.create_task(mirror.run())
            tasks.create_task(self._follow_health())

    async def changed(self, seconds: float) -> None:
        """Return at the next change of anything, or after `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            pass

    def _mirrors(self) -> list[Mirror[Any]]:
        return [self._documents, *self._pods]

    async def _follow_health(self) -> None:
        for mirror in self._mirrors():
            await mirror.synced.wait()
        # A moment later the watches are open, too, and what is on its way may be waited for.
        opened_by = now() + OPEN_SECONDS
        known = self.known
        # (The mirrors were told of a pause before: they asked first.)
        with CLOCK.telling(lambda _: self._tell_age()):
            while True:
                self._tell_age()
                live = known.routes_as_of == known.pods_as_of == LIVE
                known.synced = known.synced or live or now() > opened_by
                await asyncio.sleep(0.1 if known.synced else 0.01)

    def _tell_age(self) -> None:
        self.known.routes_as_of = self._documents.as_of
        self.known.pods_as_of = min(mirror.as_of for mirror in self._pods)

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _seen(self, secret: Object) -> "Seen":
        metadata = secret["metadata"]
        before = self._documents.objects.get((metadata.get("namespace", ""), metadata["name"]))
        return before if before and before.version == metadata["resourceVersion"] else Seen(secret)

    def _on_document(self, key: Key, old: "Seen | None", new: "Seen | None") -> None:
        name = key[1]
        if not name.startswith("route-"):
            self.known.documents += 1
        if old is not None:
            self._forget(name)
        if new is not None:
            try:
                self._learn(name, new.take())
            except (ValidationError, KeyError, ValueError) as error:
                # The error's text may quote the document, which holds tokens or a credential.
                log.error("document_unreadable", name=name, error=type(error).__name__)
                self._mark_unreadable(name)
        self._notify()

    def _learn(self, name: str, secret: Object) -> None:
        kind = secret.get("type")
        if kind == names.ROUTE_TYPE:
            route = Route.model_validate_json(_data(secret, names.ROUTE_KEY))
            self.known.routes[route.pod.uid] = route
            if route.pod.uid not in self.known.pods:
                self.known.awaited.setdefault(route.pod.uid, now())
            for binding in route.bindings:
                self.known.tokens.update(dict.fromkeys(map(intern, binding.digests), (route, binding)))
            if route.egress is not None:
                self.known.egress_tokens.update(dict.fromkeys(route.egress.digests, (route, route.egress)))
            if not set(route.requires) <= SUPPORTED:
                self._mark_unreadable(name)
        elif kind == names.GATEWAY_TYPE:
            gateway = GatewayDocument.model_validate_json(_data(secret, names.GATEWAY_KEY))
            self.known.gateways[name] = compile_gateway(gateway) if set(gateway.requires) <= SUPPORTED else None
        elif kind == names.EGRESS_TYPE:
            egress = EgressDocument.model_validate_json(_data(secret, names.EGRESS_KEY))
            self.known.egress[name] = compile_egress(egress) if set(egress.requires) <= SUPPORTED else None
        elif kind == names.CREDENTIAL_TYPE:
            metadata = secret["metadata"]
            grant = (metadata.get("annotations") or {}).get(names.ALLOWED_HOSTS_ANNOTATION)
            value = judge(_data(secret, names.CREDENTIAL_KEY))
            if isinstance(value, Flaw):
                raise ValueError(value.name)
            self.known.credentials[name] = Credential(name, metadata["resourceVersion"], value, parse_grant(grant))
        elif kind == names.FLOOR_TYPE:
            document = FloorDocument.model_validate_json(_data(secret, names.FLOOR_KEY))
            self._floor, self._floor_lost = floor.compile_floor(document, self._own), None

    def _forget(self, name: str) -> None:
        self.known.gateways.pop(name, None)
        self.known.egress.pop(name, None)
        self.known.credentials.pop(name, None)
        if name == names.FLOOR_NAME and self._floor_lost is None:
            self._floor_lost = now()
        if name.startswith("route-"):
            uid = name.removeprefix("route-")
            self.known.unsupported -= {uid}
            self.known.awaited.pop(uid, None)
            if route := self.known.routes.pop(uid, None):
                for binding in route.bindings:
                    for digest in binding.digests:
                        self.known.tokens.pop(digest, None)
                for digest in route.egress.digests if route.egress else ():
                    self.known.egress_tokens.pop(digest, None)

    def _mark_unreadable(self, name: str) -> None:
        """Fail closed: what can't be read must not be served by what was read before."""
        if name.startswith("route-"):
            self.known.unsupported |= {name.removeprefix("route-")}
        elif name.startswith("gateway-"):
            self.known.gateways[name] = None
        elif name.startswith("egress-"):
            self.known.egress[name] = None

    def _on_pod(self, key: Key, old: Pod | None, new: Pod | None) -> None:
        known = self.known.pods
        if new is not None:
            before = known.get(new.uid)
            known[new.uid] = replace(new, seen_at=before.seen_at) if before else new
            self.known.awaited.pop(new.uid, None)
        for pod in (old, new):
            self._place(pod, there=pod is new and pod is not None and pod.present)
        if old is not None and (new is None or new.uid != old.uid):
            known.pop(old.uid, None)
            self.known.reviews.pop(old.uid, None)
        self._notify()

    def _place(self, pod: Pod | None, *, there: bool) -> None:
        """Where a pod is, or is no more. (An address that was a finished pod's may be another one's by now.)"""
        addresses = self.known.addresses
        for address in map(plain_address, pod.ips if pod is not None else ()):
            if there and pod is not None:
                addresses[address] = pod.uid
            elif pod is not None and addresses.get(address) == pod.uid:
                del addresses[address]


class Seen:
    """What is kept of a document once it was learned: which version that was."""

    __slots__ = ("_secret", "version")

    def __init__(self, secret: Object) -> None:
        self.version: str = secret["metadata"]["resourceVersion"]
        self._secret: Object | None = secret

    def take(self) -> Object:
        """The Secret, once."""
        secret, self._secret = self._secret, None
        return secret or {}


def pod_of(item: Object) -> Pod:
    """What decides, of a pod as the API server speaks it, seen now."""
    metadata, spec, status = item["metadata"], item.get("spec", {}), item.get("status", {})
    ips = tuple(entry["ip"] for entry in status.get("podIPs") or () if entry.get("ip"))
    return Pod(
        uid=intern(metadata["uid"]),
        name=metadata["name"],
        namespace=intern(metadata["namespace"]),
        phase=intern(status.get("phase", "Pending")),
        node=intern(spec.get("nodeName", "")),
        ips=ips,
        deleting="deletionTimestamp" in metadata,
        host_network=bool(spec.get("hostNetwork")),
        seen_at=now(),
    )


def _data(secret: Object, key: str) -> bytes:
    return base64.b64decode(secret["data"][key], validate=True)
