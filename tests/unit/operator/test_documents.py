"""The objects of the credentials namespace."""

import base64
from typing import Any

import pytest

from devbox_api import names
from devbox_api.route import Binding, DevboxRef, DocumentTimeouts, EgressDocument, FloorDocument, GatewayDocument, PodRef, Route
from devbox_operator.documents import objects as documents
from devbox_operator.documents.credentials import ResolvedCredential, in_secret
from devbox_operator.seen.floor import collapsed
from devbox_operator.seen.index import Source
from devbox_operator.seen.secrets import StoredView


def stored(body: dict[str, Any]) -> StoredView:
    metadata = {**body["metadata"], "uid": "u", "resourceVersion": "1"}
    return StoredView.of({**body, "metadata": metadata})


def text(body: dict[str, Any], key: str) -> str:
    return base64.b64decode(body["data"][key]).decode()


def route() -> Route:
    binding = Binding(
        name="A", audience="devbox-gateway.io/A", gateway="gateway-1", credential="credential-1", token="jwt", digests=("d",)
    )
    return Route(
        pod=PodRef(uid="p", name="agent-1", namespace="team-a"), devbox=DevboxRef(name="agent", uid="d"), bindings=(binding,)
    )


def test_a_route_comes_back_as_it_went() -> None:
    body = documents.route(route(), "creds", "content")
    assert (body["metadata"]["name"], body["type"]) == ("route-p", names.ROUTE_TYPE)
    back = documents.stored_route(StoredView.of({**body, "metadata": {**body["metadata"], "resourceVersion": "5", "uid": "s"}}))
    assert (back.route, back.version, back.tokens_content) == (route(), "5", "content")
    assert '"egress":null' in text(body, "route.json")


def test_a_gateway_document_holds_what_the_gateway_needs(gateway: Any) -> None:
    view = gateway(spec={"authMechanism": {"type": "Bearer", "acceptedKeyHeaders": ["Api-Key"]}})
    body = documents.gateway(view.config, "creds")
    document = GatewayDocument.model_validate_json(text(body, "gateway.json"))
    assert body["metadata"]["name"] == "gateway-gw-1"
    assert document.endpoint == "https://api.anthropic.com"
    assert document.auth.accepted_key_headers == ("api-key",)
    assert documents.source_of(stored(body)) == ("team-a", "anthropic")


def test_a_gateway_document_says_how_the_credential_goes_in(gateway: Any) -> None:
    basic = documents.gateway_document(gateway(spec={"authMechanism": {"type": "Basic", "username": "git"}}).config)
    assert (basic.auth.type, basic.auth.username, basic.auth.key) == ("Basic", "git", None)
    assert (basic.auth.user_in_secret, basic.requires) == (False, ())
    both = documents.gateway_document(gateway(spec={"authMechanism": {"type": "Basic", "userInSecret": True}}).config)
    assert (both.auth.user_in_secret, both.auth.username, both.requires) == (True, "", ("userInSecret",))
    query = documents.gateway_document(gateway(spec={"authMechanism": {"type": "Query", "key": "api_key"}}).config)
    assert (query.auth.type, query.auth.username, query.auth.key) == ("Query", "", "api_key")


def test_a_gateway_that_does_not_know_rules_must_not_serve_a_document_with_some(gateway: Any) -> None:
    assert documents.gateway_document(gateway().config).requires == ()
    rules = [{"methods": ["GET"], "paths": ["/v1/models/*"]}, {"paths": ["/v1/messages"]}]
    document = documents.gateway_document(gateway(spec={"rules": rules}).config)
    assert document.requires == ("rules",)
    assert [(rule.methods, rule.paths) for rule in document.rules] == [(("GET",), ("/v1/models/*",)), ((), ("/v1/messages",))]


def test_what_an_older_gateway_would_not_enforce_is_required(gateway: Any) -> None:
    spec = {"maxRequestBody": "4Mi", "redactResponses": "All", "rules": [{"paths": ["/**"]}]}
    assert set(documents.gateway_document(gateway(spec=spec).config).requires) == {"maxRequestBody", "redactResponses", "rules"}
    assert (
        documents.gateway_document(gateway(spec={"redactResponses": "Headers", "timeouts": {"idle": "1h"}}).config).requires
        == ()
    )


