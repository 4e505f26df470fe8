"""NetworkPolicies: ours, and other people's."""

from typing import Any

import pytest

from devbox_api import names
from devbox_operator.attach import network
from devbox_operator.seen.namespaced import PolicyView

OPEN = {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]}


def view(name: str, spec: dict[str, Any], *owners: str) -> PolicyView:
    return PolicyView("team-a", name, owners, spec)


def test_ours_closes_everything_but_two_ports_of_the_gateway(devbox: Any, pod: Any) -> None:
    box = devbox()
    policy = network.policy(pod(box), "rel")
    spec = policy["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in spec
    assert spec["podSelector"] == {"matchLabels": {names.DEVBOX_LABEL: "agent"}}
    (rule,) = spec["egress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": 8443}, {"protocol": "TCP", "port": 3128}], "and not the canary's"
    (peer,) = rule["to"]
    assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "rel"}
    assert peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "gateway"
    assert policy["metadata"]["ownerReferences"][0]["kind"] == "Pod", "it outlives the pod's last packet"


def test_it_is_in_place_only_if_it_says_exactly_that(devbox: Any, pod: Any) -> None:
    target = pod(devbox())
    spec = network.policy_spec("agent", "rel")
    assert network.in_place(target, [view(target.name, spec, target.uid)], "rel")
    assert not network.in_place(target, [], "rel")
    assert not network.in_place(target, [view("other", spec, target.uid)], "rel")
    assert not network.in_place(target, [view(target.name, spec, "older-pod")], "rel")
    assert not network.in_place(target, [view(target.name, {**spec, "egress": [{}]}, target.uid)], "rel")


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (OPEN, True),
        ({"podSelector": {"matchLabels": {names.DEVBOX_LABEL: "agent"}}, "ingress": [{}]}, True),
        ({"podSelector": {"matchExpressions": [{"key": names.DEVBOX_LABEL, "operator": "Exists"}]}, "egress": [{}]}, True),
        ({"podSelector": {"matchLabels": {"app": "web"}}, "egress": [{}]}, False),
        ({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}, False),
        (network.policy_spec("agent", "rel"), False),
        (network.policy_spec("agent", "other-release"), True),
    ],
    ids=["all", "by label", "by expression", "other pods", "only closes", "ours", "another gateway's"],
)
def test_foreign_policies(devbox: Any, pod: Any, spec: dict[str, Any], expected: bool) -> None:
    found = network.foreign(pod(devbox()), [view("p", spec)], "rel")
    assert found == (["p"] if expected else [])


def test_the_pods_own_policy_is_put_right_and_never_foreign(devbox: Any, pod: Any) -> None:
    """What an older version wrote, say. A copy of its name does not count as it."""
    target = pod(devbox())
    older = {**network.policy_spec("agent", "rel"), "egress": [{}]}
    assert network.foreign(target, [view(target.name, older, target.uid)], "rel") == []
    assert network.foreign(target, [view(target.name, older, "another-pod")], "rel") == [target.name]
