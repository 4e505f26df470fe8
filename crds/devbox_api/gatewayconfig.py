"""`GatewayConfig` (gwc): where an API lives and how its credential goes into a request.

The model is the source of the CRD (`make manifests`). A mistake that can be seen in the object alone is refused by a CEL rule
at `kubectl apply`, with what to write instead; everything else is a condition.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from .schema import ApiModel, Column, Kind, as_far_as_known, cel, rules
from .shared import CONDITIONS, CONTROLS, PLAIN_LINES, Condition, LabelSelector, SecretRef
from .traffic import MaxRequestBody, Rule, Timeouts, Tls

FORBIDDEN_HEADERS = (
    "accept accept-encoding age alt-svc connection content-encoding content-length content-type cookie date expect "
    "forwarded host http2-settings keep-alive location origin proxy-authenticate proxy-authorization proxy-connection "
    "range server set-cookie te trailer transfer-encoding upgrade user-agent via"
).split()
"""Headers that frame the message or that HTTP itself gives a meaning: a credential in one would break or hide a request.

(RFC 9110 and 9112: connection management, framing, routing, content coding; RFC 6265: cookies, which belong to the client.)
"""
_FORBIDDEN_LIST = "[" + ", ".join(f"'{name}'" for name in FORBIDDEN_HEADERS) + "]"
_TOKEN = "^[A-Za-z0-9!#$%&*+.^|~-]+$"  # noqa: S105 (RFC 9110 5.6.2 token, less the quote signs and '_')

HeaderName = Annotated[str, Field(min_length=1, max_length=128)]


def _header_rules(what: str, unless: str = "false") -> tuple[dict[str, str], ...]:
    """Rules for a header's name; `unless`: a CEL expression for where it is none."""
    field = ".key" if what == "self.key" else None
    return tuple(
        cel(rule if unless == "false" else f"{unless} || {rule}", message, field=field)
        for rule, message in (
            (
                f"!{what}.contains('_')",
                "header names with '_' are dropped or mixed up by many servers; write '-', e.g. X-Internal-Token",
            ),
            (
                f"{what}.contains('_') || {what}.matches('{_TOKEN}')",
                "not a header name; write letters, digits and '-', e.g. X-Internal-Token",
            ),
            (
                f"!({what}.lowerAscii() in {_FORBIDDEN_LIST}) && !{what}.lowerAscii().startsWith('x-forwarded-')",
                "this header belongs to HTTP itself and can't carry a credential; "
                "write the name from the API's documentation, e.g. X-Api-Key, or use type: Bearer",
            ),
        )
    )


class AuthMechanism(ApiModel):
    """How the API wants its credential."""

    type: Literal["Bearer", "Header", "Basic", "Query"]
    """Bearer: `Authorization: Bearer <credential>`. Header: `<key>: <prefix><credential>`. Basic: the credential is the password of
    `username` (RFC 7617), or with `userInSecret` both. Query: `?<key>=<credential>`, for APIs that take it in no other way."""
    key: str | None = Field(default=None, min_length=1, max_length=128)
    """The name of the header (type Header, e.g. X-Internal-Token) or of the query parameter (type Query, e.g. api_key)."""
    username: str | None = Field(
        default=None,
        max_length=128,
        json_schema_extra=rules(
            cel(
                f"self.matches('^[^:{CONTROLS}]*$')",
                "must not hold ':' or control characters, which would end it (RFC 7617); the credential's Secret holds the "
                "password alone",
            )
        ),
    )
    """The user's name, for type Basic (e.g. x-access-token). Empty unless set."""
    user_in_secret: bool = False
    """For type Basic: the Secret holds `user:password`, in place of the password alone."""
    prefix: str | None = Field(
        default=None,
        max_length=64,
        json_schema_extra=rules(
            cel(
                "self.matches('^[\\\\x21-\\\\x7e]([\\\\x20-\\\\x7e]*)$')",
                "write printable ASCII that does not begin with a space, e.g. 'Token '",
            )
        ),
    )
    """What stands before the credential in the header's value, for type Header (e.g. 'Token ', with its space)."""
    accepted_key_headers: tuple[Annotated[HeaderName, Field(json_schema_extra=rules(*_header_rules("self")))], ...] = Field(
        default=(), max_length=8, json_schema_extra=rules(list_type="set")
    )
    """For type Bearer: headers in which a client may send its token and have the credential in that place instead
    (e.g. api-key). What well-known providers use is known already."""


