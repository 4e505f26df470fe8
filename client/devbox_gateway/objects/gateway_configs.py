"""Gateway configs: where an API lives, and how its credential goes into a request.

One is an object `GatewayConfig` (gatewayconfigs.devbox-gateway.io) of a namespace; creating and changing one takes the role `admin` there.
"""

from __future__ import annotations  # in a class with a method `list`, Python 3.14 takes `list[…]` for that method

import logging
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

from devbox_gateway.errors import InvalidError
from devbox_gateway.kube.session import Object
from devbox_gateway.naming import GATEWAY_CONFIG, SECRET, Kind

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
from .ungranted import ungranted

LOG: Final = logging.getLogger("devbox_gateway")
_TYPES: Final = {"bearer": "Bearer", "header": "Header", "basic": "Basic", "query": "Query"}


@dataclass(frozen=True)
class AuthMechanism:
    """How an API wants its credential. In calls, `{"type": …, "key": …}` says the same.

    type `bearer`: `Authorization: Bearer <credential>`. `header`: `<key>: <prefix><credential>`. `query`: `?<key>=<credential>`. `basic`:
    the secret is `user:password`, or the password alone where `username` is given.
    """

    type: str
    key: str | None = None
    prefix: str | None = None
    username: str | None = None


@dataclass(frozen=True)
class GatewayConfigInfo:
    """What `get_info()` answers."""

    id: str
    name: str
    namespace: str
    endpoint: str
    auth_mechanism: AuthMechanism
    description: str | None
    ready: bool
    used_by: tuple[str, ...]
    """Devboxes, as namespace/name; at most 64."""
    devboxes: int
    """How many use it."""


class AsyncGatewayConfig(Shared):
    """One gateway config."""

    kind: ClassVar[Kind] = GATEWAY_CONFIG
    ungranted: tuple[str, ...] = ()
    """Secrets in use that are not granted to the endpoint's host, as the last `update(endpoint=…)` found them."""

    @property
    def endpoint(self) -> str:
        """The API's address."""
        return str(self._spec.get("endpoint", ""))

    @property
    def auth_mechanism(self) -> AuthMechanism:
        """How the API wants its credential."""
        return _shown(self._spec.get("authMechanism") or {})

    @property
    def description(self) -> str | None:
        """For people."""
        return self._spec.get("description")

    async def get_info(self) -> GatewayConfigInfo:
        """Read it anew."""
        await self._read()
        conditions = {condition["type"]: condition["status"] for condition in self._status.get("conditions") or []}
        return GatewayConfigInfo(
            id=self.id,
            name=self.name,
            namespace=self.namespace,
            endpoint=self.endpoint,
            auth_mechanism=self.auth_mechanism,
            description=self.description,
            ready=conditions.get("Ready") == "True",
            used_by=tuple(self._status.get("usedBy") or ()),
            devboxes=int(self._status.get("devboxes") or 0),
        )

    async def update(
        self,
        /,
        *,
        endpoint: str | None = None,
        auth_mechanism: AuthMechanism | Mapping[str, Any] | None = None,
        description: str | None = None,
        **fields: Any,
    ) -> AsyncGatewayConfig:
        """Change what is given, on running devboxes too, within seconds; `fields` as for `create`. Returns this object.

        Another endpoint may be a host that secrets in use are not granted to: `ungranted` names them then, and each is logged with the
        line that its owner runs.
        """
        spec = _spec(endpoint, auth_mechanism, description, fields)
        if "authMechanism" in spec:
            # (All of it: what the old one had besides would be left in a merge.)
            known = ("key", "username", "prefix", "userInSecret", "acceptedKeyHeaders")
            spec["authMechanism"] = {**dict.fromkeys(known), **spec["authMechanism"]}
        if not spec:
            raise InvalidError("update", "name at least one field to change")
        await self._merge({"spec": spec})
        if endpoint is not None:
            self.ungranted = await ungranted(self._cluster.session, self._seen)
            for name in self.ungranted:
                LOG.warning(
                    "Secret %s/%s is not granted to the new endpoint; its owner runs: %s", self.namespace, name, self.line(name)
                )
        return self

    def line(self, secret: str) -> str:
        """By which a secret's owner grants it to this endpoint's host, to be pasted."""
        host = urlsplit(self.endpoint).hostname or ""
        return shlex.join(["kubectl", "devbox", "-n", self.namespace, "secret", "grant", secret, host])


