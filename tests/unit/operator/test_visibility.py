"""Whether the canary is closed for everybody: looks in, what is known out."""

import pytest

from devbox_operator.seen.visibility import AWAY_SECONDS, NOT_YET, SEEN, Look, Looks, Sight, Visibility

OPEN, CLOSED, SILENT = Look.OPEN, Look.CLOSED, Look.SILENT
AWAY = Visibility(Sight.AWAY)
Row = list[tuple[float, dict[str, Look]]]


def shut(*gateways: str) -> Visibility:
    return Visibility(Sight.CLOSED, gateways)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ([(1, {"a": OPEN, "b": OPEN})], SEEN),
        ([(1, {"a": OPEN, "b": SILENT})], SEEN),
        ([(1, {})], NOT_YET),
        ([(1, {"a": SILENT})], NOT_YET),
        ([(1, {"a": CLOSED})], NOT_YET),
        ([(1, {"a": CLOSED}), (2, {"a": CLOSED})], shut("a")),
        ([(1, {"a": OPEN}), (2, {"a": CLOSED})], SEEN),
        ([(1, {"a": OPEN}), (2, {"a": CLOSED}), (3, {"a": CLOSED})], shut("a")),
        ([(1, {"a": CLOSED}), (2, {"a": OPEN}), (3, {"a": CLOSED})], SEEN),
        ([(1, {"a": CLOSED}), (2, {"a": SILENT}), (3, {"a": CLOSED})], shut("a")),
        ([(1, {"b": CLOSED, "a": OPEN}), (2, {"b": CLOSED, "a": OPEN})], shut("b")),
        ([(1, {"b": CLOSED, "a": CLOSED}), (2, {"b": CLOSED, "a": CLOSED})], shut("a", "b")),
        ([(1, {"a": CLOSED}), (2, {"a": CLOSED}), (3, {"a": OPEN})], SEEN),
        ([(1, {"a": OPEN, "b": CLOSED}), (2, {"a": OPEN, "b": CLOSED}), (3, {"a": OPEN})], SEEN),
        ([(1, {"a": OPEN}), (AWAY_SECONDS, {"a": SILENT})], SEEN),
        ([(1, {"a": OPEN}), (1 + AWAY_SECONDS, {"a": SILENT})], AWAY),
        ([(1, {"a": OPEN}), (1 + AWAY_SECONDS, {})], AWAY),
        ([(1, {"a": OPEN}), (1 + AWAY_SECONDS, {}), (2 + AWAY_SECONDS, {"a": OPEN})], SEEN),
        ([(AWAY_SECONDS, {"a": SILENT})], AWAY),
    ],
    ids=[
        "all open",
        "one that is dead says nothing",
        "no gateway yet",
        "none that answers",
        "one look is no proof, nor is it a success",
        "two are",
        "what was seen counts meanwhile",
        "until the second",
        "with one between that succeeds",
        "or one that says nothing, which changes nothing",
        "one gateway is enough, for the Service leads there, too",
        "all of them are named",
        "it heals at once",
        "also when that gateway goes",
        "away for a while",
        "away for long",
        "or gone",
        "and back",
        "nobody ever came",
    ],
)
def test_what_is_known(row: Row, expected: Visibility) -> None:
    looks, known = Looks(0.0), NOT_YET
    for now, look in row:
        known = looks.take(look, now)
    assert known == expected
    assert known.seen is (expected is SEEN)


def test_doubt_asks_for_another_look_soon() -> None:
    looks = Looks(0.0)
    looks.take({"a": OPEN}, 1)
    assert not looks.doubtful
    looks.take({"a": CLOSED}, 2)
    assert looks.doubtful
