"""Tokens: when one is due, what is asked for, what the Secret holds."""

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from devbox_api import names
from devbox_api.route import Binding, EgressBinding
from devbox_operator.attach import tokens

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def jwt(
    *, pod: str = "pod-1", account: str = "sa-1", issued: datetime = NOW, life: timedelta = timedelta(days=30), n: int = 0
) -> str:
    body = {
        "iat": int(issued.timestamp()),
        "exp": int((issued + life).timestamp()),
        "n": n,
        "kubernetes.io": {"pod": {"uid": pod}, "serviceaccount": {"uid": account}},
    }
    return f"e30.{base64.urlsafe_b64encode(orjson.dumps(body)).rstrip(b'=').decode()}.c2ln"


def binding(name: str, token: str, digests: tuple[str, ...] = ()) -> Binding:
    return Binding(
        name=name,
        audience=f"devbox-gateway.io/{name}",
        gateway="gateway-1",
        credential="credential-1",
        token=token,
        digests=digests,
    )


@pytest.mark.parametrize(
    ("days", "due"),
    [(0, False), (15, False), (22.4, False), (24.1, True), (29, True), (40, True)],
    ids=str,
)
def test_a_token_is_due_at_four_fifths_of_its_life_with_jitter(days: float, due: bool) -> None:
    current = {"A": binding("A", jwt())}
    found = tokens.due(["A"], current, pod="pod-1", service_account="sa-1", fraction=0.8, now=NOW + timedelta(days=days))
    assert found == (["A"] if due else [])


def test_renewals_are_spread() -> None:
    times = [tokens.renewal(jwt(n=n), "pod-1", "sa-1", 0.8) for n in range(50)]
    assert all(at and timedelta(days=22.5) <= at - NOW <= timedelta(days=24) for at in times)
    assert len(set(times)) == 50


@pytest.mark.parametrize(
    "token",
    [jwt(pod="another"), jwt(account="made anew"), "", "rubbish", "a.b.c", "e30.e30.e30"],
    ids=lambda token: token[-12:],
)
def test_a_token_of_another_pod_or_service_account_is_due_now(token: str) -> None:
    found = tokens.due(["A", "NEW"], {"A": binding("A", token)}, pod="pod-1", service_account="sa-1", fraction=0.8, now=NOW)
    assert found == ["A", "NEW"]


def test_the_request_is_bound_to_the_pods_uid_and_one_audience(devbox: Any, pod: Any) -> None:
    body = tokens.request(pod(devbox(), name="agent-1"), "devbox-gateway.io/ANTHROPIC", 2592000)
    assert body["spec"] == {
        "audiences": ["devbox-gateway.io/ANTHROPIC"],
        "expirationSeconds": 2592000,
        "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "agent-1", "uid": "pod-1"},
    }


def test_digests_grow_and_none_is_lost_before_4096() -> None:
    digests = tokens.grown((), "first")
    assert digests == (hashlib.sha256(b"first").hexdigest(),)
    assert tokens.grown(digests, "first") == digests
    many: tuple[str, ...] = digests
    for number in range(4095):
        many = tokens.grown(many, str(number))
    assert len(many) == 4096
    assert many[0] == digests[0]
    assert len(tokens.grown(many, "one more")) == 4096


def test_the_secret_has_a_key_for_each_name_and_a_file_for_shells(devbox: Any, pod: Any) -> None:
    way_out = EgressBinding(token="eee", digests=())
    body = tokens.secret(pod(devbox(), name="agent-1"), [binding("A", "aaa"), binding("B", "bbb")], way_out, "gateway.rel.svc")
    data = {key: base64.b64decode(value).decode() for key, value in body["data"].items()}
    proxy = "http://devbox:gws_eee@gateway.rel.svc:3128"
    exported = {"A": "gws_aaa", "B": "gws_bbb", **dict.fromkeys(names.PROXY_VARIABLES, proxy)}
    assert data == {
        "A": "gws_aaa",
        "B": "gws_bbb",
        "HTTPS_PROXY": proxy,
        "env.sh": "".join(f"export {name}='{value}'\n" for name, value in exported.items()),
    }
    assert body["type"] == "devbox-gateway.io/tokens"
    assert body["metadata"]["name"] == "agent-1"
    assert body["metadata"]["ownerReferences"] == [{"apiVersion": "v1", "kind": "Pod", "name": "agent-1", "uid": "pod-1"}]
