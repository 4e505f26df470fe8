"""What the API server's refusals become."""

import json
from typing import Any

import pytest
import yaml

from devbox_gateway import PermissionDeniedError, errors
from devbox_gateway.kube.answers import error_of, may_be_repeated, pause_of, role_for

FORBIDDEN = (
    'pods "agent-1" is forbidden: User "jane" cannot create resource "pods/exec" in API group "" in the namespace "team-a"'
)


def status(code: int, message: str, **more: Any) -> bytes:
    return json.dumps({"kind": "Status", "status": "Failure", "code": code, "message": message, **more}).encode()


@pytest.mark.parametrize(
    ("code", "content", "kind"),
    [
        (401, b"", errors.AuthenticationError),
        (403, status(403, FORBIDDEN), errors.PermissionDeniedError),
        (404, status(404, 'devboxes "a" not found', details={"name": "a"}), errors.NotFoundError),
        (409, status(409, "exists"), errors.ConflictError),
        (422, status(422, "invalid"), errors.InvalidError),
        (400, status(400, "bad"), errors.InvalidError),
        (500, status(500, "etcd"), errors.APIConnectionError),
        (503, b"<html>", errors.APIConnectionError),
        (418, b"", errors.APIConnectionError),
    ],
)
def test_one_class_for_each(code: int, content: bytes, kind: type[Exception]) -> None:
    found = error_of("GET", "/apis/x?y=z", code, content)
    assert type(found) is kind
    assert str(found).strip()


def test_a_role_that_would_allow_it() -> None:
    role = yaml.safe_load(role_for(FORBIDDEN))
    # (Not that of docs/client.md, whose rules it would replace where it is applied.)
    assert role["metadata"] == {"name": "devbox-create-pods-exec", "namespace": "team-a"}
    assert role["rules"] == [{"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create"]}]


def test_the_verb_that_a_websocket_takes() -> None:
    """As an API server of 1.37 answers who has `get` alone: without a reason."""
    content = json.dumps({"kind": "Status", "code": 403, "message": 'pods "agent-1" is forbidden: '}).encode()
    path = "/api/v1/namespaces/team-a/pods/agent-1"
    found = error_of("GET", f"{path}/exec?command=x", 403, content)
    assert isinstance(found, PermissionDeniedError)
    assert yaml.safe_load(found.role)["rules"] == [{"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create"]}]
    other = error_of("GET", path, 403, content)
    assert isinstance(other, PermissionDeniedError)
    assert other.role == ""


@pytest.mark.parametrize(
    "message",
    ["exceeded quota: x", 'nodes is forbidden: User "j" cannot list resource "nodes" in API group "" at the cluster scope'],
)
def test_no_role_where_none_would_help(message: str) -> None:
    assert role_for(message) == ""


def test_a_cluster_without_the_chart() -> None:
    found = error_of("GET", "/apis/devbox-gateway.io/v1alpha1/namespaces/a/devboxes", 404, b"404 page not found\n")
    assert "chart" in str(found)


def test_the_fields_that_are_wrong() -> None:
    causes = [{"field": "spec.endpoint", "message": "must begin"}, {"field": "spec.x", "message": "too long"}]
    found = error_of("POST", "/x", 422, status(422, "all of it", details={"causes": causes}))
    assert isinstance(found, errors.InvalidError)
    assert (found.field, found.message) == ("spec.endpoint", "must begin; spec.x: too long")


def test_a_field_that_the_chart_does_not_know() -> None:
    text = 'Devbox in version "v1alpha1" cannot be handled as a Devbox: strict decoding error: unknown field "spec.codeMounts"'
    found = error_of("POST", "/x", 400, status(400, text))
    assert isinstance(found, errors.InvalidError)
    assert found.field == "spec.codeMounts"
    assert "needs a chart that has it" in found.message


@pytest.mark.parametrize(
    ("method", "code", "headers", "expected"),
    [
        ("POST", 429, {}, True),
        ("GET", 503, {}, True),
        ("POST", 503, {}, False),
        ("POST", 503, {"Retry-After": "1"}, True),
        ("GET", 404, {}, False),
        ("GET", 501, {}, False),
    ],
)
def test_what_is_asked_again(method: str, code: int, headers: dict[str, str], expected: bool) -> None:
    assert may_be_repeated(method, code, headers) is expected


@pytest.mark.parametrize(("value", "expected"), [("3", 3.0), ("-1", 0.0), ("Wed, 21 Oct", 0.0), (None, 0.0)])
def test_how_long_to_wait(value: str | None, expected: float) -> None:
    assert pause_of({} if value is None else {"Retry-After": value}) == expected
