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
    assert set(body["error"]) == {"type", "code", "message", "status"}
    assert body["error"]["code"] == refusal.code
    assert refusal.message in body["error"]["message"]


def test_the_message_says_what_to_do_where_the_user_can_do_it() -> None:
    assert "Authorization: Bearer $NAME" in Refusal.TOKEN_MISSING.message
    assert refusing.headers(Refusal.NOT_READY, "r")["Retry-After"] == "1"
    assert (
        refusing.headers(Refusal.TOKEN_MISSING, "r")["WWW-Authenticate"]
        == 'Bearer realm="devbox-gateway", Basic realm="devbox-gateway"'
    )


@pytest.mark.parametrize("refusal", Refusal, ids=lambda refusal: refusal.code)
@pytest.mark.row("S16")
def test_a_client_is_told_whether_to_try_again(refusal: Refusal) -> None:
    """Either after how long, or that no retry mends it, or nothing where that is the client's to say."""
    headers = refusing.headers(refusal, "r")
    told = [name for name in ("Retry-After", "X-Should-Retry") if name in headers]
    assert len(told) <= 1
    assert headers.get("X-Should-Retry", "false") == "false"
    if 400 <= refusal.status < 500 and refusal.status not in (408, 429):
        assert told == ["X-Should-Retry"], "what a client did wrong it does again"
    if refusal.status in (429, 503):
        assert told


@pytest.mark.row("S16")
def test_overload_is_said_of_nothing_else() -> None:
    """Agents tell their users of it that the API is at capacity."""
    kinds = {refusal: json.loads(refusing.body(refusal, "r"))["error"]["type"] for refusal in Refusal}
    assert [refusal for refusal, kind in kinds.items() if kind == "overloaded_error"] == [Refusal.OVERLOADED]
    assert kinds[Refusal.CREDENTIAL_GONE] == "api_error"


@pytest.mark.row("S16")
@pytest.mark.parametrize("refusal", [Refusal.TOO_MANY_REQUESTS, Refusal.TOO_MANY_TUNNELS])
def test_what_ends_by_itself_is_worth_more_than_a_moment(refusal: Refusal) -> None:
    """The SDKs try twice more, and wait for no longer than 60 s."""
    assert refusal.retry_after is not None
    assert 10 <= refusal.retry_after <= 60
