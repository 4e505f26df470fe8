"""Parts that both custom resources use: names, references, environment variables, conditions.

Patterns and limits stand here once.
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

_OBEYED = r"\\x7f-\\x9f\\x{2028}-\\x{202e}\\x{2066}-\\x{2069}"
CONTROLS = rf"\\x00-\\x1f{_OBEYED}"
"""For a regular expression: what a terminal obeys, or what turns the direction of text. `kubectl describe` shows most of it raw."""
_OBEYED_MESSAGE = (
    "holds a control character, or one that turns the direction of text, which a terminal would obey; take it out "
    "(it may not be visible where the text was copied from)"
)
PLAIN = cel(f"!self.matches('[{CONTROLS}]')", _OBEYED_MESSAGE)
PLAIN_LINES = cel(rf"!self.matches('[\\x00-\\x08\\x0b-\\x1f{_OBEYED}]')", _OBEYED_MESSAGE)
"""Of several lines, with tabs."""
PLAIN_PEM = cel(rf"!self.matches('[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f{_OBEYED}]')", _OBEYED_MESSAGE)
"""Whose lines may end as those of Windows do."""
PLAIN_KEYS = cel(f"self.all(k, !k.matches('[{CONTROLS}]'))", _OBEYED_MESSAGE)
LabelValue = Annotated[str, Field(max_length=63, json_schema_extra=rules(PLAIN))]
Quantity = Annotated[
    str | int,
    Field(
        json_schema_extra={
            "x-kubernetes-int-or-string": True,
            "maxLength": 64,
            **rules(
                cel(f"!string(self).matches('[{CONTROLS}]')", _OBEYED_MESSAGE),
                cel(
                    "isQuantity(string(self)) && !string(self).startsWith('-')",
                    "not an amount as Kubernetes has them; write e.g. 500m or 2 (cpu), 512Mi, 4Gi or 4G (memory)",
                ),
            ),
        }
    ),
]
"""As in Kubernetes: 500m, 4Mi, 3."""


class SecretRef(ApiModel):
    """A key of a Secret in the object's own namespace."""

    name: ObjectName
    """The Secret's name. It needs the annotation devbox-gateway.io/allowed-hosts with the endpoint's host."""
    key: SecretKey | None = None
    """The key in the Secret. Without it, the Secret's only key."""


class MountableSecretRef(ApiModel):
    """A key of a Secret in the object's own namespace, whose value the agent gets to read."""

    name: ObjectName
    """The Secret's name. It needs the label devbox-gateway.io/mountable=true, and no grant (annotation devbox-gateway.io/allowed-hosts)."""
    key: SecretKey | None = None
    """The key in the Secret. Without it, the Secret's only key."""


class LocalObjectReference(ApiModel):
    """An object of this namespace."""

    name: ObjectName
    """Its name."""


class LabelSelectorRequirement(ApiModel):
    """One requirement of a label selector."""

    key: str = Field(max_length=317, json_schema_extra=rules(PLAIN))
    """The label."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    """How its value has to stand to the values."""
    values: tuple[LabelValue, ...] = Field(default=(), max_length=64)
    """For In and NotIn."""


class LabelSelector(ApiModel):
    """As in Kubernetes: all requirements together."""

    match_labels: dict[str, LabelValue] = Field(default={}, max_length=64, json_schema_extra=rules(PLAIN_KEYS))
    """Labels that there have to be, with these values."""
    match_expressions: tuple[LabelSelectorRequirement, ...] = Field(default=(), max_length=32)
    """More that has to hold of the labels."""


class Condition(ApiModel):
    """As in Kubernetes (metav1.Condition)."""

    type: str = Field(max_length=316)
    """What it is about, e.g. Ready."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    reason: str = Field(min_length=1, max_length=1024)
    """Why, in a word; docs/conditions.md has all."""
    message: str = Field(max_length=32768)
    """Why, and what to do."""
    last_transition_time: str = Field(json_schema_extra={"format": "date-time"})
    """Since when the status is this."""
    observed_generation: int | None = Field(default=None, ge=0, json_schema_extra={"format": "int64"})
    """Which metadata.generation it is about."""


CONDITIONS = rules(list_type="map", list_map_keys=["type"])
