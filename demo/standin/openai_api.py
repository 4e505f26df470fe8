"""The API of api.openai.com: `/v1/chat/completions` and `/v1/responses` (JSON and SSE), `/v1/models`.

Shapes: https://platform.openai.com/docs/api-reference. The key counts as `Authorization: Bearer …` alone, and nothing is
served outside `/v1`.
"""

import json
import secrets
import time
from collections.abc import Iterator
from typing import Any, Final

from aiohttp import web

from . import events
from .keys import KeyRing

HOST: Final = "api.openai.com"
MODELS: Final = ("gpt-5.5", "gpt-5.6-luna", "gpt-6.2-sol")


def error(status: int, message: str, *, kind: str = "invalid_request_error", code: str | None = None) -> web.Response:
    """An error as that API words it."""
    body = {"error": {"message": message, "type": kind, "param": None, "code": code}}
    return web.json_response(body, status=status, headers={"x-request-id": f"req_{secrets.token_hex(16)}"})


def authenticate(request: web.Request, keys: KeyRing) -> str | web.Response:
    """Whose key it is, or the 401. The real API shows the first and the last characters of a wrong key; so does this one."""
    presented = request.headers.getall("Authorization", [])
    if not presented:
        return error(
            401,
            "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth "
            "(i.e. Authorization: Bearer YOUR_KEY).",
        )
    key = presented[0].removeprefix("Bearer ")
    if len(presented) == 1 and key != presented[0] and (owner := keys.owner("openai", key)):
        return owner
    return error(401, f"Incorrect API key provided: {key[:4]}{'*' * 16}{key[-4:]}.", code="invalid_api_key")


async def handle(request: web.Request, owner: str, pace: float) -> web.StreamResponse:
    """One request with a good key."""
    match request.method, request.path:
        case "POST", "/v1/chat/completions":
            return await _generate(request, owner, pace, field="messages")
        case "POST", "/v1/responses":
            return await _generate(request, owner, pace, field="input")
        case "GET", "/v1/models":
            return web.json_response({"object": "list", "data": [_model(name) for name in MODELS]}, headers=_headers(owner))
        case "GET", path if path.removeprefix("/v1/models/") in MODELS:
            return web.json_response(_model(path.removeprefix("/v1/models/")), headers=_headers(owner))
    return error(404, f"Invalid URL ({request.method} {request.path})")


async def _generate(request: web.Request, owner: str, pace: float, *, field: str) -> web.StreamResponse:
    try:
        body = json.loads(await request.read())
    except ValueError:
        return error(400, "We could not parse the JSON body of your request.")
    if (problem := _problem(body, field)) is not None:
        return problem
    text = f"Hello {owner}, you said: {_said(body[field])}"
    made = _chat if field == "messages" else _response
    if body.get("stream"):
        frames = _chat_frames(body, text) if field == "messages" else _response_frames(body, text)
        return await events.stream(request, frames, pace=pace, headers=_headers(owner))
    return web.json_response(made(body, text), headers=_headers(owner))


def _problem(body: Any, field: str) -> web.Response | None:
    if not isinstance(body, dict) or "model" not in body:
        return error(400, "you must provide a model parameter")
    if field not in body:
        return error(400, f"Missing required parameter: '{field}'.", code="missing_required_parameter")
    model = body["model"]
    if model == "rate-limited":  # the error that clients retry, at will
        return error(429, "Rate limit reached", kind="requests", code="rate_limit_exceeded")
    if model not in MODELS:
        message = f"The model `{model}` does not exist or you do not have access to it."
        return error(404, message, code="model_not_found")
    return None


def _said(value: Any) -> str:
    if isinstance(value, str):
        return value
    content = value[-1].get("content", "") if value else ""
    return content if isinstance(content, str) else " ".join(part.get("text", "") for part in content)


def _usage(body: dict[str, Any], text: str, prompt: str, completion: str) -> dict[str, int]:
    used, made = events.count_tokens(body.get("messages") or body.get("input")), len(events.words(text))
    return {prompt: used, completion: made, "total_tokens": used + made}


def _chat(body: dict[str, Any], text: str) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
    return {
        "id": f"chatcmpl-{secrets.token_urlsafe(18)}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": body["model"],
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": _usage(body, text, "prompt_tokens", "completion_tokens"),
        "service_tier": "default",
        "system_fingerprint": None,
    }


def _chat_frames(body: dict[str, Any], text: str) -> Iterator[bytes]:
    chunk = {
        "id": f"chatcmpl-{secrets.token_urlsafe(18)}",
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": body["model"],
        "service_tier": "default",
        "system_fingerprint": None,
    }

    def choice(delta: dict[str, Any], finish: str | None = None) -> bytes:
        return events.unnamed({**chunk, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]})

    yield choice({"role": "assistant", "content": "", "refusal": None})
    for piece in events.words(text):
        yield choice({"content": piece})
    yield choice({}, "stop")
    if (body.get("stream_options") or {}).get("include_usage"):
        yield events.unnamed({**chunk, "choices": [], "usage": _usage(body, text, "prompt_tokens", "completion_tokens")})
    yield events.unnamed("[DONE]")


def _response(body: dict[str, Any], text: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    item = {
        "id": f"msg_{secrets.token_hex(24)}",
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [part],
    }
    return {
        "id": f"resp_{secrets.token_hex(24)}",
        "object": "response",
        "created_at": int(time.time()),
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "metadata": {},
        "model": body["model"],
        "output": [item],
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": {
            **_usage(body, text, "input_tokens", "output_tokens"),
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens_details": {"reasoning_tokens": 0},
        },
    }


def _response_frames(body: dict[str, Any], text: str) -> Iterator[bytes]:
    done = _response(body, text)
    item = done["output"][0]
    part = item["content"][0]
    begun = {**done, "status": "in_progress", "output": [], "usage": None}
    where = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    sequence: list[tuple[str, dict[str, Any]]] = [
        ("response.created", {"response": begun}),
        ("response.in_progress", {"response": begun}),
        ("response.output_item.added", {"output_index": 0, "item": {**item, "status": "in_progress", "content": []}}),
        ("response.content_part.added", {**where, "part": {**part, "text": ""}}),
        *(("response.output_text.delta", {**where, "delta": piece, "logprobs": []}) for piece in events.words(text)),
        ("response.output_text.done", {**where, "text": text, "logprobs": []}),
        ("response.content_part.done", {**where, "part": part}),
        ("response.output_item.done", {"output_index": 0, "item": item}),
        ("response.completed", {"response": done}),
    ]
    for number, (name, data) in enumerate(sequence):
        yield events.named(name, {"type": name, "sequence_number": number, **data})


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 1754000000, "owned_by": "openai"}


def _headers(owner: str) -> dict[str, str]:
    return {
        "x-request-id": f"req_{secrets.token_hex(16)}",
        "openai-organization": owner,
        "openai-version": "2020-10-01",
        "x-ratelimit-remaining-requests": "9999",
    }
