"""What is known of a cluster, as plain data: gathered by gathering.py with the rights of whoever asks, judged by the checks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

Object = dict[str, Any]


@dataclass(frozen=True)
class Hidden:
    """It may not be looked at, or did not answer."""

    because: str


@dataclass(frozen=True)
class Right:
    """What a person needs, as RBAC has it."""

    verb: str
    group: str
    resource: str
    """`pods/exec` for a part of one."""
    use: str
    """For what."""
    needed: bool = True
    """By whoever works with devboxes. What a role may well leave out (docs/client.md has such a one) is told, and is nothing wrong."""


_OURS: Final = "devbox-gateway.io"
USER: Final = (
    Right("create", _OURS, "devboxes", "make devboxes"),
    Right("get", _OURS, "devboxes", "look at devboxes"),
    Right("list", _OURS, "devboxes", "list devboxes"),
    Right("patch", _OURS, "devboxes", "restart devboxes", needed=False),
    Right("watch", _OURS, "devboxes", "wait for devboxes"),
    Right("delete", _OURS, "devboxes", "delete devboxes"),
    Right("get", _OURS, "gatewayconfigs", "use gateways"),
    Right("create", "", "secrets", "store credentials", needed=False),
    Right("get", "", "pods/exec", "run commands"),
    Right("get", "", "pods/log", "read logs"),
)
"""What the cluster's role `edit` gives, which the chart adds to."""
EXEC_CREATE: Final = Right("create", "", "pods/exec", "run commands (Kubernetes 1.35 and newer)")


@dataclass(frozen=True)
class Facts:
    """One look."""

    namespace: str
    release: str
    """The namespace where devbox-gateway is installed, as far as it is known."""
    kinds: frozenset[str] | Hidden
    """Resources of our API group."""
    space: Object | Hidden | None = field(default_factory=lambda: Hidden("it was not asked for"))
    """The namespace; None: there is none of that name."""
    fields: Mapping[str, frozenset[str]] | Hidden = field(default_factory=dict)
    """Of each kind: paths of the fields that its definition knows."""
    slices: tuple[Object, ...] | Hidden = ()
    """EndpointSlices of the gateway's Service."""
    lease: Object | Hidden | None = None
    """The operator's."""
    devboxes: tuple[Object, ...] | Hidden = ()
    configs: tuple[Object, ...] | Hidden = ()
    policies: tuple[Object, ...] | Hidden = ()
    pods: tuple[Object, ...] | Hidden = ()
    """Of devboxes."""
    lacking: tuple[Right, ...] | Hidden = ()
    """Rights of USER that whoever asks does not have."""
    account: str = ""
    """Who asks, as the cluster knows them."""
    server_time: datetime | Hidden = field(default_factory=lambda: Hidden("the API server was not asked"))
    own_time: datetime | None = None
    """When that was, by this machine's clock."""


def conditions(seen: Object) -> list[Mapping[str, Any]]:
    """Of an object."""
    return (seen.get("status") or {}).get("conditions") or []


def name_of(seen: Object) -> str:
    """As namespace/name."""
    return f"{seen['metadata']['namespace']}/{seen['metadata']['name']}"
