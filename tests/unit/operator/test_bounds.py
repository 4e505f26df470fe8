"""What is kept of objects that somebody made large: enough to decide by, and nothing that opens what a whole one would close."""

import pickle
from typing import Any

import orjson
import pytest

from devbox_api import names
from devbox_api.gatewayconfig import AuthMechanism, GatewayConfigSpec
from devbox_api.judge.keys import MOST_BYTES, Flaw
from devbox_common.redacted import Redacted
from devbox_operator.attach import network
from devbox_operator.documents import credentials
from devbox_operator.report.problem import Problem
from devbox_operator.seen import bounds
from devbox_operator.seen.index import Source
from devbox_operator.seen.namespaced import PolicyView
from devbox_operator.seen.pods import PodView
from devbox_operator.seen.resources import DevboxView, EgressView, GatewayView
from devbox_operator.seen.secrets import SecretView

BIG = "x" * 250_000
MANY = {f"{'k' * 50}{number:05d}": "v" * 60 for number in range(4000)}
METADATA: dict[str, Any] = {
    "name": "agent",
    "namespace": "team-a",
    "uid": "u",
    "resourceVersion": "3",
    "generation": 1,
    "labels": {names.DEVBOX_LABEL: "agent", **MANY},
    "annotations": {"note": BIG, names.RESTARTED_AT_ANNOTATION: BIG, names.SPEC_FIELDS_ANNOTATION: orjson.dumps(MANY).decode()},
    "managedFields": [{"fieldsV1": {f"f:{key}": {} for key in MANY}}],
}
KEPT = 4096
"""Bytes, pickled."""


def held(view: object) -> int:
    return len(pickle.dumps(view))


def test_nothing_large_is_kept_of_a_pod() -> None:
    env = [{"name": f"V{number}", "value": "x" * 32768} for number in range(40)]
    item = {"metadata": METADATA, "spec": {"containers": [{"name": "devbox", "env": env}]}, "status": {"message": BIG}}
    view = PodView.of(item)
    assert held(view) < KEPT
    assert view.labels is None
    opens = {"podSelector": {"matchLabels": {"app": "other"}}, "egress": [{}]}
    closes = {"podSelector": {}, "policyTypes": ["Egress"]}
    policies = [PolicyView("team-a", "opens", (), opens), PolicyView("team-a", "closes", (), closes)]
    assert network.foreign(view, policies, "rel") == ["opens"], "who can't be told apart is selected"


def test_a_pod_as_a_devbox_may_make_it_keeps_its_labels() -> None:
    labels = {f"{'d' * 253}/{'n' * 60}{number:02d}": "v" * 63 for number in range(32)} | {names.DEVBOX_LABEL: "agent"}
    assert PodView.of({"metadata": {**METADATA, "labels": labels}}).labels == labels


def test_a_restart_that_was_asked_for_at_length_is_one_restart(devbox: Any) -> None:
    view = PodView.of({"metadata": METADATA})
    asked = DevboxView.of({"metadata": METADATA, "spec": {"image": "x"}, "status": {}})
    assert asked.restarted_at == view.restarted_at
    assert len(asked.restarted_at) < 100
    other = {**METADATA["annotations"], names.RESTARTED_AT_ANNOTATION: BIG + "y"}
    again = DevboxView.of({"metadata": {**METADATA, "annotations": other}, "spec": {"image": "x"}, "status": {}})
    assert again.restarted_at != view.restarted_at
    short = {"metadata": {**METADATA, "annotations": {names.RESTARTED_AT_ANNOTATION: "2026-11-29T12:00:00Z"}}}
    assert PodView.of(short).restarted_at == "2026-11-29T12:00:00Z"


def test_of_a_devbox_its_metadata_is_not_kept() -> None:
    assert held(DevboxView.of({"metadata": METADATA, "spec": {"image": "x"}, "status": {}})) < KEPT


@pytest.mark.parametrize("data", [{"key": BIG}, {f"{number:06d}": "" for number in range(60_000)}])
def test_of_a_secret_that_nobody_refers_to_nothing_is_kept(data: dict[str, str]) -> None:
    metadata = {**METADATA, "annotations": {names.ALLOWED_HOSTS_ANNOTATION: "a.example," * 20_000}}
    assert held(SecretView.of({"metadata": metadata, "data": data})) < KEPT


def test_the_longest_credential_is_kept_whole() -> None:
    assert (MOST_BYTES + 2) * 4 // 3 + 4 < bounds.MOST_VALUE


