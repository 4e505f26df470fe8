"""A mirrored credential, and what follows from it at one API: worked out once, at the first use.

Goes in: the credential as the operator mirrored it, an `Api`. Comes out: a `Credential`, an `Access`. Pure.
"""

import base64
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import quote

from devbox_api.judge.hosts import any_matches
from devbox_common.credential import pair
from devbox_common.redacted import Redacted
from devbox_proxy.known.apis import Api
from devbox_proxy.wire.redact import Redactor
from devbox_proxy.wire.tokens import IN_QUERY

Line = tuple[bytes, bytes]


class PoolKey(NamedTuple):
    """Whose requests may share a connection: those of one namespace that go with one credential to one API."""

    origin: str
    config: str
    """UID of the GatewayConfig."""
    credential: str
    version: str
    """Of the credential."""
    trust: str
    """Api.trust: against which roots the API was checked."""
    namespace: str
    """Of the devboxes."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A mirrored credential."""

    name: str
    """Of the Secret it is mirrored in."""
    version: str
    """Its resourceVersion: another one is another credential, with connections of its own."""
    value: Redacted
    allowed_hosts: tuple[str, ...]
    """From the source Secret's annotation."""
    redact: Redactor = field(init=False, repr=False, compare=False)
    _accesses: dict[str, "Access"] = field(init=False, repr=False, compare=False, default_factory=dict)
    """By GatewayConfig UID; made at the first use, and gone with this version of the credential."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "redact", Redactor(self.value))

    def granted_to(self, host: str) -> bool:
        """Its owner lets it go to this host."""
        return any_matches(self.allowed_hosts, host)

    def at(self, api: Api) -> "Access":
        """What follows from this credential and that API: worked out once."""
        access = self._accesses.get(api.uid)
        if access is None or access.api is not api:
            access = self._accesses[api.uid] = _access(self, api)
        return access


@dataclass(frozen=True, slots=True, eq=False)
class Access:
    """One credential at one API."""

    api: Api
    granted: bool
    """The credential's owner lets it go to the API's host."""
    whole: bool
    """The credential has the form that the API's auth mechanism asks for."""
    pool: PoolKey
    """Requests with the same one, and of the same namespace, which it does not name, may share connections."""
    redact: Redactor
    line: Line | None = field(repr=False)
    """The header that holds the credential; None where the query does."""
    query: bytes = field(repr=False)
    """`key=credential`, percent-encoded, for the query; empty where a header holds it."""
    line_for: dict[bytes, Line] = field(repr=False)
    """The same, where the client sent its token in a key header, by that header's name, or in the query (IN_QUERY)."""
    _pools: dict[str, PoolKey] = field(init=False, repr=False, default_factory=dict)

    def pool_of(self, namespace: str) -> PoolKey:
        """The key of the connections that this namespace's requests may share: one object for all of them."""
        pool = self._pools.get(namespace)
        if pool is None:
            pool = self._pools[namespace] = self.pool._replace(namespace=namespace)
        return pool


def _access(credential: Credential, api: Api) -> Access:
    secret, auth = credential.value.reveal(), api.auth
    # What an answer must not show: of user and password the latter, by itself, too. (Where there is none the user is the key.)
    hidden, whole, basic = credential.value, True, ""
    if auth.type == "Basic" and auth.user_in_secret:
        both = pair(credential.value)
        whole = both is not None
        hidden = credential.value if both is None else both[1] or both[0]
        basic = base64.b64encode(secret.encode()).decode()
    elif auth.type == "Basic":
        basic = base64.b64encode(f"{auth.username}:{secret}".encode()).decode()
    return Access(
        api=api,
        granted=credential.granted_to(api.endpoint.host),
        whole=whole,
        pool=PoolKey(api.origin, api.uid, credential.name, credential.version, api.trust, namespace=""),
        redact=Redactor(hidden, Redacted(basic)) if basic else credential.redact,
        line=_line(api, secret, basic),
        query=api.query_key + b"=" + quote(secret, safe="").encode() if api.query_key else b"",
        line_for=_lines_for(api, secret),
    )


def _line(api: Api, secret: str, basic: str) -> Line | None:
    auth = api.auth
    if auth.type == "Query":
        return None
    if auth.type == "Header":
        return (auth.key or "").encode(), f"{auth.prefix}{secret}".encode()
    if auth.type == "Basic":
        return b"Authorization", f"Basic {basic}".encode()
    if header := _forced(api, secret):
        return header, secret.encode()
    return b"Authorization", f"Bearer {secret}".encode()


def _lines_for(api: Api, secret: str) -> dict[bytes, Line]:
    if _forced(api, secret):
        return {}
    lines = {name: (name, secret.encode()) for name in api.key_headers}
    if api.auth.type == "Bearer" and (header := api.provider.query_header):
        lines[IN_QUERY] = header, secret.encode()
    return lines


def _forced(api: Api, secret: str) -> bytes | None:
    """The header that this API wants this kind of credential in, whatever the client used."""
    if api.auth.type != "Bearer":
        return None
    return next((header for prefix, header in api.provider.key_header_for if secret.startswith(prefix)), None)
