"""`Devbox` (dbx): a pod in which an agent works, with gateways in place of keys.

The model is the source of the CRD (`make manifests`). The schema is narrow on purpose, not a raw PodSpec: what would break the
promise can't be said. A field enters with the code that enforces it.
"""

from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field, model_validator

from . import names
from .gatewayconfig import flatten
from .podmetadata import PodMetadata
from .schema import ApiModel, Column, Kind, cel, rules
from .shared import (
    CONDITIONS,
    PLAIN,
    PLAIN_KEYS,
    Condition,
    LabelValue,
    MountableSecretRef,
    NamespaceName,
    ObjectName,
    Quantity,
    SecretRef,
)

RESERVED_VARIABLES = (
    "BASH_ENV CDPATH ENV GLOBIGNORE HOME HOSTNAME IFS LANG LOGNAME OLDPWD PATH PPID PROMPT_COMMAND PS1 PS2 PS4 PWD SHELL "
    "SHELLOPTS SHLVL TERM TMPDIR UID USER HTTP_PROXY HTTPS_PROXY NO_PROXY ALL_PROXY CLASSPATH JAVA_TOOL_OPTIONS "
    "NODE_OPTIONS NODE_PATH PERL5LIB PERL5OPT RUBYLIB RUBYOPT SSL_CERT_DIR"
).split() + list(names.CA_VARIABLES)
"""Variables that a shell, a loader, a language's start-up or the gateway's own set-up reads: a token there would break it."""
RESERVED_PREFIXES = ("LD_", "DYLD_", "PYTHON", "GIT_CONFIG", "GIT_SSH", "KUBERNETES_", "NODE_EXTRA", "NODE_TLS", "NODE_USE")
_MANAGED_ENV = (
    *("HOME", "ALL_PROXY", "all_proxy", *names.PROXY_VARIABLES, *names.NO_PROXY_VARIABLES),
    *(names.NODE_PROXY_VARIABLE, *names.CA_VARIABLES),
)


def _list(values: tuple[str, ...] | list[str]) -> str:
    return "[" + ", ".join(f"'{value}'" for value in values) + "]"


_NOT_RESERVED = f"!(self in {_list(RESERVED_VARIABLES)}) && " + " && ".join(
    f"!self.startsWith('{prefix}')" for prefix in RESERVED_PREFIXES
)
_RESERVED_MESSAGE = (
    "a shell, a loader or the gateway itself reads this variable, so that a token in it would break the devbox; "
    "choose another name, e.g. the API's: ANTHROPIC, GITHUB"
)
_UPPER = cel(
    "self.matches('^[A-Z][A-Z0-9_]*$')", "write upper-case letters, digits and '_', beginning with a letter, e.g. ANTHROPIC"
)

GatewayName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=63,
        json_schema_extra=rules(
            _UPPER,
            cel(
                "!self.endsWith('_URL')",
                "must not end in _URL: the address of gateway ANTHROPIC is in $ANTHROPIC_URL by itself",
            ),
            cel(_NOT_RESERVED, _RESERVED_MESSAGE),
        ),
    ),
]
AliasName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=63,
        json_schema_extra=rules(_UPPER, cel(_NOT_RESERVED, _RESERVED_MESSAGE)),
    ),
]
AliasNames = Annotated[tuple[AliasName, ...], Field(max_length=8, json_schema_extra=rules(list_type="set"))]

_PATH = cel(
    "self.matches('^(/[^/:]+)+$') && !self.matches('/[.]{1,2}(/|$)')",
    "write an absolute path without ':', '//', '.' and '..' and with no '/' at its end, e.g. /workspace",
)
AbsolutePath = Annotated[str, Field(min_length=1, max_length=1024, json_schema_extra=rules(_PATH, PLAIN))]


class GatewayReference(ApiModel):
    """A GatewayConfig, in this namespace unless another is named (which its allowedNamespaces has to allow)."""

    name: ObjectName
    namespace: NamespaceName | None = None


