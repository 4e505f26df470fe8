"""The objects of the credentials namespace: Routes, gateways, egress policies, credentials, the floor.

Goes in: what was resolved. Comes out: plain Secrets with the JSON documents of devbox_api.route. Pure.
"""

import base64
from collections.abc import Iterable, Mapping
from ipaddress import ip_network
from typing import Final

from devbox_api import names, traffic
from devbox_api.egresspolicy import EgressPolicy
from devbox_api.gatewayconfig import GatewayConfig
from devbox_api.route import (
    MAX_REQUEST_BODY,
    REDACT_RESPONSES,
    RULES,
    USER_IN_SECRET,
    Auth,
    Document,
    DocumentTimeouts,
    EgressDocument,
    FloorDocument,
    GatewayDocument,
    Route,
    Rule,
)
from devbox_api.traffic import seconds, whole
from devbox_common.kube import Object
from devbox_common.ranges import Network
from devbox_common.redacted import Redacted
from devbox_operator.documents.credentials import ResolvedCredential
from devbox_operator.kit.encoding import content_hash
from devbox_operator.seen.secrets import StoredRoute, StoredView

TOKENS_CONTENT_ANNOTATION: Final = f"{names.GROUP}/token-secret"
"""On a Route: the hash of the token Secret written from it. With `rbac.sourceSecrets: Named` the operator can't read it back."""
NAMESPACE_LABEL: Final = f"{names.GROUP}/namespace"
"""On Routes: the devbox's namespace."""


def route_name(pod_uid: str) -> str:
    """The Route's name."""
    return f"route-{pod_uid}"


def gateway_name(uid: str) -> str:
    """The gateway document's name."""
    return f"gateway-{uid}"


def egress_name(uid: str) -> str:
    """The EgressPolicy document's name."""
    return f"egress-{uid}"


def route(document: Route, namespace: str, tokens_content: str, secret_env: str = "") -> Object:
    """`route-<pod UID>`. `secret_env`: secretenv.record."""
    labels = {names.DEVBOX_LABEL: document.devbox.name, NAMESPACE_LABEL: document.pod.namespace}
    body = _secret(namespace, route_name(document.pod.uid), names.ROUTE_TYPE, (names.ROUTE_KEY, _json(document)), labels)
    body["metadata"]["annotations"] = {TOKENS_CONTENT_ANNOTATION: tokens_content}
    if secret_env:
        body["metadata"]["annotations"][names.SECRET_ENV_ANNOTATION] = secret_env
    return body


def stored_route(view: StoredView) -> StoredRoute:
    """The Route in a Secret. Raises ValueError if there is none that can be read."""
    raw = base64.b64decode(view.data.get(names.ROUTE_KEY, Redacted("")).reveal())
    get = view.annotations.get
    content, secret_env = get(TOKENS_CONTENT_ANNOTATION, ""), get(names.SECRET_ENV_ANNOTATION, "")
    return StoredRoute(Route.model_validate_json(raw), view.version, content, secret_env)


def gateway_document(config: GatewayConfig) -> GatewayDocument:
    """What the gateway needs to know of a GatewayConfig; restrictions that an older one would not enforce are in `requires`."""
    spec, auth = config.spec, config.spec.auth_mechanism
    restrictions = {
        RULES: bool(spec.rules_),
        MAX_REQUEST_BODY: spec.max_request_body is not None,
        REDACT_RESPONSES: spec.redact_responses == "All",
        USER_IN_SECRET: auth.user_in_secret,
    }
    return GatewayDocument(
        requires=tuple(word for word, used in restrictions.items() if used),
        name=config.name,
        namespace=config.namespace,
        uid=config.uid,
        endpoint=spec.endpoint,
        auth=Auth(
            type=auth.type,
            key=auth.key,
            username=auth.username or "",
            user_in_secret=auth.user_in_secret,
            prefix=auth.prefix or "",
            accepted_key_headers=tuple(header.lower() for header in auth.accepted_key_headers),
        ),
        rules=tuple(Rule(methods=rule.methods, paths=rule.paths) for rule in spec.rules_),
        max_request_body=None if spec.max_request_body is None else whole(spec.max_request_body),
        timeouts=_timeouts(spec.timeouts),
        ca_bundle=(spec.tls and spec.tls.ca_bundle) or "",
        redact_responses=spec.redact_responses,
    )


def _timeouts(wanted: traffic.Timeouts | None) -> DocumentTimeouts:
    if wanted is None:
        return DocumentTimeouts()
    connect, first_byte, idle = (
        seconds(duration) if duration else None for duration in (wanted.connect, wanted.first_byte, wanted.idle)
    )
    return DocumentTimeouts(connect=connect, first_byte=first_byte, idle=idle)


