"""Who refers to what."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devbox_operator.seen.index import Index, References, Source, references

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


def test_secrets_that_the_agent_reads_wake_its_devbox_and_are_mirrored_for_no_gateway(devbox: Any) -> None:
    entries = [
        {"name": "A", "secretRef": {"name": "settings", "key": "a"}},
        {"name": "B", "secretRef": {"name": "settings"}},
    ]
    view, place = devbox(spec={"gateways": [], "secretEnv": entries}), ("team-a", "settings")
    refs, index = references(view, {}), Index()
    assert refs.read == {Source(*place, "a"), Source(*place, None)}
    index.put(view.key, refs)
    assert index.users_of_secret(place) == [view.key]
    assert index.keys_of(place) == {"a", None}
    assert index.sources_of(place) == set()
    index.put(view.key, None)
    assert index.secrets() == set()


@pytest.mark.row("S23")
def test_a_suspended_devbox_is_a_user_and_needs_no_credential(devbox: Any, gateway: Any) -> None:
    view, index = devbox(spec={"suspend": True}), Index()
    refs = references(view, {KEY: gateway()})
    index.put(view.key, refs)
    assert index.users_of_gateway(KEY) == [view.key], "what it uses can't be deleted"
    assert index.users_of_secret(KEY) == [view.key], "and it hears of changes"
    assert index.sources_of(KEY) == set()
    index.put(view.key, references(devbox(), {KEY: gateway()}))
    assert index.sources_of(KEY) == {Source("team-a", "anthropic", None)}


def test_the_other_direction(devbox: Any, gateway: Any) -> None:
    one, two = devbox(), devbox(name="two", deleting=True)
    gateways = {KEY: gateway()}
    index = Index()
    index.replace({view.key: references(view, gateways) for view in (one, two)}, gateways.values())
    assert index.users_of_gateway(KEY) == [("team-a", "agent")], "one that is being deleted does not count"
    assert index.users_of_secret(KEY) == [("team-a", "agent"), ("team-a", "two")]
    assert index.gateways_of_secret(KEY) == [KEY]
    assert index.sources_of(KEY) == {Source("team-a", "anthropic", None)}
    assert index.devboxes_in("team-a") == [("team-a", "agent"), ("team-a", "two")]
    assert index.namespaces() == {"team-a"}
    index.replace({}, [])
    assert not index.secrets()
    assert not index.namespaces()


def test_a_list_does_not_undo_what_was_seen_while_it_was_made(devbox: Any, gateway: Any) -> None:
    old, new, went = devbox(), devbox(name="new"), devbox(name="went")
    refs = references(old, {KEY: gateway()})
    index = Index()
    index.put(went.key, refs)
    index.listing()
    index.put(old.key, refs)
    index.put(new.key, refs)
    index.put(went.key, None)
    index.replace({old.key: References(), went.key: refs}, [])
    assert index.users_of_gateway(KEY) == [old.key, new.key]
    index.listing()
    index.replace({old.key: refs}, [])
    assert index.users_of_gateway(KEY) == [old.key]


def test_users_of_an_egress_policy(devbox: Any) -> None:
    index = Index()
    spec = {"egressPolicyRef": {"name": "web"}}
    for view in (
        devbox(spec=spec, name="b"),
        devbox(spec=spec, name="a"),
        devbox(name="c"),
        devbox(spec=spec, name="d", deleting=True),
    ):
        index.put(view.key, references(view, {}))
    assert index.users_of_egress(("team-a", "web")) == [("team-a", "a"), ("team-a", "b")]
    assert index.users_of_egress(("team-b", "web")) == []


_keys = st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["x", "y"]))
_sources = st.builds(Source, st.sampled_from(["a", "b"]), st.sampled_from(["x", "y"]), st.sampled_from([None, "k", "l"]))
_volumes = st.tuples(st.sampled_from(["ConfigMap", "PersistentVolumeClaim"]), st.sampled_from(["x", "y"]))
_references = st.builds(
    References,
    st.frozensets(_keys, max_size=2),
    st.frozensets(_sources, max_size=2),
    st.frozensets(_volumes, max_size=2),
    st.none() | _keys,
    st.booleans(),
    st.frozensets(_sources, max_size=2),
)


@settings(max_examples=200)
@given(st.lists(st.tuples(_keys, st.none() | _references), max_size=8))
def test_what_is_kept_for_look_ups_says_what_all_references_say(
    changes: list[tuple[tuple[str, str], References | None]],
) -> None:
    index, all_of_them = Index(), dict[tuple[str, str], References]()
    for box, refs in changes:
        index.put(box, refs)
        all_of_them.pop(box, None)
        if refs is not None:
            all_of_them[box] = refs
    assert dict(index.devboxes) == all_of_them
    for key in (("a", "x"), ("a", "y"), ("b", "x"), ("b", "y")):
        counted = {box: refs for box, refs in all_of_them.items() if refs.counts}
        assert index.users_of_gateway(key) == sorted(box for box, refs in counted.items() if key in refs.gateways)
        assert index.users_of_egress(key) == sorted(box for box, refs in counted.items() if refs.egress == key)
        from_it = {box: {source for source in refs.sources if source.secret == key} for box, refs in all_of_them.items()}
        read = {box: {source for source in refs.read if source.secret == key} for box, refs in all_of_them.items()}
        assert index.users_of_secret(key) == sorted(box for box, sources in from_it.items() if sources or read[box])
        assert index.keys_of(key) == {
            source.key for found in (from_it, read) for sources in found.values() for source in sources
        }
        assert index.sources_of(key) == {source for box in counted for source in from_it[box]}
        for kind in ("ConfigMap", "PersistentVolumeClaim"):
            mounting = [box for box, refs in all_of_them.items() if box[0] == key[0] and (kind, key[1]) in refs.volumes]
            assert index.users_of_volume(key[0], kind, key[1]) == sorted(mounting)
        assert index.devboxes_in(key[0]) == sorted(box for box in all_of_them if box[0] == key[0])
    index.replace({}, [])
    assert not index.devboxes
    assert not index._by