class Aliases(ApiModel):
    """More variables with the same content, for tools that read a name of their own."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "!has(self.token) || !has(self.url) || !self.token.exists(a, a in self.url)",
                "the same alias for token and url; every variable can hold one value",
            )
        )
    )

    token: AliasNames = ()
    """Variables that hold the token too, e.g. [GITHUB_TOKEN]."""
    url: AliasNames = ()
    """Variables that hold the address too, e.g. [ANTHROPIC_BASE_URL]."""


class DevboxGateway(ApiModel):
    """One API that the agent may use: $NAME_URL and $NAME."""

    name: GatewayName
    """The variable that holds the token, e.g. ANTHROPIC; the address is in $ANTHROPIC_URL."""
    gateway_ref: GatewayReference
    secret_ref: SecretRef | None = None
    """This devbox's own credential, a Secret of its namespace, in place of the GatewayConfig's."""
    aliases: Aliases | None = None


_VARIABLE = cel(
    "self.matches('^[A-Za-z_][A-Za-z0-9_]*$')", "write letters, digits and '_', beginning with a letter, e.g. LOG_LEVEL"
)


class EnvVar(ApiModel):
    """A literal environment variable. Secrets don't belong here: whatever is in it, the agent can read."""

    name: str = Field(
        min_length=1,
        max_length=128,
        json_schema_extra=rules(
            _VARIABLE,
            cel(f"!(self in {_list(_MANAGED_ENV)})", "the operator sets this variable; remove it"),
        ),
    )
    value: str = Field(default="", max_length=32768)


class SecretVariable(ApiModel):
    """A variable with a Secret's value, for the agent to read: what an API's key is for belongs into gateways, which keep it from him."""

    name: str = Field(
        min_length=1,
        max_length=128,
        json_schema_extra=rules(
            _VARIABLE,
            cel(
                f"!(self in {_list([*dict.fromkeys((*RESERVED_VARIABLES, *_MANAGED_ENV))])})",
                "a shell, a loader or the operator itself sets or reads this variable; choose another name, e.g. DATABASE_PASSWORD",
            ),
        ),
    )
    """The variable, e.g. DATABASE_PASSWORD."""
    secret_ref: MountableSecretRef


class Resources(ApiModel):
    """As in a container."""

    requests: dict[str, Quantity] = Field(default={}, max_length=16, json_schema_extra=rules(PLAIN_KEYS))
    limits: dict[str, Quantity] = Field(default={}, max_length=16, json_schema_extra=rules(PLAIN_KEYS))


class Toleration(ApiModel):
    """As in a pod."""

    key: str | None = Field(default=None, max_length=317, json_schema_extra=rules(PLAIN))
    operator: Literal["Exists", "Equal"] | None = None
    value: LabelValue | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    toleration_seconds: int | None = Field(default=None, json_schema_extra={"format": "int64"})


class LocalObjectReference(ApiModel):
    """An object of this namespace."""

    name: ObjectName


class EmptyDir(ApiModel):
    """As in a pod."""

    medium: Literal["", "Memory"] | None = None
    size_limit: Quantity | None = None


class ClaimReference(ApiModel):
    """A PersistentVolumeClaim of this namespace with the label devbox-gateway.io/mountable=true."""

    claim_name: ObjectName


class Volume(ApiModel):
    """A directory of the devbox: exactly one of emptyDir, persistentVolumeClaim, configMap."""

    name: str = Field(
        min_length=1,
        max_length=63,
        json_schema_extra=rules(
            cel("self.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')", "write lower-case letters, digits and '-', e.g. workspace"),
            cel(
                "!self.startsWith('devbox-gateway')", "names that begin with devbox-gateway are the operator's; choose another"
            ),
        ),
    )
    mount_path: str = Field(
        min_length=1,
        max_length=1024,
        json_schema_extra=rules(
            _PATH,
            PLAIN,
            cel(
                "!self.matches('^/(run|run/devbox-gateway(/.*)?|proc(/.*)?|sys(/.*)?|dev(/.*)?|etc|home|home/devbox)$')",
                "something of the system's or the operator's is there; choose another path, e.g. /workspace",
            ),
        ),
    )
    read_only: bool = False
    empty_dir: EmptyDir | None = None
    persistent_volume_claim: ClaimReference | None = None
    config_map: LocalObjectReference | None = None
    """A ConfigMap of this namespace with the label devbox-gateway.io/mountable=true."""


