"""Secrets: credentials that the gateway puts into requests, and that no devbox sees.

One is an object `Secret` with the key `value` and the label `devbox-gateway.io/made-by: client`. Values go in; no call gives one back.
"""

from __future__ import annotations  # in a class with a method `list`, Python 3.14 takes `list[…]` for that method

import base64
import binascii
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from devbox_api.judge.grants import why
from devbox_api.judge.hosts import is_pattern, parse_grant
from devbox_gateway.errors import ConflictError, InUseError, InvalidError, NotFoundError
from devbox_gateway.given import content_of
from devbox_gateway.kube.session import METADATA, Object
from devbox_gateway.naming import SECRET, Kind

from .base import (
    MADE_BY,
    Cluster,
    HasId,
    Resource,
    conflict,
    create_or_find,
    given_name,
    manifest,
    own,
    text,
    where_of,
    where_seen,
)
from .secret_users import users_of

KEY: Final = "value"
ALLOWED_HOSTS: Final = "devbox-gateway.io/allowed-hosts"
MOUNTABLE: Final = "devbox-gateway.io/mountable"
"""A label (value `true`): agents may read it, unless it has a grant."""
MOST: Final = 64 << 10
"""Bytes of a value: no credential is longer."""
_SELECTOR: Final = ",".join(f"{key}={value}" for key, value in MADE_BY.items())


@dataclass(frozen=True)
class SecretInfo:
    """What `get_info()` answers."""

    id: str
    name: str
    namespace: str
    allowed_hosts: tuple[str, ...]
    """Towards which hosts it may be used; empty: none yet."""
    mountable: bool = False
    """Agents may read it (`secrets=` of devboxes.create)."""


class AsyncSecret(Resource):
    """One secret, without its value."""

    kind: ClassVar[Kind] = SECRET
    accept: ClassVar[str] = METADATA

    @property
    def allowed_hosts(self) -> list[str]:
        """Towards which hosts the gateway may use it; empty: none yet."""
        return hosts_of(self._seen)

    @property
    def mountable(self) -> bool:
        """Agents may read it."""
        return is_mountable(self._seen)

    async def get_info(self) -> SecretInfo:
        """Read it anew."""
        await self._read()
        return SecretInfo(self.id, self.name, self.namespace, tuple(self.allowed_hosts), is_mountable(self._seen))

    async def update(self, value: str) -> AsyncSecret:
        """Give it another value: in use on running devboxes within seconds. Returns this object."""
        await self._read_own()
        await self._merge({"data": {KEY: _encoded(value)}})
        return self

    async def grant(self, hosts: Sequence[str]) -> AsyncSecret:
        """Let the gateway use it towards these hosts, besides those of before: any Secret, whoever made it. Returns this object."""
        added = granted(hosts).split(",")
        seen = await self._read()
        if is_mountable(seen):
            raise InvalidError(
                "mountable", f"agents may read it (label {MOUNTABLE}), so it is no key that a gateway could keep from them"
            )
        noted = seen["metadata"].get("annotations") or {}
        value = ",".join(dict.fromkeys((*parse_grant(noted.get(ALLOWED_HOSTS)), *added)))
        change = {"metadata": {"annotations": {ALLOWED_HOSTS: value}, "resourceVersion": seen["metadata"]["resourceVersion"]}}
        if value != noted.get(ALLOWED_HOSTS):
            await self._merge(change)
        return self

    async def delete(self, *, force: bool = False) -> None:
        """Delete it, for good. Raises InUseError while a devbox uses it; with `force` such devboxes get errors from then on."""
        await self._read_own()
        where = self._reference
        if not force and (users := await users_of(self._cluster.session, where.namespace, where.name)):
            raise InUseError(
                f"Secret {where.namespace}/{where.name} is used by {', '.join(users)}; delete these devboxes first, or cut them off: "
                "force=True",
                users,
            )
        await self._cluster.session.request("DELETE", self._path)

    async def _read(self) -> Object:
        seen = without_value(await super()._read())
        self._object = seen
        return seen

    async def _merge(self, change: Object) -> Object:
        self._object = without_value(await super()._merge(change))
        return self._object

    async def _read_own(self) -> None:
        seen = await self._read()
        if not is_own(seen):
            raise ConflictError(
                f"Secret {self._reference.name!r} in namespace {self.namespace} was not made by this client; change it with kubectl",
                "labels",
            )


