"""What is nearly always a mistake in a key: each of its kinds, keys that are none, and words that show nothing of one."""

import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox_api.judge.doubts import Doubt, Place, doubts

pytestmark = pytest.mark.row("S29")
BASIC = Place("Basic")
D = Doubt


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Bearer sk-one", (D.SCHEME,)),
        ("bearer  sk-one", (D.SCHEME,)),
        ("Bearer", (D.SCHEME,)),
        ("Token sk-one", (D.SCHEME,)),
        ("Basic bWU6bWluZQ==", (D.SCHEME,)),
        ('"sk-one"', (D.QUOTED,)),
        ("'sk-one'", (D.QUOTED,)),
        ("sk-one'", (D.QUOTED,)),
        ("\u201csk-one\u201d", (D.QUOTED,)),
        ('"Bearer sk-one"', (D.QUOTED, D.SCHEME)),
        ('Bearer "sk-one"', (D.SCHEME, D.QUOTED)),
        ("OPENAI_API_KEY=sk-one", (D.NAMED,)),
        ("api_key=sk-one", (D.NAMED,)),
        ("export OPENAI_API_KEY='sk-one'", (D.NAMED,)),
        ("export K=sk-one", (D.NAMED,)),
        ("$env:KEY = sk-one", (D.NAMED,)),
        ("OPENAI_API_KEY=changeme", (D.NAMED, D.PLACEHOLDER)),
        ("Authorization: Bearer sk-one", (D.LABELLED,)),
        ("x-api-key: sk-one", (D.LABELLED,)),
        ("key: sk-one", (D.LABELLED,)),
        ('{"type": "service_account", "private_key": "x"}', (D.JSON,)),
        ('["sk-one"]', (D.JSON,)),
        ("-----BEGIN PRIVATE KEY-----MIIE", (D.PEM,)),
        ("c2stYW50LWFwaTAzLUFiQ18xMjM=", (D.ENCODED,)),
        ("c2stYW50LWFwaTAzLUFiQ18xMjMK", (D.ENCODED,)),
        ("https://api.openai.com/v1", (D.ADDRESS,)),
        ("/run/secrets/openai", (D.FILE,)),
        ("@key.txt", (D.FILE,)),
        ("$OPENAI_API_KEY", (D.REFERENCE,)),
        ("${OPENAI_API_KEY}", (D.REFERENCE,)),
        ("$(cat key)", (D.REFERENCE,)),
        ("{{ .Values.key }}", (D.REFERENCE,)),
        ("op://vault/openai/key", (D.REFERENCE,)),
        ("%OPENAI_API_KEY%", (D.REFERENCE,)),
        ("changeme", (D.PLACEHOLDER,)),
        ("CHANGE-ME", (D.PLACEHOLDER,)),
        ("<your key>", (D.PLACEHOLDER,)),
        ("sk-your-key-here", (D.PLACEHOLDER,)),
        ("YOUR_API_KEY_HERE", (D.PLACEHOLDER,)),
        ("your-openai-api-key", (D.PLACEHOLDER,)),
        ("null", (D.PLACEHOLDER,)),
        ("undefined", (D.PLACEHOLDER,)),
        ("sk-...", (D.MASKED,)),
        ("sk-…4f2a", (D.MASKED,)),
        ("sk-****4f2a", (D.MASKED,)),
        ("sk-xxxxxxxxxxxx", (D.MASKED,)),
        ("••••••••", (D.MASKED,)),
        ("sk-", (D.MASKED,)),
        ("sk-one\\n", (D.ESCAPED,)),
        ("sk-one,", (D.ENDING,)),
        ("sk-one%", (D.ENDING,)),
        ("sk-one.", (D.ENDING,)),
        ("sk-ant-one-two-sk-ant-one-two-", (D.DOUBLED,)),
        ("sk%2Done", (D.ESCAPED,)),
        ("sk&amp;one", (D.ESCAPED,)),
        ("OPENAI_API_KEY", (D.REFERENCE,)),
        ("changeme123", (D.PLACEHOLDER,)),
        ("example-api-key", (D.PLACEHOLDER,)),
        ("api_key", (D.PLACEHOLDER,)),
        ("sk-xxx", (D.MASKED,)),
        ('"sk-one",', (D.QUOTED, D.ENDING)),
        ("sk-one sk-two", (D.SPACED,)),
        ("sk-one\u00a0two", (D.UNUSUAL,)),
        ("sk\u2013one", (D.UNUSUAL,)),
        ("k" * 3 + "-" + "abcdefgh" * 1000, (D.LONG,)),
    ],
    ids=lambda value: repr(value)[:40] if isinstance(value, str) else None,
)
def test_what_looks_like_a_mistake(value: str, expected: tuple[Doubt, ...]) -> None:
    assert doubts(value) == expected


