"""What the pure part works on: frozen views of what was observed.

Goes in: the API's objects (plain dicts). Comes out: `PodView`, `SecretView`, `GatewayView`, `EgressView`, `DevboxView`,
`PolicyView`, `Snapshot`.

What the mirrors hold of thousands of objects is bounded here: whoever may write one may make it some MiB large (bounds.py).
"""

import hashlib
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import orjson

from devbox_api import names
from devbox_api.conditions import ConditionType
from devbox_api.devbox import Devbox
from devbox_api.egresspolicy import EgressPolicy, EgressPolicySpec, EgressPolicyStatus
from devbox_api.gatewayconfig import GatewayConfig
from devbox_api.route import Route
from devbox_common.kube import Object
from devbox_common.redacted import Redacted
from devbox_operator.seen import bounds
from devbox_operator.seen.initview import InitView
from devbox_operator.seen.visibility import SEEN, Visibility

Key = tuple[str, str]
"""(namespace, name)."""
EMPTY: Final[Mapping[str, Any]] = {}


def parse_time(value: object) -> datetime | None:
    """An RFC 3339 time; None if there is none. Raises ValueError. (People write some of them: one without a zone is UTC.)"""
    if not isinstance(value, str) or not value:
        return None
    found = datetime.fromisoformat(value)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def format_time(value: datetime) -> str:
    """As the API server writes it, in whole seconds."""
    return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def content_hash(value: object) -> str:
    """A short hash of anything JSON; the same for the same content."""
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]


@dataclass(frozen=True)
class DevboxView:
    """A Devbox and the parts of its metadata that matter."""

    box: Devbox
    version: str
    """resourceVersion."""
    deleting: bool
    restarted_at: str

    @property
    def key(self) -> Key:
        """(namespace, name)."""
        return (self.box.namespace, self.box.name)

    @property
    def egress(self) -> Key | None:
        """Its EgressPolicy's (namespace, name)."""
        ref = self.box.spec.egress_policy_ref
        return (self.box.namespace, ref.name) if ref else None

    @classmethod
    def of(cls, item: Object) -> "DevboxView":
        """Raises pydantic's ValidationError for an object that was stored before a rule existed that it breaks."""
        metadata = item["metadata"]
        return cls(
            box=Devbox.model_validate(item),
            version=metadata["resourceVersion"],
            deleting="deletionTimestamp" in metadata,
            restarted_at=bounds.word((metadata.get("annotations") or EMPTY).get(names.RESTARTED_AT_ANNOTATION, "")),
        )


@dataclass(frozen=True)
class GatewayView:
    """A GatewayConfig, and whether it is about to go."""

    config: GatewayConfig
    deleting: bool = False

    @property
    def key(self) -> Key:
        """(namespace, name)."""
        return (self.config.namespace, self.config.name)

    @property
    def facts(self) -> tuple[object, ...]:
        """What of it matters to the Devboxes that use it."""
        accepted = [(c.status, c.message) for c in self.config.status.conditions if c.type == ConditionType.ACCEPTED]
        return (self.config.uid, self.config.generation, self.deleting, accepted)

    @classmethod
    def of(cls, item: Object) -> "GatewayView":
        """Raises pydantic's ValidationError as DevboxView.of does."""
        return cls(GatewayConfig.model_validate(item), "deletionTimestamp" in item["metadata"])

    @classmethod
    def light(cls, item: Object) -> "GatewayView":
        """The same without what Devboxes need not know: rules, authorities, who uses it. For whoever holds many."""
        view = cls.of(item)
        spec = view.config.spec.model_copy(update={"rules_": (), "tls": None, "description": None})
        kept = tuple(condition for condition in view.config.status.conditions if condition.type == ConditionType.ACCEPTED)
        status = view.config.status.model_copy(update={"conditions": kept, "used_by": ()})
        return cls(view.config.model_copy(update={"spec": spec, "status": status}), view.deleting)


@dataclass(frozen=True)
class EgressView:
    """An EgressPolicy, and whether it is about to go."""

    policy: EgressPolicy
    deleting: bool = False

    @property
    def key(self) -> Key:
        """(namespace, name)."""
        return (self.policy.namespace, self.policy.name)

    @classmethod
    def of(cls, item: Object) -> "EgressView":
        """Raises pydantic's ValidationError as DevboxView.of does."""
        return cls(EgressPolicy.model_validate(item), "deletionTimestamp" in item["metadata"])

    @property
    def light(self) -> "EgressView":
        """The same without what it says, which is in its document. For whoever holds many."""
        return EgressView(
            self.policy.model_copy(update={"spec": EgressPolicySpec(), "status": EgressPolicyStatus()}), self.deleting
        )


