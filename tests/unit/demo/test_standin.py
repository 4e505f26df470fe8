"""The stand-in speaks the real APIs' wire formats: the real SDKs are the judges."""

import hashlib
import io
import time
from typing import Any

import aiohttp
import anthropic
import openai
import pytest

from devbox_stage.credentials import key_document, make_key

from .conftest import PACE, Upstream
from .sdk_clients import anthropic_client, openai_client

MESSAGE: Any = {
    "model": "claude-sonnet-5-5",
    "max_tokens": 64,
    "messages": [{"role": "user", "content": "good morning to you"}],
}
CHAT: Any = {"model": "gpt-5.5", "messages": [{"role": "user", "content": "good morning to you"}]}
ANSWER = "Hello first-customer, you said: good morning to you"


async def test_anthropic_sdk_reads_a_message(upstream: Upstream) -> None:
    message = await anthropic_client(upstream).messages.create(**MESSAGE)
    assert message.content[0].type == "text"
    assert message.content[0].text == ANSWER
    assert message.stop_reason == "end_turn"
    assert message.usage.output_tokens == 8
    seen = upstream.last()
    assert (seen.host, seen.method, seen.path, seen.status, seen.owner) == (
        "api.anthropic.com",
        "POST",
        "/v1/messages",
        200,
        "first-customer",
    )
    assert ("x-api-key", upstream.anthropic.value.reveal()) in [(name.lower(), value) for name, value in seen.headers]


async def test_anthropic_sdk_reads_a_stream_event_by_event(upstream: Upstream) -> None:
    arrivals, events = [], []
    async with anthropic_client(upstream).messages.stream(**MESSAGE) as stream:
        async for event in stream:
            arrivals.append(time.monotonic())
            events.append(event.type)
        message = await stream.get_final_message()
    assert message.content[0].type == "text"
    assert message.content[0].text == ANSWER
    assert [events[0], events[-1]] == ["message_start", "message_stop"]
    assert events.count("content_block_delta") == 8
    assert arrivals[-1] - arrivals[0] >= 11 * PACE


async def test_anthropic_counts_and_lists(upstream: Upstream) -> None:
    client = anthropic_client(upstream)
    counted = await client.messages.count_tokens(model=MESSAGE["model"], messages=MESSAGE["messages"])
    assert counted.input_tokens > 0
    assert [model.id async for model in client.models.list()] == ["claude-sonnet-5-5", "claude-opus-5-5", "claude-haiku-5-5"]
    assert (await client.models.retrieve("claude-opus-5-5")).display_name == "Claude Opus 5.5"


@pytest.mark.parametrize(
    ("model", "error", "kind"),
    [
        ("overloaded", anthropic.APIStatusError, "overloaded_error"),
        ("rate-limited", anthropic.RateLimitError, "rate_limit_error"),
        ("no-such-model", anthropic.NotFoundError, "not_found_error"),
    ],
)
async def test_anthropic_errors_have_the_apis_shape(upstream: Upstream, model: str, error: type[Exception], kind: str) -> None:
    with pytest.raises(error) as caught:
        await anthropic_client(upstream).messages.create(**{**MESSAGE, "model": model})
    body: Any = caught.value.body  # type: ignore[attr-defined]
    assert body["error"]["type"] == kind
    assert body["request_id"].startswith("req_")


async def test_anthropic_refuses_a_wrong_key(upstream: Upstream) -> None:
    with pytest.raises(anthropic.AuthenticationError, match="invalid x-api-key"):
        await anthropic_client(upstream, key="sk-ant-api03-wrong").messages.create(**MESSAGE)
    assert upstream.last().owner is None


async def test_anthropic_refuses_the_right_key_as_bearer(upstream: Upstream) -> None:
    headers = {"Authorization": f"Bearer {upstream.anthropic.value.reveal()}", "anthropic-version": "2023-06-01"}
    async with (
        upstream.session() as session,
        session.post(upstream.url("api.anthropic.com", "/v1/messages"), json=MESSAGE, headers=headers) as answer,
    ):
        assert answer.status == 401
        assert (await answer.json())["error"] == {"type": "authentication_error", "message": "Invalid bearer token"}


async def test_anthropic_wants_its_version_header(upstream: Upstream) -> None:
    headers = {"x-api-key": upstream.anthropic.value.reveal()}
    async with (
        upstream.session() as session,
        session.post(upstream.url("api.anthropic.com", "/v1/messages"), json=MESSAGE, headers=headers) as answer,
    ):
        assert answer.status == 400
        assert (await answer.json())["error"]["message"] == "anthropic-version: header is required"


async def test_openai_sdk_reads_a_chat_completion(upstream: Upstream) -> None:
    completion = await openai_client(upstream).chat.completions.create(**CHAT)
    assert completion.choices[0].message.content == ANSWER
    assert completion.usage is not None
    assert completion.usage.completion_tokens == 8
    assert upstream.last().path == "/v1/chat/completions"


async def test_openai_sdk_reads_a_chat_stream(upstream: Upstream) -> None:
    text, usage, arrivals = "", None, []
    stream = await openai_client(upstream).chat.completions.create(**CHAT, stream=True, stream_options={"include_usage": True})
    async for chunk in stream:
        arrivals.append(time.monotonic())
        text += "".join(choice.delta.content or "" for choice in chunk.choices)
        usage = chunk.usage or usage
    assert text == ANSWER
    assert usage is not None
    assert usage.total_tokens > 8
    assert arrivals[-1] - arrivals[0] >= 8 * PACE