KEYS = [
    "sk-ant-api03-AbC_123-xyz",
    "ghp_0123456789abcdefABCDEFghijklmnopqrst",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "AIzaSyA-0123456789abcdefghijklmnopqrstu",
    "abc+def/ghi==",
    "/abc/def+g==",
    "0123456789abcdeffedcba9876543210",
    "VnVhQ2ZHY0JDZGJrUW0tZTVhT3g6dWkybHAyYXhUTm1zeWFrdzl0dk5udw==",
    "EMPTY",
    "ollama",
    "xoxb-1-2-abc",
    "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.",
    "glpat-AbC",
]
"""Of well-known APIs; Elasticsearch's are base64 of `id:secret`; local servers take any word."""


@pytest.mark.parametrize("value", KEYS)
@pytest.mark.parametrize("place", [Place(), Place("Header", "x-api-key"), Place("Query", "key")], ids=lambda place: place.type)
def test_keys_look_like_keys(value: str, place: Place) -> None:
    assert doubts(value, place) == ()


def test_keys_of_every_alphabet_look_like_keys() -> None:
    chosen = random.Random(21)  # noqa: S311 (the same ones each time)
    alphabets = (
        string.hexdigits.lower()[:16],
        string.ascii_letters + string.digits + "-_",
        string.ascii_letters + string.digits,
    )
    for _ in range(2000):
        key = "".join(chosen.choices(chosen.choice(alphabets), k=chosen.randint(20, 120)))
        assert doubts(f"sk-{key}") == ()


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ("Bearer sk-one", Place("Header", "Authorization")),
        ("Token sk-one", Place("Header", "X-Auth")),
        ("session=abc", Place("Header", "Cookie")),
        ("auth_token=abc", Place("Header", "Cookie")),
        ("sv=2024&sig=abc%3D", Place("Query", "sas")),
        ("correct horse battery staple", BASIC),
        ("pässwört", BASIC),
        ("it's", BASIC),
        ("https://x", Place("Basic", whole=True)),
        ("me:correct horse", Place("Basic", whole=True)),
    ],
    ids=repr,
)
def test_what_is_right_where_it_goes(value: str, place: Place) -> None:
    assert doubts(value, place) == ()


@pytest.mark.parametrize(
    ("value", "place", "expected"),
    [
        ("Bearer sk-one", Place("Header", "Authorization", "Bearer "), D.SCHEME),
        ("Bearer sk-one", Place("Header", "x-api-key"), D.SCHEME),
        ("bWU6bXktcGFzc3dvcmQ=", BASIC, D.ENCODED),
        ("me:changeme", Place("Basic", whole=True), D.PLACEHOLDER),
        ("a\u00a0b", BASIC, D.UNUSUAL),
        ("p" + "abcdefgh" * 800, BASIC, D.LONG),
    ],
)
def test_what_is_wrong_where_it_goes(value: str, place: Place, expected: Doubt) -> None:
    assert doubts(value, place) == (expected,)


@given(st.text(st.characters(codec="utf-8"), max_size=300))
def test_any_text_has_an_answer(value: str) -> None:
    for place in (Place(), BASIC, Place("Basic", whole=True), Place("Header", "Authorization"), Place("Query", "key")):
        assert all(isinstance(doubt, Doubt) for doubt in doubts(value, place))


@pytest.mark.parametrize("unit", ["{{", "<%", "a-", "my-", "x-", "*", "\\", "$(", "KEY=", "[", "your", "Bearer "], ids=repr)
def test_the_work_grows_with_the_text_alone(unit: str) -> None:
    """(A pattern that tried all ways would be at it for ever: the run's own limit ends the test.)"""
    doubts((unit * 8192)[:8192])
    doubts((unit * 256)[:255] + "!")