_BOTH = "(has(self.userInSecret) && self.userInSecret)"
_AUTH_RULES = (
    cel(
        "self.type != 'Header' || has(self.key)",
        "type: Header needs key, the header's name, e.g. key: X-Internal-Token",
        field=".key",
    ),
    cel(
        "self.type != 'Query' || has(self.key)",
        "type: Query needs key, the query parameter's name, e.g. key: api_key",
        field=".key",
    ),
    cel(
        "self.type in ['Header', 'Query'] || !has(self.key)",
        "key belongs to type: Header and type: Query; remove it, or write one of these types",
        field=".key",
    ),
    *_header_rules("self.key", "self.type != 'Header' || !has(self.key)"),
    cel(
        "self.type != 'Query' || !has(self.key) || self.key.matches('^[A-Za-z0-9._~-]+$')",
        "not a plain query parameter's name; write letters, digits, '.', '_', '~' and '-', e.g. api_key",
        field=".key",
    ),
    cel(
        "self.type == 'Basic' || !has(self.username)",
        "username belongs to type: Basic; remove it, or write type: Basic",
        field=".username",
    ),
    cel(
        f"self.type == 'Basic' || !{_BOTH}",
        "userInSecret belongs to type: Basic; remove it, or write type: Basic",
        field=".userInSecret",
    ),
    cel(
        f"!has(self.username) || !{_BOTH}",
        "username and userInSecret exclude each other: the Secret holds the password of username alone, or user:password",
        field=".userInSecret",
    ),
    cel(
        "self.type == 'Header' || !has(self.prefix)",
        "prefix belongs to type: Header; remove it, or write type: Header, key: Authorization",
        field=".prefix",
    ),
    cel(
        "self.type == 'Bearer' || !has(self.acceptedKeyHeaders)",
        "acceptedKeyHeaders belongs to type: Bearer; with the other types the credential always goes into one place",
        field=".acceptedKeyHeaders",
    ),
)


class Credential(ApiModel):
    """The credential of devboxes that bring none of their own."""

    secret_ref: SecretRef


class AllowedNamespaces(ApiModel):
    """Whose devboxes may use this GatewayConfig."""

    from_: Literal["Same", "All", "Selector"] = Field(default="Same", alias="from")
    """Same: this namespace; All; Selector: namespaces whose labels match."""
    selector: LabelSelector | None = None


class GatewayConfigSpec(ApiModel):
    """Where the API lives and how it authenticates."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "!self.endpoint.startsWith('http://') || (has(self.allowInsecure) && self.allowInsecure)",
                "an http:// endpoint would send the credential in the clear; write https://, or set allowInsecure: true "
                "if the network in between is yours",
                field=".endpoint",
            ),
            cel(
                "!has(self.tls) || !self.endpoint.startsWith('http://')",
                "an http:// endpoint shows no certificate; remove tls, or write https://",
                field=".tls",
            ),
        )
    )

    endpoint: str = Field(
        min_length=1,
        max_length=2048,
        json_schema_extra=rules(
            cel("self.matches('^https?://')", "must begin with https:// (in lower case), e.g. https://api.anthropic.com"),
            cel(
                "!self.matches('^https?://[^/?#]*@')",
                "must not hold user information (user:password@): the credential belongs into a Secret, see spec.credential",
            ),
            cel("!self.contains('?')", "must not hold a query (?…): write the scheme, host and path alone"),
            cel("!self.contains('#')", "must not hold a fragment (#…): write the scheme, host and path alone"),
            cel(
                "!self.matches('^https?://') || self.matches('^https?://[^/?#]*@') || self.contains('?') || self.contains('#')"
                " || self.matches('^https?://([a-z0-9]([a-z0-9.-]*[a-z0-9])?|[[][0-9a-f:.]+[]])(:[0-9]{1,5})?(/.*)?$')",
                "the host is not valid; write a lower-case DNS name (punycode for others) or an address, and at most a port, "
                "e.g. https://api.example.com:8443",
            ),
            cel(
                "!self.matches('^https?://[^/?#]*:[0-9]{1,5}(/|$)') || "
                "(int(self.find(':[0-9]{1,5}(/|$)').find('[0-9]+')) > 0 && "
                "int(self.find(':[0-9]{1,5}(/|$)').find('[0-9]+')) < 65536)",
                "the port is not between 1 and 65535",
            ),
            cel(
                "!self.matches('^https?://[^/?#]*/.*([^A-Za-z0-9._~!$&()*+,;=:@%/-]|%[^0-9A-Fa-f]|%.[^0-9A-Fa-f]|%.?$)') && "
                "!self.matches('^https?://[^/?#]*(/.*)?/([.]|%2[eE]){1,2}(/|$)') && !self.matches('^https?://[^/?#]*/(.*/)?/')",
                "the path is not plain: no spaces, backslashes, '//' or '..' segments, and every '%' with two hex digits",
            ),
        ),
    )
    """The API's address, e.g. https://api.anthropic.com. A path is a prefix for every request."""
    allow_insecure: bool = False
    """Allow an http:// endpoint."""
    description: str | None = Field(default=None, max_length=1024, json_schema_extra=rules(PLAIN_LINES))
    """For people."""
    auth_mechanism: AuthMechanism = Field(json_schema_extra=rules(*_AUTH_RULES))
    credential: Credential | None = None
    """The default credential; a devbox may bring its own with secretRef."""
    allowed_namespaces: AllowedNamespaces | None = Field(
        default=None,
        json_schema_extra=rules(
            cel(
                "has(self.selector) == (has(self.from) && self.from == 'Selector')",
                "selector goes with from: Selector, and from: Selector needs one, "
                "e.g. {from: Selector, selector: {matchLabels: {team: a}}}",
            )
        ),
    )
    """Whose devboxes may use this; the same namespace's unless set."""
    rules_: tuple[Rule, ...] = Field(default=(), alias="rules", min_length=1, max_length=32)
    """What an agent may ask for; everything, unless set."""
    max_request_body: MaxRequestBody | None = None
    """Bytes that a request's body may have, e.g. 4Mi; any number, unless set."""
    timeouts: Timeouts | None = None
    """How long the API may take."""
    tls: Tls | None = None
    """How the API's certificate is judged."""
    redact_responses: Literal["Headers", "All"] | None = None
    """Where an answer is searched for the credential. All: headers and bodies, and a body that comes encoded is refused. Unless set:
    Headers for the well-known APIs, which don't echo it; for others bodies too, and one that comes encoded passes unsearched."""


