"""Parts that both custom resources use: names, references, environment variables, conditions.

Called by gatewayconfig.py and devbox.py. Patterns and limits stand here once.
"""

from typing import Annotated, Literal

from pydantic import Field

from .schema import ApiModel, cel, rules

NAME_MESSAGE = "a lower-case name as Kubernetes has them, e.g. anthropic or team-a.anthropic"
ObjectName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=253,
        json_schema_extra=rules(
            cel("self.matches('^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$')", f"not an object's name; write {NAME_MESSAGE}")
        ),
    ),
]
NamespaceName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=63,
        json_schema_extra=rules(
            cel(
                "self.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')",
                "not a namespace's name; write lower-case letters, digits and '-', e.g. team-a",
            )
        ),
    ),
]
SecretKey = Annotated[
    str,
    Field(
        min_length=1,
        max_length=253,
        json_schema_extra=rules(
            cel(
                "self.matches('^[-._a-zA-Z0-9]+$')",
                "not a key of a Secret; write letters, digits, '-', '_' or '.', e.g. api-key",
            )
        ),
    ),
]

Quantity = Annotated[
    str | int,
    Field(json_schema_extra={"x-kubernetes-int-or-string": True, "maxLength": 64}),
]
"""As in Kubernetes: 500m, 4Mi, 3."""


class SecretRef(ApiModel):
    """A key of a Secret in the object's own namespace."""

    name: ObjectName
    """The Secret's name. It needs the annotation devbox-gateway.io/allowed-hosts with the endpoint's host."""
    key: SecretKey | None = None
    """The key in the Secret. Without it, the Secret's only key."""


class LabelSelectorRequirement(ApiModel):
    """One requirement of a label selector."""

    key: str = Field(max_length=317)
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: tuple[Annotated[str, Field(max_length=63)], ...] = Field(default=(), max_length=64)


class LabelSelector(ApiModel):
    """As in Kubernetes: all requirements together."""

    match_labels: dict[str, Annotated[str, Field(max_length=63)]] = Field(default={}, max_length=64)
    match_expressions: tuple[LabelSelectorRequirement, ...] = Field(default=(), max_length=32)


class Condition(ApiModel):
    """As in Kubernetes (metav1.Condition)."""

    type: str = Field(max_length=316)
    status: Literal["True", "False", "Unknown"]
    reason: str = Field(min_length=1, max_length=1024)
    message: str = Field(max_length=32768)
    last_transition_time: str = Field(json_schema_extra={"format": "date-time"})
    observed_generation: int | None = Field(default=None, ge=0, json_schema_extra={"format": "int64"})


CONDITIONS = rules(list_type="map", list_map_keys=["type"])