@dataclass(frozen=True)
class PodView:
    """A devbox's pod."""

    namespace: str
    name: str
    uid: str
    devbox: str
    """The label: the Devbox's name."""
    owner: str
    """The UID of the Devbox that controls it; empty if none does (somebody else may)."""
    labels: Mapping[str, str] | None = field(hash=False)
    """None: too many to be kept, so that any selector may select them."""
    incarnation: int
    spec_hash: str
    restarted_at: str
    gates: tuple[str, ...]
    deleting: bool
    phase: str
    ready: bool
    ips: tuple[str, ...]
    created: datetime
    started: datetime | None
    """When the container of now, or the last one, started."""
    finished: datetime | None
    """When the pod's last container ended."""
    ran_for: float | None
    """Seconds that the container's last run took."""
    restarts: int
    exit_code: int | None
    trouble: str
    """Why it does not run, in the kubelet's or the scheduler's words."""
    grace: int = 30
    """Seconds that its processes have to end. At least 1: with 0 the object would go, and the pod's confinement with it, before they do."""
    init: InitView | None = None
    init_hash: str = ""
    spec_fields: Mapping[str, str] = field(default_factory=dict, hash=False)
    """What the pod was made of, by field of the Devbox (pod.spec_fields); empty where an older version made it."""
    node: str = ""
    """Where it was bound to; empty: it never ran."""
    ends: datetime | None = None
    """Of one that is being deleted: when its processes' time is over."""
    claims: frozenset[str] | None = frozenset()
    """PersistentVolumeClaims that it mounts. None: too many to be kept, so that it may mount any."""

    @property
    def held(self) -> bool:
        """The agent has never run: `devbox-init` has not let it."""
        return self.init is not None and not self.init.finished and self.started is None

    @property
    def gated(self) -> bool:
        """Our gate holds it back."""
        return names.SCHEDULING_GATE in self.gates

    @property
    def ended(self) -> bool:
        """The pod will not run any more."""
        return self.phase in ("Succeeded", "Failed")

    @classmethod
    def of(cls, item: Object) -> "PodView":
        """From the API's object."""
        metadata, spec, status = item["metadata"], item.get("spec") or EMPTY, item.get("status") or EMPTY
        annotations = metadata.get("annotations") or EMPTY
        controller = next((o for o in metadata.get("ownerReferences") or () if o.get("controller") and _devbox(o)), EMPTY)
        conditions = {c["type"]: c for c in status.get("conditions") or ()}
        container = next((c for c in status.get("containerStatuses") or () if c["name"] == names.CONTAINER), EMPTY)
        state, last = container.get("state") or EMPTY, container.get("lastState") or EMPTY
        ended = state.get("terminated") or last.get("terminated") or EMPTY
        begin, end = parse_time(ended.get("startedAt")), parse_time(ended.get("finishedAt"))
        incarnation = str(annotations.get(names.INCARNATION_ANNOTATION, ""))
        return cls(
            namespace=metadata["namespace"],
            name=metadata["name"],
            uid=metadata["uid"],
            devbox=(metadata.get("labels") or EMPTY).get(names.DEVBOX_LABEL, ""),
            owner=controller.get("uid", ""),
            labels=bounds.labels(metadata.get("labels") or {}),
            incarnation=int(incarnation) if incarnation.isdecimal() and len(incarnation) < 10 else 0,
            spec_hash=bounds.word(annotations.get(names.SPEC_HASH_ANNOTATION, "")),
            restarted_at=bounds.word(annotations.get(names.RESTARTED_AT_ANNOTATION, "")),
            gates=tuple(gate["name"] for gate in (spec.get("schedulingGates") or ())[: bounds.MOST_GATES]),
            deleting="deletionTimestamp" in metadata,
            phase=status.get("phase", "Pending"),
            ready=conditions.get("Ready", EMPTY).get("status") == "True",
            ips=tuple(ip["ip"] for ip in status.get("podIPs") or () if ip.get("ip")),
            created=parse_time(metadata.get("creationTimestamp")) or datetime.now(UTC),
            started=parse_time((state.get("running") or EMPTY).get("startedAt")) or begin,
            finished=end,
            ran_for=(end - begin).total_seconds() if begin and end else None,
            restarts=int(container.get("restartCount") or 0),
            exit_code=ended.get("exitCode"),
            trouble=_trouble(status, state, conditions)[: bounds.MOST_TROUBLE],
            grace=max(1, int(spec.get("terminationGracePeriodSeconds", 30))),
            init=InitView.of(spec, status),
            init_hash=bounds.word(annotations.get(names.INIT_HASH_ANNOTATION, "")),
            spec_fields=_fields(annotations.get(names.SPEC_FIELDS_ANNOTATION, "")),
            node=spec.get("nodeName") or "",
            ends=parse_time(metadata.get("deletionTimestamp")),
            claims=bounds.claims(spec.get("volumes") or ()),
        )