def test_time_outs_sizes_and_roots_are_in_the_document(gateway: Any) -> None:
    spec = {"maxRequestBody": 1024, "timeouts": {"connect": "500ms", "firstByte": "10m"}, "tls": {"caBundle": "PEM"}}
    document = documents.gateway_document(gateway(spec=spec).config)
    assert document.max_request_body == 1024
    assert (document.timeouts.connect, document.timeouts.first_byte, document.timeouts.idle) == (0.5, 600, None)
    assert document.ca_bundle == "PEM"
    assert document.redact_responses is None
    plain = documents.gateway_document(gateway(spec={"tls": {}, "timeouts": {}}).config)
    assert (plain.ca_bundle, plain.timeouts, plain.max_request_body) == ("", DocumentTimeouts(), None)


def credential(secret: Any, value: str = "k") -> dict[str, Any]:
    resolved = in_secret(Source("team-a", "anthropic", None), secret({"api-key": value}))
    assert isinstance(resolved, ResolvedCredential)
    return documents.credential(resolved, "3", "api.anthropic.com", "creds")


def test_a_credential_says_where_it_comes_from_and_where_it_may_go(secret: Any) -> None:
    body = credential(secret, "sk-1\n")
    assert body["metadata"]["name"] == names.credential_name("team-a", "anthropic", "api-key")
    assert text(body, "value") == "sk-1"
    assert body["metadata"]["annotations"] == {
        names.SOURCE_NAMESPACE_ANNOTATION: "team-a",
        names.SOURCE_NAME_ANNOTATION: "anthropic",
        names.SOURCE_KEY_ANNOTATION: "api-key",
        names.SOURCE_VERSION_ANNOTATION: "3",
        names.ALLOWED_HOSTS_ANNOTATION: "api.anthropic.com",
    }


def test_equal_means_that_nothing_is_to_be_written(secret: Any) -> None:
    body = credential(secret)
    assert documents.equal(body, stored(body))
    assert not documents.equal(body, None)
    assert not documents.equal(body, stored(credential(secret, "other")))
    narrowed = {**body, "metadata": {**body["metadata"], "annotations": {**body["metadata"]["annotations"]}}}
    narrowed["metadata"]["annotations"][names.ALLOWED_HOSTS_ANNOTATION] = "x.example"
    assert not documents.equal(narrowed, stored(body))
    newer = {**body, "metadata": {**body["metadata"], "annotations": {**body["metadata"]["annotations"]}}}
    newer["metadata"]["annotations"][names.SOURCE_VERSION_ANNOTATION] = "4"
    assert documents.equal(newer, stored(body)), "a label put onto the Secret is no new credential"


def test_the_floor_is_sorted_so_that_it_is_stable() -> None:
    ranges = collapsed(frozenset({"2600:1f14:1::/56", "10.244.1.0/24", "10.244.0.0/24"}))
    bridges = collapsed(frozenset({"10.244.1.0/31", "10.244.0.0/31"}))
    body = documents.floor(["10.0.0.2", "10.0.0.1", "10.0.0.2"], ranges, bridges, "creds")
    document = FloorDocument.model_validate_json(text(body, "floor.json"))
    assert document.addresses == ("10.0.0.1", "10.0.0.2")
    assert document.ranges == ("10.244.0.0/23", "2600:1f14:1::/56")
    assert document.bridges == ("10.244.0.0/31", "10.244.1.0/31")
    assert body == documents.floor(["10.0.0.1", "10.0.0.2"], ranges, bridges, "creds")
    assert not documents.equal(documents.floor(["10.0.0.1", "10.0.0.2"], ranges[:1], bridges, "creds"), stored(body))


def test_an_egress_document_is_normalised(egress: Any) -> None:
    view = egress(allowedHostnames=["B.example", "a.example", "*.c.example", "b.example"], allowedCIDRs=["2001:db8::/32"])
    document = documents.egress_document(view.policy)
    assert document.hostnames == ("*.c.example", "a.example", "b.example")
    assert (document.ports, document.cidrs, document.allow_all) == ((443,), ("2001:db8::/32",), False)
    again = egress(allowedHostnames=["a.example", "b.example", "*.c.example"], allowedCIDRs=["2001:db8::/32"])
    assert documents.egress_document(again.policy) == document, "another order is no change"
    body = documents.egress(document, "creds")
    assert (body["metadata"]["name"], body["type"]) == ("egress-eg-1", names.EGRESS_TYPE)
    assert EgressDocument.model_validate_json(text(body, "egress.json")) == document
    assert documents.source_of(stored(body)) == ("team-a", "web")


def test_an_empty_policy_allows_nothing(egress: Any) -> None:
    document = documents.egress_document(egress().policy)
    assert (document.allow_all, document.hostnames, document.cidrs) == (False, (), ())


def test_a_range_that_is_none_is_not_written(egress: Any) -> None:
    with pytest.raises(ValueError, match="does not appear to be"):
        documents.egress_document(egress(allowedCIDRs=["10.0.0.0/99"]).policy)
