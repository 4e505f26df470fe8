"""When a pod counts as confined, and when as not: rounds in, verdict out."""

import itertools
from dataclasses import replace

import pytest

from devbox_init.families import Family
from devbox_init.judge import Judge, Seen, Silence, State, Verdict

V4, V6 = Family.IPV4, Family.IPV6
A, B = frozenset({"10.42.1.2"}), frozenset({"10.42.2.2"})
SHUT = Seen(used=True, named=True, shut=A, front=True)
"""A gateway answers and its canary does not."""
OTHER = replace(SHUT, shut=B)
"""Nor does another's."""
BOTH = Seen(used=True, named=True, open=A, front=True)
"""The canary answers."""
CANARY = replace(BOTH, front=False)
SILENT = Seen(used=True, named=True)
UNNAMED = Seen(used=True, named=False)
NAMED = Seen(used=False, named=True)
ABSENT = Seen(used=False, named=False)
FAILED = Seen(used=True, named=True, front=True, errors=("EMFILE",))
"""The data port answered, and one to the canary could not be called."""
HALF = replace(BOTH, errors=("EMFILE",))
UNCALLED = Seen(used=False, named=True, errors=("EADDRNOTAVAIL",))
LEAK = replace(BOTH, used=False)
"""An answer without an address that we know of."""
BEHIND = replace(SHUT, front=False)
"""The gateway is shut, and does not answer by its name."""

Round = tuple[Seen, Seen]


def last(rounds: list[Round], seconds: float = 30, every: float = 1.0) -> Verdict:
    judge, verdict = Judge(seconds), Verdict(State.WAITING)
    for number, (four, six) in enumerate(rounds):
        verdict = judge.take(number * every, {V4: four, V6: six})
    return verdict


@pytest.mark.parametrize("other", [ABSENT, NAMED], ids=["IPv4 alone", "IPv4 alone, a gateway with both"])
@pytest.mark.parametrize(
    ("rounds", "state", "late"),
    [
        ([SHUT, SHUT, SHUT], State.CONFINED, False),
        ([SHUT, SHUT], State.CLOSING, False),
        ([BOTH, SHUT, SHUT, SHUT], State.CONFINED, False),
        ([SHUT, SHUT, BOTH, SHUT, SHUT], State.CLOSING, False),
        ([SHUT, SHUT, SILENT, SHUT], State.CONFINED, False),
        ([SHUT, SHUT, *[SILENT] * 5, SHUT], State.CLOSING, False),
        ([BEHIND] * 100, State.CLOSING, False),
        ([SHUT, BEHIND, BEHIND], State.CONFINED, False),
        ([BOTH, OTHER, OTHER, OTHER], State.OPEN, False),
        ([BOTH, OTHER, SHUT, OTHER], State.CONFINED, False),
        ([BOTH, *[OTHER] * 5], State.CONFINED, False),
        ([*[BOTH, OTHER] * 15, BOTH], State.OPEN, True),
        ([SILENT] * 100, State.WAITING, False),
        ([BOTH] * 30, State.OPEN, False),
        ([BOTH] * 31, State.OPEN, True),
        ([CANARY] * 31, State.OPEN, True),
        ([*[BOTH] * 20, SILENT, *[BOTH] * 10], State.OPEN, True),
        ([*[BOTH] * 20, *[SILENT] * 5, *[BOTH] * 10], State.OPEN, False),
        ([*[BOTH] * 30, SILENT], State.OPEN, False),
        ([*[BOTH] * 20, SHUT, *[BOTH] * 20], State.OPEN, False),
    ],
    ids=[
        "three rounds running",
        "two are too few",
        "a policy that comes late",
        "a canary in between begins anew",
        "a gateway that is away in between says nothing",
        "and what was seen long before does not count",
        "it has to answer by its name",
        "once is enough",
        "one that is shut says nothing of another, which was open",
        "it does once that one is shut, too",
        "or has not been seen any more",
        "and where it goes on, nothing is enforced",
        "no gateway is no proof, for however long",
        "a CNI may take its time",
        "and then it enforces nothing",
        "the canary alone says so, too",
        "a round that says nothing does not begin the time anew",
        "many do",
        "it is over with an answer",
        "after a round that passed it begins anew",
    ],
)
def test_one_family(rounds: list[Seen], state: State, late: bool, other: Seen) -> None:
    assert last([(one, other) for one in rounds]) == Verdict(state, (V4,), late)
    assert last([(other, one) for one in rounds]) == Verdict(state, (V6,), late), "and so it is the other way round"