def _devbox(owner: Mapping[str, Any]) -> bool:
    return bool(owner.get("kind") == "Devbox" and str(owner.get("apiVersion", "")).startswith(f"{names.GROUP}/"))


def _fields(text: str) -> Mapping[str, str]:
    if len(text) > bounds.MOST_FIELDS:
        return {}
    try:
        found = orjson.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


_PASSING: Final = ("PodInitializing", "ContainerCreating")


def _trouble(status: Object | Mapping[str, Any], state: Mapping[str, Any], conditions: Mapping[str, Any]) -> str:
    """What passes by itself within seconds is none: each word of it would be a write of the status."""
    scheduled = conditions.get("PodScheduled") or EMPTY
    # (A gate is our own doing, and gone a moment after the API server wrote that it blocks.)
    unscheduled = scheduled if scheduled.get("status") == "False" and scheduled.get("reason") != "SchedulingGated" else EMPTY
    states = [container.get("state") or EMPTY for container in status.get("initContainerStatuses") or ()]
    waits = [one.get("waiting") or EMPTY for one in (*states, state)]
    for part in (status, *(one for one in waits if one.get("reason") not in _PASSING), unscheduled):
        text = ": ".join(filter(None, (part.get("reason"), part.get("message"))))
        if text:
            return text
    return ""


@dataclass(frozen=True)
class SecretView:
    """A Secret in a namespace where Devboxes or GatewayConfigs are. Only what is referred to is kept, and values only if it is granted or
    mountable."""

    namespace: str
    name: str
    uid: str
    version: str
    type: str
    allowed_hosts: str | None
    wanted: frozenset[str | None]
    """The keys that were referred to when it was read (None: its only key); of the others nothing is known."""
    keys: tuple[str, ...]
    """What it has: all that is referred to and there, and some of the rest."""
    values: Mapping[str, Redacted] = field(hash=False, repr=False)
    """Base64, as the API has it; cut where they are too long to be a credential."""
    content: str
    """For token Secrets: the hash of the data, less spec.secretEnv's."""
    grant_too_long: bool = False
    mountable: bool = False
    """Its owner lets agents read it."""

    @property
    def granted(self) -> bool:
        """It carries a grant, whatever that says: it is the gateway's."""
        return self.allowed_hosts is not None or self.grant_too_long

    @classmethod
    def of(cls, item: Object, wanted: frozenset[str | None] = frozenset()) -> "SecretView":
        """From the API's object."""
        metadata, data = item["metadata"], item.get("data") or {}
        grant = (metadata.get("annotations") or EMPTY).get(names.ALLOWED_HOSTS_ANNOTATION) if wanted else None
        kind, too_long = item.get("type", "Opaque"), grant is not None and len(grant) > bounds.MOST_GRANT
        shown = sorted(data)[: bounds.MOST_KEYS] if wanted else []
        keys: set[str] = {*shown, *(key for key in wanted if key is not None and key in data)}
        named = {key for key in keys if key in wanted or (None in wanted and len(data) == 1)}
        mountable = bool(wanted) and (metadata.get("labels") or EMPTY).get(names.MOUNTABLE_LABEL) == "true"
        most = bounds.MOST_VALUE if grant and not too_long else bounds.MOST_ENV + 1 if mountable and grant is None else 0
        return cls(
            namespace=metadata["namespace"],
            name=metadata["name"],
            uid=metadata["uid"],
            version=metadata["resourceVersion"],
            type=bounds.word(kind),
            allowed_hosts=None if too_long else grant,
            grant_too_long=too_long,
            wanted=wanted,
            keys=tuple(sorted(keys)),
            values={key: Redacted(data[key][:most]) for key in named} if most else {},
            content=content_hash(_tokens(data)) if kind == names.TOKENS_TYPE else "",
            mountable=mountable,
        )


def _tokens(data: Mapping[str, str]) -> Mapping[str, str]:
    """Of a token Secret, what is the gateway's. (What was read of other Secrets, for the agent, stays as it was given.)"""
    return {key: value for key, value in data.items() if not key.startswith(names.SECRET_ENV_PREFIX)}


