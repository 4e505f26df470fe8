"""A request as it goes to an API."""

from dataclasses import dataclass, field

from devbox_api.judge.endpoints import Endpoint
from devbox_proxy.wire.guard import Headers
from devbox_proxy.wire.redact import Redactor


@dataclass(frozen=True, slots=True)
class ApiTimeouts:
    """Seconds; None: as the gateway's settings say."""

    connect: float | None = None
    first_byte: float | None = None
    idle: float | None = None


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
    unsearched_types: frozenset[bytes] = frozenset()
    """But not bodies of these media types, in lower case."""
    origin: bytes = b""
    """Of the page that a browser sends it for, which may then read the answer; empty: no browser."""
    websocket: bool = False
    """A WebSocket handshake: a 101 opens a tunnel; any other status is an answer like every other."""
    keyless: frozenset[bytes] = frozenset()
    """Headers of the answer, in lower case, with an address that clients call without their key."""
    token: bytes = field(default=b"", repr=False)
    """The caller's own, prefix and all, for those addresses; empty where there are none. It does not go to the API."""
    wire: bytes = field(init=False, repr=False, compare=False)
    """Request line and headers as they are sent, but for the body's framing and the empty line."""

    def __post_init__(self) -> None:
        lines = [b"%b %b HTTP/1.1\r\n" % (self.method.encode(), self.target), *[b"%b: %b\r\n" % line for line in self.headers]]
        object.__setattr__(self, "wire", b"".join(lines))