def _aliases_of(gateway: str) -> str:
    """A CEL list: all aliases of the gateway in that variable."""
    both = (f"(has({gateway}.aliases.{kind}) ? {gateway}.aliases.{kind} : [])" for kind in ("token", "url"))
    return f"(has({gateway}.aliases) ? {' + '.join(both)} : [])"


MOST_KIB: Final = 64
"""Of what may be long in a spec, in all: operator and API server hold many Devboxes, and each one's pod besides."""


def _sum(field: str, *parts: str) -> str:
    """A CEL number: the bytes of an optional list's or map's parts (of each entry `e`)."""
    total = " + ".join(f"size(bytes({part}))" for part in parts)
    place, _, outer = field.rpartition(".")
    found = f"has(self.{place}) && has(self.{field})" if place else f"has(self.{outer})"
    return f"({found} ? self.{field}.map(e, {total}).sum() : 0)"


def _map(field: str, value: str = "") -> str:
    """The same of a map's keys and, unless they are bounded by themselves, its values."""
    return _sum(field, "e", *([value] if value else []))


_LONG = " + ".join(
    (
        _sum("command", "e"),
        _sum("args", "e"),
        _sum("env", "e.name", "(has(e.value) ? e.value : '')"),
        _sum("volumes", "e.mountPath"),
        _map("nodeSelector"),
        _map("resources.requests"),
        _map("resources.limits"),
        _map("podMetadata.labels"),
        _map("podMetadata.annotations", "self.podMetadata.annotations[e]"),
    )
)


class DevboxSpec(ApiModel):
    """What runs, and which APIs it may use."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                f"!has(self.gateways) || self.gateways.all(g, {_aliases_of('g')}.all(a, "
                "!self.gateways.exists(h, a == h.name || a == h.name + '_URL')))",
                "an alias is the name (or NAME_URL) of a gateway; choose another alias",
                field=".gateways",
            ),
            cel(
                f"!has(self.gateways) || self.gateways.all(g, {_aliases_of('g')}.all(a, "
                f"self.gateways.exists_one(h, a in {_aliases_of('h')})))",
                "two gateways have the same alias; every variable can hold one value",
                field=".gateways",
            ),
            cel(
                "!has(self.gateways) || !has(self.env) || self.env.all(e, self.gateways.all(g, "
                f"e.name != g.name && e.name != g.name + '_URL' && !(e.name in {_aliases_of('g')})))",
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
                f"s.name != g.name && s.name != g.name + '_URL' && !(s.name in {_aliases_of('g')})))",
                "secretEnv sets a variable that a gateway sets (NAME, NAME_URL, an alias); rename it, or the gateway",
                field=".secretEnv",
            ),
            cel(
                f"{_LONG} <= {MOST_KIB * 1024}",
                f"command, args, env, podMetadata, nodeSelector, resources' names and volumes' paths have more than {MOST_KIB} KiB in all; "
                "mount what is longer from a ConfigMap (volumes), or put it into the image",
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
    command: tuple[Annotated[str, Field(max_length=32768)], ...] | None = Field(default=None, max_length=256)
    """As in a container; e.g. [sleep, infinity] for a devbox that is worked in by exec. Without image, command and args: one that stays."""
    args: tuple[Annotated[str, Field(max_length=32768)], ...] | None = Field(default=None, max_length=256)
    working_dir: AbsolutePath | None = None
    env: tuple[EnvVar, ...] = Field(
        default=(), max_length=128, json_schema_extra=rules(list_type="map", list_map_keys=["name"])
    )
    secret_env: tuple[SecretVariable, ...] = Field(
        default=(), max_length=32, json_schema_extra=rules(list_type="map", list_map_keys=["name"])
    )
    """Variables with values of Secrets that the agent may read. It is given them once, when it starts."""
    resources: Resources | None = None
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
    run_as_user: int = Field(
        default=1000,
        ge=0,
        le=2147483647,
        json_schema_extra={
            "format": "int64",
            **rules(cel("self > 0", "a devbox never runs as root; write a user id above 0, e.g. 1000")),
        },
    )
    fs_group: int | None = Field(default=None, ge=0, le=2147483647, json_schema_extra={"format": "int64"})
    """The group of the volumes' files; runAsUser unless set."""
    runtime_class_name: ObjectName | None = None
    """E.g. gvisor or kata."""
    node_selector: dict[str, LabelValue] = Field(default={}, max_length=32, json_schema_extra=rules(PLAIN_KEYS))
    tolerations: tuple[Toleration, ...] = Field(default=(), max_length=32)
    restart_policy: Literal["Always", "OnFailure", "Never"] = "Always"
    termination_grace_period_seconds: int = Field(default=30, ge=0, le=60, json_schema_extra={"format": "int64", "minimum": 1})
    """How long the agent has to end. (An object that was stored with 0 counts as 1: with 0 the pod's object, and its confinement,
    would go before its processes.)"""
    pod_metadata: PodMetadata | None = None
    gateways: tuple[DevboxGateway, ...] = Field(
        default=(), max_length=32, json_schema_extra=rules(list_type="map", list_map_keys=["name"])
    )
    """The APIs that the agent may use."""
    egress_policy_ref: LocalObjectReference | None = None
    """The EgressPolicy, of this namespace, that says which other hosts the agent may reach; none, unless set."""


