"""References to credentials: every way in which one can be wrong, and what the message says."""

import shlex
from typing import Any

import pytest

from devbox_api import names
from devbox_api.conditions import Reason
from devbox_api.gatewayconfig import AllowedNamespaces, AuthMechanism, GatewayConfigSpec
from devbox_api.judge.namespaces import allows
from devbox_operator.documents import credentials
from devbox_operator.documents.credentials import ResolvedCredential
from devbox_operator.documents.endpoints import host_of
from devbox_operator.report.problem import Problem
from devbox_operator.seen.index import Source
from devbox_operator.seen.secrets import SecretView
from devbox_operator.seen.snapshot import FORBIDDEN, NOT_FOUND

ENDPOINT = "https://api.anthropic.com"
SOURCE = Source("team-a", "anthropic", None)


BEARER = AuthMechanism(type="Bearer")


def resolve(
    secret: Any, source: Source = SOURCE, endpoint: str = ENDPOINT, auth: AuthMechanism = BEARER
) -> ResolvedCredential | Problem:
    spec = GatewayConfigSpec(endpoint=endpoint, auth_mechanism=auth)
    return credentials.resolve(source, {source.secret: secret}, spec, "rel")


def test_a_granted_secret_with_one_key_resolves(secret: Any) -> None:
    resolved = resolve(secret())
    assert isinstance(resolved, ResolvedCredential)
    assert resolved.value.reveal() == "sk-ant-api-0000"
    assert resolved.source == Source("team-a", "anthropic", "api-key")
    assert resolved.name.startswith("credential-")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
def test_newlines_at_the_end_are_trimmed(secret: Any, end: str) -> None:
    resolved = resolve(secret({"api-key": f"sk-1{end}"}))
    assert isinstance(resolved, ResolvedCredential)
    assert resolved.value.reveal() == "sk-1"


@pytest.mark.parametrize(
    "value", ["", "\n", "  ", "two\nlines", "nul\x00", "escape\x1b[0m", "not utf-8 \xff", "c1 \xc2\x85"], ids=repr
)
def test_a_value_that_can_not_go_into_a_header_is_a_problem_that_does_not_show_it(secret: Any, value: str) -> None:
    problem = resolve(secret({"api-key": value}))
    assert isinstance(problem, Problem)
    assert problem.reason == Reason.SECRET_INVALID
    assert problem.message.startswith("Secret team-a/anthropic, key api-key: ")
    assert not value.strip() or value not in problem.message


@pytest.mark.parametrize("value", ["hunter2-alone", ":", "me;hunter2-alone"])
def test_a_value_that_is_no_pair_is_a_problem_where_user_and_password_are_asked_for(secret: Any, value: str) -> None:
    both = AuthMechanism(type="Basic", user_in_secret=True)
    problem = resolve(secret({"api-key": value}), auth=both)
    assert isinstance(problem, Problem)
    assert problem.reason == Reason.SECRET_INVALID
    assert "the value is not user:password" in problem.message
    assert "authMechanism.username" in problem.message
    assert "hunter2" not in problem.message
    assert not problem.keeps, "what the gateway has is the new value"
    assert isinstance(resolve(secret({"api-key": "me:hunter2"}), auth=both), ResolvedCredential)
    assert isinstance(resolve(secret({"api-key": value}), auth=AuthMechanism(type="Basic", username="me")), ResolvedCredential)


@pytest.mark.parametrize(
    ("secret_state", "key", "reason", "message"),
    [
        (NOT_FOUND, None, Reason.SECRET_NOT_FOUND, "Secret team-a/anthropic does not exist; create it"),
        (NOT_FOUND, "k", Reason.SECRET_NOT_FOUND, "create it with the key k"),
        (
            FORBIDDEN,
            None,
            Reason.SECRET_FORBIDDEN,
            "kubectl -n team-a create role devbox-operator-anthropic --verb=get,list,watch --resource=secrets "
            "--resource-name=anthropic; kubectl -n team-a create rolebinding devbox-operator-anthropic "
            "--role=devbox-operator-anthropic --serviceaccount=rel:devbox-operator",
        ),
        ({"a": "1", "b": "2"}, None, Reason.KEY_AMBIGUOUS, "(it has: a, b); set secretRef.key"),
        ({}, None, Reason.KEY_AMBIGUOUS, "(it has: none)"),
        ({"a": "1"}, "b", Reason.KEY_NOT_FOUND, "has no key b (it has: a)"),
    ],
)
def test_what_is_missing_is_named(secret: Any, secret_state: Any, key: str | None, reason: Reason, message: str) -> None:
    found = secret_state if isinstance(secret_state, str) else secret(secret_state)
    problem = resolve(found, Source("team-a", "anthropic", key))
    assert isinstance(problem, Problem)
    assert problem.reason == reason
    assert message in problem.message


