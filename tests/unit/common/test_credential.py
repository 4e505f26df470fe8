"""What may be a credential: one judgement, whatever the value holds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox_api.judge.keys import MOST_BYTES, Flaw
from devbox_common.credential import judge, pair
from devbox_common.redacted import Redacted

TOKEN = "gws_eyJhbGciOiJSUzI1NiJ9.e30.c2ln"


@pytest.mark.parametrize(
    "value",
    [
        "sk-ant-api03-AbC_123",
        "Token abc",
        "pässwörd",
        "a" * MOST_BYTES,
        "gws_of-something-else",
        "ä" * (MOST_BYTES // 2),
    ],
    ids=lambda value: repr(value[:24]),
)
@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n"], ids=repr)
def test_what_passes(value: str, end: str) -> None:
    assert judge((value + end).encode()) == Redacted(value)


@pytest.mark.parametrize(
    ("value", "flaw"),
    [
        (b"", Flaw.EMPTY),
        (b"\n", Flaw.EMPTY),
        (b" \t ", Flaw.EMPTY),
        (b"\xff\xfe", Flaw.NOT_TEXT),
        (b"sk-\xa0one", Flaw.NOT_TEXT),
        (b"sk-one\ttwo", Flaw.UNSEEN),
        (b"sk-one\t", Flaw.UNSEEN),
        (b"\tsk-one", Flaw.UNSEEN),
        (b"two\nlines", Flaw.UNSEEN),
        (b"sk-one\x00", Flaw.UNSEEN),
        (b"sk-one\x7f", Flaw.UNSEEN),
        (b"sk-\x1b[0m", Flaw.UNSEEN),
        ("c1 \x85".encode(), Flaw.UNSEEN),
        ("\ufeffsk-one".encode(), Flaw.MARK),
        ("sk\u200b-one".encode(), Flaw.UNSEEN),
        ("sk\u2028one".encode(), Flaw.UNSEEN),
        (b" sk-one", Flaw.BLANKS),
        (b"sk-one ", Flaw.BLANKS),
        (b"sk-one \n", Flaw.BLANKS),
        ("sk-one\u00a0".encode(), Flaw.BLANKS),
        (TOKEN.encode(), Flaw.TOKEN),
        (f"Bearer {TOKEN}".encode(), Flaw.TOKEN),
        (b"a" * (MOST_BYTES + 1), Flaw.TOO_LONG),
        ("ä".encode() * (MOST_BYTES // 2 + 1), Flaw.TOO_LONG),
    ],
    ids=lambda part: repr(part[:16]) if isinstance(part, bytes) else part.name,
)
def test_what_does_not(value: bytes, flaw: Flaw) -> None:
    assert judge(value) is flaw


@given(st.binary(max_size=64))
def test_what_passes_is_a_field_value_and_stays_what_it_is(value: bytes) -> None:
    found = judge(value)
    if isinstance(found, Flaw):
        return
    sent = found.reveal().encode()
    assert not [byte for byte in sent if byte < 0x20 or byte == 0x7F], "RFC 9110 5.5: field-content"
    assert sent == sent.strip()
    assert judge(sent) == found, "the gateway judges what the operator wrote"


def test_no_flaw_shows_the_value() -> None:
    assert "sk-one" not in str(judge(b"sk-one\ttwo"))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("me:pass", ("me", "pass")),
        ("me:pass:word:", ("me", "pass:word:")),
        ("sk-one:", ("sk-one", "")),
        (":pat", ("", "pat")),
        ("pass", None),
        (":", None),
    ],
)
def test_user_and_password_of_one_value(value: str, expected: tuple[str, str] | None) -> None:
    found = pair(Redacted(value))
    assert (found and (found[0].reveal(), found[1].reveal())) == expected
