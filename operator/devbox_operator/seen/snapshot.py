"""Everything about one Devbox at one moment, frozen: what the pure part works on.

Goes in: the views of this wing. Comes out: a `Snapshot`.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

from devbox_operator.seen.claims import ClaimView, StorageClassView
from devbox_operator.seen.keys import Key
from devbox_operator.seen.namespaced import PolicyView
from devbox_operator.seen.pods import PodView
from devbox_operator.seen.resources import DevboxView, EgressView, GatewayView
from devbox_operator.seen.secrets import SecretView
from devbox_operator.seen.visibility import SEEN, Visibility


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
    claim: ClaimView | None = None
    """Of a Devbox with a workspace: the claim of its claim's name, whosever it is."""
    claim_refused: str = ""
    """What the API server said when the claim was to be made, or to grow, and did not take it."""
    storage_class: StorageClassView | Missing | None = None
    """The claim's, where something depends on it; None: nothing does, or it can't be read."""
