"""Mirrors of what Devboxes depend on, and whom a change of it wakes.

Goes in: the API, the index, a function that adds keys to the queue. Comes out: `Mirror`s, and keys for the queue.

Why these are not kopf handlers: kopf watches a kind everywhere and always. Source Secrets may be read only where a Devbox needs
one (with `rbac.sourceSecrets: Named`, one by one, by name); and what is mirrored here is read by every reconcile, for which
kopf's indices won't do: they keep what was deleted while a watch was down.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import structlog

from devbox_api import names
from devbox_common.clock import now
from devbox_common.kube import ApiError, KubeApi, Object
from devbox_common.mirror import Mirror
from devbox_operator.attach import network
from devbox_operator.documents import objects as documents
from devbox_operator.kit import paths
from devbox_operator.kit.encoding import content_hash
from devbox_operator.seen import floor, nodes
from devbox_operator.seen.index import Index
from devbox_operator.seen.keys import CERTIFICATES, FLOOR, Key, Kind, WorkKey
from devbox_operator.seen.namespaced import PolicyView, SharedView
from devbox_operator.seen.pods import PodView
from devbox_operator.seen.resources import EgressView, GatewayView
from devbox_operator.seen.secrets import SecretView, StoredView
from devbox_operator.seen.snapshot import FORBIDDEN, INVALID, NOT_FOUND, UNREADABLE, Missing
from devbox_operator.settings import Settings

log = structlog.get_logger()

SYNC_SECONDS: Final = 10.0
"""A list that fails is tried again for this long; one that comes may take its time, page by page."""
SILENT_SECONDS: Final = 90.0
"""And one of which nothing comes, without an error."""
SECRETS_SECONDS: Final = 3.0
"""The Secrets of a namespace are waited for by a worker, of which others want to have some, too; then its turn comes again."""
REFUSED: Final = (401, 403)
REFUSED_SECONDS: Final = 5.0
"""A refusal of no more is that of an API server that has just started: nothing is written for it."""
NO_HELM: Final = "type!=helm.sh/release.v1"
"""Helm's release Secrets are large and never a credential."""