class AsyncSecrets:
    """All of a namespace that were made by this client."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def create(
        self, *, name: str, value: str, allowed_hosts: Sequence[str] | None = None, mountable: bool = False
    ) -> AsyncSecret:
        """Store one. The same name with the same value again gives the one there is; with another, ConflictError.

        allowed_hosts: towards which hosts it may be used, e.g. ["api.anthropic.com"]; where they are not given, the first
        `devboxes.create` that names it beside a gateway config grants it to that one's host. mountable: agents may read it; the first
        `devboxes.create` that names it in `secrets` makes it so, too. One that has a grant never is.
        """
        if mountable and allowed_hosts is not None:
            raise InvalidError(
                "mountable", "a secret is for the gateway (allowed_hosts) or for agents to read (mountable), not for both"
            )
        where = own(SECRET, name, self._cluster.namespace)
        wanted = manifest(SECRET, where, {"type": "Opaque", "data": {KEY: _encoded(value)}})
        if allowed_hosts is not None:
            wanted["metadata"].setdefault("annotations", {})[ALLOWED_HOSTS] = granted(allowed_hosts)
        if mountable:
            wanted["metadata"]["labels"][MOUNTABLE] = "true"
        there, new = await create_or_find(self._cluster, SECRET, wanted)
        if not new:
            self._compare(where_seen(there), wanted, there, allowed_hosts)
        return AsyncSecret(self._cluster, where, without_value(there))

    def _compare(self, where: Any, wanted: Object, there: Object, allowed_hosts: Sequence[str] | None) -> None:
        if not is_own(there):
            raise ConflictError(
                f"Secret {where.name!r} in namespace {where.namespace} was made by somebody else; choose another name", "labels"
            )
        if given_name(there) != given_name(wanted):
            raise conflict(SECRET, where, "name")
        if not hmac.compare_digest(_decoded(there), _decoded(wanted)):
            raise conflict(SECRET, where, "value")
        if allowed_hosts is not None and set(hosts_of(there)) != set(hosts_of(wanted)):
            raise conflict(SECRET, where, "allowed_hosts")
        if is_mountable(wanted) and not is_mountable(there):
            raise conflict(SECRET, where, "mountable")

    async def list(self) -> list[AsyncSecret]:
        """All there are, without their values."""
        found = await self._cluster.session.list(SECRET.path(self._cluster.namespace), {"labelSelector": _SELECTOR})
        return [AsyncSecret(self._cluster, where_seen(seen), without_value(seen)) for seen in found]

    def from_id(self, id: str) -> AsyncSecret:  # noqa: A002 (the name that users know)
        """The one of that id or name, without asking whether it is there."""
        return AsyncSecret(self._cluster, where_of(SECRET, id, self._cluster.namespace))

    def from_name(self, name: str) -> AsyncSecret:
        """The same."""
        return self.from_id(name)

    async def update(self, secret: HasId | str, value: str) -> AsyncSecret:
        """Give the one of that object, id or name another value."""
        return await self._find(secret).update(value)

    async def delete(self, secret: HasId | str, *, force: bool = False) -> None:
        """Delete the one of that object, id or name, as its own `delete` does."""
        await self._find(secret).delete(force=force)

    def _find(self, secret: HasId | str) -> AsyncSecret:
        return AsyncSecret(self._cluster, where_of(SECRET, secret, self._cluster.namespace))


def granted(hosts: Sequence[str]) -> str:
    """The annotation's value. Raises InvalidError."""
    if isinstance(hosts, str) or not isinstance(hosts, Iterable) or not hosts:
        raise InvalidError("allowed_hosts", 'write a list of hosts, e.g. ["api.anthropic.com"]')
    return ",".join(_host(host) for host in hosts)


def _host(host: object) -> str:
    found = text("allowed_hosts", host).strip().lower()
    if not is_pattern(found):
        raise InvalidError(
            "allowed_hosts", f"write hosts alone, e.g. api.anthropic.com or *.example.com: what is given {why(found)}"
        )
    return found


def hosts_of(seen: Object) -> list[str]:
    """Towards which hosts a Secret may be used."""
    return list(parse_grant((seen["metadata"].get("annotations") or {}).get(ALLOWED_HOSTS)))


def is_mountable(seen: Object) -> bool:
    """Whether its owner lets agents read it."""
    return (seen["metadata"].get("labels") or {}).get(MOUNTABLE) == "true"


def is_own(seen: Object) -> bool:
    """Whether this client made it."""
    labels = seen["metadata"].get("labels") or {}
    return all(labels.get(key) == value for key, value in MADE_BY.items())


def without_value(seen: Object) -> Object:
    """Of a Secret, all but what is secret (kubectl's copy of what was applied is, too)."""
    metadata = {key: value for key, value in seen["metadata"].items() if key != "managedFields"}
    if noted := metadata.get("annotations"):
        metadata["annotations"] = {key: value for key, value in noted.items() if "last-applied-configuration" not in key}
    return {"metadata": metadata, **({"type": seen["type"]} if "type" in seen else {})}


def _encoded(value: object) -> str:
    content = content_of("value", text("value", value))
    if not content.strip() or len(content) > MOST:
        raise InvalidError("value", f"a secret has 1 to {MOST} bytes")
    return base64.b64encode(content).decode()


def _decoded(seen: Object) -> bytes:
    try:
        return base64.b64decode((seen.get("data") or {}).get(KEY, ""))
    except binascii.Error:
        raise NotFoundError("the secret holds no value") from None
