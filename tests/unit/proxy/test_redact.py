"""The credential does not come back in a form that an API would write it in, and the search changes nothing else."""

import base64
import json
import random
import re
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devbox_common.redacted import Redacted
from devbox_proxy.redact import HELD_BACK, BodyRedactor, Redactor

SECRET = 'sk-real/"k\\ey+value=1'
REDACT = Redactor(Redacted(SECRET))


def percent(text: str, form: str) -> str:
    return "".join(form.format(ord(character)) for character in text)


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        quote(SECRET, safe=""),
        quote(SECRET),
        percent(SECRET, "%{:02x}"),
        percent(SECRET, "%{:02X}"),
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET)[1:-1].replace("/", "\\/"),
        percent(SECRET, "\\u{:04x}"),
        percent(SECRET, "\\u{:04X}"),
    ],
)
def test_every_way_to_write_it_is_found(form: str) -> None:
    before, after = b'{"echo":"Bearer ', b'","n":1}'
    assert REDACT(before + form.encode() + after) == before + b"*" * len(form) + after


@pytest.mark.parametrize("user", ["", "a", "ab", "abc", "abcd"])
@pytest.mark.parametrize("tail", ["", "x", "xy", "xyz"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_base64_within_something_longer_no_longer_gives_it(user: str, tail: str, encode) -> None:  # type: ignore[no-untyped-def]
    written = encode(f"{user}{SECRET}{tail}".encode())
    redacted = REDACT(b"Basic " + written)
    assert len(redacted) == len(b"Basic " + written)
    hidden = redacted.count(b"*")
    # At most the characters at both ends that neighbours share with the credential stay.
    assert hidden >= len(SECRET) * 4 // 3 - 4


def test_text_without_it_is_unchanged_and_a_short_one_is_not_searched_for() -> None:
    text = bytes(range(256)) + SECRET[:-1].encode() + SECRET[1:].encode()
    assert REDACT(text) == text
    assert Redactor(Redacted("short"))(b"short") == b"short"


def test_it_does_not_print_itself() -> None:
    assert SECRET not in repr(REDACT)
    assert "sk-real" not in repr(REDACT)


def test_a_body_in_any_pieces_gives_the_same() -> None:
    body = f'data: {{"text":"{SECRET}"}}\n\ndata: {quote(SECRET)} and on\n'.encode() * 20
    expected = REDACT(body)
    assert b"*" * len(SECRET) in expected
    for seed in range(50):
        chance = random.Random(seed)  # noqa: S311 (a repeatable one)
        redactor, sent, rest = BodyRedactor(REDACT), b"", body
        while rest:
            size = chance.randint(1, 60)
            sent, rest = sent + redactor.feed(rest[:size]), rest[size:]
        assert sent + redactor.finish() == expected


def test_an_event_is_not_kept_waiting() -> None:
    redactor = BodyRedactor(REDACT)
    assert redactor.feed(b"data: 1\n\n") == b"data: 1\n\n"
    assert redactor.feed(b"data: ") == b""
    assert redactor.feed(b"2\n\nda") == b"data: 2\n\n"


def test_what_is_held_back_does_not_depend_on_the_credential() -> None:
    def sizes(filling: bytes) -> list[int]:
        redactor = BodyRedactor(REDACT)
        return [len(redactor.feed(filling[start : start + 7])) for start in range(0, len(filling), 7)]

    near = (SECRET[:-1].encode() * (2 * HELD_BACK // len(SECRET)))[: 2 * HELD_BACK - 7]
    hit = (SECRET.encode() * (2 * HELD_BACK // len(SECRET)))[: len(near)]
    assert sizes(near) == sizes(b"x" * len(near)) == sizes(hit)


_escapes = st.sampled_from(
    [
        lambda byte: bytes([byte]),
        lambda byte: b"%%%02x" % byte,
        lambda byte: b"%%%02X" % byte,
        lambda byte: b"\\u00%02x" % byte,
        lambda byte: b"\\" + bytes([byte]),
    ]
)
_secrets = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=12, max_size=24)
_around = st.binary(max_size=8).map(lambda data: data.replace(b"\x00", b"%5"))


@settings(max_examples=400)
@given(_secrets, st.data())
def test_the_quick_look_never_says_no_where_it_is(secret: str, data: st.DataObject) -> None:
    redactor = Redactor(Redacted(secret))
    form = data.draw(st.sampled_from([secret.encode(), base64.b64encode(secret.encode())]))
    hidden = b"".join(data.draw(_escapes)(byte) for byte in form)
    text = data.draw(_around) + hidden + data.draw(_around)
    pattern = re.compile(b"|".join(redactor._forms()))
    assert redactor.may_be_in(text) or not pattern.search(text)
