"""From the API server to one frozen snapshot of a Devbox and all it depends on.

Goes in: a Devbox's key. Comes out: a `Snapshot`, or None if there is no such Devbox. Devbox, pods, GatewayConfigs and the
EgressPolicy are read live, so that no stale cache decides; the rest comes from the mirrors. Called by reconcile.py.
"""

import asyncio
from collections.abc import Container, Mapping
from datetime import UTC, datetime

from devbox_api import names
from devbox_common.kube import ApiError, KubeApi, Object

from . import documents, paths
from .index import Index, references
from .model import (
    INVALID,
    NOT_FOUND,
    DevboxView,
    EgressView,
    GatewayView,
    Key,
    Missing,
    PodView,
    SecretView,
    SharedView,
    Snapshot,
    System,
)
from .settings import Settings
from .watches import Watches


class _Names(Container[str]):
    """The names in the credentials namespace, without a copy of thousands."""

    def __init__(self, watches: Watches, namespace: str) -> None:
        self._objects, self._namespace = watches.stored.objects, namespace

    def __contains__(self, name: object) -> bool:
        return (self._namespace, name) in self._objects


class Observer:
    """Reads."""

    def __init__(self, api: KubeApi, watches: Watches, index: Index, settings: Settings) -> None:
        self._api, self._watches, self._index, self._settings = api, watches, index, settings
        self.bundle = ""
        """The CA bundle; system.py sets it."""

    async def get(self, path: str, *, forbidden_is_missing: bool = False) -> Object | None:
        """An object, None if it is not there (or, where that is to be expected, not ours to see)."""
        try:
            return await self._api.request("GET", path)
        except ApiError as error:
            if error.not_found or (forbidden_is_missing and error.status == 403):
                return None
            raise

    async def snapshot(self, devbox: DevboxView) -> Snapshot:
        """Everything about a Devbox. Its references are noted first: what changes from then on wakes it."""
        box = devbox.box
        keys = sorted({(b.gateway_ref.namespace or box.namespace, b.gateway_ref.name) for b in box.spec.gateways})
        pods, egress, found = await asyncio.gather(
            self.pods(box.namespace, box.name), self.egress(devbox.egress), asyncio.gather(*(self.gateway(key) for key in keys))
        )
        gateways: Mapping[Key, GatewayView | None] = dict(zip(keys, found, strict=True))
        refs = references(devbox, gateways)
        self._index.devboxes[devbox.key] = refs
        secrets: dict[Key, SecretView | Missing] = {}
        for key in sorted({source.secret for source in refs.sources}):
            secrets[key] = await self._watches.secret(key)
        if self._settings.source_secrets == "All":
            await self._watches.secret((box.namespace, ""))  # so that the token Secret can be seen
        volumes = {item: await self._mountable(box.namespace, *item) for item in sorted(refs.volumes)}
        policies = self._watches.of_scope(self._watches.policies, box.namespace)
        return Snapshot(
            devbox=devbox,
            pods=tuple(pods),
            gateways=gateways,
            secrets=secrets,
            labels=await self._labels(box.namespace, gateways),
            egress=egress,
            volumes=volumes,
            policies=tuple(policies.within(box.namespace).values()) if policies else (),
            documents=_Names(self._watches, self._settings.credentials_namespace),
            system=self.system(),
            now=datetime.now(UTC),
        )

    async def ending(self, namespace: str) -> bool:
        """The namespace is being deleted (or gone): nothing can be made in it any more."""
        item = await self.get(paths.core("namespaces", "", namespace))
        return item is None or "deletionTimestamp" in item["metadata"]

    def system(self) -> System:
        """What devboxes need of the release."""
        place = (self._settings.release_namespace, self._settings.service_name)
        return System(self._watches.service.objects.get(place, ()), self.bundle)

    async def pods(self, namespace: str, devbox: str) -> list[PodView]:
        """The pods with the devbox's label."""
        items, _ = await self._api.list(paths.pods(namespace), {"labelSelector": f"{names.DEVBOX_LABEL}={devbox}"})
        return [PodView.of(item) for item in items]

    async def gateway(self, key: Key) -> GatewayView | None:
        """A GatewayConfig. (In a namespace that the operator does not work in, it can't be seen.)"""
        item = await self.get(paths.gatewayconfigs(*key), forbidden_is_missing=True)
        return GatewayView.of(item) if item else None

    async def egress(self, key: Key | None) -> EgressView | Missing | None:
        """An EgressPolicy, or why there is none; None if none is asked for."""
        if key is None:
            return None
        item = await self.get(paths.egresspolicies(*key))
        if item is None:
            return NOT_FOUND
        try:
            view = EgressView.of(item)
            documents.egress_document(view.policy)
        except ValueError:
            return INVALID  # its own reconcile says what is wrong
        return view

    def shared(self, kind: str, namespace: str, name: str) -> SharedView | None:
        """The namespace's `devbox-agent` or CA bundle, as mirrored."""
        group = self._watches.accounts if kind == "ServiceAccount" else self._watches.bundles
        mirror = self._watches.of_scope(group, namespace)
        return mirror.objects.get((namespace, name)) if mirror else None

    def floor(self) -> frozenset[str]:
        """Addresses of nodes, API server and gateway, and of the Services of the last two."""
        groups = (group for mirror in self._watches.floor for group in mirror.objects.values())
        return frozenset(address for group in groups for address in group)

    async def _labels(self, namespace: str, gateways: Mapping[Key, GatewayView | None]) -> Mapping[str, str]:
        """The namespace's labels, where a selector asks for them."""
        if all(key[0] == namespace for key in gateways):
            return {}
        item = await self.get(paths.core("namespaces", "", namespace)) or {"metadata": {}}
        return dict(item["metadata"].get("labels") or {})

    async def _mountable(self, namespace: str, kind: str, name: str) -> bool | None:
        mirror = self._watches.of_scope(self._watches.volumes[kind], namespace)
        if mirror and (namespace, name) in mirror.objects:
            return True
        plural = {"ConfigMap": "configmaps", "PersistentVolumeClaim": "persistentvolumeclaims"}[kind]
        item = await self.get(paths.core(plural, namespace, name))
        if item is None:
            return None
        return (item["metadata"].get("labels") or {}).get(names.MOUNTABLE_LABEL) == "true"
