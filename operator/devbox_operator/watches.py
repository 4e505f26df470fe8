"""Mirrors of what Devboxes depend on, and whom a change of it wakes.

Goes in: the API, the index, a function that adds keys to the queue. Comes out: `Mirror`s, and keys for the queue.

Why these are not kopf handlers: kopf watches a kind everywhere and always. Source Secrets may be read only where a Devbox needs
one (with `rbac.sourceSecrets: Named`, one by one, by name); and what is mirrored here is read by every reconcile, for which
kopf's indices won't do: they keep what was deleted while a watch was down.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import structlog

from devbox_api import names
from devbox_common.kube import ApiError, KubeApi, Object
from devbox_common.mirror import Mirror

from . import documents, network, paths
from .index import Index
from .keys import CERTIFICATES, FLOOR, Kind, WorkKey
from .model import FORBIDDEN, NOT_FOUND, Key, PolicyView, SecretView, SharedView, StoredView
from .settings import Settings

log = structlog.get_logger()

SYNC_SECONDS: Final = 10.0
NO_HELM: Final = "type!=helm.sh/release.v1"
"""Helm's release Secrets are large and never a credential."""


class Watches:
    """All mirrors; those of Secrets come and go with what is referred to."""

    def __init__(self, api: KubeApi, settings: Settings, index: Index, add: Callable[[WorkKey], None]) -> None:
        self._api, self._settings, self._index, self._add = api, settings, index, add
        self._tasks: dict[Mirror[Any], asyncio.Task[None]] = {}
        self.routes: dict[Key, dict[str, StoredView]] = {}
        """Routes, by their Devbox and name."""
        self._secrets: dict[Key, Mirror[SecretView]] = {}
        """By (namespace, ""), or with `Named` by (namespace, name)."""
        self.stored: Mirror[StoredView] = Mirror(
            api, paths.secrets(settings.credentials_namespace), StoredView.of, on_change=self._stored_changed
        )
        release, service = settings.release_namespace, settings.service_name
        self.service: Mirror[tuple[str, ...]] = Mirror(
            api,
            paths.core("services", release),
            _cluster_ips,
            field_selector=f"metadata.name={service}",
            on_change=lambda *_: self._system_changed(),
        )
        self.certificates = [
            self._named(paths.secrets(release), name, _whole, lambda *_: add(CERTIFICATES))
            for name in (names.CA_SECRET, names.LEAF_SECRET)
        ]
        self.floor: list[Mirror[tuple[str, ...]]] = [
            self.service,
            Mirror(
                api,
                paths.endpointslices(release),
                _slice_addresses,
                label_selector=f"kubernetes.io/service-name={service}",
                on_change=lambda *_: add(FLOOR),
            ),
            self._named(paths.core("services", "default"), "kubernetes", _cluster_ips, lambda *_: add(FLOOR)),
            self._named(paths.endpointslices("default"), "kubernetes", _slice_addresses, lambda *_: add(FLOOR)),
            Mirror(api, paths.core("nodes"), _node_addresses, on_change=lambda *_: add(FLOOR)),
        ]
        """Whose addresses nothing may lead to: the gateway, the API server, the nodes. What a Service leads to counts as it does."""
        self.policies = self._scoped("networkpolicies", PolicyView.of, self._policy_changed)
        self.accounts = self._scoped("serviceaccounts", SharedView.of, self._shared_changed, names.MANAGED_SELECTOR)
        self.bundles = self._scoped("configmaps", SharedView.of, self._shared_changed, names.MANAGED_SELECTOR)
        mountable = f"{names.MOUNTABLE_LABEL}=true"
        self.volumes = {
            kind: self._scoped(plural, lambda _: True, self._volume_changed(kind), mountable)
            for kind, plural in (("ConfigMap", "configmaps"), ("PersistentVolumeClaim", "persistentvolumeclaims"))
        }

    def _scoped(
        self, plural: str, convert: Callable[[Object], Any], on_change: Any, selector: str | None = None
    ) -> dict[str, Mirror[Any]]:
        at = paths.networkpolicies if plural == "networkpolicies" else lambda scope: paths.core(plural, scope)
        return {
            scope: Mirror(self._api, at(scope), convert, label_selector=selector, on_change=on_change)
            for scope in self._settings.scopes
        }

    def _named(self, path: str, name: str, convert: Callable[[Object], Any], on_change: Any) -> Mirror[Any]:
        return Mirror(self._api, path, convert, field_selector=f"metadata.name={name}", on_change=on_change)

    def of_scope(self, mirrors: dict[str, Mirror[Any]], namespace: str) -> Mirror[Any] | None:
        """The mirror that covers a namespace; None if the operator does not watch there."""
        return mirrors.get(namespace) or mirrors.get("")

    async def start(self) -> None:
        """Start what is always watched, and wait until each was listed. Raises `ApiError` where one can't be."""
        groups = (self.policies, self.accounts, self.bundles, *self.volumes.values())
        mirrors: list[Mirror[Any]] = [self.stored, *self.certificates, *self.floor]
        mirrors += [mirror for group in groups for mirror in group.values()]
        for mirror in mirrors:
            self._run(mirror)
        for mirror in mirrors:
            try:
                async with asyncio.timeout(SYNC_SECONDS):
                    await mirror.synced.wait()
            except TimeoutError:
                raise mirror.last_error or ApiError(0, "Timeout", "a list was not answered in time") from None

    async def secret(self, key: Key) -> SecretView | str:
        """A source Secret; `NotFound` or `Forbidden` if it can't be had. Starts to watch where nobody did before."""
        namespace, name = key
        place = (namespace, "" if self._settings.source_secrets == "All" else name)
        mirror = self._secrets.get(place)
        if mirror is None:
            selector = f"metadata.name={name}" if place[1] else NO_HELM
            mirror = self._secrets[place] = Mirror(
                self._api, paths.secrets(namespace), SecretView.of, field_selector=selector, on_change=self._secret_changed
            )
            self._run(mirror)
        try:
            async with asyncio.timeout(SYNC_SECONDS):
                while not mirror.synced.is_set() and mirror.last_error is None:  # noqa: ASYNC110 (either of two things)
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise ApiError(0, "Timeout", f"Secrets of namespace {namespace} were not listed in time") from None
        # A watch that is refused means that what is mirrored is not true any more.
        if mirror.last_error is not None and mirror.last_error.status in (401, 403):
            return FORBIDDEN
        if not mirror.synced.is_set() and mirror.last_error is not None:
            raise mirror.last_error
        return mirror.objects.get(key) or NOT_FOUND

    def token_secret(self, key: Key) -> SecretView | None:
        """A pod's token Secret, where Secrets may be read."""
        mirror = self._secrets.get((key[0], ""))
        return mirror.objects.get(key) if mirror else None

    def prune(self) -> None:
        """Stop to watch Secrets that nobody refers to any more."""
        used = self._index.namespaces() if self._settings.source_secrets == "All" else set()
        named = self._index.secrets() if self._settings.source_secrets == "Named" else set()
        for place in [place for place in self._secrets if place[0] not in used and place not in named]:
            self._tasks.pop(self._secrets.pop(place)).cancel()

    def last_event(self) -> float:
        """When the most silent of the permanent watches last said something (monotonic seconds)."""
        always: list[Mirror[Any]] = [self.stored, self.service, *self.policies.values()]
        return min(mirror.last_event for mirror in always)

    async def stop(self) -> None:
        """Cancel all."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _run(self, mirror: Mirror[Any]) -> None:
        self._tasks[mirror] = asyncio.create_task(mirror.run())

    def _secret_changed(self, key: Key, old: SecretView | None, new: SecretView | None) -> None:
        shown = new or old
        if shown is not None and shown.type == names.TOKENS_TYPE:
            # (What we wrote ourselves is no news; one that somebody deleted or changed is.)
            if old is not None:
                box = (key[0], shown.name.rpartition("-")[0])  # it has the pod's name
                if box in self._index.devboxes:
                    self._add(WorkKey(Kind.DEVBOX, *box))
            return
        boxes, gateways = self._index.users_of_secret(key), self._index.gateways_of_secret(key)
        if boxes or gateways:
            self._add(WorkKey(Kind.SOURCE, *key))
        for box in boxes:
            self._add(WorkKey(Kind.DEVBOX, *box))
        for gateway in gateways:
            self._add(WorkKey(Kind.GATEWAY, *gateway))

    def _stored_changed(self, key: Key, old: StoredView | None, new: StoredView | None) -> None:
        """Somebody deleted or edited a document, or one appeared that a Devbox waits for."""
        view = new or old
        if view is None:
            return
        if view.type == names.ROUTE_TYPE:
            self._route_changed(view, old, new)
        if view.type == names.FLOOR_TYPE and old is not None:
            self._add(FLOOR)
        # (What appeared is our own doing, and only those who wait for it want to know; what was changed or deleted is not.)
        if view.type == names.CREDENTIAL_TYPE:
            secret = documents.source_of(view)
            self._wake(self._index.users_of_secret(secret)) if old is None else self._add(WorkKey(Kind.SOURCE, *secret))
        if view.type == names.GATEWAY_TYPE:
            gateway = documents.source_of(view)
            self._wake(self._index.users_of_gateway(gateway)) if old is None else self._add(WorkKey(Kind.GATEWAY, *gateway))
        if view.type == names.EGRESS_TYPE:
            policy = documents.source_of(view)
            self._wake(self._index.users_of_egress(policy)) if old is None else self._add(WorkKey(Kind.EGRESS, *policy))

    def _route_changed(self, view: StoredView, old: StoredView | None, new: StoredView | None) -> None:
        devbox = documents.devbox_of(view)
        routes = self.routes.setdefault(devbox, {})
        if new is None:
            routes.pop(view.name, None)
        else:
            routes[view.name] = new
        if not routes:
            del self.routes[devbox]
        # (One that goes with its Devbox, or was renewed by ourselves, costs one look and no write.)
        if old is not None and devbox in self._index.devboxes:
            self._add(WorkKey(Kind.DEVBOX, *devbox))

    def _policy_changed(self, key: Key, old: PolicyView | None, new: PolicyView | None) -> None:
        devbox = self._own_policy(new or old)
        if devbox is None or (new and old and self._own_policy(old) is None):
            # Somebody else's may select any pod of the namespace.
            self._wake(self._index.devboxes_in(key[0]))
        elif old is not None:
            self._wake([(key[0], devbox)])

    def _own_policy(self, view: PolicyView | None) -> str | None:
        """The Devbox, if the policy says exactly what ours says."""
        labels = ((view.spec if view else {}).get("podSelector") or {}).get("matchLabels") or {}
        devbox: str | None = labels.get(names.DEVBOX_LABEL)
        same = devbox and view and dict(view.spec) == network.policy_spec(devbox, self._settings.release_namespace)
        return devbox if same else None

    def _shared_changed(self, key: Key, old: SharedView | None, new: SharedView | None) -> None:
        # One that went has to come back. (What was added is our own doing.)
        if key[1] in (names.AGENT_SERVICE_ACCOUNT, names.CA_CONFIG_MAP) and (
            new is None or (old is not None and (old.uid, old.content) != (new.uid, new.content))
        ):
            self._wake(self._index.devboxes_in(key[0]))

    def _volume_changed(self, kind: str) -> Callable[[Key, Any, Any], None]:
        def changed(key: Key, old: object, new: object) -> None:
            self._wake(self._index.users_of_volume(key[0], kind, key[1]))

        return changed

    def _system_changed(self) -> None:
        self._add(FLOOR)
        self._wake(sorted(self._index.devboxes))

    def _wake(self, boxes: list[Key]) -> None:
        for box in boxes:
            self._add(WorkKey(Kind.DEVBOX, *box))


def _whole(item: Object) -> Object:
    return item


def _cluster_ips(item: Object) -> tuple[str, ...]:
    ips = (item.get("spec") or {}).get("clusterIPs") or ()
    return tuple(ip for ip in ips if ip and ip != "None")


def _node_addresses(item: Object) -> tuple[str, ...]:
    addresses = (item.get("status") or {}).get("addresses") or ()
    return tuple(a["address"] for a in addresses if a.get("type") in ("InternalIP", "ExternalIP"))


def _slice_addresses(item: Object) -> tuple[str, ...]:
    return tuple(address for endpoint in item.get("endpoints") or () for address in endpoint.get("addresses") or ())
