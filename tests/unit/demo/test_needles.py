"""The search for secrets: every encoding is noticed, and the document that goes into the pod holds no secret."""

import base64
import hashlib
import json
from urllib.parse import quote

import pytest

from devbox_common.redacted import Redacted
from devbox_demo.needles import ANCHOR, needles, windows
from devbox_stage.credentials import make_key

KEY = make_key("anthropic", "first-customer").value
RAW = KEY.reveal()
ODD = "a+b/c=d?e f" * 6


@pytest.mark.parametrize(
    "hidden",
    [
        RAW,
        RAW[30:],
        RAW[:-40],
        RAW[::-1],
        RAW.encode().hex(),
        "".join(f"%{ord(character):02X}" for character in RAW),
        RAW.encode("utf-16-le").decode("latin-1"),
        *(base64.b64encode(b"xyz"[:shift] + RAW.encode() + b"tail").decode() for shift in range(3)),
        base64.urlsafe_b64encode(f"Bearer {RAW}".encode()).decode(),
        json.dumps({"key": RAW}),
    ],
    ids=lambda _: "form",  # (the key is another one in each process: no part of a test's name)
)
def test_a_hidden_key_holds_a_window(hidden: str) -> None:
    text = f"before{hidden}after".encode("latin-1")
    assert any(window in text for window in windows(RAW))


@pytest.mark.parametrize(
    "encode", [quote, lambda text: quote(text, safe=""), lambda text: base64.urlsafe_b64encode(text.encode()).decode()]
)
def test_a_key_with_unusual_characters_is_found_too(encode: object) -> None:
    assert callable(encode)
    assert any(window in encode(ODD).encode() for window in windows(ODD))


def test_an_unrelated_key_holds_none() -> None:
    other = make_key("anthropic", "second-customer").value.reveal()
    assert not any(window in other.encode() for window in windows(RAW))


def test_the_document_tells_little_and_salts_its_hashes() -> None:
    first, second = json.loads(needles({"a": KEY})), json.loads(needles({"a": Redacted(RAW)}))
    assert first["salt"] != second["salt"]
    assert {one["digest"] for one in first["needles"]}.isdisjoint(one["digest"] for one in second["needles"])
    assert all(len(bytes.fromhex(one["anchor"])) == ANCHOR for one in first["needles"])
    assert not any(window in json.dumps(first).encode() for window in windows(RAW))
    window = next(iter(windows(RAW)))
    assert first["needles"][0]["digest"] == hashlib.sha256(bytes.fromhex(first["salt"]) + window).hexdigest()
