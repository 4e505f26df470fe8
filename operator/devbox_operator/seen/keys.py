"""What the queue holds: a kind of work and the object it is about."""

from enum import StrEnum
from typing import Final, NamedTuple

Key = tuple[str, str]
"""(namespace, name)."""


class Kind(StrEnum):
    """Each has one reconcile function."""

    DEVBOX = "Devbox"
    GATEWAY = "GatewayConfig"
    EGRESS = "EgressPolicy"
    SOURCE = "Source"
    """A source Secret: the credentials made from it."""
    CERTIFICATES = "Certificates"
    FLOOR = "Floor"
    SWEEP = "Sweep"
    """Everything is looked at again, and what nobody uses any more is deleted."""


class WorkKey(NamedTuple):
    """One piece of work; the same key is never worked on twice at a time."""

    kind: Kind
    namespace: str = ""
    name: str = ""


CERTIFICATES: Final = WorkKey(Kind.CERTIFICATES)
FLOOR: Final = WorkKey(Kind.FLOOR)
SWEEP: Final = WorkKey(Kind.SWEEP)