class DevboxGatewayStatus(ApiModel):
    """One gateway of the running pod."""

    name: str
    url: str
    endpoint: str | None = None
    expires_at: str | None = Field(default=None, json_schema_extra={"format": "date-time"})
    """When the current token ends; it is renewed long before."""


class DevboxStatus(ApiModel):
    """What the operator did and found."""

    observed_generation: int | None = Field(default=None, json_schema_extra={"format": "int64"})
    phase: Literal["Pending", "Starting", "Running", "Succeeded", "Failed", "Terminating"] | None = None
    incarnation: int | None = Field(default=None, ge=0, json_schema_extra={"format": "int64"})
    """Which pod of this devbox it is; grows with each one, and is part of the pod's name."""
    pod_name: str | None = None
    pod_uid: str | None = Field(default=None, alias="podUID")
    pod_ips: tuple[str, ...] = Field(default=(), alias="podIPs", max_length=8)
    failures: int | None = Field(default=None, ge=0, json_schema_extra={"format": "int64"})
    """How many pods in a row failed; the pause before the next one grows with it."""
    gateways: tuple[DevboxGatewayStatus, ...] = Field(
        default=(), max_length=32, json_schema_extra=rules(list_type="map", list_map_keys=["name"])
    )
    gateway_names: str | None = None
    """The gateways' names in one line, for kubectl get."""
    conditions: tuple[Condition, ...] = Field(default=(), max_length=16, json_schema_extra=CONDITIONS)


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
        Column("Gateways", ".status.gatewayNames"),
        Column("Egress", ".spec.egressPolicyRef.name"),
        Column("Age", ".metadata.creationTimestamp", "date"),
        Column("Reason", ".status.conditions[?(@.type=='Ready')].reason", priority=1),
        Column("Pod", ".status.podName", priority=1),
        Column("IP", ".status.podIPs[0]", priority=1),
    ),
    rules=(
        cel(
            "self.metadata.name.matches('^[a-z]([a-z0-9-]{0,50}[a-z0-9])?$')",
            "a Devbox's name has at most 52 characters: lower-case letters, digits and '-', beginning with a letter",
        ),
    ),
)