class GatewayConfigStatus(ApiModel):
    """What the operator found."""

    observed_generation: int | None = Field(default=None, json_schema_extra={"format": "int64"})
    """Which metadata.generation this is about; -1 until the operator has looked at it."""
    conditions: tuple[Condition, ...] = Field(default=(), max_length=16, json_schema_extra=CONDITIONS)
    """What holds and what does not, with what to do."""
    used_by: tuple[Annotated[str, Field(max_length=317)], ...] = Field(
        default=(), max_length=64, json_schema_extra=rules(list_type="set")
    )
    """Devboxes that use it, as namespace/name; at most 64."""
    devboxes: int = 0
    """How many use it."""
    probe_requested_at: str | None = Field(default=None, max_length=128)
    """The annotation devbox-gateway.io/probe-requested-at, as it was when the last probe that somebody asked for was answered."""


class GatewayConfig(ApiModel):
    """One object, as far as the operator reads it."""

    name: str
    namespace: str
    uid: str
    generation: int
    spec: GatewayConfigSpec
    status: GatewayConfigStatus = GatewayConfigStatus()

    @model_validator(mode="before")
    @classmethod
    def _flatten(cls, value: object) -> object:
        return flatten(value)

    _status = field_validator("status", mode="wrap")(as_far_as_known)


def flatten(value: object) -> object:
    """From the API's object (metadata, spec, status) to the model's fields."""
    if not isinstance(value, dict) or "metadata" not in value:
        return value
    metadata = value["metadata"]
    fields = {key: metadata[key] for key in ("name", "namespace", "uid", "generation") if key in metadata}
    return {**fields, "metadata": metadata, "spec": value.get("spec", {}), "status": value.get("status") or {}}


KIND = Kind(
    kind="GatewayConfig",
    plural="gatewayconfigs",
    short="gwc",
    spec=GatewayConfigSpec,
    status=GatewayConfigStatus,
    description="Where an API lives and how its credential goes into a request.",
    columns=(
        Column("Endpoint", ".spec.endpoint"),
        Column("Auth", ".spec.authMechanism.type"),
        Column("Devboxes", ".status.devboxes", "integer", "How many devboxes use it"),
        Column("Ready", ".status.conditions[?(@.type=='Ready')].status"),
        Column(
            "Reachable", ".status.conditions[?(@.type=='Reachable')].status", "string", "What the last dial to the API found"
        ),
        Column("Age", ".metadata.creationTimestamp", "date"),
        Column("Reason", ".status.conditions[?(@.type=='Ready')].reason", priority=1),
        Column("Description", ".spec.description", priority=1),
    ),
)
