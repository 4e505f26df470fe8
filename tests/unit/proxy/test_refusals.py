"""Every refusal is whole: documented, readable for the SDKs, and silent about the request."""

import json
from pathlib import Path

import pytest

from devbox_api.judge.refusals import Refusal, table
from devbox_proxy.wire import refusing

DOCS = Path(__file__).parents[3] / "docs" / "errors.md"


def test_the_docs_table_is_the_list() -> None:
    assert table() in DOCS.read_text(encoding="utf-8"), (
        "docs/errors.md differs from refusals.py; paste refusals.table() into it"
    )


@pytest.mark.parametrize("refusal", Refusal, ids=lambda refusal: refusal.code)
def test_the_body_has_the_shape_that_the_sdks_read(refusal: Refusal) -> None:
    body = json.loads(refusing.body(refusal, "req_1"))
    assert body["type"] == "error"
    assert body["request_id"] == "req_1"
    assert set(body["error"]) == {"type", "code", "message"}
    assert body["error"]["code"] == refusal.code
    assert refusal.message in body["error"]["message"]


def test_the_message_says_what_to_do_where_the_user_can_do_it() -> None:
    assert "Authorization: Bearer $NAME" in Refusal.TOKEN_MISSING.message
    assert refusing.headers(Refusal.NOT_READY, "r")["Retry-After"] == "1"
    assert (
        refusing.headers(Refusal.TOKEN_MISSING, "r")["WWW-Authenticate"]
        == 'Bearer realm="devbox-gateway", Basic realm="devbox-gateway"'
    )
