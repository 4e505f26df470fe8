"""Who refers to what: so that a change of a Secret, a GatewayConfig or an EgressPolicy wakes the right Devboxes.

Goes in: what each Devbox and GatewayConfig refers to, as of its last reconcile, replaced whole at every resync. Comes out: the
other direction. Derived data: nothing is decided by it but whom to look at, and what nobody uses any more.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from devbox_operator.seen.keys import Key
from devbox_operator.seen.resources import DevboxView, GatewayView


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
    read: frozenset[Source] = frozenset()
    """Secrets whose values the agent is given (spec.secretEnv)."""
    suspended: bool = False
    """It is a user, but nobody uses its credentials now."""


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
    read = frozenset(Source(box.namespace, one.secret_ref.name, one.secret_ref.key) for one in box.spec.secret_env)
    return References(
        frozenset(keys),
        frozenset(sources),
        frozenset(volumes),
        egress=devbox.egress,
        counts=not devbox.deleting,
        read=read,
        suspended=devbox.suspended_by is not None,
    )


class Index:
    """The references of every Devbox and GatewayConfig. What is asked for costs as much as there is in the answer, not as there are
    Devboxes: most of it is asked for whenever one of them is looked at."""

    def __init__(self) -> None:
        self._devboxes: dict[Key, References] = {}
        self._by: dict[_Fact, set[Key]] = {}
        """The Devboxes of which something is true."""
        self.devboxes: Mapping[Key, References] = MappingProxyType(self._devboxes)
        self._defaults: dict[Key, Source | None] = {}
        self.defaults: Mapping[Key, Source | None] = MappingProxyType(self._defaults)
        """GatewayConfigs and their default credentials."""
        self._keys: dict[Key, Counter[str | None]] = {}
        """Secrets that are referred to, and how often each key of them is."""
        self.ending: set[str] = set()
        """Namespaces that are being deleted: nothing can be made in them any more."""
        self._newer: set[Key] | None = None
        """Devboxes that were looked at since lists began to be made; None while none are."""

    def put(self, box: Key, refs: References | None) -> None:
        """What a Devbox refers to now; None: it is gone."""
        if self._newer is not None:
            self._newer.add(box)
        old = self._devboxes.get(box)
        if old == refs:
            return
        if old is not None:
            del self._devboxes[box]
            self._count((*old.sources, *old.read), -1)
            for fact in _facts(box, old):
                users = self._by[fact]
                users.discard(box)
                if not users:
                    del self._by[fact]
        if refs is not None:
            self._devboxes[box] = refs
            self._count((*refs.sources, *refs.read), 1)
            for fact in _facts(box, refs):
                self._by.setdefault(fact, set()).add(box)

    def put_default(self, gateway: Key, source: Source | None) -> None:
        """The default credential that a GatewayConfig refers to now."""
        self.forget_default(gateway)
        self._defaults[gateway] = source
        self._count([source] if source else (), 1)

    def forget_default(self, gateway: Key) -> None:
        """The GatewayConfig is gone."""
        source = self._defaults.pop(gateway, None)
        self._count([source] if source else (), -1)

    def _count(self, sources: Iterable[Source], change: int) -> None:
        for source in sources:
            counts = self._keys.setdefault(source.secret, Counter())
            counts[source.key] += change
            if not counts[source.key]:
                del counts[source.key]
            if not counts:
                del self._keys[source.secret]

    def users_of_gateway(self, key: Key) -> list[Key]:
        """Devboxes that use the GatewayConfig, sorted, without those being deleted."""
        return self._of(("gateway", *key))

    def users_of_egress(self, key: Key) -> list[Key]:
        """Devboxes that stand under the EgressPolicy, sorted, without those being deleted."""
        return self._of(("egress", *key))

    def users_of_secret(self, secret: Key) -> list[Key]:
        """Devboxes whose credentials, or variables, come from the Secret."""
        return self._of(("Secret", *secret))

    def gateways_of_secret(self, secret: Key) -> list[Key]:
        """GatewayConfigs whose default credential comes from the Secret."""
        return sorted(key for key, source in self.defaults.items() if source is not None and source.secret == secret)

    def users_of_volume(self, namespace: str, kind: str, name: str) -> list[Key]:
        """Devboxes that mount the ConfigMap or claim."""
        return self._of((kind, namespace, name))

    def devboxes_in(self, namespace: str) -> list[Key]:
        """Devboxes of a namespace."""
        return self._of(("namespace", namespace))

    def sources_of(self, secret: Key) -> set[Source]:
        """What running devboxes need of the Secret."""
        users = [self._devboxes[box] for box in self._by.get(("Secret", *secret), ())]
        running = [refs for refs in users if refs.counts and not refs.suspended]
        return {source for refs in running for source in refs.sources if source.secret == secret}

    def keys_of(self, secret: Key) -> frozenset[str | None]:
        """The keys of the Secret that anything refers to (None: its only one)."""
        return frozenset(self._keys.get(secret, ()))

    def secrets(self) -> set[Key]:
        """Every Secret that anything refers to."""
        return set(self._keys)

    def namespaces(self) -> set[str]:
        """Where Devboxes are, and where Secrets that are referred to are."""
        return {box[0] for box in self._devboxes} | {secret[0] for secret in self.secrets()}

    def listing(self) -> None:
        """Lists begin to be made: what is put from now on is newer than what they say."""
        self._newer = set()

    def replace(self, devboxes: Mapping[Key, References], gateways: Iterable[GatewayView]) -> None:
        """Everything anew, from lists."""
        newer, self._newer = self._newer or set(), None
        for box in {*self._devboxes, *devboxes} - newer:
            self.put(box, devboxes.get(box))
        present = {gateway.key: source_of(gateway) for gateway in gateways}
        for gone in self._defaults.keys() - present.keys():
            self.forget_default(gone)
        for gateway, source in present.items():
            self.put_default(gateway, source)

    def _of(self, fact: "_Fact") -> list[Key]:
        return sorted(self._by.get(fact, ()))


_Fact = tuple[str, ...]
"""What is said of a Devbox, e.g. ("gateway", namespace, name)."""


def _facts(box: Key, refs: References) -> set[_Fact]:
    facts: set[_Fact] = {("namespace", box[0])}
    facts |= {("Secret", *source.secret) for source in (*refs.sources, *refs.read)}
    facts |= {(kind, box[0], name) for kind, name in refs.volumes}
    if refs.counts:
        facts |= {("gateway", *key) for key in refs.gateways}
        facts |= {("egress", *refs.egress)} if refs.egress is not None else set()
    return facts
