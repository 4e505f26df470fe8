"""Who refers to what."""

from typing import Any

from devbox_operator.index import Index, Source, references

KEY = ("team-a", "anthropic")


def test_references_of_a_devbox(devbox: Any, gateway: Any) -> None:
    view = devbox(
        spec={
            "gateways": [
                {"name": "A", "gatewayRef": {"name": "anthropic"}},
                {"name": "B", "gatewayRef": {"name": "b", "namespace": "shared"}, "secretRef": {"name": "mine", "key": "k"}},
                {"name": "C", "gatewayRef": {"name": "gone"}},
            ],
            "volumes": [{"name": "v", "mountPath": "/v", "configMap": {"name": "conf"}}],
        }
    )
    found = references(view, {KEY: gateway(), ("shared", "b"): gateway(namespace="shared", name="b"), ("team-a", "gone"): None})
    assert found.gateways == {KEY, ("shared", "b"), ("team-a", "gone")}
    assert found.sources == {Source("team-a", "anthropic", None), Source("team-a", "mine", "k")}
    assert found.volumes == {("ConfigMap", "conf")}


def test_the_other_direction(devbox: Any, gateway: Any) -> None:
    one, two = devbox(), devbox(name="two", deleting=True)
    gateways = {KEY: gateway()}
    index = Index()
    index.replace({view.key: references(view, gateways) for view in (one, two)}, gateways.values())
    assert index.users_of_gateway(KEY) == [("team-a", "agent")], "one that is being deleted does not count"
    assert index.users_of_secret(KEY) == [("team-a", "agent"), ("team-a", "two")]
    assert index.gateways_of_secret(KEY) == [KEY]
    assert index.sources_in_use() == {Source("team-a", "anthropic", None)}
    assert index.devboxes_in("team-a") == [("team-a", "agent"), ("team-a", "two")]
    assert index.namespaces() == {"team-a"}
    index.replace({}, [])
    assert not index.secrets()
    assert not index.namespaces()


def test_users_of_an_egress_policy(devbox: Any) -> None:
    index = Index()
    spec = {"egressPolicyRef": {"name": "web"}}
    for view in (
        devbox(spec=spec, name="b"),
        devbox(spec=spec, name="a"),
        devbox(name="c"),
        devbox(spec=spec, name="d", deleting=True),
    ):
        index.devboxes[view.key] = references(view, {})
    assert index.users_of_egress(("team-a", "web")) == [("team-a", "a"), ("team-a", "b")]
    assert index.users_of_egress(("team-b", "web")) == []
