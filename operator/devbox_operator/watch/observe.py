"""From the API server to one frozen snapshot of a Devbox and all it depends on.

Goes in: a Devbox's key. Comes out: a `Snapshot`, or None if there is no such Devbox. The Devbox is read live, the rest comes from the
mirrors, which hold our own writes at once. A mirror that is behind does no harm: whatever is made or written has a name that is used
once, or a version or UID as a precondition; and before another pod is made, the pods are read live.
"""

from collections.abc import Container, Iterable, Mapping
from datetime import UTC, datetime

from devbox_api import names
from devbox_api.devbox import Devbox
from devbox_common.clock import CLOCK
from devbox_common.kube import ApiError, KubeApi, Object
from devbox_common.ranges import Network
from devbox_operator.kit import paths
from devbox_operator.seen import floor
from devbox_operator.seen.apiserver import ApiServer
from devbox_operator.seen.claims import ClaimView, StorageClassView, claim_name
from devbox_operator.seen.index import Index, references
from devbox_operator.seen.keys import Key
from devbox_operator.seen.namespaced import SharedView
from devbox_operator.seen.pods import PodView
from devbox_operator.seen.resources import DevboxView, GatewayView
from devbox_operator.seen.secrets import SecretView
from devbox_operator.seen.snapshot import NOT_FOUND, Authority, Missing, Snapshot, System
from devbox_operator.seen.visibility import NOT_YET
from devbox_operator.settings import Settings
from devbox_operator.watch.mirrors import Watches


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
        self.authority: Authority | None = None
        """The CA; likewise."""
        self.gateway_authority = ""
        """Its certificate, PEM; likewise."""
        self.visibility = NOT_YET
        """Whether confinement can be seen; leader.py sets it."""
        self.api_server = ApiServer(api)
        """What else is known of where the API server is; system.py has it look."""

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
        gateways: Mapping[Key, GatewayView | None] = {key: self._watches.gateway(key) for key in keys}
        refs = references(devbox, gateways)
        self._index.put(devbox.key, refs)
        secrets: dict[Key, SecretView | Missing] = {}
        for key in sorted({source.secret for source in refs.sources | refs.read}):
            secrets[key] = await self._watches.sources.read(key)
        if self._settings.source_secrets == "All":
            await self._watches.sources.read((box.namespace, ""))  # so that the token Secret can be seen
        volumes = {item: await self._mountable(box.namespace, *item) for item in sorted(refs.volumes)}
        pods = tuple(self._watches.pods(devbox.key))
        now, claim = datetime.now(UTC), await self._claim(box)
        return Snapshot(
            devbox=devbox,
            pods=pods,
            gateways=gateways,
            secrets=secrets,
            labels=await self._labels(box.namespace, gateways),
            egress=self._watches.egress(devbox.egress) if devbox.egress else None,
            volumes=volumes,
            policies=self._watches.policies(devbox.key),
            documents=_Names(self._watches, self._settings.credentials_namespace),
            system=self.system(),
            now=now,
            silent=self._silent(pods),
            mirrored={key: self._watches.mirrored(key) for key in secrets},
            claim=claim,
            storage_class=await self._storage_class(box, claim, now),
        )

    def server_time(self) -> datetime | None:
        """What time it is at the API server, at the least."""
        return CLOCK.server.now()

    async def ending(self, namespace: str) -> bool:
        """The namespace is being deleted (or gone): nothing can be made in it any more."""
        item = await self.get(paths.core("namespaces", "", namespace))
        return item is None or "deletionTimestamp" in item["metadata"]

    def system(self) -> System:
        """What devboxes need of the release."""
        place = (self._settings.release_namespace, self._settings.service_name)
        return System(self._watches.service.objects.get(place, ()), self.bundle, self.authority, self.visibility)

    async def unseen_pods(self, devbox: DevboxView, seen: Iterable[PodView]) -> bool:
        """The API server has a pod of the Devbox that the mirror has not (it has it from now on)."""
        selector = f"{names.DEVBOX_LABEL}={devbox.box.name}"
        items, _ = await self._api.list(paths.pods(devbox.box.namespace), {"labelSelector": selector})
        known = {pod.uid for pod in seen}
        unseen = [item for item in items if item["metadata"]["uid"] not in known]
        for item in unseen:
            self._watches.note(item)
        return bool(unseen)

    async def inhabited(self, namespace: str) -> bool:
        """By live lists: there is a Devbox, or a pod with the devbox label."""
        one = {"limit": "1"}
        for path, params in (
            (paths.pods(namespace), {**one, "labelSelector": names.DEVBOX_LABEL}),
            (paths.devboxes(namespace), one),
        ):
            if (await self._api.request("GET", path, params=params)).get("items"):
                return True
        return False

    def shared(self, kind: str, namespace: str, name: str) -> SharedView | None:
        """The namespace's `devbox-agent` or CA bundle, as mirrored."""
        group = self._watches.accounts if kind == "ServiceAccount" else self._watches.bundles
        mirror = self._watches.of_scope(group, namespace)
        return mirror.objects.get((namespace, name)) if mirror else None

    def floor(self) -> frozenset[str]:
        """Addresses of nodes, API server and gateway, and of the Services of the last two."""
        groups = [group for mirror in self._watches.floor for group in mirror.objects.values()]
        groups += [view.addresses for view in self._watches.slices.objects.values()]
        groups += [node.place.addresses for node in self._watches.nodes.objects.values()]
        return self.api_server.addresses.union(address for group in groups for address in group)

    def bridges(self) -> tuple[Network, ...]:
        """Where nodes are in the ranges of their pods."""
        cidrs = (cidr for node in self._watches.nodes.objects.values() for cidr in node.place.pod_cidrs)
        return floor.collapsed(floor.bridges(cidrs))

    def ranges(self) -> tuple[Network, ...]:
        """Of the cluster's pods and Services: what Nodes and ServiceCIDRs say, and what the settings add."""
        groups = [node.place.pod_cidrs for node in self._watches.nodes.objects.values()]
        groups += self._watches.service_cidrs.objects.values()
        seen = frozenset(cidr for group in groups for cidr in group)
        return floor.collapsed(seen.union(map(str, self._settings.cluster_cidrs)))

    async def _claim(self, box: Devbox) -> ClaimView | None:
        """The claim of the workspace's name. That it is not mirrored is not taken for its absence: it may have lost its labels."""
        if box.spec.workspace is None:
            return None
        key = (box.namespace, claim_name(box))
        if (found := self._watches.claim(key)) is not None:
            return found
        item = await self.get(paths.core("persistentvolumeclaims", *key))
        return ClaimView.of(item) if item else None

    async def _storage_class(self, box: Devbox, claim: ClaimView | None, now: datetime) -> StorageClassView | Missing | None:
        if box.spec.workspace is None or claim is None or not claim.asks_class(box.spec.workspace.size, now):
            return None
        try:
            return StorageClassView.of(await self._api.request("GET", paths.storageclass(claim.storage_class)))
        except ApiError as error:
            if error.not_found:
                return NOT_FOUND
            if error.status == 403:
                return None  # (an older release's Role does not show it)
            raise

    def _silent(self, pods: Iterable[PodView]) -> Mapping[str, datetime | None]:
        """Of the pods' nodes."""
        found = {pod.node: self._watches.nodes.objects.get(("", pod.node)) for pod in pods if pod.node}
        return {name: node and node.silent_since for name, node in found.items() if node is None or node.silent_since}

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
