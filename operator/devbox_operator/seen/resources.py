"""Devboxes, GatewayConfigs and EgressPolicies, as far as they matter to anybody but their own reconcile.

Goes in: the API's objects (plain dicts). Comes out: frozen views. Pure.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from devbox_api import names
from devbox_api.conditions import ConditionType
from devbox_api.devbox import Devbox
from devbox_api.egresspolicy import EgressPolicy, EgressPolicySpec, EgressPolicyStatus
from devbox_api.gatewayconfig import GatewayConfig
from devbox_common.kube import Object
from devbox_operator.kit.encoding import parse_time
from devbox_operator.seen import bounds
from devbox_operator.seen.keys import Key


@dataclass(frozen=True)
class DevboxView:
    """A Devbox and the parts of its metadata that matter."""

    box: Devbox
    version: str
    """resourceVersion."""
    deleting: bool
    restarted_at: str
    created: datetime | None = None
    """By the API server's clock, cut to seconds."""
    kept_alive_at: str = ""
    """As somebody wrote it."""
    active_until: str = ""
    """Likewise."""
    resumed_at: str = ""
    """Likewise."""

    @property
    def key(self) -> Key:
        """(namespace, name)."""
        return (self.box.namespace, self.box.name)

    @property
    def egress(self) -> Key | None:
        """Its EgressPolicy's (namespace, name)."""
        ref = self.box.spec.egress_policy_ref
        return (self.box.namespace, ref.name) if ref else None

    @property
    def suspended_by(self) -> Literal["Spec", "Idle"] | None:
        """Who wants no pod of it now; None: it is to have one."""
        if self.box.spec.suspend:
            return "Spec"
        status = self.box.status
        return "Idle" if status.suspended_by == "Idle" and (status.resumed_at or "") == self.resumed_at else None

    @classmethod
    def of(cls, item: Object) -> "DevboxView":
        """Raises pydantic's ValidationError for an object that was stored before a rule existed that it breaks."""
        metadata = item["metadata"]
        annotations = metadata.get("annotations") or {}
        return cls(
            box=Devbox.model_validate(item),
            version=metadata["resourceVersion"],
            deleting="deletionTimestamp" in metadata,
            restarted_at=bounds.word(annotations.get(names.RESTARTED_AT_ANNOTATION, "")),
            created=parse_time(metadata.get("creationTimestamp")),
            kept_alive_at=bounds.word(annotations.get(names.KEPT_ALIVE_AT_ANNOTATION, "")),
            active_until=bounds.word(annotations.get(names.ACTIVE_UNTIL_ANNOTATION, "")),
            resumed_at=bounds.word(annotations.get(names.RESUMED_AT_ANNOTATION, "")),
        )


@dataclass(frozen=True)
class GatewayView:
    """A GatewayConfig, and whether it is about to go."""

    config: GatewayConfig
    deleting: bool = False
    probe_requested_at: str = ""
    """The annotation's value: another one asks for another probe."""

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
        metadata = item["metadata"]
        requested = bounds.word((metadata.get("annotations") or {}).get(names.PROBE_REQUESTED_ANNOTATION, ""))
        return cls(GatewayConfig.model_validate(item), "deletionTimestamp" in metadata, requested)

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
