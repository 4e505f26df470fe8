"""When a pod counts as confined, and when as not: rounds in, verdict out."""

import pytest

from devbox_init.judge import Judge, Verdict

DATA, BOTH, CANARY, NEITHER = (True, False), (True, True), (False, True), (False, False)


def last(rounds: list[tuple[bool, bool]], seconds: float = 30, every: float = 1.0) -> Verdict:
    judge, verdict = Judge(seconds), Verdict.WAITING
    for number, (data, canary) in enumerate(rounds):
        verdict = judge.take(number * every, data=data, canary=canary)
    return verdict


@pytest.mark.parametrize(
    ("rounds", "expected"),
    [
        ([DATA, DATA, DATA], Verdict.CONFINED),
        ([DATA, DATA], Verdict.CLOSING),
        ([BOTH, DATA, DATA, DATA], Verdict.CONFINED),
        ([DATA, DATA, BOTH, DATA, DATA], Verdict.CLOSING),
        ([DATA, DATA, NEITHER, DATA], Verdict.CLOSING),
        ([NEITHER] * 100, Verdict.WAITING),
        ([BOTH] * 30, Verdict.OPEN),
        ([BOTH] * 31, Verdict.NOT_ENFORCED),
        ([CANARY] * 31, Verdict.NOT_ENFORCED),
        ([*[BOTH] * 20, NEITHER, *[BOTH] * 20], Verdict.OPEN),
        ([*[BOTH] * 20, DATA, *[BOTH] * 20], Verdict.OPEN),
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
def test_verdicts(rounds: list[tuple[bool, bool]], expected: Verdict) -> None:
    assert last(rounds) is expected