@pytest.mark.parametrize(
    ("rounds", "expected"),
    [
        ([(SHUT, SHUT)] * 3, Verdict(State.CONFINED, (V4, V6))),
        ([(SHUT, SHUT)] * 2, Verdict(State.CLOSING, (V4, V6))),
        ([(SHUT, BOTH)] * 3, Verdict(State.OPEN, (V6,))),
        ([(SHUT, BOTH)] * 31, Verdict(State.OPEN, (V6,), late=True)),
        ([(SHUT, LEAK)] * 31, Verdict(State.OPEN, (V6,), late=True)),
        ([(SHUT, SILENT)] * 100, Verdict(State.WAITING, (V6,))),
        ([(SHUT, UNNAMED)] * 3, Verdict(State.UNSEEN, (V6,))),
        ([(SHUT, UNNAMED)] * 31, Verdict(State.UNSEEN, (V6,), late=True)),
        ([(UNNAMED, SHUT)] * 31, Verdict(State.UNSEEN, (V4,), late=True)),
        ([*[(SHUT, UNNAMED)] * 20, (SHUT, ABSENT)], Verdict(State.CONFINED, (V4,))),
        ([(SHUT, ABSENT), (SHUT, SHUT), (SHUT, SHUT)], Verdict(State.CLOSING, (V4, V6))),
        ([(SHUT, ABSENT), *[(SHUT, SHUT)] * 3], Verdict(State.CONFINED, (V4, V6))),
        ([(SHUT, ABSENT), (SHUT, SILENT), (SHUT, SILENT)], Verdict(State.WAITING, (V6,))),
        ([(SHUT, ABSENT), (SHUT, UNNAMED), (SHUT, UNNAMED)], Verdict(State.UNSEEN, (V6,))),
        ([(SHUT, SHUT), (SHUT, SILENT), *[(SHUT, SHUT)] * 2], Verdict(State.CONFINED, (V4, V6))),
        ([*[(SHUT, SHUT)] * 3, (SHUT, SILENT)][1:], Verdict(State.CLOSING, (V4, V6))),
        ([*[(SHUT, SHUT)] * 2, (BOTH, SHUT), *[(SHUT, SHUT)] * 2], Verdict(State.CLOSING, (V4, V6))),
        ([*[(BOTH, SHUT)] * 20, *[(SHUT, BOTH)] * 20], Verdict(State.OPEN, (V6,))),
        ([(BOTH, BOTH)] * 31, Verdict(State.OPEN, (V4, V6), late=True)),
        ([(BOTH, UNNAMED)] * 31, Verdict(State.OPEN, (V4,), late=True)),
        ([(NAMED, NAMED)] * 100, Verdict(State.WAITING)),
        ([(NAMED, ABSENT), (ABSENT, ABSENT), *[(SHUT, ABSENT)] * 3], Verdict(State.CONFINED, (V4,))),
    ],
    ids=[
        "both fine",
        "both have to show it three times",
        "the canary answers over the second alone",
        "and goes on",
        "also where the pod has no address that we know of",
        "the gateway is silent over the second, for however long",
        "it has no address of the second",
        "and gets none",
        "nor one of the first",
        "the pod's address goes away",
        "one that comes late has to show it, too",
        "and does",
        "or does not",
        "or can't",
        "one that says nothing in between is as if it had not been",
        "and does not count",
        "a canary of the first lets the second begin anew",
        "each has its time",
        "nothing is enforced at all",
        "an open one is told first",
        "no address yet",
        "an address that comes",
    ],
)
def test_two_families(rounds: list[Round], expected: Verdict) -> None:
    assert last(rounds) == expected


def failing(*families: Family, errors: tuple[str, ...] = ("EMFILE",)) -> Verdict:
    return Verdict(State.FAILING, families, errors=errors)


