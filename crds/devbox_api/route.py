"""The documents that the operator writes into the credentials namespace and the gateway mirrors.

Each is one JSON value in one Secret: `route-<pod UID>` (`route.json`), `gateway-<GatewayConfig UID>` (`gateway.json`),
`egress-<EgressPolicy UID>` (`egress.json`) and `floor` (`floor.json`). A Route only refers to the others, so that an edit is one
write however many devboxes use it. The gateway ignores fields it does not know, refuses versions it does not know, and refuses to
serve a document whose `requires` holds a word it does not know: a restriction newer than the gateway must not fail open.
"""

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from .names import EGRESS_NAME, audience


class Document(BaseModel):
    """Base of all: frozen, camelCase on the wire is not needed since all names are one word."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    version: Literal[1] = 1
    requires: tuple[str, ...] = ()


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class PodRef(_Part):
    """The pod that a Route is for."""

    uid: str
    name: str
    namespace: str


class DevboxRef(_Part):
    """The Devbox that the pod belongs to."""

    name: str
    uid: str


class Binding(_Part):
    """One gateway name of one pod."""

    name: str
    """`ANTHROPIC`: the environment variable."""
    audience: str
    gateway: str
    """Name of the `gateway-…` Secret; empty where it leads nowhere."""
    credential: str
    """Name of the `credential-…` Secret; likewise."""
    lacks: str = ""
    """What it lacks then: LACKS_CREDENTIAL, LACKS_GRANT, or, empty, a GatewayConfig that it may use. For the refusal's words alone."""
    token: str = Field(repr=False)
    """The current token, a JWT without `gws_`: what TokenReview is asked about."""
    digests: tuple[str, ...]
    """SHA-256 of every token ever issued to this pod and name; at most 4,096."""


LACKS_CREDENTIAL: Final = "credential"
LACKS_GRANT: Final = "grant"
LACKS_POLICY: Final = "policy"


class EgressBinding(_Part):
    """The pod's token for the forward proxy, and the policy it stands under."""

    policy: str | None = None
    """Name of the `egress-…` Secret; None: no EgressPolicy, so nothing is allowed."""
    lacks: str = ""
    """LACKS_POLICY where the devbox refers to one that is not there, or not accepted. For the refusal's words alone."""
    token: str = Field(repr=False)
    digests: tuple[str, ...]

    @property
    def name(self) -> str:
        """As a Binding has it."""
        return EGRESS_NAME

    @property
    def audience(self) -> str:
        """As a Binding has it."""
        return audience(EGRESS_NAME)


class Route(Document):
    """Everything the gateway needs to know about one pod."""

    pod: PodRef
    devbox: DevboxRef
    bindings: tuple[Binding, ...]
    egress: EgressBinding | None = None
    confined: bool = True
    """False: something opens a way around the gateway (a NetworkPolicy of somebody else's), so nothing is served meanwhile."""


CONFINED: Final = "confined"
"""In a Route's `requires` where `confined` is False: a gateway of an older version would serve it."""


class Auth(_Part):
    """How the credential goes into a request (GatewayConfig `spec.authMechanism`, normalised)."""

    type: Literal["Bearer", "Header", "Basic", "Query"]
    key: str | None = None
    """The header's or the query parameter's name; None for Bearer and Basic."""
    username: str = ""
    """For `Basic`."""
    user_in_secret: bool = False
    """For `Basic`: the credential is `user:password`."""
    prefix: str = ""
    """What stands before the credential in the header's value, for `Header`."""
    accepted_key_headers: tuple[str, ...] = ()
    """Lower-case names of headers in which a client may expect the credential (Bearer only)."""


class Rule(_Part):
    """One entry of the allow-list; judge/rules.py has the grammar."""

    methods: tuple[str, ...] = ()
    """Empty: all."""
    paths: tuple[str, ...]


class DocumentTimeouts(_Part):
    """Seconds; None: as the gateway's settings say."""

    connect: float | None = Field(default=None, gt=0)
    first_byte: float | None = Field(default=None, gt=0)
    idle: float | None = Field(default=None, gt=0)


RULES: Final = "rules"
MAX_REQUEST_BODY: Final = "maxRequestBody"
REDACT_RESPONSES: Final = "redactResponses"
"""In `requires`: restrictions that a gateway of an older version would not enforce, so it must not serve the document."""
USER_IN_SECRET: Final = "userInSecret"  # noqa: S105 (a word)
"""In `requires`, too: an older one would take user and password for the password, and not find it alone in an answer."""


class GatewayDocument(Document):
    """One GatewayConfig, as the gateway needs it."""

    name: str
    namespace: str
    uid: str
    endpoint: str
    """An absolute http(s) URL without user info, query or fragment."""
    auth: Auth
    rules: tuple[Rule, ...] = ()
    """None: everything may be asked for."""
    max_request_body: int | None = Field(default=None, gt=0)
    """Bytes."""
    timeouts: DocumentTimeouts = DocumentTimeouts()
    ca_bundle: str = ""
    """PEM; empty: the roots of the gateway's settings."""
    redact_responses: Literal["Headers", "All"] | None = None
    """None: as the provider table says."""


class EgressDocument(Document):
    """One EgressPolicy, as the forward proxy needs it. Nothing in it lifts the floor."""

    name: str
    namespace: str
    uid: str
    allow_all: bool = False
    """Any public host."""
    hostnames: tuple[str, ...] = ()
    """Lower case: exact names, and `*.example.com` for one or more labels in front of it."""
    ports: tuple[int, ...] = (443,)
    cidrs: tuple[str, ...] = ()
    """Ranges that may be dialled by address, and that allowed names may lead to: public ones, and as much of the private ones as the
    gateway's settings permit."""


class FloorDocument(Document):
    """What the dial check has to know of the cluster."""

    addresses: tuple[str, ...]
    """That nothing may ever lead to: nodes, the API server and the gateway."""
    ranges: tuple[str, ...] = ()
    """Of pods and Services: they count as private, whatever class their addresses are of."""
    bridges: tuple[str, ...] = ()
    """Of each range that a node has for its pods, the first two addresses, where the node itself is: nothing may lead there either."""
