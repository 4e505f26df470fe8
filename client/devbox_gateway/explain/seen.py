"""What a person can see of a devbox and of what it refers to, as plain data.

`Seen` is filled by reading.py with the person's own rights and judged by judging.py; a test can write it by hand.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

Object = dict[str, Any]


class Missing(Enum):
    """Why an object is not there to be looked at."""

    ABSENT = "does not exist"
    FORBIDDEN = "no right to get it"


Found = Object | Missing


@dataclass(frozen=True)
class Seen:
    """One devbox and its surroundings. Objects are as the API has them, Secrets their metadata alone; keys are `namespace/name`."""

    devbox: Object
    configs: Mapping[str, Found]
    policy: Found | None
    """None: the devbox refers to no EgressPolicy."""
    secrets: Mapping[str, Found]
    labels: Mapping[str, str] | None = None
    """Of the devbox's namespace, by which a GatewayConfig of another one may select it; None: they may not be looked at."""


def where(reference: Mapping[str, Any], home: str) -> str:
    """`namespace/name` of a reference from an object of namespace `home`."""
    return f"{reference.get('namespace') or home}/{reference['name']}"


def condition(seen: Object, kind: str) -> Mapping[str, Any]:
    """One of its conditions; empty: there is none."""
    found = (seen.get("status") or {}).get("conditions") or []
    return next((each for each in found if each.get("type") == kind), {})


def secret_of(binding: Mapping[str, Any], config: Object, home: str) -> str | None:
    """Where the binding's credential is: the devbox's own Secret, else the GatewayConfig's; None: nowhere."""
    if own := binding.get("secretRef"):
        return where(own, home)
    default = (config["spec"].get("credential") or {}).get("secretRef")
    return where(default, config["metadata"]["namespace"]) if default else None
