"""A gateway document, compiled: everything about an API that no request changes, worked out once, when the document is learned.

Goes in: `devbox_api.route.Gateway`. Comes out: an `Api`, or a ValueError for a document that can't be used. Pure.
"""

import re
from dataclasses import dataclass

from devbox_api import route
from devbox_api.judge.endpoints import Endpoint, base_path, parse_endpoint, trust_of
from devbox_api.judge.paths import BasePath
from devbox_api.judge.providers import Provider, provider
from devbox_api.judge.rules import Rules, compile_rules
from devbox_api.route import Auth, GatewayDocument
from devbox_common.trust import check_ca_bundle
from devbox_proxy.wire import grammar
from devbox_proxy.wire.messages import ApiTimeouts


@dataclass(frozen=True, slots=True, eq=False)
class Api:
    """One API. Compared by identity: a changed document is another one."""

    uid: str
    """Of the GatewayConfig."""
    name: str
    """Of the GatewayConfig, as namespace/name."""
    endpoint: Endpoint
    origin: str
    base_path: BasePath
    """Stands before the paths that are asked for."""
    host: tuple[bytes, bytes]
    """The Host line."""
    auth: Auth
    query_key: bytes | None
    """The query parameter that holds the credential, for type Query; as sent, its name needs no escapes."""
    provider: Provider
    client_parameters: frozenset[bytes]
    """Parameters of the client's query, in lower case, that the API never gets: where it takes a credential."""
    key_headers: frozenset[bytes]
    """Headers, in lower case, in which a client may send its token and have the credential in that place (Bearer only)."""
    not_forwarded: frozenset[bytes]
    """Headers of the client's that the API never gets, nor their twins: in lower case and with dashes (grammar.DASHES)."""
    rules: Rules | None
    """What may be asked for; None: everything."""
    max_body: int | None
    """Bytes that a request's body may have."""
    timeouts: ApiTimeouts | None
    """What the GatewayConfig says; None: nothing."""
    ca_bundle: str
    """The roots (PEM) that alone count for this API; empty: those of the gateway's settings."""
    trust: str
    """SHA-256 of them, or empty: connections that were checked against other roots are not used."""
    redact_body: bool
    """What the API sends back is searched for the credential in bodies too; else in headers alone."""
    unsearched_types: frozenset[bytes]
    """But not in bodies of these media types, in lower case."""
    refuse_encoded: bool
    """A body that can't be searched, since it came encoded, does not pass: the GatewayConfig says that all are searched."""


def compile_gateway(document: GatewayDocument) -> Api:
    """Everything that requests need. Raises ValueError."""
    endpoint, auth = parse_endpoint(document.endpoint), document.auth
    row = provider(endpoint.host)
    accepted = frozenset(name.encode().lower() for name in auth.accepted_key_headers)
    if document.ca_bundle:
        check_ca_bundle(document.ca_bundle)
    # Of the well-known APIs most are known not to echo a credential in a body, and their streams are the ones that must be fast.
    redact_body = row.search_bodies if document.redact_responses is None else document.redact_responses == "All"
    return Api(
        uid=document.uid,
        name=f"{document.namespace}/{document.name}",
        endpoint=endpoint,
        origin=endpoint.origin,
        base_path=base_path(endpoint),
        host=(b"Host", endpoint.origin.partition("://")[2].encode()),
        auth=auth,
        query_key=_key(auth) if auth.type == "Query" else None,
        provider=row,
        client_parameters=row.key_parameters | ({_key(auth).lower()} if auth.type == "Query" else frozenset()),
        key_headers=row.key_headers | accepted if auth.type == "Bearer" else frozenset(),
        not_forwarded=_not_forwarded(auth, accepted | row.more_key_headers, redact_body=redact_body),
        rules=compile_rules(document.rules) if document.rules else None,
        max_body=document.max_request_body,
        timeouts=_timeouts(document.timeouts),
        ca_bundle=document.ca_bundle,
        trust=trust_of(document.ca_bundle),
        redact_body=redact_body,
        unsearched_types=row.unsearched_types if document.redact_responses is None else frozenset(),
        refuse_encoded=document.redact_responses == "All",
    )


def _timeouts(wanted: route.DocumentTimeouts) -> ApiTimeouts | None:
    own = ApiTimeouts(wanted.connect, wanted.first_byte, wanted.idle)
    return None if own == ApiTimeouts() else own


def _not_forwarded(auth: Auth, accepted: frozenset[bytes], *, redact_body: bool) -> frozenset[bytes]:
    """What belongs to one connection, or is where a credential goes. And, where bodies are searched, what asks for them in a form in
    which nothing would be found (injection.py asks for identity)."""
    names = grammar.HOP_BY_HOP | grammar.NOT_FORWARDED | grammar.OTHER_PATH | grammar.CREDENTIAL_HEADERS | accepted
    if auth.type == "Header":
        names |= {_key(auth).lower()}
    if redact_body:
        names |= grammar.OTHER_FORM
    return frozenset([name.translate(grammar.DASHES) for name in names])


def _key(auth: Auth) -> bytes:
    """The name that goes with the credential, plain, as the CRD asks for it."""
    key = (auth.key or "").encode()
    if not (_QUERY_KEY if auth.type == "Query" else grammar.FIELD_NAME).fullmatch(key):
        raise ValueError("the credential's place has no name")
    return key


_QUERY_KEY = re.compile(rb"[A-Za-z0-9._~-]+")
"""RFC 3986 2.3 unreserved: the same to everybody."""
