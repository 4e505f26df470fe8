"""Mirrors of what Devboxes depend on.

Goes in: the API, the index, a function that adds keys to the queue. Comes out: `Mirror`s, and answers from them. Whom a change wakes is
wake.py's; the Secrets that people's objects refer to are sources.py's.

Why these are not kopf handlers: kopf watches a kind everywhere and always. Source Secrets may be read only where a Devbox needs
one (with `rbac.sourceSecrets: Named`, one by one, by name); and what is mirrored here is read by every reconcile, for which
kopf's indices won't do: they keep what was deleted while a watch was down.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final

import structlog

from devbox_api import names
from devbox_common.kube import ApiError, KubeApi, Object
from devbox_common.mirror import Mirror
from devbox_operator.attach import network
from devbox_operator.documents import objects as documents
from devbox_operator.kit import paths
from devbox_operator.kit.encoding import content_hash
from devbox_operator.seen import floor, nodes
from devbox_operator.seen.claims import ClaimView
from devbox_operator.seen.index import Index
from devbox_operator.seen.keys import CERTIFICATES, FLOOR, Key
from devbox_operator.seen.namespaced import PolicyView, SharedView
from devbox_operator.seen.pods import PodView
from devbox_operator.seen.resources import EgressView, GatewayView
from devbox_operator.seen.secrets import SecretView, StoredView
from devbox_operator.seen.snapshot import INVALID, NOT_FOUND, Missing
from devbox_operator.settings import Settings
from devbox_operator.watch.running import Running
from devbox_operator.watch.sources import Sources
from devbox_operator.watch.wake import Wake

log = structlog.get_logger()

SYNC_SECONDS: Final = 10.0
"""A list that fails is tried again for this long; one that comes may take its time, page by page."""
SILENT_SECONDS: Final = 90.0
"""And one of which nothing comes, without an error."""


class Watches:
    """All mirrors."""

    def __init__(self, api: KubeApi, settings: Settings, index: Index, add: Callable[..., None]) -> None:
        self._api, self._settings, self._add = api, settings, add
        self._running = Running()
        wake = Wake(index, add, self._all_pods, settings.release_namespace)
        self.sources = Sources(api, settings, index, wake, lambda key: any(self.mirrored(key).values()))
        self.stored: Mirror[StoredView] = Mirror(
            api,
            paths.secrets(settings.credentials_namespace),
            StoredView.of,
            on_change=wake.stored,
            group=lambda _, view: (view.type, documents.made_for(view)),
        )
        release, service = settings.release_namespace, settings.service_name
        self.service: Mirror[tuple[str, ...]] = Mirror(
            api,
            paths.core("services", release),
            floor.cluster_ips,
            field_selector=f"metadata.name={service}",
            on_change=wake.service,
        )
        self.certificates = [
            self._named(paths.secrets(release), name, _content, lambda *_: add(CERTIFICATES))
            for name in (names.CA_SECRET, names.LEAF_SECRET)
        ]
        self.floor: list[Mirror[tuple[str, ...]]] = [
            self.service,
            self._named(paths.core("services", "default"), "kubernetes", floor.cluster_ips, lambda *_: add(FLOOR)),
            self._named(paths.endpointslices("default"), "kubernetes", floor.slice_addresses, lambda *_: add(FLOOR)),
        ]
        """Whose addresses nothing may lead to, with the nodes: the gateway, the API server. What a Service leads to counts as it does."""
        self.slices: Mirror[floor.SliceView] = Mirror(
            api,
            paths.endpointslices(release),
            floor.gateway_slice,
            label_selector=f"kubernetes.io/service-name={service}",
            on_change=lambda *_: self._slices_changed(),
        )
        """Where the gateways are."""
        self.on_gateways: Callable[[], None] = lambda: None
        """Told when gateways come or go; control.py's."""
        self.nodes: Mirror[nodes.NodeView] = Mirror(api, paths.core("nodes"), nodes.node, on_change=wake.node)
        self.service_cidrs: Mirror[tuple[str, ...]] = Mirror(
            api, paths.SERVICE_CIDRS, floor.service_cidrs, on_change=lambda *_: add(FLOOR), optional=True
        )
        """(An older release's Role does not show them.)"""
        self._pods = self._scoped(
            paths.pods, PodView.of, wake.pod, names.DEVBOX_LABEL, group=lambda key, pod: (key[0], pod.devbox)
        )
        self._gateways = self._scoped(paths.gatewayconfigs, GatewayView.light, wake.gateway)
        self._egress = self._scoped(paths.egresspolicies, _egress, wake.egress)
        self._policies = self._scoped(
            paths.networkpolicies,
            _policy,
            wake.policy,
            group=lambda key, view: (key[0], network.owner_of(view, settings.release_namespace)),
        )
        self.accounts = self._scoped(_core("serviceaccounts"), _shared, wake.shared, names.MANAGED_SELECTOR)
        self.bundles = self._scoped(_core("configmaps"), _shared, wake.shared, names.MANAGED_SELECTOR)
        self._claims = self._scoped(
            _core("persistentvolumeclaims"),
            ClaimView.of,
            wake.claim,
            f"{names.MANAGED_SELECTOR},{names.DEVBOX_LABEL}",
            group=lambda key, claim: (key[0], claim.devbox),
        )
        mountable = f"{names.MOUNTABLE_LABEL}=true"
        self.volumes = {
            kind: self._scoped(_core(plural), lambda _: True, wake.volume(kind), mountable, metadata_only=True)
            for kind, plural in (("ConfigMap", "configmaps"), ("PersistentVolumeClaim", "persistentvolumeclaims"))
        }

    def _scoped(
        self,
        at: Callable[[str], str],
        convert: Callable[[Object], Any],
        on_change: Any,
        selector: str | None = None,
        *,
        group: Any = None,
        metadata_only: bool = False,
    ) -> dict[str, Mirror[Any]]:
        options: dict[str, Any] = {"label_selector": selector, "on_change": on_change, "group": group}
        return {
            scope: Mirror(self._api, at(scope), convert, metadata_only=metadata_only, **options)
            for scope in self._settings.scopes
        }

    def _named(self, path: str, name: str, convert: Callable[[Object], Any], on_change: Any) -> Mirror[Any]:
        return Mirror(self._api, path, convert, field_selector=f"metadata.name={name}", on_change=on_change)

    def of_scope(self, mirrors: dict[str, Mirror[Any]], namespace: str) -> Mirror[Any] | None:
        """The mirror that covers a namespace; None if the operator does not watch there."""
        return mirrors.get(namespace) or mirrors.get("")

    async def start(self) -> None:
        """Start what is always watched, and wait until each was listed. Raises `ApiError` where one can't be."""
        await self._begin(self._always())
        # By now the API server knows our rights. (One that has just started refuses everything, and is asked again by those that need an
        # answer.) A refusal means that there is nothing to see.
        await self._begin([self.service_cidrs])

    async def _begin(self, mirrors: list[Mirror[Any]]) -> None:
        for mirror in mirrors:
            self._running.start(mirror)
        began = time.monotonic()
        for mirror in mirrors:
            while not mirror.synced.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.1):
                        await mirror.synced.wait()
                silent = time.monotonic() - max(began, mirror.last_event)
                if mirror.last_error is not None and silent > SYNC_SECONDS:
                    raise mirror.last_error
                if silent > SILENT_SECONDS:
                    raise ApiError(0, "Timeout", "a list was not answered in time")

    def mirrored(self, secret: Key) -> dict[str, str]:
        """The credentials made from a Secret: name, and until when it is kept though the Secret does not bear it out (or empty)."""
        found = self.stored.within((names.CREDENTIAL_TYPE, secret)).values()
        return {view.name: view.annotations.get(names.KEPT_UNTIL_ANNOTATION, "") for view in found}

    def pods(self, devbox: Key) -> list[PodView]:
        """The pods with the Devbox's label."""
        mirror = self.of_scope(self._pods, devbox[0])
        return list(mirror.within(devbox).values()) if mirror else []

    def gated(self) -> list[Key]:
        """Devboxes with a pod that waits for its gate."""
        return sorted({(pod.namespace, pod.devbox) for pod in self._all_pods() if pod.gated})

    def places(self) -> dict[str, floor.Place]:
        """The gateways that are ready, by address."""
        return {place.address: place for view in self.slices.objects.values() for place in view.ready}

    def asked(self) -> list[floor.Asked]:
        """Where all gateways are asked when devboxes were last in use."""
        return [one for view in self.slices.objects.values() for one in view.asked]

    def gateway(self, key: Key) -> GatewayView | None:
        """A GatewayConfig; None if there is none, or in a namespace that the operator does not work in."""
        mirror = self.of_scope(self._gateways, key[0])
        return mirror.objects.get(key) if mirror else None

    def egress(self, key: Key) -> EgressView | Missing:
        """An EgressPolicy, or why there is none."""
        mirror = self.of_scope(self._egress, key[0])
        return (mirror.objects.get(key) if mirror else None) or NOT_FOUND

    def egresspolicies(self) -> list[Key]:
        """All of them, sorted."""
        return sorted(key for mirror in self._egress.values() for key in mirror.objects)

    def claim(self, key: Key) -> ClaimView | None:
        """The claim of a workspace."""
        mirror = self.of_scope(self._claims, key[0])
        return mirror.objects.get(key) if mirror else None

    def claims(self, devbox: Key) -> list[ClaimView]:
        """Those of all workspaces that Devboxes of that name have had."""
        mirror = self.of_scope(self._claims, devbox[0])
        return list(mirror.within(devbox).values()) if mirror else []

    def policies(self, devbox: Key) -> tuple[PolicyView, ...]:
        """The NetworkPolicies that say of the Devbox's pods what ours says, and those of others that may select them."""
        mirror = self.of_scope(self._policies, devbox[0])
        return (*mirror.within(devbox).values(), *mirror.within((devbox[0], "")).values()) if mirror else ()

    def denial(self, namespace: str) -> PolicyView | None:
        """The namespace's own NetworkPolicy (denial.py)."""
        mirror = self.of_scope(self._policies, namespace)
        return mirror.objects.get((namespace, names.DENY_POLICY)) if mirror else None

    def denials(self) -> list[PolicyView]:
        """Those of all namespaces."""
        every = (view for mirror in self._policies.values() for view in mirror.objects.values())
        return [view for view in every if view.name == names.DENY_POLICY]

    def routes(self, devbox: Key) -> list[StoredView]:
        """The Routes of a Devbox."""
        return list(self.stored.within((names.ROUTE_TYPE, devbox)).values())

    def route(self, pod_uid: str) -> StoredView | None:
        """A pod's Route."""
        return self.stored.objects.get((self._settings.credentials_namespace, documents.route_name(pod_uid)))

    def note(self, item: Object) -> None:
        """What the API server answered to a write of ours. (Documents that a Devbox waits for are left to the watch, which wakes it.)"""
        kind, namespace = item.get("kind"), (item.get("metadata") or {}).get("namespace", "")
        if kind == "Secret":
            stored = self.stored if namespace == self._settings.credentials_namespace else self.sources.of_namespace(namespace)
            mirror: Mirror[Any] | None = stored if item.get("type") in (names.ROUTE_TYPE, names.TOKENS_TYPE) else None
        else:
            groups = {
                "Pod": self._pods,
                "NetworkPolicy": self._policies,
                "ServiceAccount": self.accounts,
                "ConfigMap": self.bundles,
                "PersistentVolumeClaim": self._claims,
            }
            mirror = self.of_scope(groups.get(str(kind), {}), namespace)
        if mirror is not None:
            mirror.note(item)

    def token_secret(self, key: Key) -> SecretView | None:
        """A pod's token Secret, where Secrets may be read."""
        mirror = self.sources.of_namespace(key[0])
        return mirror.objects.get(key) if mirror else None

    def last_event(self) -> float:
        """When the most silent of the permanent watches last said something (monotonic seconds). One that fails alone counts: what is
        decided by it is as old."""
        return min(mirror.last_event for mirror in self._always())

    def _always(self) -> list[Mirror[Any]]:
        shared = (self.accounts, self.bundles, self._claims, *self.volumes.values())
        groups = (self._policies, self._pods, self._gateways, self._egress, *shared)
        return [
            self.stored,
            *self.certificates,
            *self.floor,
            self.slices,
            self.nodes,
            *(m for group in groups for m in group.values()),
        ]

    async def stop(self) -> None:
        """All of them."""
        await asyncio.gather(self._running.stop(), self.sources.stop())

    def _all_pods(self) -> Iterator[PodView]:
        return (pod for mirror in self._pods.values() for pod in mirror.objects.values())

    def _slices_changed(self) -> None:
        self._add(FLOOR)
        self.on_gateways()


def _core(plural: str) -> Callable[[str], str]:
    return lambda scope: paths.core(plural, scope)


def _egress(item: Object) -> EgressView | Missing:
    try:
        view = EgressView.of(item)
        documents.egress_document(view.policy)
    except ValueError:
        return INVALID  # its own reconcile says what is wrong
    return view.light


def _shared(item: Object) -> SharedView | None:
    """(Others may put our label onto theirs.)"""
    return SharedView.of(item) if item["metadata"]["name"] in (names.AGENT_SERVICE_ACCOUNT, names.CA_CONFIG_MAP) else None


def _policy(item: Object) -> PolicyView:
    view = PolicyView.of(item)
    if view.name != names.DENY_POLICY:
        return view
    return replace(view, intact=not network.flaws(item), marked=network.marked(item))


def _content(item: Object) -> str:
    """Whether it changed, or somebody wishes for another one; what it holds is read when it is needed."""
    wish = (item["metadata"].get("annotations") or {}).get(names.RENEWED_AT_ANNOTATION)
    return content_hash([item["metadata"]["uid"], item.get("data") or {}, wish])
