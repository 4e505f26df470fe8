"""Rounds by chance, in many networks (network.py): where no policy is in force, nobody is ever told that one is."""

import statistics
from collections import Counter

from devbox_init.judge import State

from .network import Gateway, Network, repeatable, trouble, watched

SEEDS = range(60)
SECONDS = 60.0


def network(seed: int, *, policy: float | None = None, loss: float | None = None) -> Network:
    chance = repeatable(seed)
    gateways = trouble(chance, SECONDS)
    for one in gateways:
        if policy is not None:
            one.held_since = policy
    most = chance.choice([0.0, 0.0, 0.02, 0.1])
    return Network(
        gateways, chance, loss=most if loss is None else loss, rejects=chance.random() < 0.5, rtt=chance.choice([0.0, 0.05])
    )


def test_without_a_policy_no_pod_is_ever_taken_for_confined() -> None:
    """Not for a minute, whatever it is told else."""
    ends = Counter(
        watched(network(seed), SECONDS, end=lambda verdict: verdict.state is State.CONFINED)[1].state for seed in SEEDS
    )
    assert ends[State.CONFINED] == 0, ends


def test_and_where_a_gateway_lives_it_is_told_that_nothing_is_enforced() -> None:
    """The time that a canary may answer is not begun anew by those that are dead."""
    for seed in SEEDS:
        chance = repeatable(seed)
        dead = [Gateway(f"10.42.9.{number}", died=0.0) for number in range(chance.randint(1, 2))]
        net = Network([Gateway("10.42.1.2"), *dead], chance, loss=0.0, rejects=False, rtt=0.05)
        at, verdict = watched(net, SECONDS)
        assert (verdict.state, verdict.late) == (State.OPEN, True), seed
        assert at < 40, seed


def test_one_of_two_replicas_is_dead_and_no_policy_is_there() -> None:
    """A canary of the one that is silent beside a data port of the other that answers, in a quarter of all rounds."""
    for seed in SEEDS:
        gateways = [Gateway("10.42.1.2"), Gateway("10.42.2.2", died=0.0)]
        net = Network(gateways, repeatable(seed), loss=0.0, rejects=False, rtt=0.0)
        _, verdict = watched(net, SECONDS, end=lambda verdict: verdict.state is State.CONFINED)
        assert verdict.state is State.OPEN, seed


def test_with_a_policy_it_is_confined_soon() -> None:
    """Also beside a replica that is dead, and on a network that loses packets."""
    took = []
    for seed in SEEDS:
        chance = repeatable(seed)
        policy = chance.uniform(0, 2)
        gateways = [Gateway("10.42.1.2", held_since=policy), Gateway("10.42.2.2", held_since=policy)]
        if seed % 2:
            gateways.append(Gateway("10.42.3.2", died=0.0))
        net = Network(gateways, chance, loss=0.02, rejects=seed % 3 == 0, rtt=0.0)
        at, verdict = watched(net, SECONDS)
        assert verdict.state is State.CONFINED, seed
        assert at >= policy, seed
        took.append(at - policy)
    assert statistics.median(took) < 2.5
    assert max(took) < 12


def test_a_lost_packet_is_no_policy() -> None:
    """Nor are a tenth of them: each canary is called three times."""
    for seed in SEEDS:
        net = Network([Gateway("10.42.1.2")], repeatable(seed), loss=0.1, rejects=False, rtt=0.05)
        _, verdict = watched(net, SECONDS, end=lambda verdict: verdict.state is State.CONFINED)
        assert verdict.state is not State.CONFINED, seed