class AsyncGatewayConfigs:
    """All of a namespace."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def create(
        self,
        /,
        *,
        name: str,
        endpoint: str,
        auth_mechanism: AuthMechanism | Mapping[str, Any],
        description: str | None = None,
        **fields: Any,
    ) -> AsyncGatewayConfig:
        """Make one. The same name again gives the one there is, if it is as asked for; else ConflictError.

        fields: `credential` (a secret's name: the one of devboxes that bring none), `rules`, `allowed_namespaces`, `max_request_body`,
        `timeouts`, `tls`, `redact_responses`, `allow_insecure`, as docs/gatewayconfig.md has them.
        """
        where = own(GATEWAY_CONFIG, name, self._cluster.namespace)
        wanted = manifest(GATEWAY_CONFIG, where, {"spec": _spec(endpoint, auth_mechanism, description, fields)})
        there = await create_or_take(self._cluster, GATEWAY_CONFIG, where, wanted)
        return AsyncGatewayConfig(self._cluster, where, there)

    async def list(self) -> list[AsyncGatewayConfig]:
        """All there are."""
        found = await self._cluster.session.list(GATEWAY_CONFIG.path(self._cluster.namespace))
        return [AsyncGatewayConfig(self._cluster, where_seen(seen), seen) for seen in found]

    def from_id(self, id: str) -> AsyncGatewayConfig:  # noqa: A002 (the name that users know)
        """The one of that id or name, without asking whether it is there."""
        return AsyncGatewayConfig(self._cluster, where_of(GATEWAY_CONFIG, id, self._cluster.namespace))


_FIELDS: Final = {
    "rules": "rules",
    "allowed_namespaces": "allowedNamespaces",
    "max_request_body": "maxRequestBody",
    "timeouts": "timeouts",
    "tls": "tls",
    "redact_responses": "redactResponses",
    "allow_insecure": "allowInsecure",
}


def _spec(
    endpoint: str | None,
    auth_mechanism: AuthMechanism | Mapping[str, Any] | None,
    description: str | None,
    fields: Mapping[str, Any],
) -> Object:
    """Of what is given."""
    spec: Object = {}
    if endpoint is not None:
        spec["endpoint"] = text("endpoint", endpoint)
    if auth_mechanism is not None:
        spec["authMechanism"] = _auth(auth_mechanism)
    if description is not None:
        spec["description"] = text("description", description)
    for name, value in fields.items():
        if name == "custom_headers":
            raise InvalidError(
                name, "a gateway config puts in one credential; clients send other headers themselves, and they pass"
            )
        if name == "credential":
            spec["credential"] = None if value is None else {"secretRef": {"name": where_of(SECRET, value, "").name}}
        elif name in _FIELDS:
            spec[_FIELDS[name]] = value
        else:
            raise InvalidError(name, f"a gateway config has no such field; it has: {', '.join(('credential', *_FIELDS))}")
    return spec


def _auth(given: AuthMechanism | Mapping[str, Any]) -> Object:
    fields = asdict(given) if isinstance(given, AuthMechanism) else given
    if not isinstance(fields, Mapping) or str(fields.get("type", "")).lower() not in _TYPES:
        raise InvalidError("auth_mechanism", 'write {"type": "bearer"}, "header" or "query" with a "key", or "basic"')
    if unknown := set(fields) - {"type", "key", "prefix", "username"}:
        raise InvalidError("auth_mechanism", f"no such field: {', '.join(sorted(map(str, unknown)))}")
    spec: Object = {
        key: text(f"auth_mechanism.{key}", value) for key, value in fields.items() if key != "type" and value is not None
    }
    spec["type"] = _TYPES[str(fields["type"]).lower()]
    if spec["type"] == "Basic" and "username" not in spec:
        spec["userInSecret"] = True
    return spec


def _shown(spec: Mapping[str, Any]) -> AuthMechanism:
    return AuthMechanism(str(spec.get("type", "")).lower(), spec.get("key"), spec.get("prefix"), spec.get("username"))
