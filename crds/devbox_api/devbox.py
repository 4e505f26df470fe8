"""`Devbox` (dbx): a pod in which an agent works, with gateways in place of keys.

The model is the source of the CRD (`make manifests`). The schema is narrow on purpose, not a raw PodSpec: what would break the
promise can't be said. A field enters with the code that enforces it. Its environment is in variables.py, its directories in volumes.py and
workspace.py, its repositories in codemounts.py.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from .codemounts import GATEWAY_IS_THERE, NOTHING_OVER_THEM, REACHED, CodeMounts
from .gatewayconfig import flatten
from .lifecycle import Lifecycle
from .podmetadata import PodMetadata
from .schema import ApiModel, Column, Kind, as_far_as_known, cel, rules
from .shared import CONDITIONS, PLAIN, PLAIN_KEYS, Condition, LabelValue, LocalObjectReference, ObjectName, Quantity
from .sizes import LENGTH, MOST_KIB
from .variables import DevboxGateway, EnvVar, SecretVariable, aliases_of
from .volumes import AbsolutePath, Volume
from .workspace import KEPT, NOTHING_OVER_IT, SAME_USER, SHRUNK, Workspace, WorkspaceStatus

UNIT_IS_THERE = cel(
    "!('memory' in self) || !isQuantity(string(self['memory'])) || quantity(string(self['memory'])).compareTo(quantity('0')) == 0 || "
    "quantity(string(self['memory'])).isGreaterThan(quantity('1M'))",
    "memory is in bytes, and this is less than any program needs; write its unit, e.g. 512Mi or 4Gi (m is for thousandths)",
)


class Resources(ApiModel):
    """As in a container."""

    requests: dict[str, Quantity] = Field(default={}, max_length=16, json_schema_extra=rules(PLAIN_KEYS, UNIT_IS_THERE))
    """What a node has to have left for it, e.g. {cpu: 500m, memory: 1Gi}."""
    limits: dict[str, Quantity] = Field(default={}, max_length=16, json_schema_extra=rules(PLAIN_KEYS, UNIT_IS_THERE))
    """What it may use at most, e.g. {memory: 4Gi}."""


class Toleration(ApiModel):
    """As in a pod."""

    key: str | None = Field(default=None, max_length=317, json_schema_extra=rules(PLAIN))
    """The taint's key; every taint's, with operator Exists, unless set."""
    operator: Literal["Exists", "Equal"] | None = None
    """Equal (unless set): the taint has this value, too. Exists: whatever its value."""
    value: LabelValue | None = None
    """The taint's value, for Equal."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """The taint's effect; each, unless set."""
    toleration_seconds: int | None = Field(default=None, json_schema_extra={"format": "int64"})
    """For NoExecute: how long the pod stays on such a node; for ever, unless set."""


class DevboxSpec(ApiModel):
    """What runs, and which APIs it may use."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                f"!has(self.gateways) || self.gateways.all(g, {aliases_of('g')}.all(a, "
                "!self.gateways.exists(h, a == h.name || a == h.name + '_URL')))",
                "an alias is the name (or NAME_URL) of a gateway; choose another alias",
                field=".gateways",
            ),
            cel(
                f"!has(self.gateways) || self.gateways.all(g, {aliases_of('g')}.all(a, "
                f"self.gateways.exists_one(h, a in {aliases_of('h')})))",
                "two gateways have the same alias; every variable can hold one value",
                field=".gateways",
            ),
            cel(
                "!has(self.gateways) || !has(self.env) || self.env.all(e, self.gateways.all(g, "
                f"e.name != g.name && e.name != g.name + '_URL' && !(e.name in {aliases_of('g')})))",
                "env sets a variable that a gateway sets (NAME, NAME_URL, an alias); remove it from env or rename the gateway",
                field=".env",
            ),
            cel(
                "!has(self.secretEnv) || !has(self.env) || self.secretEnv.all(s, !self.env.exists(e, e.name == s.name))",
                "env and secretEnv set the same variable; remove one of the two",
                field=".secretEnv",
            ),
            cel(
                "!has(self.gateways) || !has(self.secretEnv) || self.secretEnv.all(s, self.gateways.all(g, "
                f"s.name != g.name && s.name != g.name + '_URL' && !(s.name in {aliases_of('g')})))",
                "secretEnv sets a variable that a gateway sets (NAME, NAME_URL, an alias); rename it, or the gateway",
                field=".secretEnv",
            ),
            NOTHING_OVER_IT,
            KEPT,
            SAME_USER,
            GATEWAY_IS_THERE,
            REACHED,
            NOTHING_OVER_THEM,
            cel(
                "!has(self.launchCommands) || self.launchCommands.size() == 0 || (has(self.command) && self.command.size() > 0)",
                "launchCommands run before command, and there is none; write the one that the devbox is to run then (command), e.g. "
                "[sleep, infinity]",
                field=".launchCommands",
            ),
            cel(
                "!has(self.resources) || !has(self.resourceSize)",
                "resources and resourceSize say the same thing; remove one of the two",
                field=".resourceSize",
            ),
            cel(
                f"{LENGTH} <= {MOST_KIB * 1024}",
                "command, args, launchCommands, env, podMetadata, nodeSelector, resources' names, volumes' paths and install commands have "
                f"more than {MOST_KIB} KiB in all; mount what is longer from a ConfigMap (volumes), or put it into the image",
            ),
        )
    )

    image: str | None = Field(
        default=None,
        min_length=1,
        max_length=1024,
        json_schema_extra=rules(cel("!self.matches('[[:space:]]')", "write an image reference without spaces"), PLAIN),
    )
    """The container's image; the chart's devboxes.defaultImage, unless set."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    """As in a container."""
    image_pull_secrets: tuple[LocalObjectReference, ...] = Field(
        default=(), max_length=16, json_schema_extra=rules(list_type="map", list_map_keys=["name"])
    )
    """Secrets of this namespace by which the images' registry is logged in to, e.g. [{name: registry}]; the chart's image.pullSecrets come
    along."""
    command: tuple[Annotated[str, Field(max_length=32768)], ...] | None = Field(default=None, max_length=256)
    """As in a container; e.g. [sleep, infinity] for a devbox that is worked in by exec. Without image, command and args: one that stays."""
    args: tuple[Annotated[str, Field(max_length=32768)], ...] | None = Field(default=None, max_length=256)
    """As in a container: what follows the command, or the image's own entry point."""
    launch_commands: tuple[Annotated[str, Field(min_length=1, max_length=32768)], ...] = Field(default=(), max_length=32)
    """Lines for sh, run one after another in the devbox's container before its command, once in each pod. The devbox is ready when all are
    done; one that fails ends the container."""
    working_dir: AbsolutePath | None = None
    """Where command and launchCommands begin, e.g. /workspace; the image's own directory, unless set."""
    env: tuple[EnvVar, ...] = Field(
        default=(), max_length=128, json_schema_extra=rules(list_type="map", list_map_keys=["name"])
    )
    """Variables with values that everybody may read, e.g. [{name: LOG_LEVEL, value: debug}]."""
    secret_env: tuple[SecretVariable, ...] = Field(
        default=(), max_length=32, json_schema_extra=rules(list_type="map", list_map_keys=["name"])
    )
    """Variables with values of Secrets that the agent may read. It is given them once, when it starts."""
    resources: Resources | None = None
    resource_size: str | None = Field(
        default=None,
        min_length=1,
        max_length=63,
        json_schema_extra=rules(
            cel(
                "self.matches('^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$')",
                "not a size's name; write one of the chart's devboxes.sizes, e.g. SMALL",
            )
        ),
    )
    """The name of a size that the chart has (devboxes.sizes), in place of resources."""
    volumes: tuple[Volume, ...] = Field(
        default=(),
        max_length=32,
        json_schema_extra=rules(
            cel(
                "self.all(v, [has(v.emptyDir), has(v.persistentVolumeClaim), has(v.configMap)].exists_one(kind, kind))",
                "each volume needs exactly one of emptyDir, persistentVolumeClaim, configMap, e.g. emptyDir: {}",
            ),
            cel("self.all(v, self.exists_one(w, w.mountPath == v.mountPath))", "two volumes have the same mountPath"),
            list_type="map",
            list_map_keys=["name"],
        ),
    )
    """More directories, e.g. [{name: cache, mountPath: /cache, emptyDir: {}}]."""
    workspace: Workspace | None = None
    """A directory whose files outlive the devbox's pods."""
    code_mounts: CodeMounts = ()
    """Repositories that are cloned into the workspace before the agent starts; without a workspace, into a directory at /workspace whose
    files go with the pod."""
    run_as_user: int = Field(
        default=1000,
        ge=0,
        le=2147483647,
        json_schema_extra={
            "format": "int64",
            **rules(cel("self > 0", "a devbox never runs as root; write a user id above 0, e.g. 1000")),
        },
    )
    """The user's id as whom the agent works; whatever the image says."""
    fs_group: int | None = Field(default=None, ge=0, le=2147483647, json_schema_extra={"format": "int64"})
    """The group of the volumes' files; runAsUser unless set."""
    runtime_class_name: ObjectName | None = None
    """E.g. gvisor or kata."""
    node_selector: dict[str, LabelValue] = Field(default={}, max_length=32, json_schema_extra=rules(PLAIN_KEYS))
    """Labels that its node has to have, e.g. {kubernetes.io/arch: arm64}."""
    tolerations: tuple[Toleration, ...] = Field(default=(), max_length=32)
    """Taints of nodes that don't keep it away, e.g. [{key: agents, operator: Exists}]."""
    restart_policy: Literal["Always", "OnFailure", "Never"] = "Always"
    """What follows the command's end: it begins anew (Always; OnFailure after an error alone), or the devbox has Succeeded or Failed."""
    termination_grace_period_seconds: int | None = Field(
        default=None, ge=0, le=60, json_schema_extra={"format": "int64", "minimum": 1}
    )
    """How long the agent has to end once it is told to (SIGTERM): 4 s, unless set; 1 s where command is sleep or tail, which hear nothing
    of it. (An object that was stored with 0 counts as 1: with 0 the pod's object, and its confinement, would go before its processes.)"""
    pod_metadata: PodMetadata | None = None
    gateways: tuple[DevboxGateway, ...] = Field(
        default=(), max_length=32, json_schema_extra=rules(list_type="map", list_map_keys=["name"])
    )
    """The APIs that the agent may use."""
    egress_policy_ref: LocalObjectReference | None = None
    """The EgressPolicy, of this namespace, that says which other hosts the agent may reach; none, unless set."""
    suspend: bool | None = None
    """True: it has no pod, no token and no mirrored credential until this is taken away. What is in PersistentVolumeClaims stays, all else
    goes with the pod, and the command begins anew."""
    lifecycle: Lifecycle | None = None
    """When it ends, or rests, by itself; never, unless set."""


