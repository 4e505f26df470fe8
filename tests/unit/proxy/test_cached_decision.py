"""A head that was led somewhere before is decided as one that comes for the first time, whatever has changed since."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devbox_api.judge.refusals import Refusal
from devbox_api.names import token_digest
from devbox_common.redacted import Redacted
from devbox_proxy.decide import injection
from devbox_proxy.decide.identity import Decision, Forward, decide
from devbox_proxy.known.credentials import Credential
from devbox_proxy.known.facts import LIVE, Known, Pod, Review
from devbox_proxy.wire.guard import RequestHead
from devbox_proxy.wire.messages import UpstreamRequest

from .identities import CURRENT, NOW, POD, ROUTE, TIMES, head, known, refused

Change = Callable[[Known], Any]


def _pod(**change: Any) -> Change:
    return lambda world: world.pods.update({"uid-1": replace(POD, **change)})


def _route(**change: Any) -> Change:
    def apply(world: Known) -> None:
        route = ROUTE.model_copy(update=change)
        world.routes["uid-1"] = route
        world.tokens.update(dict.fromkeys(route.bindings[0].digests, (route, route.bindings[0])))

    return apply


def _review(age: float, *, accepted: bool) -> Change:
    return lambda world: world.reviews.update({"uid-1": Review(NOW - age, accepted, token_digest(CURRENT), "JTI=2")})


def _credential(version: str, *hosts: str) -> Change:
    credential = Credential("credential-c", version, Redacted(f"sk-{version}"), hosts)
    return lambda world: world.credentials.update({"credential-c": credential})


CHANGES: Final[dict[str, Change]] = {
    "token gone": lambda world: world.tokens.clear(),
    "route not confined": _route(confined=False),
    "route again": _route(confined=True),
    "pod gone": lambda world: world.pods.clear(),
    "pod elsewhere": _pod(ips=("10.244.0.8",)),
    "pod without an address": _pod(ips=()),
    "pod being deleted": _pod(deleting=True),
    "pod finished": _pod(phase="Succeeded"),
    "pod on the node's network": _pod(host_network=True),
    "pod again": _pod(),
    "review gone": lambda world: world.reviews.clear(),
    "review: no": _review(1, accepted=False),
    "review again": _review(1, accepted=True),
    "review to be renewed": _review(110, accepted=True),
    "review too old": _review(500, accepted=True),
    "gateway gone": lambda world: world.gateways.clear(),
    "gateway unreadable": lambda world: world.gateways.update({"gateway-g": None}),
    "gateway again": lambda world: world.gateways.update(known().gateways),
    "credential gone": lambda world: world.credentials.clear(),
    "credential for another host": _credential("8", "other.example"),
    "credential again": _credential("9", "api.example"),
    "route unreadable": lambda world: setattr(world, "unsupported", frozenset({"uid-1"})),
    "another route unreadable": lambda world: setattr(world, "unsupported", frozenset({"uid-2"})),
    "not synced": lambda world: setattr(world, "synced", False),
    "pods not live": lambda world: setattr(world, "pods_as_of", NOW),
    "pods live": lambda world: setattr(world, "pods_as_of", LIVE),
    "pods of long ago": lambda world: setattr(world, "pods_as_of", NOW - 301),
    "routes not live": lambda world: setattr(world, "routes_as_of", NOW),
    "routes live": lambda world: setattr(world, "routes_as_of", LIVE),
    "routes of long ago": lambda world: setattr(world, "routes_as_of", NOW - 301),
    "API server away": lambda world: setattr(world, "api_away_since", NOW - 1),
}


def asked(head: RequestHead, world: Known, now: float) -> tuple[Decision, UpstreamRequest | None]:
    """What is decided, and what would be sent."""
    decision = decide(head, world, now, TIMES)
    return decision, injection.render(head, decision) if isinstance(decision, Forward) else None


def same(one: tuple[Decision, UpstreamRequest | None], other: tuple[Decision, UpstreamRequest | None]) -> bool:
    """They lead to the same, with the same words."""
    (decision, ours), (another, theirs) = one, other
    if isinstance(decision, Forward) and isinstance(another, Forward):
        assert ours is not None
        assert theirs is not None
        parts = (decision.caller, decision.pool, decision.about, decision.refresh, ours.wire, ours.endpoint, ours.redact_body)
        return decision.access is another.access and parts == (
            *(another.caller, another.pool, another.about, another.refresh, theirs.wire, theirs.endpoint, theirs.redact_body),
        )
    return decision == another


@settings(max_examples=300)
@given(st.lists(st.tuples(st.sampled_from(sorted(CHANGES)), st.sampled_from([0.0, 5.0, 100.0, 300.0])), max_size=8))
def test_whatever_has_changed(changes: list[tuple[str, float]]) -> None:
    world, before, now = known(), head(), NOW
    asked(before, world, now)
    for name, seconds in changes:
        CHANGES[name](world)
        now += seconds
        assert same(asked(before, world, now), asked(head(), world, now)), (name, now - NOW)


@pytest.mark.parametrize("name", sorted(CHANGES))
def test_each_change_alone(name: str) -> None:
    world, before = known(), head()
    first, sent = asked(before, world, NOW)
    again, same_bytes = asked(before, world, NOW)
    assert again is first, "it was remembered"
    assert same_bytes is sent, "and so was what is sent"
    CHANGES[name](world)
    assert same(asked(before, world, NOW), asked(head(), world, NOW))


def test_a_token_that_comes_to_belong_to_another_pod_leads_to_that_one() -> None:
    world, before = known(), head()
    decide(before, world, NOW, TIMES)
    other = ROUTE.model_copy(update={"pod": ROUTE.pod.model_copy(update={"uid": "uid-2"})})
    world.tokens.update(dict.fromkeys(other.bindings[0].digests, (other, other.bindings[0])))
    world.pods["uid-2"] = Pod("uid-2", "agent-y", "agents", "Running", "node-1", ("10.244.0.9",), False, False, seen_at=0.0)
    assert refused(decide(before, world, NOW, TIMES)) is Refusal.TOKEN_ELSEWHERE