@pytest.mark.parametrize(
    ("grant", "endpoint", "typed"),
    [
        (None, ENDPOINT, "api.anthropic.com"),
        ("", ENDPOINT, "api.anthropic.com"),
        ("api.openai.com", ENDPOINT, "api.openai.com,api.anthropic.com"),
        (" api.openai.com , x.example ", "https://api.anthropic.com:8443/v1", "api.openai.com,x.example,api.anthropic.com"),
        ("*.anthropic.com", "https://anthropic.com", "*.anthropic.com,anthropic.com"),
    ],
)
def test_the_message_of_a_missing_grant_is_the_line_to_type(secret: Any, grant: str | None, endpoint: str, typed: str) -> None:
    problem = resolve(secret(grant=grant), endpoint=endpoint)
    assert isinstance(problem, Problem)
    host = host_of(endpoint)
    assigned = shlex.quote(f"devbox-gateway.io/allowed-hosts={typed}")
    near = f" (*.{host} is for the names below {host}, and not for itself)" if f"*.{host}" in typed else ""
    assert problem == Problem(
        Reason.SECRET_NOT_GRANTED,
        f"Secret team-a/anthropic is not granted to {host}{near}; its owner runs: kubectl -n team-a annotate secret anthropic "
        f"{assigned} --overwrite",
    )


@pytest.mark.parametrize("grant", [None, "", "api.openai.com"])
@pytest.mark.parametrize("key", [None, "no-such-key", "prod-eu"])
def test_of_a_secret_that_is_not_granted_no_key_is_named(secret: Any, grant: str | None, key: str | None) -> None:
    data = {"prod-eu": "sk-1", "internal-billing": "two\nlines"}
    problem = resolve(secret(data, grant=grant), Source("team-a", "anthropic", key))
    assert isinstance(problem, Problem)
    assert problem.reason == Reason.SECRET_NOT_GRANTED, "the same whatever the keys are"
    assert not [name for name in data if name in problem.message]


@pytest.mark.parametrize("grant", ["api.anthropic.com", "x.example, API.Anthropic.com", "*.anthropic.com"])
def test_a_grant_covers_the_host(secret: Any, grant: str) -> None:
    assert isinstance(resolve(secret(grant=grant)), ResolvedCredential)


def test_values_of_secrets_that_nobody_granted_are_not_kept(secret: Any) -> None:
    assert not secret(grant=None).values
    assert "sk-ant" not in repr(secret())


@pytest.mark.parametrize(
    ("allowed", "labels", "expected"),
    [
        (None, {}, False),
        ({"from": "Same"}, {}, False),
        ({"from": "All"}, {}, True),
        ({"from": "Selector", "selector": {"matchLabels": {"team": "b"}}}, {"team": "b"}, True),
        ({"from": "Selector", "selector": {"matchLabels": {"team": "b"}}}, {"team": "c"}, False),
        ({"from": "Selector", "selector": {"matchExpressions": [{"key": "t", "operator": "Exists"}]}}, {"t": ""}, True),
        ({"from": "Selector", "selector": {"matchExpressions": [{"key": "t", "operator": "DoesNotExist"}]}}, {"t": ""}, False),
        (
            {"from": "Selector", "selector": {"matchExpressions": [{"key": "t", "operator": "NotIn", "values": ["x"]}]}},
            {},
            True,
        ),
        (
            {"from": "Selector", "selector": {"matchExpressions": [{"key": "t", "operator": "In", "values": ["x"]}]}},
            {"t": "x"},
            True,
        ),
    ],
)
def test_allowed_namespaces(allowed: Any, labels: dict[str, str], expected: bool) -> None:
    model = AllowedNamespaces.model_validate(allowed) if allowed else None
    assert allows(model, "team-a", "team-b", labels) is expected
    assert allows(model, "team-a", "team-a", labels) is True