def test_of_one_that_is_referred_to_a_bound_is_kept() -> None:
    metadata = {**METADATA, "annotations": {names.ALLOWED_HOSTS_ANNOTATION: "a.example," * 400}}
    data = {"key": "A" * 1_000_000, "zzz": "QQ==", **{f"{number:06d}": "" for number in range(60_000)}}
    view = SecretView.of({"metadata": metadata, "data": data}, frozenset({"key", "zzz"}))
    assert held((view.allowed_hosts, view.keys)) < bounds.MOST_GRANT + KEPT
    assert sum(len(value.reveal()) for value in view.values.values()) < bounds.MOST_VALUE + 10
    assert {"key", "zzz"} <= set(view.keys)
    assert len(view.keys) <= bounds.MOST_KEYS + 2
    assert isinstance(credentials.usable(view.values["zzz"]), Redacted)
    assert credentials.usable(view.values["key"]) is Flaw.TOO_LONG


def test_a_list_of_hosts_that_is_too_long_grants_nothing_and_says_so(secret: Any) -> None:
    hosts = ",".join(["api.anthropic.com", *(f"api-{number:05d}.example.com" for number in range(200))])
    source = Source("team-a", "anthropic", "api-key")
    for grant, reason in ((hosts[: bounds.MOST_GRANT], None), (hosts, "4096 characters")):
        view = secret(grant=grant)
        spec = GatewayConfigSpec(endpoint="https://api.anthropic.com", auth_mechanism=AuthMechanism(type="Bearer"))
        found = credentials.resolve(source, {source.secret: view}, spec, "rel")
        assert isinstance(found, Problem) == bool(reason)
        if isinstance(found, Problem):
            assert str(reason) in found.message
            assert (view.allowed_hosts, dict(view.values)) == (None, {})


def rules(count: int) -> list[dict[str, Any]]:
    return [{"to": [{"ipBlock": {"cidr": f"10.{number}.0.0/16"}}]} for number in range(count)]


def policy(spec: dict[str, Any]) -> PolicyView:
    return PolicyView.of({"metadata": METADATA, "spec": spec})


def test_of_a_large_policy_whom_it_selects_and_whether_it_opens_is_kept(pod: Any, devbox: Any) -> None:
    mine = pod(devbox())
    for selected, app in (([], "other"), (["agent"], mine.labels.get("app", ""))):
        view = policy({"podSelector": {"matchLabels": {"app": app} if app else {}}, "egress": rules(200)})
        assert held(view) < KEPT
        assert network.foreign(mine, [view], "rel") == selected
    assert network.foreign(mine, [policy({"podSelector": {}, "policyTypes": ["Egress"], "egress": []})], "rel") == []


def test_a_selector_that_is_too_long_selects_everybody(pod: Any, devbox: Any) -> None:
    values = [f"{'v' * 50}{number}" for number in range(5000)]
    selector = {"matchExpressions": [{"key": "app", "operator": "In", "values": values}]}
    view = policy({"podSelector": selector, "ingress": rules(1)})
    assert held(view) < KEPT
    assert network.foreign(pod(devbox()), [view], "rel") == ["agent"]


def test_our_own_policy_is_kept_whole(pod: Any, devbox: Any) -> None:
    spec = network.policy_spec("a" * 52, "n" * 63)
    assert policy(spec).spec == spec
    assert len(orjson.dumps(spec)) < bounds.MOST_POLICY


def test_what_a_gatewayconfig_says_is_for_its_own_look() -> None:
    paths = [f"/{number:02d}/{'p' * 250}" for number in range(32)]
    spec = {
        "endpoint": "https://api.example",
        "authMechanism": {"type": "Bearer"},
        "rules": [{"paths": paths}] * 32,
        "tls": {"caBundle": "-----BEGIN CERTIFICATE-----" + "x" * 60_000},
    }
    conditions = [
        {"type": kind, "status": "True", "reason": "r", "message": "m" * 100, "lastTransitionTime": "2026-11-29T12:00:00Z"}
        for kind in ("Accepted", "Ready")
    ]
    status = {"usedBy": [f"team-a/{'x' * 40}{number}" for number in range(64)], "conditions": conditions}
    item = {"metadata": METADATA, "spec": spec, "status": status}
    light, whole = GatewayView.light(item), GatewayView.of(item)
    assert held(light) < KEPT < held(whole)
    assert light.facts == whole.facts


def test_what_an_egresspolicy_says_is_for_its_own_look() -> None:
    spec = {"allowedHostnames": [f"h{number}.example.com" for number in range(256)]}
    whole = EgressView.of({"metadata": METADATA, "spec": spec})
    assert held(whole.light) < KEPT
    assert (whole.light.key, whole.light.policy.uid) == (whole.key, whole.policy.uid)