@pytest.mark.parametrize(
    ("rounds", "expected"),
    [
        ([(FAILED, ABSENT)] * 100, failing(V4)),
        ([*[(SHUT, ABSENT)] * 2, (FAILED, ABSENT)], failing(V4)),
        ([*[(SHUT, ABSENT)] * 2, (FAILED, ABSENT), *[(SHUT, ABSENT)] * 2], Verdict(State.CLOSING, (V4,))),
        ([(FAILED, ABSENT), *[(SHUT, ABSENT)] * 3], Verdict(State.CONFINED, (V4,))),
        ([*[(SHUT, SHUT)] * 2, (SHUT, FAILED), *[(SHUT, SHUT)] * 2], Verdict(State.CLOSING, (V4, V6))),
        ([(SHUT, UNCALLED)] * 3, Verdict(State.CONFINED, (V4,))),
        ([(UNCALLED, SHUT)] * 3, Verdict(State.CONFINED, (V6,))),
        ([(HALF, ABSENT)] * 31, Verdict(State.OPEN, (V4,), late=True)),
        ([*[(BOTH, ABSENT)] * 20, (FAILED, ABSENT), *[(BOTH, ABSENT)] * 10], Verdict(State.OPEN, (V4,), late=True)),
        ([(FAILED, UNNAMED)] * 31, Verdict(State.UNSEEN, (V6,), late=True)),
        ([(FAILED, replace(SHUT, errors=("EINVAL",)))], failing(V4, V6, errors=("EINVAL", "EMFILE"))),
    ],
    ids=[
        "no proof, for however long",
        "nor the third one",
        "it begins anew",
        "and may pass then",
        "over both families",
        "one that the pod has no address of is not asked for",
        "whichever that is",
        "an answer is an answer, beside whatever error",
        "it is no answer either, and the time goes on",
        "a family without an address of the gateway is told first",
        "what failed is told",
    ],
)
def test_what_fails_in_the_pod_itself_says_nothing(rounds: list[Round], expected: Verdict) -> None:
    assert last(rounds) == expected


MUTE, LOST = replace(SILENT, silence=Silence.MUTE), replace(SILENT, silence=Silence.LOST)


@pytest.mark.parametrize(
    ("rounds", "why"),
    [
        ([SILENT], Silence.NOBODY),
        ([MUTE, SILENT], Silence.MUTE),
        ([SILENT, MUTE, LOST], Silence.MUTE),
        ([LOST, SILENT], Silence.LOST),
        ([MUTE, *[SILENT] * 5], Silence.NOBODY),
    ],
)
def test_what_is_waited_for_is_told_and_does_not_change_with_every_round(rounds: list[Seen], why: Silence) -> None:
    """The Service leads now to one, now to another."""
    assert last([(one, ABSENT) for one in rounds]) == Verdict(State.WAITING, (V4,), silence=why)


@pytest.mark.parametrize(
    ("devices", "expected"),
    [
        (["eth0"] * 3, Verdict(State.CONFINED, (V4, V6))),
        ([""] * 3, Verdict(State.CONFINED, (V4, V6))),
        (["eth0 net1"] * 30, Verdict(State.UNSEEN, devices=("eth0", "net1"))),
        (["eth0 net1"] * 31, Verdict(State.UNSEEN, late=True, devices=("eth0", "net1"))),
        ([*["eth0"] * 2, "eth0 net1"], Verdict(State.UNSEEN, devices=("eth0", "net1"))),
        ([*["eth0 net1"] * 20, *["eth0"] * 2], Verdict(State.CLOSING, (V4, V6))),
        ([*["eth0 net1"] * 20, *["eth0"] * 3], Verdict(State.CONFINED, (V4, V6))),
        ([*["eth0 net1"] * 20, "eth0", *["eth0 net1"] * 20], Verdict(State.UNSEEN, devices=("eth0", "net1"))),
        ([*["eth0 net1"] * 20, *["eth0 net1 net2"] * 11], Verdict(State.UNSEEN, late=True, devices=("eth0", "net1", "net2"))),
        ([*["eth0 net1"] * 20, *["eth0 net2"] * 11], Verdict(State.UNSEEN, late=True, devices=("eth0", "net2"))),
    ],
    ids=[
        "one",
        "loopback's alone",
        "two, which may pass",
        "and do not",
        "a second one that comes late",
        "and one that goes: what was seen beside it does not count",
        "what is seen after it does",
        "the time counts anew",
        "a third one, which is no better",
        "nor another one",
    ],
)
def test_more_than_one_device(devices: list[str], expected: Verdict) -> None:
    assert on(devices, [(SHUT, SHUT)] * len(devices)) == expected


def on(devices: list[str], rounds: list[Round]) -> Verdict:
    judge, verdict = Judge(30), Verdict(State.WAITING)
    for number, (names, (four, six)) in enumerate(zip(devices, rounds, strict=True)):
        verdict = judge.take(float(number), {V4: four, V6: six}, names.split())
    return verdict


