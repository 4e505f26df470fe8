"""Secrets that an agent may read: which, and what is said of the others."""

import base64
from typing import Any

import pytest

from devbox_api import names
from devbox_api.conditions import Reason
from devbox_api.shared import MountableSecretRef
from devbox_api.variables import SecretVariable
from devbox_common.redacted import Redacted
from devbox_operator.attach import secretenv
from devbox_operator.attach.secretenv import Values
from devbox_operator.seen import bounds
from devbox_operator.seen.secrets import SecretView
from devbox_operator.seen.snapshot import FORBIDDEN, NOT_FOUND

PLACE = ("team-a", "settings")
LABEL = {names.MOUNTABLE_LABEL: "true"}


def secret(data: dict[str, bytes], labels: dict[str, str] = LABEL, grant: str | None = None) -> SecretView:
    noted = {} if grant is None else {names.ALLOWED_HOSTS_ANNOTATION: grant}
    metadata = {"namespace": PLACE[0], "name": PLACE[1], "uid": "u", "resourceVersion": "1"}
    encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
    item = {"metadata": {**metadata, "labels": labels, "annotations": noted}, "data": encoded}
    return SecretView.of(item, frozenset({None, "password"}))


def resolve(found: Any, key: str | None = None) -> Values:
    entry = SecretVariable(name="PASSWORD", secret_ref=MountableSecretRef(name="settings", key=key))
    return secretenv.resolve([entry], "team-a", {PLACE: found}, "rel")


@pytest.mark.parametrize("value", [b"hunter2", b"", b"two\nlines\n", "pässword".encode(), b"x" * (32 << 10)])
def test_a_value_that_is_given(value: bytes) -> None:
    found = resolve(secret({"value": value}))
    assert found.problems == ()
    assert base64.b64decode(found.given["PASSWORD"].reveal()) == value
    assert base64.b64encode(value).decode() not in repr(found) or not value


@pytest.mark.parametrize(
    ("found", "key", "reason", "said"),
    [
        (NOT_FOUND, None, Reason.SECRET_NOT_FOUND, "create it and label it devbox-gateway.io/mountable=true"),
        (FORBIDDEN, None, Reason.SECRET_FORBIDDEN, "--resource-name=settings"),
        (
            secret({"value": b"hunter2"}, {}),
            None,
            Reason.SECRET_NOT_MOUNTABLE,
            "kubectl -n team-a label secret settings devbox-gateway.io/mountable=true",
        ),
        (secret({"value": b"hunter2"}, {names.MOUNTABLE_LABEL: "yes"}), "nope", Reason.SECRET_NOT_MOUNTABLE, "label"),
        (secret({"value": b"hunter2"}, grant="api.example.com"), None, Reason.SECRET_GRANTED, "carries a grant"),
        (secret({"value": b"hunter2"}, grant=""), None, Reason.SECRET_GRANTED, "carries a grant"),
        (secret({"value": b"hunter2"}, {}, grant="a" * 5000), None, Reason.SECRET_GRANTED, "spec.gateways"),
        (secret({"value": b"hunter2"}), "password", Reason.KEY_NOT_FOUND, "has no key password (it has: value)"),
        (secret({"a": b"hunter2", "b": b"2"}), None, Reason.KEY_AMBIGUOUS, "(it has: a, b)"),
        (secret({"value": b"hunter2\xff"}), None, Reason.SECRET_INVALID, "not text"),
        (secret({"value": b"hunter2\0"}), None, Reason.SECRET_INVALID, "NUL"),
        (secret({"value": b"hunter2" + b"x" * (32 << 10)}), None, Reason.SECRET_TOO_LARGE, "longer than 32 KiB"),
        (secret({"value": b"hunter2" * (100 << 10)}), None, Reason.SECRET_TOO_LARGE, "longer than 32 KiB"),
    ],
)
def test_a_value_that_is_not_given_and_what_is_said(found: Any, key: str | None, reason: Reason, said: str) -> None:
    values = resolve(found, key)
    assert values.given == {}
    (problem,) = values.problems
    assert problem.reason == reason
    assert problem.message.startswith("secretEnv PASSWORD: ")
    assert said in problem.message
    assert "hunter2" not in problem.message
    if reason in (Reason.SECRET_NOT_MOUNTABLE, Reason.SECRET_GRANTED):
        assert "value" not in problem.message.replace("have its value", ""), "its keys are nobody's business"


def test_of_what_is_not_given_nothing_is_held() -> None:
    for kept in (secret({"value": b"hunter2"}, {}), secret({"value": b"hunter2"}, grant="")):
        assert not kept.values
    assert len(secret({"value": b"x" * (1 << 20)}).values["value"]) <= bounds.MOST_ENV + 1


def test_all_together_have_a_bound() -> None:
    entries = [
        SecretVariable(name=f"V{number}", secret_ref=MountableSecretRef(name="settings", key="password")) for number in range(9)
    ]
    found = {PLACE: secret({"password": b"x" * (32 << 10)})}
    assert secretenv.resolve(entries[:8], "team-a", found, "rel").problems == ()
    values = secretenv.resolve(entries, "team-a", found, "rel")
    assert values.given == {}
    assert [problem.reason for problem in values.problems] == [Reason.SECRET_TOO_LARGE]


def test_another_value_is_told_from_the_one_that_was_given() -> None:
    values = {"A": Redacted("MQ=="), "B": Redacted("Mg==")}
    kept = secretenv.record("pod-1", values)
    assert "MQ==" not in kept
    assert secretenv.changed("pod-1", kept, values) == ()
    assert secretenv.changed("pod-1", kept, {**values, "B": Redacted("Mw==")}) == ("B",)
    assert secretenv.changed("pod-1", kept, {"A": values["A"], "C": Redacted("")}) == (), (
        "a variable that is new is the spec's affair"
    )
    assert secretenv.changed("pod-1", "", values) == secretenv.changed("pod-1", "no JSON", values) == ()
    assert secretenv.record("pod-2", values) != kept, "equal values of two pods can't be told"
    assert secretenv.record("pod-1", {}) == ""


def test_a_token_secret_is_compared_without_what_the_agent_reads() -> None:
    metadata = {"namespace": "team-a", "name": "agent-1", "uid": "u", "resourceVersion": "1"}
    tokens = {"metadata": metadata, "type": names.TOKENS_TYPE, "data": {"A": "Z3dz"}}
    with_it = {**tokens, "data": {"A": "Z3dz", "secret-env.B": "eA=="}}
    assert SecretView.of(tokens).content == SecretView.of(with_it).content != ""
    assert SecretView.of(tokens).content != SecretView.of({**tokens, "data": {"A": "eA=="}}).content
