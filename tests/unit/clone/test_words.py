"""What strangers say, cleaned and cut."""

import pytest

from devbox_api.judge.shown import MOST_BYTES, MOST_LINES
from devbox_clone.words import cleaned, last


@pytest.mark.parametrize(
    ("output", "lines"),
    [
        (b"", []),
        (b"one\r\n\n  two\rthree\tfour  ", ["one", "two", "three four"]),
        (b"\x1b[31mred\x1b[0m\x07\x00", ["\\x1b[31mred\\x1b[0m\\x07\\x00"]),
        ("\u202eturned\u2066 \x9b".encode(), ["\\u202eturned\\u2066 \\x9b"]),
        (b"\xff\xfe", ["\ufffd\ufffd"]),
        (b"x:gws_abc.DEF-_=@host, gws_", ["x:gws_\u2026@host, gws_\u2026"]),
        (b"y" * 500, ["y" * 399 + "\u2026"]),
    ],
)
def test_cleaned(output: bytes, lines: list[str]) -> None:
    assert cleaned(output) == lines


def test_the_last_of_it() -> None:
    assert last("it failed", []) == "it failed"
    assert last("it failed", ["a", "b"]) == "it failed\na\nb"
    many = last("it failed", [str(number) for number in range(100)])
    assert many.splitlines() == ["it failed", *(str(number) for number in range(81, 100))]
    assert len(many.splitlines()) == MOST_LINES
    long = last("it failed", ["\u20ac" * 400] * 19)
    assert len(long.encode()) <= MOST_BYTES
    assert long.startswith("it failed\n\u20ac")