@dataclass(frozen=True)
class PolicyView:
    """A NetworkPolicy."""

    namespace: str
    name: str
    owners: tuple[str, ...]
    """UIDs."""
    spec: Mapping[str, Any] = field(hash=False)
    """One that is longer than ours is shortened to what counts (bounds.policy)."""
    intact: bool = True
    """False: the namespace's own policy (network.denial), and somebody changed it."""
    marked: bool = False
    """That one, and the sweep saw its namespace unused."""

    @classmethod
    def of(cls, item: Object) -> "PolicyView":
        """From the API's object."""
        metadata = item["metadata"]
        owners = tuple(owner["uid"] for owner in (metadata.get("ownerReferences") or ())[: bounds.MOST_OWNERS])
        return cls(metadata["namespace"], metadata["name"], owners, bounds.policy(item.get("spec") or {}))


@dataclass(frozen=True)
class StoredView:
    """A Secret of the credentials namespace."""

    name: str
    uid: str
    version: str
    type: str
    labels: Mapping[str, str] = field(hash=False)
    annotations: Mapping[str, str] = field(hash=False)
    data: Mapping[str, Redacted] = field(hash=False, repr=False)
    """Base64, as the API has it; of Routes alone, since nothing else is read back."""
    content: str = ""
    """The hash of the data."""

    @classmethod
    def of(cls, item: Object) -> "StoredView":
        """From the API's object."""
        metadata, data, kind = item["metadata"], item.get("data") or {}, item.get("type", "")
        return cls(
            name=metadata["name"],
            uid=metadata["uid"],
            version=metadata["resourceVersion"],
            type=kind,
            labels=metadata.get("labels") or {},
            annotations=metadata.get("annotations") or {},
            data={key: Redacted(value) for key, value in data.items()} if kind == names.ROUTE_TYPE else {},
            content=content_hash(data),
        )


@dataclass(frozen=True)
class SharedView:
    """An object that all devboxes of a namespace share (ServiceAccount, CA bundle)."""

    uid: str
    owners: frozenset[str]
    content: str
    """The hash of a ConfigMap's data."""

    @classmethod
    def of(cls, item: Object) -> "SharedView":
        """From the API's object."""
        metadata = item["metadata"]
        owners = frozenset(owner["uid"] for owner in metadata.get("ownerReferences") or ())
        return cls(metadata["uid"], owners, content_hash(item.get("data") or {}))


class Authority(NamedTuple):
    """The release's CA, as devboxes trust it."""

    made: datetime
    end: datetime
    earlier_end: datetime | None = None
    """Of the certificate before this one; None if there was none."""


@dataclass(frozen=True)
class System:
    """What devboxes need of the release itself."""

    service_ips: tuple[str, ...]
    """The gateway Service's ClusterIPs; empty while it is not there."""
    bundle: str
    """The CA bundle, PEM; empty while there is no CA."""
    authority: Authority | None = None
    visibility: Visibility = SEEN
    """Whether a devbox can see if it is confined."""

    @property
    def ready(self) -> bool:
        """A pod can be made."""
        return bool(self.service_ips and self.bundle)


@dataclass(frozen=True)
class StoredRoute:
    """A Route as stored, and how it was when it was read."""

    route: Route
    version: str
    tokens_content: str
    """The hash of the token Secret that was written from it."""
    secret_env: str = ""
    """secretenv.record: what the pod was given of Secrets."""


Missing = str
"""Why something can't be read, as a word: NOT_FOUND, FORBIDDEN, UNREADABLE or INVALID."""
NOT_FOUND: Final = "NotFound"
FORBIDDEN: Final = "Forbidden"
UNREADABLE: Final = "Unreadable"
"""The API server has had no answer for minutes."""
INVALID: Final = "Invalid"


@dataclass(frozen=True)
class Snapshot:
    """Everything about one Devbox at one moment."""

    devbox: DevboxView
    pods: tuple[PodView, ...]
    gateways: Mapping[Key, GatewayView | None]
    """Every GatewayConfig that is referred to; None if it does not exist."""
    secrets: Mapping[Key, SecretView | Missing]
    """Every source Secret that is referred to."""
    labels: Mapping[str, str]
    """Of the devbox's namespace (for allowedNamespaces)."""
    egress: EgressView | Missing | None
    """The EgressPolicy that is referred to: itself, or NOT_FOUND or INVALID; None without a reference."""
    volumes: Mapping[tuple[str, str], bool | None]
    """(`ConfigMap` or `PersistentVolumeClaim`, name): may be mounted; None if it does not exist."""
    policies: tuple[PolicyView, ...]
    """All NetworkPolicies of the namespace."""
    documents: Container[str]
    """Names in the credentials namespace."""
    system: System
    now: datetime
    silent: Mapping[str, datetime | None] = field(default_factory=dict)
    """Nodes of the pods whose kubelet is not heard, and since when; None: there is no such Node any more."""
    mirrored: Mapping[Key, Mapping[str, str]] = field(default_factory=dict)
    """Source Secret to the credentials made from it: name, and until when it is kept though the Secret does not bear it out (or empty)."""