class DevboxGatewayStatus(ApiModel):
    """One gateway of the running pod."""

    name: str
    """As in spec.gateways."""
    url: str
    """What is in $NAME_URL."""
    endpoint: str | None = None
    """The API's address, of the GatewayConfig; nothing where there is none."""
    expires_at: str | None = Field(default=None, json_schema_extra={"format": "date-time"})
    """When the current token ends; it is renewed long before."""


class DevboxKeptAlive(ApiModel):
    """An annotation kept-alive-at that was ahead of the API server's time when the operator saw it first."""

    said: str = Field(max_length=128)
    """The annotation."""
    seen_at: str = Field(json_schema_extra={"format": "date-time"})
    """What counts in its place."""


Phase = Literal[
    "Pending",
    "Mounting",
    "Starting",
    "Running",
    "Restarting",
    "Suspending",
    "Suspended",
    "Succeeded",
    "Failed",
    "Terminating",
]


class DevboxStatus(ApiModel):
    """What the operator did and found."""

    observed_generation: int | None = Field(default=None, json_schema_extra={"format": "int64"})
    """Which metadata.generation this is about; -1 until the operator has looked at it."""
    phase: Phase | None = None
    """How far it is, in a word; the conditions say why. (Restarting, Suspending: the pod ends. Terminating: the Devbox is deleted.)"""
    incarnation: int | None = Field(default=None, ge=0, json_schema_extra={"format": "int64"})
    """Which pod of this devbox it is; grows with each one, and is part of the pod's name."""
    pod_name: str | None = None
    """Its pod's; nothing while there is none."""
    pod_uid: str | None = Field(default=None, alias="podUID")
    """Its pod's UID, to which every token is bound."""
    pod_ips: tuple[str, ...] = Field(default=(), alias="podIPs", max_length=8)
    """Its pod's addresses, from which alone the tokens work."""
    failures: int | None = Field(default=None, ge=0, json_schema_extra={"format": "int64"})
    """How many pods in a row failed; the pause before the next one grows with it."""
    suspended_by: Literal["Spec", "Idle"] | None = None
    """Who wants no pod of it now: its spec (suspend), or that it was idle."""
    suspended_at: str | None = Field(default=None, json_schema_extra={"format": "date-time"})
    """Since when it has had none."""
    resumed_at: str | None = Field(default=None, max_length=128)
    """Of one that was idle: its annotation resumed-at as it was then. Another one there ends its rest."""
    last_activity: str | None = Field(default=None, json_schema_extra={"format": "date-time"})
    """Where spec.lifecycle.idle is set: when its agent last called anything through the gateway, as known some minutes ago, or its pod
    became ready. It stays while the devbox is suspended."""
    expires_at: str | None = Field(default=None, json_schema_extra={"format": "date-time"})
    """When it is deleted, with what is in it: spec.lifecycle.ttl after it was made or last kept alive."""
    kept_alive: DevboxKeptAlive | None = None
    """There only where the annotation kept-alive-at is ahead of its time, and something counts from it."""
    gateways: tuple[DevboxGatewayStatus, ...] = Field(
        default=(), max_length=32, json_schema_extra=rules(list_type="map", list_map_keys=["name"])
    )
    """The gateways of the running pod."""
    workspace: WorkspaceStatus | None = None
    """The workspace's claim, since it was made."""
    gateway_names: str | None = None
    """The gateways' names in one line, for kubectl get."""
    conditions: tuple[Condition, ...] = Field(default=(), max_length=16, json_schema_extra=CONDITIONS)
    """What holds and what does not, with what to do."""