@pytest.mark.parametrize(
    ("devices", "rounds", "expected"),
    [
        (["eth0 net1"] * 31, [(SHUT, BOTH)] * 31, Verdict(State.OPEN, (V6,), late=True)),
        (["eth0 v4if0"] * 31, [(UNNAMED, SHUT)] * 31, Verdict(State.UNSEEN, late=True, devices=("eth0", "v4if0"))),
        (
            [*["eth0"] * 10, *["eth0 v4if0"] * 21],
            [(UNNAMED, SHUT)] * 31,
            Verdict(State.UNSEEN, (V4,), late=True),
        ),
        (["eth0 net1"] * 31, [(SILENT, SILENT)] * 31, Verdict(State.UNSEEN, late=True, devices=("eth0", "net1"))),
    ],
    ids=[
        "what is open is told first",
        "the device before the family that it brings",
        "unless that is over time alone",
        "it does not take a gateway to see it",
    ],
)
def test_a_second_device_and_other_trouble(devices: list[str], rounds: list[Round], expected: Verdict) -> None:
    assert on(devices, rounds) == expected


EVERY = [SHUT, OTHER, BOTH, CANARY, SILENT, UNNAMED, NAMED, ABSENT, LEAK, FAILED, HALF, UNCALLED, BEHIND]


def test_confined_means_each_family_in_use_was_seen_so_three_times() -> None:
    """Every four rounds that there are of the two families, where one of them is something else in one round or from one on."""
    for odd, place, other in itertools.product(EVERY, range(4), EVERY):
        for row in ([odd if at == place else SHUT for at in range(4)], [odd if at >= place else SHUT for at in range(4)]):
            for rounds in ([(one, other) for one in row], [(other, one) for one in row]):
                assert (last(rounds).state is State.CONFINED) == _shown(rounds), rounds


def _shown(rounds: list[Round]) -> bool:
    """What CONFINED demands, said another way: of the rounds after the last one that was void."""
    used = [side for side in (0, 1) if rounds[-1][side].used]
    void = [at for at, pair in enumerate(rounds) if any(one.open or (one.used and one.errors) for one in pair)]
    since = rounds[void[-1] + 1 :] if void else rounds
    if not used or not since or not all(one.named for one in rounds[-1] if one.used):
        return False
    for side in used:
        # (A family that was away in between begins anew.)
        away = [at for at, pair in enumerate(since) if not pair[side].used]
        recent = [pair[side] for pair in since[away[-1] + 1 if away else 0 :]]
        if sum(bool(one.shut) for one in recent) < 3 or not any(pair[side].used and pair[side].front for pair in rounds):
            return False
    for side in (0, 1):
        opened = {gateway for pair in rounds for gateway in pair[side].open}
        for gateway in opened:
            last_open = max(at for at, pair in enumerate(rounds) if gateway in pair[side].open)
            if not any(gateway in pair[side].shut for pair in rounds[last_open + 1 :]):
                return False
    return True


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        (Verdict(State.WAITING), "the pod has no address yet"),
        (Verdict(State.WAITING, (V6,)), "the gateway does not answer yet over IPv6"),
        (
            Verdict(State.WAITING, (V4,), silence=Silence.LOST),
            "the gateway answers over IPv4 by its name, and its pod does not at its own address: it is on its way, or gone, or the way "
            "there is not open yet",
        ),
        (
            Verdict(State.WAITING, (V4,), silence=Silence.MUTE),
            "the gateway answers over IPv4 and does not say which of its pods it is: it is of an older release; this pod's agent starts "
            "once the gateways have been upgraded",
        ),
        (
            Verdict(State.WAITING, (V4,), silence=Silence.CROWDED),
            "the gateway answers over IPv4, and its canary gets more connections than it takes, from whomever: it might be silent for that",
        ),
        (Verdict(State.OPEN, (V4, V6)), "the canary answers over IPv4 and IPv6: no NetworkPolicy is in force there yet"),
        (
            Verdict(State.UNSEEN, (V6,)),
            "the pod has an address of IPv6 and the gateway has none: there it can't be seen to be confined",
        ),
        (
            Verdict(State.UNSEEN, devices=("eth0", "net1")),
            "the pod has addresses on eth0 and net1: on one of them alone it can be seen to be confined",
        ),
        (failing(V4), "connections over IPv4 fail in the pod itself (EMFILE): that says nothing of the network"),
        (Verdict(State.CLOSING, (V4,)), "the gateway answers and the canary does not, over IPv4"),
    ],
)
def test_it_says_what_it_waits_for(verdict: Verdict, words: str) -> None:
    assert str(verdict) == words
