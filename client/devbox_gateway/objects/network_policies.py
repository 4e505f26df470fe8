"""Network policies: which other hosts devboxes may reach, besides their gateways.

One is an object `EgressPolicy` (egresspolicies.devbox-gateway.io) of a namespace; creating and changing one takes the role `admin` there.
Gateways need no entry: a devbox reaches its own under every policy.
"""

from __future__ import annotations  # in a class with a method `list`, Python 3.14 takes `list[…]` for that method

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from devbox_gateway.errors import InvalidError
from devbox_gateway.kube.session import Object
from devbox_gateway.naming import NETWORK_POLICY, Kind

from .base import (
    Cluster,
    Shared,
    create_or_take,
    manifest,
    own,
    text,
    where_of,
    where_seen,
)

DEFAULT: Final = "default"
"""The one that devboxes without another refer to, where it is there."""


@dataclass(frozen=True)
class NetworkPolicyInfo:
    """What `get_info()` answers."""

    id: str
    name: str
    namespace: str
    allow_all: bool
    allowed_hostnames: tuple[str, ...]
    allowed_cidrs: tuple[str, ...]
    description: str | None
    used_by: tuple[str, ...]
    """Devboxes, as namespace/name; at most 64."""


class AsyncNetworkPolicy(Shared):
    """One network policy."""

    kind: ClassVar[Kind] = NETWORK_POLICY

    @property
    def allow_all(self) -> bool:
        """Whether every public host may be reached."""
        return bool(self._spec.get("allowAll", False))

    @property
    def allowed_hostnames(self) -> list[str]:
        """Hosts, e.g. github.com or *.github.com."""
        return list(self._spec.get("allowedHostnames") or [])

    @property
    def allowed_cidrs(self) -> list[str]:
        """Ranges of addresses."""
        return list(self._spec.get("allowedCIDRs") or [])

    @property
    def description(self) -> str | None:
        """For people."""
        return self._spec.get("description")

    async def get_info(self) -> NetworkPolicyInfo:
        """Read it anew."""
        await self._read()
        return NetworkPolicyInfo(
            id=self.id,
            name=self.name,
            namespace=self.namespace,
            allow_all=self.allow_all,
            allowed_hostnames=tuple(self.allowed_hostnames),
            allowed_cidrs=tuple(self.allowed_cidrs),
            description=self.description,
            used_by=tuple(self._status.get("usedBy") or ()),
        )

    async def update(self, /, **fields: Any) -> AsyncNetworkPolicy:
        """Change what is given, of running devboxes too: new connections count at once. `fields` as for `create`. Returns this object."""
        spec = _spec(fields)
        if not spec:
            raise InvalidError("update", "name at least one field to change")
        await self._merge({"spec": spec})
        return self


class AsyncNetworkPolicies:
    """All of a namespace."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def create(
        self,
        /,
        *,
        name: str,
        allow_all: bool | None = None,
        allowed_hostnames: Sequence[str] | None = None,
        allowed_cidrs: Sequence[str | Mapping[str, Any]] | None = None,
        description: str | None = None,
        **fields: Any,
    ) -> AsyncNetworkPolicy:
        """Make one. The same name again gives the one there is, if it is as asked for; else ConflictError.

        fields: `allowed_ports` (of every host; 443 unless given), `allow_agent_gateway` and `allow_mcp_gateway` (always so here: accepted),
        `allow_devbox_to_devbox` (never so here: only False).
        """
        where = own(NETWORK_POLICY, name, self._cluster.namespace)
        given = {
            "allow_all": allow_all,
            "allowed_hostnames": allowed_hostnames,
            "allowed_cidrs": allowed_cidrs,
            "description": description,
            **fields,
        }
        wanted = manifest(NETWORK_POLICY, where, {"spec": _spec(given)})
        there = await create_or_take(self._cluster, NETWORK_POLICY, where, wanted)
        return AsyncNetworkPolicy(self._cluster, where, there)

    async def list(self) -> list[AsyncNetworkPolicy]:
        """All there are."""
        found = await self._cluster.session.list(NETWORK_POLICY.path(self._cluster.namespace))
        return [AsyncNetworkPolicy(self._cluster, where_seen(seen), seen) for seen in found]

    def from_id(self, id: str) -> AsyncNetworkPolicy:  # noqa: A002 (the name that users know)
        """The one of that id or name, without asking whether it is there."""
        return AsyncNetworkPolicy(self._cluster, where_of(NETWORK_POLICY, id, self._cluster.namespace))


def _spec(given: Mapping[str, Any]) -> Object:
    spec: Object = {}
    for name, value in given.items():
        if value is None:
            continue
        if name == "allow_all":
            spec["allowAll"] = _flag(name, value)
        elif name == "allowed_hostnames":
            spec["allowedHostnames"] = _unique(name, [text(name, host).lower() for host in _sequence(name, value)])
        elif name == "allowed_cidrs":
            spec["allowedCIDRs"] = _unique(name, [_range(item) for item in _sequence(name, value)])
        elif name == "allowed_ports":
            spec["allowedPorts"] = list(_sequence(name, value))
        elif name == "description":
            spec["description"] = text(name, value)
        elif name in ("allow_agent_gateway", "allow_mcp_gateway"):
            _flag(name, value)
        elif name == "allow_devbox_to_devbox" and value is False:
            pass
        elif name == "allow_devbox_to_devbox":
            raise InvalidError(name, "devboxes never reach one another here; leave it out")
        else:
            raise InvalidError(name, "a network policy has no such field; it has: allow_all, allowed_hostnames, allowed_cidrs, "
                                     "allowed_ports, description")  # fmt: skip
    return spec


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise InvalidError(name, f"write True or False, not {type(value).__name__}")
    return value


def _sequence(name: str, value: object) -> Sequence[Any]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise InvalidError(name, f"a list belongs here, not {type(value).__name__}")
    return value


def _unique(name: str, values: list[str]) -> list[str]:
    return list(dict.fromkeys(values))


def _range(item: object) -> str:
    """A range, or `{"cidr": …}` as it is written elsewhere."""
    if isinstance(item, Mapping):
        if item.get("ports"):
            raise InvalidError(
                "allowed_cidrs", "ports of one range alone are not known here; give allowed_ports, which count for all"
            )
        item = item.get("cidr")
    return text("allowed_cidrs", item)
