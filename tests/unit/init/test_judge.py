"""When a pod counts as confined, and when as not: rounds in, verdict out."""

import itertools
from dataclasses import replace

import pytest

from devbox_init.families import Family
from devbox_init.judge import Judge, Seen, State, Verdict

V4, V6 = Family.IPV4, Family.IPV6
SHUT = Seen(used=True, named=True, data=True, canary=False)
"""The gateway answers and the canary does not."""
BOTH = Seen(used=True, named=True, data=True, canary=True)
CANARY = Seen(used=True, named=True, data=False, canary=True)
SILENT = Seen(used=True, named=True, data=False, canary=False)
UNNAMED = Seen(used=True, named=False, data=False, canary=False)
NAMED = Seen(used=False, named=True, data=False, canary=False)
ABSENT = Seen(used=False, named=False, data=False, canary=False)
FAILED = Seen(used=True, named=True, data=True, canary=False, errors=("EMFILE",))
"""The data port answered, and one to the canary could not be called."""
HALF = Seen(used=True, named=True, data=True, canary=True, errors=("EMFILE",))
UNCALLED = Seen(used=False, named=True, data=False, canary=False, errors=("EADDRNOTAVAIL",))
LEAK = Seen(used=False, named=True, data=True, canary=True)
"""An answer without an address that we know of."""

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
        ([SHUT, SHUT, SILENT, SHUT], State.CLOSING, False),
        ([SILENT] * 100, State.WAITING, False),
        ([BOTH] * 30, State.OPEN, False),
        ([BOTH] * 31, State.OPEN, True),
        ([CANARY] * 31, State.OPEN, True),
        ([*[BOTH] * 20, SILENT, *[BOTH] * 20], State.OPEN, False),
        ([*[BOTH] * 20, SHUT, *[BOTH] * 20], State.OPEN, False),
    ],
    ids=[
        "three rounds running",
        "two are too few",
        "a policy that comes late",
        "a canary in between begins anew",
        "a gateway that is away in between begins anew",
        "no gateway is no proof, for however long",
        "a CNI may take its time",
        "and then it enforces nothing",
        "the canary alone says so, too",
        "the time counts from the first answer running",
        "also after a round that passed",
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
        ([(SHUT, SHUT), (SHUT, SILENT), *[(SHUT, SHUT)] * 2], Verdict(State.CLOSING, (V4, V6))),
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
        "a second that fails in between begins anew",
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
        ([*[(BOTH, ABSENT)] * 20, (FAILED, ABSENT), *[(BOTH, ABSENT)] * 20], Verdict(State.OPEN, (V4,))),
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
        "it is no answer either: the time counts anew",
        "a family without an address of the gateway is told first",
        "what failed is told",
    ],
)
def test_what_fails_in_the_pod_itself_says_nothing(rounds: list[Round], expected: Verdict) -> None:
    assert last(rounds) == expected


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


EVERY = [SHUT, BOTH, CANARY, SILENT, UNNAMED, NAMED, ABSENT, LEAK, FAILED, HALF, UNCALLED]


def test_confined_means_each_family_in_use_was_seen_so_three_times_running() -> None:
    """Every four rounds that there are of the two families, where one of them is something else in one round or from one on."""
    for odd, place, other in itertools.product(EVERY, range(4), EVERY):
        for row in ([odd if at == place else SHUT for at in range(4)], [odd if at >= place else SHUT for at in range(4)]):
            for rounds in ([(one, other) for one in row], [(other, one) for one in row]):
                recent = rounds[-3:]
                used = [side for side in (0, 1) if recent[-1][side].used]
                seen = used and all(one[side] == SHUT for one in recent for side in used)
                shut = not any(one.canary or (one.used and one.errors) for pair in recent for one in pair)
                assert (last(rounds).state is State.CONFINED) == bool(seen and shut), rounds


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        (Verdict(State.WAITING), "the pod has no address yet"),
        (Verdict(State.WAITING, (V6,)), "the gateway does not answer yet over IPv6"),
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
