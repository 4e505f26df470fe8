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
from devbox_proxy.wire import redact
from devbox_proxy.wire.redact import BodyRedactor, Redactor, _any_escape, _base64_forms

SECRET = 'sk-real/"k\\ey+value=1'
REDACT = Redactor(Redacted(SECRET))
USUAL = "sk-ant-api03-Zm9vYmFyLWJheg-AA"
"""Without anything that an escape is made of."""


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


@pytest.mark.parametrize("end", [b"\n\n", b"\r\r", b"\r\n\r\n"])
def test_an_event_is_not_kept_waiting(end: bytes) -> None:
    redactor = BodyRedactor(REDACT)
    assert redactor.feed(b"data: 1" + end) == b"data: 1" + end
    assert redactor.feed(b"data: ") == b""
    assert redactor.feed(b"2" + end + b"da") == b"data: 2" + end


def test_what_is_held_back_does_not_depend_on_the_credential() -> None:
    def sizes(filling: bytes, *, ticks: bool) -> list[int]:
        redactor, result = BodyRedactor(REDACT), []
        for number, start in enumerate(range(0, len(filling), 7)):
            result.append(len(redactor.feed(filling[start : start + 7])))
            if ticks and number % 5 == 0:
                result.append(len(redactor.let_go()))
        return result

    length = 3 * REDACT.hold - 7
    fillings = [
        SECRET[:-1].encode(),
        SECRET.encode(),
        percent(SECRET, "%{:02x}").encode(),
        percent(SECRET[:-1], "\\u{:04x}").encode(),
    ]
    for ticks in (False, True):
        expected = sizes(b"x" * length, ticks=ticks)
        for filling in fillings:
            assert sizes((filling * length)[:length], ticks=ticks) == expected


def test_credentials_of_nearly_one_length_hold_back_the_same() -> None:
    assert len({Redactor(Redacted("k" * length)).hold for length in range(12, 120)}) == 1


def test_what_has_waited_for_two_ticks_goes_on_whatever_follows() -> None:
    redactor = BodyRedactor(REDACT)
    assert redactor.feed(b"first") == b""
    assert redactor.let_go() == b"", "it may have come a moment ago"
    assert redactor.feed(b"second") == b""
    assert redactor.let_go() == b"first"
    assert redactor.held == len(b"second")
    assert redactor.let_go() == b"second"
    assert redactor.held == 0
    assert redactor.feed(b"third") == b""
    assert redactor.finish() == b"third"


def test_what_comes_after_a_piece_that_had_to_go_is_overwritten_all_the_same() -> None:
    redactor, form = BodyRedactor(REDACT), percent(SECRET, "%{:02x}").encode()
    sent = redactor.feed(b"x" + form[:20]) + redactor.let_go() + redactor.let_go()
    assert sent == b"x" + form[:20]
    assert redactor.feed(form[20:] + b"y\n") == b"*" * len(form[20:]) + b"y\n"


# Against a slow oracle: each form as a pattern, over the whole.


def patterns(secret: bytes, rendered: bytes) -> list[re.Pattern[bytes]]:
    forms = [rendered] if rendered else []
    forms += [secret, *_base64_forms(secret)]
    return [re.compile(b"(?=(" + b"".join(map(_any_escape, form)) + b"))") for form in forms]


def where(secret: bytes, rendered: bytes, data: bytes) -> set[int]:
    """Every place that belongs to a form, also where several lie one over the other."""
    spans = [found.span(1) for pattern in patterns(secret, rendered) for found in pattern.finditer(data)]
    return {at for start, end in spans for at in range(start, end)}


def right(got: bytes, secret: bytes, rendered: bytes, body: bytes) -> bool:
    """No form is left, and what is in none has not changed."""
    places = where(secret, rendered, body)
    others = all(mine == byte for at, (mine, byte) in enumerate(zip(got, body, strict=True)) if at not in places)
    return others and not where(secret, rendered, got)


_ESCAPES = [
    lambda byte: bytes([byte]),
    lambda byte: b"%%%02x" % byte,
    lambda byte: b"%%%02X" % byte,
    lambda byte: b"\\u00%02x" % byte,
    lambda byte: b"\\u00%02X" % byte,
    lambda byte: (b"\\" if byte in b'"\\/' else b"") + bytes([byte]),
]
_letters = st.sampled_from([*"abcdefu0123456789", *"kZ+-_/=.~ ", '"'])
_secrets = st.one_of(
    st.text(_letters, min_size=12, max_size=30),
    st.text(st.sampled_from("ab%\\u0"), min_size=12, max_size=30),
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E, exclude_characters="*"), min_size=12, max_size=40),
)
_noise = st.lists(
    st.sampled_from(
        [
            b"%",
            b"%%",
            b"%4",
            b"%a",
            b"\\",
            b"\\u",
            b"\\u0",
            b"\\u00",
            b"\\u00a",
            b"=",
            b"=\r",
            b"\0",
            b"a",
            b"41",
            b"\n",
            b"%41",
            b"+",
        ]
    ),
    max_size=6,
).map(b"".join)


@st.composite
def _bodies(draw: st.DrawFn) -> tuple[bytes, bytes, bytes]:
    """A credential, what Basic renders of it if it does, and a body with some of its forms."""
    secret = draw(_secrets).encode()
    rendered = base64.b64encode(draw(st.sampled_from([b":", b"me:", b"user:"])) + secret) if draw(st.booleans()) else b""
    body = draw(_noise)
    for _ in range(draw(st.integers(0, 3))):
        form = draw(st.sampled_from([secret, secret[:-1], secret[1:], base64.b64encode(b"x" + secret + b"y"), rendered]))
        escapes = draw(st.lists(st.sampled_from(_ESCAPES), min_size=1, max_size=4))
        near_all = draw(st.booleans())
        written = [escapes[at % len(escapes)](byte) if near_all or at % 5 else bytes([byte]) for at, byte in enumerate(form)]
        body += b"".join(written) + draw(_noise)
    return secret, rendered, body