def gateway(config: GatewayConfig, namespace: str) -> Object:
    """`gateway-<GatewayConfig UID>`."""
    document = gateway_document(config)
    body = _secret(namespace, gateway_name(config.uid), names.GATEWAY_TYPE, (names.GATEWAY_KEY, _json(document)))
    return _made_from(body, config.namespace, config.name)


def egress_document(policy: EgressPolicy) -> EgressDocument:
    """What the forward proxy needs to know of an EgressPolicy: lower case, sorted, each once, so that equal means equal.

    Raises ValueError for an invalid range: it was stored before the rule existed that refuses it.
    """
    spec = policy.spec
    return EgressDocument(
        name=policy.name,
        namespace=policy.namespace,
        uid=policy.uid,
        allow_all=spec.allow_all,
        hostnames=tuple(sorted({hostname.lower().rstrip(".") for hostname in spec.allowed_hostnames})),
        ports=tuple(sorted(set(spec.allowed_ports))),
        cidrs=tuple(sorted({str(ip_network(cidr)) for cidr in spec.allowed_cidrs})),
    )


def egress(document: EgressDocument, namespace: str) -> Object:
    """`egress-<EgressPolicy UID>`."""
    body = _secret(namespace, egress_name(document.uid), names.EGRESS_TYPE, (names.EGRESS_KEY, _json(document)))
    return _made_from(body, document.namespace, document.name)


def _made_from(body: Object, namespace: str, name: str) -> Object:
    body["metadata"]["annotations"] = {names.SOURCE_NAMESPACE_ANNOTATION: namespace, names.SOURCE_NAME_ANNOTATION: name}
    return body


def source_of(view: StoredView) -> tuple[str, str]:
    """(namespace, name) of the Secret, GatewayConfig or EgressPolicy that a document was made from; empty strings if it does not say."""
    get = view.annotations.get
    return get(names.SOURCE_NAMESPACE_ANNOTATION, ""), get(names.SOURCE_NAME_ANNOTATION, "")


def made_for(view: StoredView) -> tuple[str, str]:
    """(namespace, name) of a Route's Devbox, or of what another document was made from."""
    return devbox_of(view) if view.type == names.ROUTE_TYPE else source_of(view)


def devbox_of(view: StoredView) -> tuple[str, str]:
    """(namespace, name) of a Route's Devbox."""
    return view.labels.get(NAMESPACE_LABEL, ""), view.labels.get(names.DEVBOX_LABEL, "")


def credential(resolved: ResolvedCredential, version: str, allowed_hosts: str, namespace: str) -> Object:
    """`credential-<hash of source>`; `version` is the source Secret's resourceVersion."""
    body = _secret(namespace, resolved.name, names.CREDENTIAL_TYPE, (names.CREDENTIAL_KEY, resolved.value))
    body["metadata"]["annotations"] = {
        names.SOURCE_NAMESPACE_ANNOTATION: resolved.source.namespace,
        names.SOURCE_NAME_ANNOTATION: resolved.source.name,
        names.SOURCE_KEY_ANNOTATION: resolved.source.key,
        names.SOURCE_VERSION_ANNOTATION: version,
        names.ALLOWED_HOSTS_ANNOTATION: allowed_hosts,
    }
    return body


def floor(addresses: Iterable[str], ranges: Iterable[Network], bridges: Iterable[Network], namespace: str) -> Object:
    """`floor`: addresses and ranges that nothing may lead to, and the cluster's own ranges (floor.py has them sorted)."""
    document = FloorDocument(
        addresses=tuple(sorted(set(addresses))), ranges=tuple(map(str, ranges)), bridges=tuple(map(str, bridges))
    )
    return _secret(namespace, names.FLOOR_NAME, names.FLOOR_TYPE, (names.FLOOR_KEY, _json(document)))


def equal(wanted: Object, found: StoredView | None) -> bool:
    """The stored object is what is wanted: type, data, labels and annotations. The source's resourceVersion does not count:
    a label put on a Secret is no new credential."""
    if found is None or found.type != wanted["type"]:
        return False
    metadata = wanted["metadata"]
    annotations = {k: v for k, v in metadata.get("annotations", {}).items() if k != names.SOURCE_VERSION_ANNOTATION}
    return (
        found.content == content_hash(wanted["data"])
        and _within(metadata["labels"], found.labels)
        and _within(annotations, found.annotations)
    )


def _within(wanted: Mapping[str, str], found: Mapping[str, str]) -> bool:
    return all(found.get(key) == value for key, value in wanted.items())


def _json(document: Document) -> Redacted:
    return Redacted(document.model_dump_json())


def _secret(
    namespace: str, name: str, kind: str, data: tuple[str, Redacted], labels: Mapping[str, str] | None = None
) -> Object:
    key, value = data
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {names.MANAGED_BY_LABEL: names.MANAGED_BY, **(labels or {})},
        },
        "type": kind,
        "data": {key: base64.b64encode(value.reveal().encode()).decode()},
    }
