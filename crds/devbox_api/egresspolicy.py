"""`EgressPolicy` (egp): which other hosts a devbox may reach through the gateway's forward proxy.

The model is the source of the CRD (`make manifests`). Nothing in a policy lifts the floor: loopback, metadata, the nodes, the API
server and the gateway stay refused whatever it says.
"""

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from .gatewayconfig import flatten
from .schema import ApiModel, Column, Kind, as_far_as_known, cel, rules
from .shared import CONDITIONS, PLAIN_LINES, Condition

_LABEL = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_PATTERN = rf"^([*][.])?({_LABEL}[.])+{_LABEL}$"
_ADDRESS = "self.matches('^[0-9.]+$') || self.matches('^[[]?[0-9a-f:.]*:[0-9a-f.]*:[0-9a-f:.]*[]]?$')"
_URL = "self.contains('/') || self.contains(':') || self.contains('@')"
_STAR = "self.contains('*') && !self.matches('^[*][.][^*.]+[.][^*]+$')"

Hostname = Annotated[
    str,
    Field(
        min_length=1,
        max_length=253,
        json_schema_extra=rules(
            cel(f"!({_ADDRESS})", "an address is not a host name; write it into allowedCIDRs, e.g. 203.0.113.7/32"),
            cel(
                f"{_ADDRESS} || !({_URL})",
                "write the host alone, e.g. github.com: no scheme and no path, and ports go into allowedPorts",
            ),
            cel(
                f"{_URL} || !({_STAR})",
                "'*' stands at the beginning alone, as '*.' before at least two labels, e.g. *.github.com; for every public host "
                "write allowAll: true",
            ),
            cel(
                f"{_ADDRESS} || {_URL} || {_STAR} || self.matches('{_PATTERN}')",
                "not a whole host name; write lower-case letters, digits, '-' and at least one '.' (punycode for others, no '.' at "
                "the end), e.g. github.com or xn--bcher-kva.example",
            ),
        ),
    ),
]
Range = Annotated[
    str,
    Field(
        min_length=1,
        max_length=49,
        json_schema_extra=rules(
            cel("isCIDR(self)", "not a range of addresses; write e.g. 203.0.113.0/24, 203.0.113.7/32 or 2001:db8::/32"),
            cel(
                "!isCIDR(self) || cidr(self).masked() == cidr(self)",
                "the range has bits set behind its length; write its first address, e.g. 203.0.113.0/24 for 203.0.113.7/24",
            ),
        ),
    ),
]
Port = Annotated[int, Field(ge=1, le=65535, json_schema_extra={"format": "int32"})]


class EgressPolicySpec(ApiModel):
    """What devboxes that refer to it may reach; nothing, unless set."""

    allow_all: bool = False
    """Any public host. The other lists then add nothing but private ranges."""
    allowed_hostnames: tuple[Hostname, ...] = Field(default=(), max_length=256, json_schema_extra=rules(list_type="set"))
    """Hosts by name: github.com, or *.github.com for one or more labels in front of it, which github.com itself does not match."""
    allowed_ports: tuple[Port, ...] = Field(
        default=(443,), min_length=1, max_length=32, json_schema_extra=rules(list_type="set")
    )
    """Ports that may be asked for, of every host."""
    allowed_cidrs: tuple[Range, ...] = Field(
        default=(), alias="allowedCIDRs", max_length=64, json_schema_extra=rules(list_type="set")
    )
    """Ranges that may be dialled by address, and that allowed hosts may lead to. Private ones, and those of the cluster's own pods and
    Services, count as far as the chart's egress.permittedCIDRs says."""
    description: str | None = Field(default=None, max_length=1024, json_schema_extra=rules(PLAIN_LINES))
    """For people."""


class EgressPolicyStatus(ApiModel):
    """What the operator found."""

    observed_generation: int | None = Field(default=None, json_schema_extra={"format": "int64"})
    """Which metadata.generation this is about; -1 until the operator has looked at it."""
    conditions: tuple[Condition, ...] = Field(default=(), max_length=16, json_schema_extra=CONDITIONS)
    """What holds and what does not, with what to do."""
    used_by: tuple[Annotated[str, Field(max_length=317)], ...] = Field(
        default=(), max_length=64, json_schema_extra=rules(list_type="set")
    )
    """Devboxes that use it, as namespace/name; at most 64."""
    devboxes: int = 0
    """How many use it."""


class EgressPolicy(ApiModel):
    """One object, as far as the operator reads it."""

    name: str
    namespace: str
    uid: str
    generation: int
    spec: EgressPolicySpec
    status: EgressPolicyStatus = EgressPolicyStatus()

    @model_validator(mode="before")
    @classmethod
    def _flatten(cls, value: object) -> object:
        return flatten(value)

    _status = field_validator("status", mode="wrap")(as_far_as_known)


KIND = Kind(
    kind="EgressPolicy",
    plural="egresspolicies",
    short="egp",
    spec=EgressPolicySpec,
    status=EgressPolicyStatus,
    description="Which other hosts a devbox may reach.",
    columns=(
        Column("All", ".spec.allowAll", "boolean", "Any public host"),
        Column("Hosts", ".spec.allowedHostnames"),
        Column("Devboxes", ".status.devboxes", "integer", "How many devboxes use it"),
        Column("Ready", ".status.conditions[?(@.type=='Ready')].status"),
        Column("Age", ".metadata.creationTimestamp", "date"),
        Column("Reason", ".status.conditions[?(@.type=='Ready')].reason", priority=1),
        Column("Ranges", ".spec.allowedCIDRs", priority=1),
        Column("Description", ".spec.description", priority=1),
    ),
)
