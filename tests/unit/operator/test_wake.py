"""Whom a change of what is mirrored wakes: one row for each change."""

from dataclasses import replace
from typing import Any

import pytest

from devbox_api import names
from devbox_operator.attach import network
from devbox_operator.documents.objects import NAMESPACE_LABEL
from devbox_operator.seen.index import Index, References, Source
from devbox_operator.seen.keys import FLOOR, Kind, WorkKey
from devbox_operator.seen.namespaced import PolicyView, SharedView
from devbox_operator.seen.nodes import node
from devbox_operator.seen.pods import PodView
from devbox_operator.seen.secrets import SecretView, StoredView
from devbox_operator.watch.wake import Wake

KEY, BOX = ("team-a", "it"), ("team-a", "agent")
ME = WorkKey(Kind.DEVBOX, *BOX)
SOURCE, GATEWAY, EGRESS = (WorkKey(kind, *KEY) for kind in (Kind.SOURCE, Kind.GATEWAY, Kind.EGRESS))


def stored(kind: str, kept_until: str = "") -> StoredView:
    made_from = {names.SOURCE_NAMESPACE_ANNOTATION: KEY[0], names.SOURCE_NAME_ANNOTATION: KEY[1]}
    kept = {names.KEPT_UNTIL_ANNOTATION: kept_until} if kept_until else {}
    labels = {NAMESPACE_LABEL: BOX[0], names.DEVBOX_LABEL: BOX[1]}
    return StoredView("document", "u", "1", kind, labels, {**made_from, **kept}, {})


def policy(*, ours: bool, name: str = "it", intact: bool = True) -> PolicyView:
    spec = network.policy_spec("agent", "rel") if ours else {"podSelector": {}, "egress": [{}]}
    return PolicyView("team-a", name, (), spec, intact=intact)


def secret(kind: str = "Opaque", name: str = "it") -> SecretView:
    metadata = {"namespace": "team-a", "name": name, "uid": "s", "resourceVersion": "1"}
    return SecretView.of({"metadata": metadata, "type": kind})


CREDENTIAL, ROUTE = stored(names.CREDENTIAL_TYPE), stored(names.ROUTE_TYPE)
TOKENS = secret(names.TOKENS_TYPE, "agent-1a2b3c")
SHARED = SharedView("u", frozenset(), "content")
DENIAL = policy(ours=False, name=names.DENY_POLICY)
ROWS: dict[str, tuple[str, Any, Any, list[WorkKey]]] = {
    # Documents. Their appearance is our own doing, for which some wait.
    "a gateway's document appears": ("stored", None, stored(names.GATEWAY_TYPE), [ME]),
    "a gateway's document goes": ("stored", stored(names.GATEWAY_TYPE), None, [GATEWAY]),
    "a policy's document appears": ("stored", None, stored(names.EGRESS_TYPE), [ME]),
    "a policy's document is edited": ("stored", stored(names.EGRESS_TYPE), stored(names.EGRESS_TYPE), [EGRESS]),
    "a credential appears": ("stored", None, CREDENTIAL, [ME]),
    "a credential is edited": ("stored", CREDENTIAL, CREDENTIAL, [SOURCE]),
    "a credential goes": ("stored", CREDENTIAL, None, [SOURCE, ME, GATEWAY]),
    "a credential is kept from now on": ("stored", CREDENTIAL, stored(names.CREDENTIAL_TYPE, "t"), [SOURCE, ME, GATEWAY]),
    "a Route appears": ("stored", None, ROUTE, []),
    "a Route goes": ("stored", ROUTE, None, [ME]),
    "the floor appears": ("stored", None, stored(names.FLOOR_TYPE), []),
    "the floor is edited": ("stored", stored(names.FLOOR_TYPE), stored(names.FLOOR_TYPE), [FLOOR]),
    # Secrets of people's namespaces.
    "a source Secret changes": ("secret", secret(), secret(), [SOURCE, ME, GATEWAY]),
    "a token Secret appears": ("secret", None, TOKENS, []),
    "a token Secret goes": ("secret", TOKENS, None, [ME]),
    # NetworkPolicies.
    "our own policy appears": ("policy", None, policy(ours=True), []),
    "our own policy goes": ("policy", policy(ours=True), None, [ME]),
    "somebody's policy appears": ("policy", None, policy(ours=False), [ME]),
    "our own policy becomes somebody's": ("policy", policy(ours=True), policy(ours=False), [ME]),
    # The rest.
    "what devboxes share appears": ("shared", None, SHARED, []),
    "what devboxes share goes": ("shared", SHARED, None, [ME]),
    "what devboxes share has another owner": ("shared", SHARED, replace(SHARED, owners=frozenset("b")), []),
    "what devboxes share is edited": ("shared", SHARED, replace(SHARED, content="other"), [ME]),
}


class World:
    def __init__(self) -> None:
        self.added: list[WorkKey] = []
        self.pods: list[PodView] = []
        self.index = Index()
        source = Source(*KEY, None)
        self.index.put(BOX, References(gateways=frozenset({KEY}), sources=frozenset({source}), egress=KEY))
        self.index.put_default(KEY, source)
        self.wake = Wake(self.index, lambda key, *_: self.added.append(key), lambda: self.pods, "rel")


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize(("rule", "old", "new", "woken"), ROWS.values(), ids=ROWS)
def test_a_change(world: World, rule: str, old: Any, new: Any, woken: list[WorkKey]) -> None:
    key = ("team-a", names.CA_CONFIG_MAP) if rule == "shared" else KEY
    getattr(world.wake, rule)(key, old, new)
    assert world.added == woken


def test_the_denying_policy_wakes_pods_without_a_devbox_too(world: World, devbox: Any, pod: Any) -> None:
    world.pods = [pod(devbox(name="orphan")), pod(devbox(name="far", namespace="team-b"))]
    place = ("team-a", names.DENY_POLICY)
    world.wake.policy(place, None, DENIAL)
    assert world.added == [], "one that is as it should be is our own doing"
    world.wake.policy(place, DENIAL, replace(DENIAL, intact=False))
    assert world.added == [ME, WorkKey(Kind.DEVBOX, "team-a", "orphan")]


def test_a_node_that_falls_silent_wakes_its_pods_and_one_that_moves_the_floor(
    world: World, devbox: Any, pod: Any, now: Any
) -> None:
    world.pods = [pod(devbox(), node="a"), pod(devbox(name="other"), node="b")]
    here = node({"metadata": {"name": "a"}})
    world.wake.node(("", "a"), here, here._replace(silent_since=now))
    assert world.added == [ME]
    world.added.clear()
    world.wake.node(("", "a"), None, here)
    assert world.added == [FLOOR]
