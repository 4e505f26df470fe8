"""The Messages API of api.anthropic.com: `/v1/messages` (JSON and SSE, tools), `/v1/messages/count_tokens`, `/v1/models`.

Shapes: https://docs.anthropic.com/en/api/messages, .../messages-streaming, .../errors. The key counts in `x-api-key` and
nowhere else: that API answers 401 to an `sk-ant-api…` key that comes as a Bearer token.
"""

import json
import secrets
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, Final

from aiohttp import web

from . import agent, events
from .agent import Say, Step, Tool, Use
from .keys import KeyRing

HOST: Final = "api.anthropic.com"
MODELS: Final = {
    "claude-sonnet-5-5": "Claude Sonnet 5.5",
    "claude-opus-5-5": "Claude Opus 5.5",
    "claude-haiku-5-5": "Claude Haiku 5.5",
}
ERROR_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    529: "overloaded_error",
}


def error(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    """An error as that API words it."""
    request_id = f"req_{secrets.token_hex(12)}"
    body = {"type": "error", "error": {"type": ERROR_TYPES[status], "message": message}, "request_id": request_id}
    return web.json_response(body, status=status, headers={"request-id": request_id, **(headers or {})})


def authenticate(request: web.Request, keys: KeyRing) -> str | web.Response:
    """Whose key it is, or the 401."""
    presented = request.headers.getall("x-api-key", [])
    if len(presented) == 1 and (owner := keys.owner("anthropic", presented[0])):
        return owner
    if presented:
        return error(401, "invalid x-api-key")
    if request.headers.get("Authorization", "").startswith("Bearer "):
        return error(401, "Invalid bearer token")
    return error(401, "x-api-key header is required")


async def handle(request: web.Request, owner: str, pace: float) -> web.StreamResponse:
    """One request with a good key."""
    match request.method, request.path:
        case "POST", "/v1/messages" | "/v1/messages/count_tokens":
            return await _messages(request, owner, pace)
        case "GET", "/v1/models":
            data = [_model(name) for name in MODELS]
            return web.json_response(
                {"data": data, "has_more": False, "first_id": data[0]["id"], "last_id": data[-1]["id"]}, headers=_headers(owner)
            )
        case "GET", path if path.removeprefix("/v1/models/") in MODELS:
            return web.json_response(_model(path.removeprefix("/v1/models/")), headers=_headers(owner))
        case _, "/v1/messages" | "/v1/messages/count_tokens" | "/v1/models":
            return error(405, "Method Not Allowed")
    return error(404, "Not found")


async def _messages(request: web.Request, owner: str, pace: float) -> web.StreamResponse:
    if "anthropic-version" not in request.headers:
        return error(400, "anthropic-version: header is required")
    try:
        body = json.loads(await request.read())
    except ValueError:
        return error(400, "The request body is not valid JSON")
    if (problem := _problem(body, counting=request.path.endswith("/count_tokens"))) is not None:
        return problem
    tokens = events.count_tokens(body["messages"])
    if request.path.endswith("/count_tokens"):
        return web.json_response({"input_tokens": tokens}, headers=_headers(owner))
    step = _step(body, owner)
    if body.get("stream"):
        return await events.stream(request, _frames(body["model"], step, tokens), pace=pace, headers=_headers(owner))
    message = _message(body["model"], tokens)
    message |= {"content": [_block(step)], "stop_reason": _stop(step)}
    message["usage"]["output_tokens"] = len(_pieces(step))
    return web.json_response(message, headers=_headers(owner))


def _problem(body: Any, *, counting: bool) -> web.Response | None:
    needed = ("model", "messages") if counting else ("model", "max_tokens", "messages")
    for field in needed:
        if not isinstance(body, dict) or field not in body:
            return error(400, f"{field}: Field required")
    if not isinstance(body["messages"], list) or not body["messages"]:
        return error(400, "messages: at least one message is required")
    match body["model"]:
        case "overloaded":  # the two errors that clients retry, at will
            return error(529, "Overloaded")
        case "rate-limited":
            return error(429, "This request would exceed your organization's rate limit", {"retry-after": "1"})
        case model if model not in MODELS:
            return error(404, f"model: {model}")
    return None


def _step(body: Mapping[str, Any], owner: str) -> Step:
    asked, results = [], []
    for message in body["messages"]:
        for block in _blocks(message.get("content", "")):
            if block.get("type") == "tool_result":
                results.append(_text(block.get("content", "")))
            elif message.get("role") == "user":
                asked.append(str(block.get("text", "")))
    # (The tools of the API's own, such as its web search, have a type and no schema.)
    tools = [Tool(one["name"], one["input_schema"]) for one in body.get("tools") or () if "input_schema" in one]
    said = _text(body["messages"][-1].get("content", ""))
    return agent.next_step("\n".join(asked), tools, results) or agent.echo(owner, said)


def _blocks(content: Any) -> list[dict[str, Any]]:
    if isinstance(content, list):
        return [block for block in content if isinstance(block, dict)]
    return [{"type": "text", "text": content}]


def _text(content: Any) -> str:
    return " ".join(str(block.get("text", "")) for block in _blocks(content))


def _block(step: Step) -> dict[str, Any]:
    if isinstance(step, Say):
        return {"type": "text", "text": step.text}
    return {"type": "tool_use", "id": f"toolu_01{secrets.token_hex(11)}", "name": step.tool, "input": step.arguments}


def _stop(step: Step) -> str:
    return "tool_use" if isinstance(step, Use) else "end_turn"


def _pieces(step: Step) -> list[str]:
    return events.words(step.text if isinstance(step, Say) else json.dumps(step.arguments))


def _message(model: str, input_tokens: int) -> dict[str, Any]:
    return {
        "id": f"msg_01{secrets.token_urlsafe(16)}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {
            "input_tokens": input_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 1,
            "service_tier": "standard",
        },
    }


def _frames(model: str, step: Step, input_tokens: int) -> Iterator[bytes]:
    pieces, block = _pieces(step), _block(step)
    # What comes piece by piece is empty in the beginning.
    empty: dict[str, Any] = {"text": ""} if isinstance(step, Say) else {"input": {}}
    kind, key = ("text_delta", "text") if isinstance(step, Say) else ("input_json_delta", "partial_json")
    yield events.named("message_start", {"type": "message_start", "message": _message(model, input_tokens)})
    start = {"type": "content_block_start", "index": 0, "content_block": {**block, **empty}}
    yield events.named("content_block_start", start)
    yield events.named("ping", {"type": "ping"})
    for piece in pieces:
        delta = {"type": "content_block_delta", "index": 0, "delta": {"type": kind, key: piece}}
        yield events.named("content_block_delta", delta)
    yield events.named("content_block_stop", {"type": "content_block_stop", "index": 0})
    stop = {"delta": {"stop_reason": _stop(step), "stop_sequence": None}, "usage": {"output_tokens": len(pieces)}}
    yield events.named("message_delta", {"type": "message_delta", **stop})
    yield events.named("message_stop", {"type": "message_stop"})


def _model(name: str) -> dict[str, str]:
    return {"type": "model", "id": name, "display_name": MODELS[name], "created_at": "2025-09-29T00:00:00Z"}


def _headers(owner: str) -> dict[str, str]:
    # The organisation that a key belongs to is how the real API says whose key a request carried.
    return {
        "request-id": f"req_{secrets.token_hex(12)}",
        "anthropic-organization-id": str(uuid.uuid5(uuid.NAMESPACE_DNS, owner)),
        "anthropic-ratelimit-requests-limit": "4000",
        "anthropic-ratelimit-requests-remaining": "3999",
    }