def test_problems_of_the_gateway_itself(snapshot: Any, gateway: Any, devbox: Any) -> None:
    binding = devbox().box.spec.gateways[0]
    key = ("team-a", "anthropic")
    missing = credentials.gateway_for(binding, snapshot(gateways={key: None}))
    assert isinstance(missing, Problem)
    assert missing.reason == Reason.GATEWAY_NOT_FOUND
    condition = {
        "type": "Accepted",
        "status": "False",
        "reason": "EndpointRefused",
        "message": "private",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    refused = credentials.gateway_for(binding, snapshot(gateways={key: gateway(status={"conditions": [condition]})}))
    assert isinstance(refused, Problem)
    assert refused.reason == Reason.GATEWAY_NOT_ACCEPTED
    assert "private" in refused.message
    none = credentials.source_for(binding, "team-a", gateway(spec={"credential": None}))
    assert isinstance(none, Problem)
    assert none.reason == Reason.NO_CREDENTIAL


def test_whether_another_namespace_has_a_gatewayconfig_is_not_told_to_those_it_does_not_allow(
    devbox: Any, gateway: Any, snapshot: Any
) -> None:
    gateways = [{"name": "ANTHROPIC", "gatewayRef": {"name": "anthropic", "namespace": "shared"}}]
    view, key = devbox(spec={"gateways": gateways}), ("shared", "anthropic")
    binding = view.box.spec.gateways[0]
    endpoint = {"endpoint": "https://10.1.2.3"}
    there = credentials.gateway_for(binding, snapshot(view, gateways={key: gateway(spec=endpoint, namespace="shared")}))
    absent = credentials.gateway_for(binding, snapshot(view, gateways={key: None}))
    assert isinstance(there, Problem)
    assert there == absent
    assert there.reason == Reason.NAMESPACE_NOT_ALLOWED


def test_the_devboxes_own_secret_comes_before_the_gateways(devbox: Any, gateway: Any) -> None:
    gateways = [
        {"name": "ANTHROPIC", "gatewayRef": {"name": "anthropic", "namespace": "shared"}, "secretRef": {"name": "mine"}}
    ]
    binding = devbox(spec={"gateways": gateways}).box.spec.gateways[0]
    assert credentials.source_for(binding, "team-a", gateway(namespace="shared")) == Source("team-a", "mine", None)


@pytest.mark.row("S29")
def test_what_is_wrong_in_a_grant_is_named_whether_the_host_is_covered_or_not(secret: Any) -> None:
    refused = resolve(secret(grant="https://api.anthropic.com"))
    assert isinstance(refused, Problem)
    assert "(this grants nothing: https://api.anthropic.com is a URL; write api.anthropic.com alone)" in refused.message
    used = resolve(secret(grant="api.anthropic.com api.openai.com,api.anthropic.com"))
    assert isinstance(used, ResolvedCredential)
    assert "put a comma between two hosts" in credentials.doubtful(used, BEARER)
    assert credentials.doubtful(resolve(secret()), BEARER) == ""  # type: ignore[arg-type]


@pytest.mark.row("S29")
@pytest.mark.parametrize(
    ("place", "key", "named"),
    [
        ("labels", names.ALLOWED_HOSTS_ANNOTATION, True),
        ("annotations", "devbox-gateway.io/allowed-host", True),
        ("annotations", "devbox-gateway.io/allowedHosts", True),
        ("annotations", "allowed-hosts", True),
        ("annotations", "example.com/allowed-hosts", False),
        ("labels", "devbox-gateway.io/mountable", False),
    ],
)
def test_what_was_taken_for_a_grant_is_named(place: str, key: str, *, named: bool) -> None:
    metadata = {
        "name": "anthropic",
        "namespace": "team-a",
        "uid": "s-1",
        "resourceVersion": "3",
        place: {key: "api.anthropic.com"},
    }
    problem = resolve(SecretView.of({"metadata": metadata, "data": {}}, frozenset({None})))
    assert isinstance(problem, Problem)
    assert problem.reason == Reason.SECRET_NOT_GRANTED
    assert (f"its {place[:-1]} {key} grants nothing" in problem.message) == named
