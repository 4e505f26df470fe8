"""Who refers to what: so that a change of a Secret, a GatewayConfig or an EgressPolicy wakes the right Devboxes.

Goes in: what each Devbox and GatewayConfig refers to, as of its last reconcile, replaced whole at every resync. Comes out: the
other direction. Derived data: nothing is decided by it but whom to look at, and what nobody uses any more.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .model import DevboxView, GatewayView, Key


@dataclass(frozen=True)
class Source:
    """A Secret, and the key in it (None: its only key)."""

    namespace: str
    name: str
    key: str | None

    @property
    def secret(self) -> Key:
        """(namespace, name)."""
        return (self.namespace, self.name)


@dataclass(frozen=True)
class References:
    """What one Devbox (or GatewayConfig) refers to."""

    gateways: frozenset[Key] = frozenset()
    sources: frozenset[Source] = frozenset()
    volumes: frozenset[tuple[str, str]] = frozenset()
    egress: Key | None = None
    """The EgressPolicy."""
    counts: bool = True
    """False for one that is being deleted: it is no user any more."""


def source_of(gateway: GatewayView) -> Source | None:
    """A GatewayConfig's default credential."""
    if gateway.config.spec.credential is None:
        return None
    ref = gateway.config.spec.credential.secret_ref
    return Source(gateway.config.namespace, ref.name, ref.key)


def references(devbox: DevboxView, gateways: Mapping[Key, GatewayView | None]) -> References:
    """What a Devbox refers to, given the GatewayConfigs (for their default credentials)."""
    box = devbox.box
    keys: set[Key] = set()
    sources: set[Source] = set()
    for binding in box.spec.gateways:
        key = (binding.gateway_ref.namespace or box.namespace, binding.gateway_ref.name)
        keys.add(key)
        gateway = gateways.get(key)
        if binding.secret_ref is not None:
            sources.add(Source(box.namespace, binding.secret_ref.name, binding.secret_ref.key))
        elif gateway is not None and (default := source_of(gateway)):
            sources.add(default)
    volumes = {("ConfigMap", v.config_map.name) for v in box.spec.volumes if v.config_map}
    volumes |= {
        ("PersistentVolumeClaim", v.persistent_volume_claim.claim_name) for v in box.spec.volumes if v.persistent_volume_claim
    }
    return References(
        frozenset(keys), frozenset(sources), frozenset(volumes), egress=devbox.egress, counts=not devbox.deleting
    )  # fmt: skip


@dataclass
class Index:
    """The references of every Devbox and GatewayConfig."""

    devboxes: dict[Key, References] = field(default_factory=dict)
    defaults: dict[Key, Source | None] = field(default_factory=dict)
    """GatewayConfigs and their default credentials."""
    ending: set[str] = field(default_factory=set)
    """Namespaces that are being deleted: nothing can be made in them any more."""

    def users_of_gateway(self, key: Key) -> list[Key]:
        """Devboxes that use the GatewayConfig, sorted, without those being deleted."""
        return sorted(box for box, refs in self.devboxes.items() if refs.counts and key in refs.gateways)

    def users_of_egress(self, key: Key) -> list[Key]:
        """Devboxes that stand under the EgressPolicy, sorted, without those being deleted."""
        return sorted(box for box, refs in self.devboxes.items() if refs.counts and key == refs.egress)

    def users_of_secret(self, secret: Key) -> list[Key]:
        """Devboxes whose credentials come from the Secret."""
        return sorted(box for box, refs in self.devboxes.items() if any(source.secret == secret for source in refs.sources))

    def gateways_of_secret(self, secret: Key) -> list[Key]:
        """GatewayConfigs whose default credential comes from the Secret."""
        return sorted(key for key, source in self.defaults.items() if source is not None and source.secret == secret)

    def users_of_volume(self, namespace: str, kind: str, name: str) -> list[Key]:
        """Devboxes that mount the ConfigMap or claim."""
        return sorted(box for box, refs in self.devboxes.items() if box[0] == namespace and (kind, name) in refs.volumes)

    def devboxes_in(self, namespace: str) -> list[Key]:
        """Devboxes of a namespace."""
        return sorted(box for box in self.devboxes if box[0] == namespace)

    def sources_in_use(self) -> set[Source]:
        """What running devboxes need of Secrets."""
        return {source for refs in self.devboxes.values() if refs.counts for source in refs.sources}

    def secrets(self) -> set[Key]:
        """Every Secret that anything refers to."""
        used = {source.secret for refs in self.devboxes.values() for source in refs.sources}
        return used | {source.secret for source in self.defaults.values() if source is not None}

    def namespaces(self) -> set[str]:
        """Where Devboxes are, and where Secrets that are referred to are."""
        return {box[0] for box in self.devboxes} | {secret[0] for secret in self.secrets()}

    def replace(self, devboxes: Mapping[Key, References], gateways: Iterable[GatewayView]) -> None:
        """Everything anew, from lists."""
        self.devboxes = dict(devboxes)
        self.defaults = {gateway.key: source_of(gateway) for gateway in gateways}
