"""What this wing asks of a pod and of whoever owns it: all that it knows of Devboxes.

Another owner of pods gives its pods the label, with a name that no other owner in the namespace has, and sees them as a `Bearer`.
"""

from collections.abc import Mapping
from typing import Final, Protocol

from devbox_api import names
from devbox_operator.seen.initview import InitView

LABEL: Final = names.DEVBOX_LABEL
"""On every pod that bears tokens, with its owner's name: NetworkPolicies select by it, and the gateway mirrors the pods that have it."""


class Bearer(Protocol):
    """A pod that bears tokens, or is to. (seen/pods.py's PodView is one, a Devbox's.)"""

    @property
    def namespace(self) -> str:
        """Its namespace."""

    @property
    def name(self) -> str:
        """Its name, which is never used again."""

    @property
    def uid(self) -> str:
        """Its UID, to which its tokens are bound."""

    @property
    def owner_name(self) -> str:
        """What its label says."""

    @property
    def labels(self) -> Mapping[str, str] | None:
        """None: too many to be kept, so that any selector may select them."""

    @property
    def gates(self) -> tuple[str, ...]:
        """Scheduling gates."""

    @property
    def gated(self) -> bool:
        """Our gate holds it back."""

    @property
    def init(self) -> InitView | None:
        """What its `devbox-init` says; None: it has none."""

    @property
    def init_hash(self) -> str:
        """Which `devbox-init` it was made with (init.digest)."""


def mark(owner_name: str) -> dict[str, str]:
    """The label that an owner's pods carry."""
    return {LABEL: owner_name}
