"""Every way in which the gateway says no: one name each, which is the error's code, the metric's label and the audit line's word.

Goes in: nothing. Comes out: names, statuses and what to do. docs/errors.md is made from the list; how one is written on the wire is
refusing.py's.
"""

from enum import Enum
from typing import Final, NamedTuple

ENDS: Final = 15
"""Seconds for what ends by itself, such as others' requests: an SDK that tries twice more then waits for half a minute. (None waits for
more than 60.)"""


class Retry(Enum):
    """Whether to send the same request again, where there are no seconds to wait for."""

    NO = "no retry mends it: a person has to change something, or the client"
    CLIENTS = "the client's to say: the request may have been carried out"


class _Row(NamedTuple):
    status: int
    message: str
    retry: int | Retry = Retry.NO
    """Seconds after which it may be another answer."""
    overload: bool = False
    """The gateway's own: its memory, or the limits of its process. Clients tell their users so."""


class Refusal(Enum):
    """The names are the codes; lower case on the wire."""

    MALFORMED_REQUEST = _Row(400, "the request is not valid HTTP/1.1")
    VERSION_UNSUPPORTED = _Row(400, "only HTTP/1.0 and HTTP/1.1 are spoken here")
    METHOD_UNSUPPORTED = _Row(405, "use GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS")
    TARGET_INVALID = _Row(400, "the request target must be a path that begins with '/'; ask $NAME_URL for it")
    PATH_INVALID = _Row(400, "the path must not hold '.' or '..' segments, control characters or broken escapes")
    FRAMING_INVALID = _Row(
        400, "the request's length is ambiguous: send Content-Length, or Transfer-Encoding: chunked on HTTP/1.1"
    )
    TARGET_TOO_LONG = _Row(
        414, "the path and query are too long; 8 KiB together are allowed, if the chart's limits say nothing else"
    )
    HEAD_TOO_LARGE = _Row(
        431,
        "a header may have 8 KiB, all together 32 KiB, of which there may be 100; a CONNECT 4 KiB; if the chart's values say nothing else",
    )
    REQUEST_TIMEOUT = _Row(408, "the request came too slowly", Retry.CLIENTS)
    BODY_TOO_LARGE = _Row(413, "the body is longer than the GatewayConfig, or the gateway, allows")
    TOO_MANY_PIPELINED = _Row(400, "too many requests were sent on one connection without waiting for their answers")
    TOO_MANY_REQUESTS = _Row(
        429,
        "too many requests of this devbox are under way; wait for some to end, or ask for a higher limits.requestsPerDevbox (the chart's)",
        ENDS,
    )
    OVERLOADED = _Row(503, "the gateway has as much to do as it can", 1, overload=True)
    HEADER_DUPLICATE = _Row(400, "Host, Authorization, Proxy-Authorization and Content-Length may be sent once")
    UPGRADE_UNSUPPORTED = _Row(
        400,
        "the only upgrade that passes is a whole WebSocket handshake: GET on HTTP/1.1 with no body, Upgrade: websocket, "
        "Sec-WebSocket-Version: 13 and one Sec-WebSocket-Key of 16 bytes",
    )
    TOKEN_MISSING = _Row(
        401, "no gws_ token in the request; send the one in this devbox's environment, e.g. Authorization: Bearer $NAME"
    )
    TOKEN_MALFORMED = _Row(401, "the gws_ token is not whole; send the one in this devbox's environment, unchanged")
    TOKEN_AMBIGUOUS = _Row(400, "the request holds two different gws_ tokens; send the one of the API that is meant")
    TOKEN_IN_PATH = _Row(400, "the token must not be in the path; send it in a header, e.g. Authorization: Bearer $NAME")
    TOKEN_UNKNOWN = _Row(401, "the token was not issued to any running devbox; use the one in this devbox's environment")
    TOKEN_REFUSED = _Row(401, "the cluster does not accept the token (any more); restart the devbox to get a new one")
    TOKEN_FOR_EGRESS = _Row(
        403,
        "this token is the forward proxy's, which clients use as $HTTPS_PROXY; an API is asked with the token in its own $NAME",
    )
    TOKEN_FOR_GATEWAY = _Row(
        403, "this token is an API's, to be sent to its $NAME_URL; the forward proxy is used with what $HTTPS_PROXY holds"
    )
    TOKEN_ELSEWHERE = _Row(403, "the token works from its own devbox only")
    POD_GONE = _Row(403, "the devbox of this token has been or is being deleted")
    POD_FINISHED = _Row(403, "the devbox of this token has finished")
    POD_ON_HOST_NETWORK = _Row(403, "a pod on the host's network can't be told from its node")
    DEVBOX_NOT_CONFINED = _Row(
        403,
        "something opens a way around the gateway for this devbox, so it gets nothing; see the Devbox's condition EgressConfined",
    )
    ROUTE_UNSUPPORTED = _Row(503, "the operator asks for a restriction that this gateway does not know; upgrade the gateway")
    GATEWAY_GONE = _Row(
        503,
        "the GatewayConfig of this name is gone, not accepted, or not open to this devbox's namespace; see the Devbox's condition "
        "CredentialsResolved",
    )
    CREDENTIAL_GONE = _Row(
        503,
        "the Secret with this name's credential is missing, or holds none that can be used; see the Devbox's condition "
        "CredentialsResolved",
    )
    CREDENTIAL_NOT_GRANTED = _Row(
        403,
        "the Secret with this name's credential is not granted to the endpoint's host; see the Devbox's condition CredentialsResolved",
    )
    RULE_FORBIDS = _Row(
        403, "the GatewayConfig's rules do not allow this method and path; use those that spec.rules lists, or ask its owner"
    )
    NOT_READY = _Row(503, "the gateway is starting", 1)
    STATE_STALE = _Row(
        503,
        "the gateway has not heard for too long what changed in the cluster, so what it knows may not hold any more; another replica may "
        "know; see the gateway's log, watch_failed",
        5,
    )
    REVIEW_UNAVAILABLE = _Row(503, "the cluster can't be asked about the token right now", 5)
    TOO_MANY_WAITING = _Row(503, "too many requests of this devbox wait for it to become known", 1)
    ENDPOINT_REFUSED = _Row(502, "the gateway may not lead to the endpoint's address; see the chart's upstreams settings")
    UPSTREAM_NAME_UNKNOWN = _Row(502, "the host has no address in DNS: there is no such name")
    UPSTREAM_UNREACHABLE = _Row(502, "the API can't be reached", 2)
    UPSTREAM_CONNECT_TIMEOUT = _Row(504, "the API did not take a connection in time; nothing was sent to it", 2)
    UPSTREAM_TLS = _Row(502, "the API's certificate is not trusted or not for its host")
    UPSTREAM_INVALID = _Row(502, "the API's answer is not valid HTTP")
    UPSTREAM_ENCODED = _Row(
        502,
        "the API sent its answer encoded (Content-Encoding), though it was asked for it as it is, so it can't be searched for the "
        "credential as the GatewayConfig's redactResponses: All demands; ask the API for an answer that is not encoded",
    )
    UPSTREAM_CLOSED = _Row(
        502, "the API closed the connection before it answered; the request may have been carried out", Retry.CLIENTS
    )
    UPSTREAM_TIMEOUT = _Row(504, "the API did not answer in time; the request may have been carried out", Retry.CLIENTS)
    CONNECT_ONLY = _Row(
        405,
        "this port is a forward proxy for TLS alone: use https:// URLs, which clients ask for by CONNECT; APIs are at $NAME_URL",
    )
    LOCAL_ADDRESS = _Row(
        405,
        "the address is the devbox's own, and is reached directly: this client did not understand what $NO_PROXY says of it; ask for "
        "localhost or 127.0.0.1, or tell the client to use no proxy",
    )
    CONNECT_TARGET_INVALID = _Row(
        400, "CONNECT takes host:port, such as example.com:443, with the host in ASCII (punycode) and the port in plain digits"
    )
    CONNECT_WITH_BODY = _Row(400, "a CONNECT has no body: send neither Transfer-Encoding nor a Content-Length other than 0")
    PROXY_TOKEN_MISSING = _Row(
        407, "no gws_ token in Proxy-Authorization; use the proxy as $HTTPS_PROXY names it, user and password included"
    )
    HOST_NOT_ALLOWED = _Row(
        403, "the devbox's EgressPolicy does not allow this host; without spec.egressPolicyRef none is allowed"
    )
    PORT_NOT_ALLOWED = _Row(403, "the devbox's EgressPolicy does not allow this port")
    ADDRESS_NOT_ALLOWED = _Row(
        403,
        "the host is, or leads to, an address that the EgressPolicy's allowedCIDRs or the chart's egress settings do not open",
    )
    POLICY_GONE = _Row(503, "the EgressPolicy of this devbox is gone or not accepted; see the Devbox's conditions")
    TOO_MANY_TUNNELS = _Row(
        429,
        "too many tunnels of this devbox are open; close some, or ask for a higher egress.tunnelsPerDevbox (the chart's)",
        ENDS,
    )
    SNI_MISMATCH = _Row(403, "in a tunnel: TLS asks for another server name than CONNECT did")
    SNI_MISSING = _Row(403, "in a tunnel: TLS names no server, so that it can't be told where it leads")
    ECH_NOT_ALLOWED = _Row(
        403,
        "in a tunnel: the client encrypts the server's name (ECH, or GREASE in its place); switch it off, or see egress.allowECH",
    )
    NOT_TLS = _Row(403, "in a tunnel: what came first is no TLS ClientHello")
    HELLO_TIMEOUT = _Row(408, "in a tunnel: no TLS ClientHello came in time", Retry.CLIENTS)
    AUDIT_FULL = _Row(503, "the audit log takes no more lines of this devbox at the moment; nothing was sent to the API", 1)
    INTERNAL = _Row(500, "the gateway failed; its log has the request's id", Retry.CLIENTS)

    @property
    def code(self) -> str:
        """The name on the wire, in metrics and in the audit log."""
        return self.name.lower()

    @property
    def status(self) -> int:
        """HTTP status."""
        return self.value.status

    @property
    def proxy_status(self) -> int:
        """The same at the forward proxy: 401 is about an origin, 407 about a proxy (RFC 9110 15.5)."""
        return 407 if self.status == 401 else self.status

    @property
    def message(self) -> str:
        """What to do. Holds nothing of the request."""
        return self.value.message

    @property
    def retry_after(self) -> int | None:
        """Seconds for Retry-After, where trying again helps."""
        retry = self.value.retry
        return retry if isinstance(retry, int) else None

    @property
    def final(self) -> bool:
        """No retry mends it, so clients are told not to try (`X-Should-Retry: false`)."""
        return self.value.retry is Retry.NO

    @property
    def overload(self) -> bool:
        """It is overload, which clients know how to tell their users."""
        return bool(self.value.overload)


def table() -> str:
    """The rows of docs/errors.md."""
    lines = ["| code | status | message | try again |", "|---|---|---|---|"]
    lines += [f"| `{r.code}` | {r.status} | {r.message} | {_again(r)} |" for r in Refusal]
    return "\n".join(lines)


def _again(refusal: Refusal) -> str:
    return f"after {refusal.retry_after} s" if refusal.retry_after else "no" if refusal.final else ""
