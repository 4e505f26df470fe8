"""What a pod is to have of gateways, and how far it got. Data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from devbox_common.redacted import Redacted
from devbox_operator.report.problem import Problem


@dataclass(frozen=True)
class PodBinding:
    """One gateway for the pod: the names of its documents, or empty where it can't be resolved now."""

    name: str
    gateway: str
    credential: str
    kept: frozenset[tuple[str, str]] = frozenset()
    """Gateway and credential that the Route goes on leading to if it does now: whether it may can't be told yet."""
    lacks: str = ""
    """Why it can't be resolved (devbox_api.route.Binding)."""


@dataclass(frozen=True)
class AttachmentSpec:
    """What the pod is to have."""

    bindings: Sequence[PodBinding]
    egress_policy: str | None = None
    """The document of its EgressPolicy; None: it reaches no other host."""
    egress_lacks: str = ""
    """Why there is none, though there is to be one (devbox_api.route.EgressBinding)."""
    complete: bool = True
    """Every binding is resolved and its documents are there, so the gate may open."""
    served: bool = True
    """False: something opens a way around the gateway. It serves nothing then, and the gate stays closed."""
    secret_env: Mapping[str, Redacted] = field(default_factory=dict)
    """Variables with values of Secrets, in base64, as far as they can be had now."""


@dataclass(frozen=True)
class Attachment:
    """How far it got."""

    confined: bool
    issued: bool
    """Every binding, and the way out, has a token that is in the Route and in the token Secret."""
    opened: bool
    expires: Mapping[str, datetime]
    """Name to when its current token ends."""
    renew_at: datetime | None
    problem: Problem | None = None
    refused: Problem | None = None
    """Why the API server did not let the gate be opened."""
    changed: tuple[str, ...] = ()
    """Variables of spec.secretEnv that the pod was given with another value."""