@settings(max_examples=300, deadline=None)
@given(_bodies(), st.lists(st.integers(1, 40), min_size=1, max_size=5))
def test_all_that_the_slow_search_finds_is_hidden_in_any_pieces_and_nothing_else(
    case: tuple[bytes, bytes, bytes], sizes: list[int]
) -> None:
    secret, rendered, body = case
    redact = Redactor(Redacted(secret.decode()), Redacted(rendered.decode()))
    assert right(redact(body), secret, rendered, body)
    redactor, sent, at = BodyRedactor(redact), b"", 0
    while at < len(body):
        size = sizes[at % len(sizes)]
        sent, at = sent + redactor.feed(body[at : at + size]), at + size
    assert right(sent + redactor.finish(), secret, rendered, body)


@settings(max_examples=50, deadline=None)
@given(_bodies(), st.integers(0, 6000), st.sampled_from([b"x", b"%41", b"\\u0041", b"%", b"\\u00"]))
def test_so_it_is_in_the_middle_of_much(case: tuple[bytes, bytes, bytes], before: int, filling: bytes) -> None:
    secret, rendered, part = case
    body = filling * (before // len(filling)) + b" " + part + b" " + filling * 1500
    redact = Redactor(Redacted(secret.decode()), Redacted(rendered.decode()))
    assert right(redact(body), secret, rendered, body)


class Counting:
    """In place of the functions that look at bytes: how many they were given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.undone = self.searched = 0
        real_plain, real_shows = redact.plain, Redactor.shows

        def plain(data: bytes) -> bytes:
            self.undone += len(data)
            return real_plain(data)

        def shows(redactor: Redactor, text: bytes) -> bool:
            self.searched += len(text)
            return real_shows(redactor, text)

        monkeypatch.setattr(redact, "plain", plain)
        monkeypatch.setattr(Redactor, "shows", shows)


@pytest.mark.interpreted
@pytest.mark.parametrize("unit", [b"%41", b"\\u0041", b"\\u00", b"%4", b"\\", b"QUFB", USUAL[:-1].encode(), b'{"a": 1}\n'])
@pytest.mark.parametrize("size", [1, 7, 100, 65536])
def test_nothing_is_looked_at_twice_but_a_fixed_amount_for_each_piece(
    monkeypatch: pytest.MonkeyPatch, unit: bytes, size: int
) -> None:
    usual = Redactor(Redacted(USUAL))
    counting, redactor = Counting(monkeypatch), BodyRedactor(usual)
    body = unit * (200_000 // len(unit)) if size > 1000 else unit * (5_000 // len(unit))
    pieces = 0
    for at in range(0, len(body), size):
        redactor.feed(body[at : at + size])
        pieces += 1
    assert counting.undone <= len(body) + 5 * pieces, "escapes are undone once, but for one that two pieces share"
    assert counting.searched <= len(body) + (usual.longest + 5) * pieces


LONG = base64.b64encode(random.Random(1).randbytes(5000)).decode()  # noqa: S311 (a repeatable one)


def mixed(form: bytes) -> bytes:
    """In no usual way."""
    return b"".join(b"%%%02x" % byte if at % 2 else bytes([byte]) for at, byte in enumerate(form))


def look_closely(subject: Redactor, secret: str) -> None:
    """Until that is no longer done: at answers that are made of nearly the credential."""
    value = secret.encode()
    nearly = mixed(value[2:]) + b"\n" + value[:-1] + b"\n" + base64.b64encode(value)[40:] + b"\n"
    body = BodyRedactor(subject)
    for _ in range(max(1, 8_000_000 // len(nearly) // 50)):
        body.feed(nearly * 50)


@pytest.mark.parametrize("secret", [USUAL, "a" * 200, "a" * 8000, "ab" * 2000, LONG, "=" * 5000, "=aaaa" * 1000])
def test_answers_that_are_made_of_nearly_the_credential_cost_no_more_for_long(
    secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, looked, compiled = Redactor(Redacted(secret)), 0, re.compile

    class Counting:
        def __init__(self, pattern: re.Pattern[bytes]) -> None:
            self._pattern = pattern

        def finditer(self, data: bytes) -> object:
            nonlocal looked
            looked += len(data)
            return self._pattern.finditer(data)

    monkeypatch.setattr(re, "compile", lambda *pattern: Counting(compiled(*pattern)))  # (what it looks closely with)
    look_closely(usual, secret)
    monkeypatch.undo()
    assert looked <= redact.CLOSELY + (1 << 17), (
        "beyond that all around it is overwritten, or what is full of escapes is let be"
    )


@pytest.mark.parametrize("secret", [USUAL, "k" * 100 + USUAL + "k" * 300, LONG])
def test_what_is_not_looked_at_closely_any_more_is_hidden_all_the_same(secret: str) -> None:
    subject, value = Redactor(Redacted(secret)), secret.encode()
    look_closely(subject, secret)
    before = b"before it " * 20_000
    got = subject(before + mixed(value) + before)
    assert len(got) == 2 * len(before) + len(mixed(value))
    assert not subject.may_be_in(got)
    assert got.startswith(before[:10_000])
    assert got.endswith(before[-10_000:])
    assert subject(before + value + before) == before + b"*" * len(value) + before, "in a usual way it alone"
    assert subject(before + base64.b64encode(value)[-20:] + before).count(b"*") == 0, "a part is no form"