class Watches:
    """All mirrors; those of Secrets come and go with what is referred to."""

    def __init__(self, api: KubeApi, settings: Settings, index: Index, add: Callable[..., None]) -> None:
        self._api, self._settings, self._index, self._add = api, settings, index, add
        self._tasks: dict[Mirror[Any], asyncio.Task[None]] = {}
        self._secrets: dict[Key, Mirror[SecretView]] = {}
        """By (namespace, ""), or with `Named` by (namespace, name)."""
        self._away: dict[Key, bool] = {}
        """Of those that can't be read: whether that is a refusal."""
        self.stored: Mirror[StoredView] = Mirror(
            api,
            paths.secrets(settings.credentials_namespace),
            StoredView.of,
            on_change=self._stored_changed,
            group=lambda _, view: (view.type, documents.made_for(view)),
        )
        release, service = settings.release_namespace, settings.service_name
        self.service: Mirror[tuple[str, ...]] = Mirror(
            api,
            paths.core("services", release),
            floor.cluster_ips,
            field_selector=f"metadata.name={service}",
            on_change=lambda *_: self._system_changed(),
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
        self.nodes: Mirror[nodes.NodeView] = Mirror(api, paths.core("nodes"), nodes.node, on_change=self._node_changed)
        self.service_cidrs: Mirror[tuple[str, ...]] = Mirror(
            api, paths.SERVICE_CIDRS, floor.service_cidrs, on_change=lambda *_: add(FLOOR), optional=True
        )
        """(An older release's Role does not show them.)"""
        self._pods = self._scoped(
            paths.pods, PodView.of, self._pod_changed, names.DEVBOX_LABEL, group=lambda key, pod: (key[0], pod.devbox)
        )
        self._gateways = self._scoped(paths.gatewayconfigs, GatewayView.light, self._gateway_changed)
        self._egress = self._scoped(paths.egresspolicies, _egress, self._egress_changed)
        self._policies = self._scoped(
            paths.networkpolicies, _policy, self._policy_changed, group=lambda key, view: (key[0], self._own_policy(view))
        )
        self.accounts = self._scoped(_core("serviceaccounts"), _shared, self._shared_changed, names.MANAGED_SELECTOR)
        self.bundles = self._scoped(_core("configmaps"), _shared, self._shared_changed, names.MANAGED_SELECTOR)
        mountable = f"{names.MOUNTABLE_LABEL}=true"
        self.volumes = {
            kind: self._scoped(_core(plural), lambda _: True, self._volume_changed(kind), mountable, metadata_only=True)
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
            self._run(mirror)
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

    async def secret(self, key: Key) -> SecretView | str:
        """A source Secret; `NotFound` or `Forbidden` if it can't be had. Starts to watch where nobody did before.

        Of most Secrets nothing is kept but that they are there: one that is referred to by now, or by another key, is read again."""
        namespace, name = key
        place = (namespace, "" if self._settings.source_secrets == "All" else name)
        mirror = self._secrets.get(place)
        if mirror is None:
            selector = f"metadata.name={name}" if place[1] else NO_HELM
            mirror = self._secrets[place] = Mirror(
                self._api,
                paths.secrets(namespace),
                self._secret_view,
                field_selector=selector,
                on_change=self._secret_changed,
                on_recovery=lambda error: self._secrets_back(place, error),
                on_failure=lambda error: self._secrets_away(place, error),
            )
            self._run(mirror)
        try:
            async with asyncio.timeout(SECRETS_SECONDS):
                while not mirror.synced.is_set() and mirror.last_error is None:  # noqa: ASYNC110 (either of two things)
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise ApiError(0, "Timeout", f"Secrets of namespace {namespace} were not listed in time") from None
        # A watch that is refused means that what is mirrored is not true any more.
        if mirror.last_error is not None and mirror.last_error.status in REFUSED:
            return FORBIDDEN
        if mirror.last_error is not None and now() - mirror.as_of > self._settings.keeping.stale_seconds:
            return UNREADABLE
        if not mirror.synced.is_set() and mirror.last_error is not None:
            raise mirror.last_error
        view = mirror.objects.get(key)
        if view is None:
            return NOT_FOUND
        return view if self._index.keys_of(key) <= view.wanted else await self._read_again(mirror, key)

    def _secret_view(self, item: Object) -> SecretView:
        metadata = item["metadata"]
        return SecretView.of(item, self._index.keys_of((metadata["namespace"], metadata["name"])))

    async def _read_again(self, mirror: Mirror[SecretView], key: Key) -> SecretView | str:
        try:
            item = await self._api.request("GET", paths.secrets(*key))
        except ApiError as error:
            if error.not_found:
                return NOT_FOUND
            if error.status in REFUSED:
                return FORBIDDEN
            raise
        before = mirror.objects.get(key)
        if before is None or int(before.version) > int(item["metadata"]["resourceVersion"]):
            return before or NOT_FOUND  # the watch was faster than the answer, and looked at what is referred to
        mirror.again(item)
        view = mirror.objects.get(key)
        if view is not None and view.version != before.version:
            self._source_changed(key)  # the answer was faster, and the watch tells nobody any more
        return view or NOT_FOUND

    def refused_for(self, key: Key) -> float:
        """Seconds for which a source Secret could not be had. (Where its watch is open and it is refused by itself, that is no API server
        which has just started: no moment is waited for.)"""
        mirror = self._secrets.get((key[0], "" if self._settings.source_secrets == "All" else key[1]))
        since = None if mirror is None else mirror.away_since
        return REFUSED_SECONDS if since is None else now() - since

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
        pods = (pod for mirror in self._pods.values() for pod in mirror.objects.values() if pod.gated)
        return sorted({(pod.namespace, pod.devbox) for pod in pods})

    def places(self) -> dict[str, floor.Place]:
        """The gateways that are ready, by address."""
        return {place.address: place for view in self.slices.objects.values() for place in view.ready}

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
            stored = self.stored if namespace == self._settings.credentials_namespace else self._secrets.get((namespace, ""))
            mirror: Mirror[Any] | None = stored if item.get("type") in (names.ROUTE_TYPE, names.TOKENS_TYPE) else None
        else:
            groups = {
                "Pod": self._pods,
                "NetworkPolicy": self._policies,
                "ServiceAccount": self.accounts,
                "ConfigMap": self.bundles,
            }
            mirror = self.of_scope(groups.get(str(kind), {}), namespace)
        if mirror is not None:
            mirror.note(item)

    def token_secret(self, key: Key) -> SecretView | None:
        """A pod's token Secret, where Secrets may be read."""
        mirror = self._secrets.get((key[0], ""))
        return mirror.objects.get(key) if mirror else None

    def prune(self) -> None:
        """Stop to watch Secrets that nobody refers to any more."""
        used = self._index.namespaces() if self._settings.source_secrets == "All" else set()
        named = self._index.secrets() if self._settings.source_secrets == "Named" else set()
        for place in [place for place in self._secrets if place[0] not in used and place not in named]:
            self._away.pop(place, None)
            self._tasks.pop(self._secrets.pop(place)).cancel()

    def last_event(self) -> float:
        """When the most silent of the permanent watches last said something (monotonic seconds). One that fails alone counts: what is
        decided by it is as old."""
        return min(mirror.last_event for mirror in self._always())

    def _always(self) -> list[Mirror[Any]]:
        groups = (self._policies, self._pods, self._gateways, self._egress, self.accounts, self.bundles, *self.volumes.values())
        return [
            self.stored,
            *self.certificates,
            *self.floor,
            self.slices,
            self.nodes,
            *(m for group in groups for m in group.values()),
        ]

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
        self._source_changed(key)

    def _source_changed(self, key: Key) -> None:
        boxes, gateways = self._index.users_of_secret(key), self._index.gateways_of_secret(key)
        if boxes or gateways:
            self._add(WorkKey(Kind.SOURCE, *key))
        for box in boxes:
            self._add(WorkKey(Kind.DEVBOX, *box))
        for gateway in gateways:
            self._add(WorkKey(Kind.GATEWAY, *gateway))

    def _secrets_away(self, place: Key, error: ApiError) -> None:
        """Secrets can't be read: what was made from them is looked at once that is more than a moment, or has lasted."""
        refused = error.status in REFUSED
        if self._away.get(place) == refused:
            return
        self._away[place] = refused
        after = REFUSED_SECONDS if refused else self._settings.keeping.stale_seconds + 1
        for key in self._within(place):
            self._add(WorkKey(Kind.SOURCE, *key), after)

    def _secrets_back(self, place: Key, error: ApiError) -> None:
        """Secrets may be read again. (An API server that has just started refuses everything for a moment.) Those that did not change
        meanwhile are news for whoever was told that they can't be had."""
        self._away.pop(place, None)
        for key in self._within(place):
            if error.status in REFUSED or any(self.mirrored(key).values()):
                self._source_changed(key)

    def _within(self, place: Key) -> list[Key]:
        """The source Secrets that one watch covers."""
        namespace, name = place
        return [key for key in self._index.secrets() if key[0] == namespace and name in ("", key[1])]

    def _stored_changed(self, key: Key, old: StoredView | None, new: StoredView | None) -> None:
        """Somebody deleted or edited a document, or one appeared that a Devbox waits for."""
        view = new or old
        if view is None:
            return
        if view.type == names.ROUTE_TYPE:
            # (One that goes with its Devbox costs one look and no write.)
            devbox = documents.devbox_of(view)
            if old is not None and devbox in self._index.devboxes:
                self._add(WorkKey(Kind.DEVBOX, *devbox))
        if view.type == names.FLOOR_TYPE and old is not None:
            self._add(FLOOR)
        # (What appeared is our own doing, and only those who wait for it want to know; what was changed or deleted is not.)
        if view.type == names.CREDENTIAL_TYPE:
            secret = documents.source_of(view)
            if old is not None:
                self._add(WorkKey(Kind.SOURCE, *secret))
            if old is None or new is None or _kept_until(old) != _kept_until(new):
                self._wake(self._index.users_of_secret(secret))
                for gateway in self._index.gateways_of_secret(secret) if old is not None else ():
                    self._add(WorkKey(Kind.GATEWAY, *gateway))
        if view.type == names.GATEWAY_TYPE:
            gateway = documents.source_of(view)
            self._wake(self._index.users_of_gateway(gateway)) if old is None else self._add(WorkKey(Kind.GATEWAY, *gateway))
        if view.type == names.EGRESS_TYPE:
            policy = documents.source_of(view)
            self._wake(self._index.users_of_egress(policy)) if old is None else self._add(WorkKey(Kind.EGRESS, *policy))

    def _pod_changed(self, key: Key, old: PodView | None, new: PodView | None) -> None:
        self._wake(sorted({(key[0], pod.devbox) for pod in (old, new) if pod is not None}))

    def _node_changed(self, key: Key, old: nodes.NodeView | None, new: nodes.NodeView | None) -> None:
        if (old and old.place) != (new and new.place):
            self._add(FLOOR)
        if old is not None and (new is None or old.silent_since != new.silent_since):
            # Who waits for an end there.
            pods = [pod for mirror in self._pods.values() for pod in mirror.objects.values() if pod.node == key[1]]
            self._wake(sorted({(pod.namespace, pod.devbox) for pod in pods}))

    def _gateway_changed(self, key: Key, old: GatewayView | None, new: GatewayView | None) -> None:
        """(Its status says how many use it, which is no news for them.)"""
        if (old and old.facts) != (new and new.facts):
            self._wake(self._index.users_of_gateway(key))

    def _egress_changed(self, key: Key, old: EgressView | Missing | None, new: EgressView | Missing | None) -> None:
        """What a policy says is in its document; another one of that name has another."""
        if _policy_uid(old) != _policy_uid(new):
            self._wake(self._index.users_of_egress(key))

    def _policy_changed(self, key: Key, old: PolicyView | None, new: PolicyView | None) -> None:
        if key[1] == names.DENY_POLICY:
            if new is None or not new.intact:
                # Pods without a Devbox, too, which nothing else would look at.
                self._wake(sorted({*self._index.devboxes_in(key[0]), *self._devboxes_of_pods(key[0])}))
            return
        devbox = self._own_policy(new or old)
        if not devbox or (new and old and not self._own_policy(old)):
            # Somebody else's may select any pod of the namespace.
            self._wake(self._index.devboxes_in(key[0]))
        elif old is not None:
            self._wake([(key[0], devbox)])

    def _devboxes_of_pods(self, namespace: str) -> set[Key]:
        mirror = self.of_scope(self._pods, namespace)
        return {(key[0], pod.devbox) for key, pod in mirror.objects.items() if key[0] == namespace} if mirror else set()

    def _own_policy(self, view: PolicyView | None) -> str:
        """The Devbox, if the policy says exactly what ours says; else empty."""
        labels = ((view.spec if view else {}).get("podSelector") or {}).get("matchLabels") or {}
        devbox: str = labels.get(names.DEVBOX_LABEL, "")
        same = devbox and view and dict(view.spec) == network.policy_spec(devbox, self._settings.release_namespace)
        return devbox if same else ""

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

    def _slices_changed(self) -> None:
        self._add(FLOOR)
        self.on_gateways()

    def _system_changed(self) -> None:
        self._add(FLOOR)
        self._wake(sorted(self._index.devboxes))

    def _wake(self, boxes: list[Key]) -> None:
        for box in boxes:
            self._add(WorkKey(Kind.DEVBOX, *box))


def _core(plural: str) -> Callable[[str], str]:
    return lambda scope: paths.core(plural, scope)


def _kept_until(view: StoredView) -> str | None:
    return view.annotations.get(names.KEPT_UNTIL_ANNOTATION)


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


def _policy_uid(found: EgressView | Missing | None) -> str | None:
    return found.policy.uid if isinstance(found, EgressView) else found


def _content(item: Object) -> str:
    """Whether it changed, or somebody wishes for another one; what it holds is read when it is needed."""
    wish = (item["metadata"].get("annotations") or {}).get(names.RENEWED_AT_ANNOTATION)
    return content_hash([item["metadata"]["uid"], item.get("data") or {}, wish])
