"""The gateway's settings: proxy.yaml, as the chart writes it."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from devbox_api import names
from devbox_common.settings import SettingsModel

Seconds = Annotated[float, Field(gt=0)]
Port = Annotated[int, Field(ge=0, le=65535)]
"""0: any free port, for tests."""


class Tls(SettingsModel):
    """The certificate that devboxes see; read anew when the files change."""

    cert_file: Path = Path("/etc/devbox-gateway/tls/tls.crt")
    key_file: Path = Path("/etc/devbox-gateway/tls/tls.key")


class Listen(SettingsModel):
    """Ports."""

    host: str = ""
    """Empty: every address, IPv4 and IPv6."""
    data: Port = names.DATA_PORT
    egress: Port = names.EGRESS_PORT
    """The forward proxy: always in clear, as HTTPS_PROXY has it; what passes is TLS."""
    canary: Port = names.CANARY_PORT
    """What a devbox that is confined does not reach."""
    admin: Port = names.ADMIN_PORT
    activity: Port = names.ACTIVITY_PORT
    """Where the operator asks when devboxes were last active."""
    tls: Tls | None = Tls()
    """None: plain HTTP, as behind something else that does TLS; tokens then cross that way in clear."""


class UpstreamSettings(SettingsModel):
    """Where the gateway may lead."""

    allowed_cidrs: tuple[str, ...] = Field(default=(), alias="allowedCIDRs")
    allowed_hosts: tuple[str, ...] = ()
    address_overrides: dict[str, str] = Field(default_factory=dict)
    """Host → `address[:port]` that is dialled in its place."""
    ca_bundle: str = ""
    """A PEM file that is trusted besides the public roots."""


class FloorSettings(SettingsModel):
    """What nothing may lead to, besides what the operator finds."""

    extra_cidrs: tuple[str, ...] = Field(default=(), alias="extraCIDRs")


class Identity(SettingsModel):
    """How long what was seen counts."""

    review_seconds: Seconds = 120
    not_live_seconds: Seconds = 10
    outage_seconds: Seconds = 300
    wait_seconds: Seconds = 3
    """A first request, for the mirror."""
    review_wait_seconds: Seconds = 30
    """A request, for its TokenReview: while others are answered its turn comes."""
    reviews_per_second: Annotated[float, Field(ge=1)] = 400
    spare_reviews_per_second: Annotated[float, Field(ge=0)] = 20
    """Of these, for devboxes that nobody asks for."""
    warm_seconds: Annotated[float, Field(ge=0)] = 30
    """A start waits so long for the reviews of all devboxes."""


class UpstreamTimeouts(SettingsModel):
    """Towards the API."""

    connect_seconds: Seconds = 5
    first_byte_seconds: Seconds = 600
    idle_seconds: Seconds = 300
    websocket_idle_seconds: Seconds = 3600
    """Of a WebSocket, without a byte either way: agents keep one open between their turns."""
    rest_seconds: Annotated[float, Field(gt=0, le=600)] = 180
    """A connection at rest is used again for so long at most, if the API was seen to keep it. Up to 4: nothing is learned."""
    gone_seconds: Annotated[float, Field(ge=5, le=3600)] = 75
    """Without a sign of life from whoever is on the other side of a connection, client or API. A fifth of it is the silence in which it is
    asked (TCP's keepalive)."""


Count = Annotated[int, Field(ge=1)]
Size = Annotated[int, Field(ge=2048, le=1 << 20)]


class Limits(SettingsModel):
    """How much there may be at a time, and how slow a client may be."""

    connections: Count = 20_000
    connections_per_devbox: Count = 256
    handshakes_per_devbox: Count = 200
    """TLS handshakes a second, each of which costs as much as many requests; more wait. As many as there may be connections at once."""
    requests: Count = 16_384
    requests_per_devbox: Count = 64
    """Under way, so far as they are of one pod."""
    target_bytes: Size = 8190
    """Of a request's path and query."""
    header_bytes: Size = 8190
    """Of one header, name and value. A token has about 1,000."""
    headers: Count = 100
    head_bytes: Size = 32 * 1024
    """Of all headers."""
    body_bytes: Annotated[int, Field(ge=0)] = 0
    """Of a request's body; a GatewayConfig may allow less. 0: any number."""
    head_seconds: Seconds = 20
    """For a request's head, and for the first one to begin."""
    keepalive_seconds: Seconds = 120
    """Longer than the connection pools of clients that heed no `Keep-Alive` (httpx 5 s, .NET 60, Go and hyper 90, curl 118)."""
    body_min_rate: Annotated[int, Field(ge=0)] = 2
    """Bytes a second that a body must come with, on the average of a window; 0: any. It is for who has gone to sleep: what slow bodies may
    take is bounded by requests_per_devbox."""
    body_window_seconds: Seconds = 55
    write_stall_seconds: Seconds = 300
    """After which a client that reads nothing is taken for gone."""
    write_buffer: Count = 64 * 1024
    """Bytes that may wait for one client before the API's answer is no longer read."""
    memory_percent: Annotated[float, Field(gt=0, le=100)] = 85
    """Of the container's limit; above it new requests are refused."""


class EgressSettings(SettingsModel):
    """The forward proxy. What devboxes may reach through it, their EgressPolicies say; this is how far these may go."""

    permitted_cidrs: tuple[str, ...] = Field(default=(), alias="permittedCIDRs")
    """Private ranges that an EgressPolicy's allowedCIDRs may open. None: public addresses alone."""
    address_overrides: dict[str, str] = Field(default_factory=dict)
    """Host → `address[:port]` that is dialled in its place, if an EgressPolicy allows the host."""
    allow_ech: bool = Field(default=False, alias="allowECH")
    """Let TLS begin in which the server's name may be encrypted: what stands outside is compared."""
    allow_no_sni: bool = Field(default=False, alias="allowNoSNI")
    """Let TLS begin that names no server."""
    tunnels: Count = 8192
    tunnels_per_devbox: Count = 256
    head_bytes: Size = 4096
    """Of a CONNECT, with all its headers. A token in it has about 1,300."""
    head_seconds: Seconds = 5
    """For a CONNECT's head, and for the first one to begin."""
    connect_seconds: Seconds = 10
    """For the name, and for a connection to one of its addresses."""
    hello_seconds: Seconds = 10
    """For the ClientHello, from the 200 on."""
    idle_seconds: Seconds = 900
    """Without a byte either way."""


class Audit(SettingsModel):
    """What happens when nobody takes the lines."""

    on_overflow: Literal["Refuse", "Drop"] = "Refuse"
    queue: Annotated[int, Field(ge=64)] = 16_384
    """KiB of lines that may wait."""


class Settings(SettingsModel):
    """proxy.yaml."""

    credentials_namespace: str
    watch_namespaces: tuple[str, ...] = ()
    """Where devboxes are; empty: everywhere."""
    public_url: str = Field(alias="publicURL")
    """What devboxes call: https://gateway.<release namespace>.svc."""
    listen: Listen = Listen()
    operator_user: str = Field(default="", pattern=r"^(system:serviceaccount:[^:\s]+:[^:\s]+)?$")
    """The operator's ServiceAccount, as user: what the activity port answers to. Empty: that port stays closed."""
    upstreams: UpstreamSettings = UpstreamSettings()
    floor: FloorSettings = FloorSettings()
    nat64_prefixes: tuple[str, ...] = ()
    """Of NAT64 in this network, besides 64:ff9b::/96: addresses of theirs are judged as the IPv4 ones that they lead to."""
    identity: Identity = Identity()
    timeouts: UpstreamTimeouts = UpstreamTimeouts()
    limits: Limits = Limits()
    egress: EgressSettings = EgressSettings()
    audit: Audit = Audit()
    drain_seconds: Annotated[float, Field(ge=0)] = 5
    shutdown_seconds: Annotated[float, Field(ge=0)] = 120
