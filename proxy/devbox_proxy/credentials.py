"""The request as the API gets it: no token, no client's credential, the real credential exactly once, the path joined once.

Goes in: the checked head, the token's carriers, a Gateway document and a Credential. Comes out: an `UpstreamRequest`. Pure. Called
by identity.decide as its last step.
"""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from devbox_api.route import Gateway
from devbox_common.hosts import matches
from devbox_common.redacted import Redacted

from . import grammar
from .guard import Headers, RequestHead
from .providers import NONE, Provider, provider
from .redact import Redactor
from .tokens import Found


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

    def __post_init__(self) -> None:
        object.__setattr__(self, "redact", Redactor(self.value))

    def granted_to(self, host: str) -> bool:
        """Its owner lets it go to this host."""
        return any(matches(pattern, host) for pattern in self.allowed_hosts)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a gateway leads."""

    scheme: str
    host: str
    """Lower case, without the brackets of an IPv6 address."""
    port: int
    path: str
    """Without a slash at its end; empty for the root."""

    @property
    def origin(self) -> str:
        """`https://api.example.com`, the port only if it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.port == _PORTS[self.scheme] else f":{self.port}")


_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """What goes to the API, but for the body and its framing."""

    endpoint: Endpoint
    method: str
    target: bytes
    """Path and query, byte for byte the client's behind the base path."""
    headers: Headers = field(repr=False)
    """With the credential: never logged."""
    redact: Redactor
    """Takes the credential out of what comes back."""
    redact_body: bool
    """Bodies too; else headers alone."""
    websocket: bool = False
    """A WebSocket handshake: a 101 opens a tunnel; any other status is an answer like every other."""


def parse_endpoint(url: str) -> Endpoint:
    """An absolute http(s) URL, as the CRD lets it pass. Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname or parts.username is not None or parts.query or parts.fragment:
        raise ValueError("not an endpoint")
    return Endpoint(parts.scheme, parts.hostname, parts.port or _PORTS[parts.scheme], parts.path.rstrip("/"))


def prepare(head: RequestHead, found: Found, gateway: Gateway, credential: Credential) -> UpstreamRequest:
    """Everything that the API gets."""
    endpoint = parse_endpoint(gateway.endpoint)
    row = provider(endpoint.host)
    target = join(endpoint.path or row.base_path, head.path)
    if found.query is not None:
        target += b"?" + found.query
    injected = inject(gateway, row, found.key_headers, credential.value)
    accepted = {name.lower().encode() for name in gateway.auth.accepted_key_headers}
    headers = strip(found.headers, also=accepted | {injected[0].lower()})
    # The well-known APIs are known not to echo a credential in a body, and their streams are the ones that must be fast.
    redact_body = row is NONE
    if redact_body:
        headers = _identity(headers)
    host = endpoint.origin.partition("://")[2].encode()
    lines = ((b"Host", host), *headers, *(_HANDSHAKE if head.websocket else ()), injected)
    return UpstreamRequest(
        endpoint, head.method, target, lines, credential.redact, redact_body=redact_body, websocket=head.websocket
    )


_HANDSHAKE = ((b"Connection", b"Upgrade"), (b"Upgrade", b"websocket"))
"""Hop-by-hop, so made anew; the Sec-WebSocket-… headers are the client's (RFC 6455 4.1)."""


def join(base: str, path: bytes) -> bytes:
    """The base path before the path, unless it stands there already (`/v1` and `/v1/models` give `/v1/models`)."""
    prefix = base.encode()
    if not prefix or path == prefix or path.startswith(prefix + b"/"):
        return path
    return prefix + (path if path != b"/" else b"/")


def inject(gateway: Gateway, row: Provider, key_headers: frozenset[bytes], value: Redacted) -> tuple[bytes, bytes]:
    """The one header that holds the credential."""
    secret = value.reveal()
    auth = gateway.auth
    if auth.type == "Header":
        assert auth.key is not None, "the CRD asks for it"  # noqa: S101
        return auth.key.encode(), f"{auth.prefix}{secret}".encode()
    for prefix, header in row.key_header_for:
        if secret.startswith(prefix):
            return header, secret.encode()
    accepted = row.key_headers | {name.encode().lower() for name in auth.accepted_key_headers}
    for header in sorted(key_headers & accepted):
        return header, secret.encode()
    return b"Authorization", b"Bearer " + secret.encode()


def _identity(headers: Headers) -> Headers:
    """Ask for bodies as they are, where they are searched: in a compressed one nothing would be found."""
    rest = tuple((name, value) for name, value in headers if name.lower() != b"accept-encoding")
    return (*rest, (b"Accept-Encoding", b"identity"))


def strip(headers: Headers, also: set[bytes]) -> Headers:
    """Without what belongs to one connection, names a credential, or could be read in two ways; and without `also`."""
    named = {option.strip().lower() for name, value in headers if name.lower() == b"connection" for option in value.split(b",")}
    removed = grammar.HOP_BY_HOP | grammar.NOT_FORWARDED | grammar.CREDENTIAL_HEADERS | named | also

    def kept(name: bytes) -> bool:
        # '_' and '-' are one character to servers of the CGI family: x_api_key would come in as a second x-api-key.
        lower = name.lower()
        return b"_" not in lower and lower not in removed and not lower.startswith(grammar.NOT_FORWARDED_PREFIX)

    return tuple((name, value) for name, value in headers if kept(name))