class Devbox(ApiModel):
    """One object, as far as the operator reads it."""

    name: str
    namespace: str
    uid: str
    generation: int
    spec: DevboxSpec
    status: DevboxStatus = DevboxStatus()

    @model_validator(mode="before")
    @classmethod
    def _flatten(cls, value: object) -> object:
        return flatten(value)

    _status = field_validator("status", mode="wrap")(as_far_as_known)


KIND = Kind(
    kind="Devbox",
    plural="devboxes",
    short="dbx",
    spec=DevboxSpec,
    status=DevboxStatus,
    description="A pod in which an agent works: it gets the use of APIs, never their keys.",
    columns=(
        Column("Phase", ".status.phase"),
        Column("Ready", ".status.conditions[?(@.type=='Ready')].status"),
        Column("RestartRequired", ".status.conditions[?(@.type=='RestartRequired')].status"),
        Column("Gateways", ".status.gatewayNames"),
        Column("Egress", ".spec.egressPolicyRef.name"),
        Column("Age", ".metadata.creationTimestamp", "date"),
        Column("Reason", ".status.conditions[?(@.type=='Ready')].reason", priority=1),
        Column("Pod", ".status.podName", priority=1),
        Column("IP", ".status.podIPs[0]", priority=1),
        # (As it stands: kubectl shows a date as an age, which one that is to come has none of.)
        Column("Expires", ".status.expiresAt", priority=1),
        Column("Active", ".status.lastActivity", "date", priority=1),
    ),
    rules=(
        cel(
            "self.metadata.name.matches('^[a-z]([a-z0-9-]{0,50}[a-z0-9])?$')",
            "a Devbox's name has at most 52 characters: lower-case letters, digits and '-', beginning with a letter",
        ),
        SHRUNK,
    ),
)