async def test_openai_sdk_reads_a_response_and_its_stream(upstream: Upstream) -> None:
    client = openai_client(upstream)
    response = await client.responses.create(model="gpt-5.5", input="good morning to you")
    assert response.output_text == ANSWER
    async with client.responses.stream(model="gpt-5.5", input="good morning to you") as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_response()
    assert final.output_text == ANSWER
    assert [kinds[0], kinds[-1]] == ["response.created", "response.completed"]


async def test_openai_lists_models(upstream: Upstream) -> None:
    assert [model.id async for model in openai_client(upstream).models.list()] == ["gpt-5.5", "gpt-5.6-luna", "gpt-6.2-sol"]


async def test_openai_refuses_a_wrong_key(upstream: Upstream) -> None:
    with pytest.raises(openai.AuthenticationError) as caught:
        await openai_client(upstream, key="sk-proj-wrong").chat.completions.create(**CHAT)
    assert caught.value.code == "invalid_api_key"


@pytest.mark.parametrize(
    ("model", "error", "code"),
    [
        ("rate-limited", openai.RateLimitError, "rate_limit_exceeded"),
        ("no-such-model", openai.NotFoundError, "model_not_found"),
    ],
)
async def test_openai_errors_have_the_apis_shape(
    upstream: Upstream, model: str, error: type[openai.APIStatusError], code: str
) -> None:
    with pytest.raises(error) as caught:
        await openai_client(upstream).chat.completions.create(**{**CHAT, "model": model})
    assert caught.value.code == code


async def test_openai_serves_nothing_outside_v1(upstream: Upstream) -> None:
    headers = {"Authorization": f"Bearer {upstream.openai.value.reveal()}"}
    async with (
        upstream.session() as session,
        session.post(upstream.url("api.openai.com", "/chat/completions"), json=CHAT, headers=headers) as answer,
    ):
        assert answer.status == 404
        assert (await answer.json())["error"]["message"] == "Invalid URL (POST /chat/completions)"


async def test_internal_api_takes_its_own_header_alone(upstream: Upstream) -> None:
    key, url = upstream.internal.value.reveal(), upstream.url("api.internal.example", "/v1/customers")
    async with upstream.session() as session:
        for headers, status in (({"X-Internal-Token": key}, 200), ({"Authorization": f"Bearer {key}"}, 401), ({}, 401)):
            async with session.get(url, headers=headers) as answer:
                assert answer.status == status


async def test_internal_api_hashes_uploads(upstream: Upstream) -> None:
    body = bytes(range(256)) * 8192
    headers = {"X-Internal-Token": upstream.internal.value.reveal()}
    async with (
        upstream.session() as session,
        session.put(upstream.url("api.internal.example", "/v1/blobs/a"), data=io.BytesIO(body), headers=headers) as answer,
    ):
        assert await answer.json() == {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}
    assert upstream.last().body_sha256 == hashlib.sha256(body).hexdigest()


async def test_keys_are_replaced_while_it_runs_and_the_record_is_read_through_the_admin_port(upstream: Upstream) -> None:
    admin = f"http://127.0.0.1:{upstream.admin_port}"
    second = make_key("anthropic", "second-customer")
    async with aiohttp.ClientSession() as session:
        async with session.put(f"{admin}/keys", json=key_document([second])) as answer:
            assert answer.status == 200
        with pytest.raises(anthropic.AuthenticationError):
            await anthropic_client(upstream).messages.create(**MESSAGE)
        await anthropic_client(upstream, key=second.value.reveal()).messages.create(**MESSAGE)
        async with session.get(f"{admin}/seen", params={"after": "1"}) as answer:
            seen = await answer.json()
    assert seen["last"] == 2
    assert [(one["number"], one["status"], one["owner"]) for one in seen["requests"]] == [(2, 200, "second-customer")]


async def test_keys_are_added_and_revoked_one_by_one(upstream: Upstream) -> None:
    admin = f"http://127.0.0.1:{upstream.admin_port}"
    second = make_key("anthropic", "second-customer")
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{admin}/keys", json=key_document([second])) as answer:
            assert answer.status == 200
        await anthropic_client(upstream).messages.create(**MESSAGE)
        await anthropic_client(upstream, key=second.value.reveal()).messages.create(**MESSAGE)
        async with session.delete(f"{admin}/keys", json=key_document([upstream.anthropic])) as answer:
            assert answer.status == 200
    with pytest.raises(anthropic.AuthenticationError):
        await anthropic_client(upstream).messages.create(**MESSAGE)
    await anthropic_client(upstream, key=second.value.reveal()).messages.create(**MESSAGE)


@pytest.mark.parametrize("document", [[], {"gemini": {}}, {"openai": ["x"]}, {"openai": {"sk-proj-clear-text": "who"}}])
async def test_keys_that_are_no_keys_are_refused_and_change_nothing(upstream: Upstream, document: object) -> None:
    admin = f"http://127.0.0.1:{upstream.admin_port}"
    async with aiohttp.ClientSession() as session, session.put(f"{admin}/keys", json=document) as answer:
        assert answer.status == 400
        assert (await answer.json())["error"].startswith("keys")
    await anthropic_client(upstream).messages.create(**MESSAGE)


async def test_other_hosts_are_not_served(upstream: Upstream) -> None:
    async with (
        upstream.session() as session,
        session.get(upstream.url("api.openai.com", "/"), headers={"Host": "example.com"}) as answer,
    ):
        assert answer.status == 421
