"""The request as the API gets it: no token, no client's credential, the real credential exactly once, the path joined once.

Goes in: the checked head, the token's carriers, an `Api` and a `Credential`. Comes out: an `UpstreamRequest`. Pure. Called by
identity.decide as its last step.
"""

import base64
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from devbox_api.judge import paths
from devbox_api.judge.endpoints import Endpoint
from devbox_api.judge.hosts import any_matches
from devbox_common.credential import pair
from devbox_common.redacted import Redacted
from devbox_proxy.known.apis import Api, Timeouts
from devbox_proxy.wire import grammar
from devbox_proxy.wire.guard import Headers, RequestHead
from devbox_proxy.wire.redact import Redactor
from devbox_proxy.wire.tokens import IN_QUERY, Found

__all__ = ["Access", "Credential", "Endpoint", "Timeouts", "UpstreamRequest", "prepare"]

Line = tuple[bytes, bytes]


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
    pool: tuple[str, ...]
    """Requests with the same one, and of the same namespace, may share connections."""
    redact: Redactor
    line: Line | None = field(repr=False)
    """The header that holds the credential; None where the query does."""
    query: bytes = field(repr=False)
    """`key=credential`, percent-encoded, for the query; empty where a header holds it."""
    line_for: dict[bytes, Line] = field(repr=False)
    """The same, where the client sent its token in a key header, by that header's name, or in the query (IN_QUERY)."""
    _pools: dict[str, tuple[str, ...]] = field(init=False, repr=False, default_factory=dict)

    def pool_of(self, namespace: str) -> tuple[str, ...]:
        """The key of the connections that this namespace's requests may share: one object for all of them."""
        pool = self._pools.get(namespace)
        if pool is None:
            pool = self._pools[namespace] = (*self.pool, namespace)
        return pool


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """What goes to the API, but for the body and its framing."""

    endpoint: Endpoint
    method: str
    target: bytes = field(repr=False)
    """Path and query, byte for byte the client's behind the base path; the query may hold the credential, so never logged."""
    headers: Headers = field(repr=False)
    """With the credential: never logged."""
    redact: Redactor
    """Takes the credential out of what comes back."""
    redact_body: bool
    """Bodies too; else headers alone."""
    refuse_encoded: bool = False
    """A body that came encoded does not pass."""
    websocket: bool = False
    """A WebSocket handshake: a 101 opens a tunnel; any other status is an answer like every other."""
    timeouts: Timeouts | None = None
    """The GatewayConfig's own; None: those of the gateway's settings."""
    ca_bundle: str = ""
    """PEM of the roots that alone count; empty: those of the gateway's settings."""
    max_body: int | None = None
    """Bytes that the body may have; None: any number."""
    wire: bytes = field(init=False, repr=False, compare=False)
    """Request line and headers as they are sent, but for the body's framing and the empty line."""

    def __post_init__(self) -> None:
        lines = [b"%b %b HTTP/1.1\r\n" % (self.method.encode(), self.target), *[b"%b: %b\r\n" % line for line in self.headers]]
        object.__setattr__(self, "wire", b"".join(lines))


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
        pool=(api.origin, api.uid, credential.name, credential.version, api.trust),
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


_HANDSHAKE: Final = ((b"Connection", b"Upgrade"), (b"Upgrade", b"websocket"))
"""Hop-by-hop, so made anew; the Sec-WebSocket-… headers are the client's (RFC 6455 4.1)."""
_IDENTITY: Final = (b"Accept-Encoding", b"identity")


def prepare(head: RequestHead, found: Found, access: Access) -> UpstreamRequest:
    """Everything that the API gets."""
    api = access.api
    target = paths.join(api.base_path, head.path)
    query = found.query
    if query and api.client_parameters:
        query = _without(api.client_parameters, query) or None
    if api.query_key is not None:
        query = query + b"&" + access.query if query else access.query
    if query is not None:
        target += b"?" + query
    lines = [api.host, *_forwarded(found.headers, api.not_forwarded, head.connection_options)]
    if api.provider.key_protocols and _PROTOCOLS in head.fields:
        lines = _without_keys(lines, api.provider.key_protocols)
    if api.redact_body:
        lines.append(_IDENTITY)
    websocket = head.websocket
    if websocket:
        lines += _HANDSHAKE
    if line := _injected(access, found):
        lines.append(line)
    return UpstreamRequest(
        endpoint=api.endpoint,
        method=head.method,
        target=target,
        headers=tuple(lines),
        redact=access.redact,
        redact_body=api.redact_body,
        refuse_encoded=api.refuse_encoded,
        websocket=websocket,
        timeouts=api.timeouts,
        ca_bundle=api.ca_bundle,
        max_body=api.max_body,
    )


def _injected(access: Access, found: Found) -> Line | None:
    """The credential's header: the client's own key header, where the API takes it there."""
    taken = min((name for name in found.key_headers if name in access.line_for), default=None) if found.key_headers else None
    return access.line if taken is None else access.line_for[taken]


def _without(names: frozenset[bytes], query: bytes) -> bytes:
    """The query without the client's own parameters of these names, in whatever way they are written; the rest byte for byte.

    ';' ends a parameter like '&': to some servers it is so. `name[]` is that name, too: to those that make lists of them.
    """
    first, *rest = paths.PARAMETER.findall(query)
    kept = [parameter for parameter in rest if paths.parameter_name(parameter[1:]).partition(b"[")[0] not in names]
    if paths.parameter_name(first).partition(b"[")[0] not in names:
        return b"".join((first, *kept))
    return b"".join(kept)[1:]


_PROTOCOLS: Final = b"sec-websocket-protocol"


def _without_keys(lines: list[Line], prefixes: tuple[bytes, ...]) -> list[Line]:
    """Without the subprotocols that hold a credential of the client's; the others as they were."""
    kept = []
    for line in lines:
        name, value = line
        items = value.split(b",") if name.lower() == _PROTOCOLS else []
        others = [item for item in items if not item.strip().lower().startswith(prefixes)]
        if len(others) == len(items):
            kept.append(line)
        elif others:
            kept.append((name, b",".join(others).strip()))
    return kept


def _forwarded(headers: Headers, not_forwarded: frozenset[bytes], connection_options: set[bytes]) -> list[Line]:
    """Without what belongs to one connection, names a credential, or could be read in two ways."""
    removed = not_forwarded if connection_options <= not_forwarded else not_forwarded | connection_options
    kept = []
    for line in headers:
        name = line[0].lower()
        twin = name.translate(grammar.DASHES)
        if not (
            name in removed or twin in removed or grammar.UNDERSCORE in name or twin.startswith(grammar.NOT_FORWARDED_PREFIX)
        ):
            kept.append(line)
    return kept
