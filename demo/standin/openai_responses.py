"""Responses, as JSON, as server-sent events and over a WebSocket: text, calls of functions and of tools that take a plain text.

Goes in: a request's body. Comes out: an answer's, or the events of a stream. Shapes: platform.openai.com/docs/api-reference/responses,
…/responses-streaming; over a WebSocket each `response.create` gets the same events, one a message, and may go on from an earlier response
of the same connection by `previous_response_id`.
"""

import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from aiohttp import WSMsgType, web

from . import agent, events
from .agent import Say, Step, Tool

KEPT: Final = 50
"""Responses of one connection that it may go on from."""
_RESULTS: Final = ("function_call_output", "custom_tool_call_output")


def step(body: Mapping[str, Any], owner: str) -> Step:
    """What is answered."""
    given = _items(body["input"])
    asked = "\n".join(_text(one.get("content")) for one in given if one.get("role") == "user")
    results = [_text(one["output"]) for one in given if one.get("type") in _RESULTS]
    said = _text(given[-1].get("content")) if given else ""
    return agent.next_step(asked, _tools(body), results) or agent.echo(owner, said)


def _tools(body: Mapping[str, Any]) -> list[Tool]:
    listed = [one for one in body.get("tools") or () if one.get("type") in ("function", "custom")]
    return [Tool(one["name"], (one.get("parameters") or {}) if one["type"] == "function" else None) for one in listed]


def _items(given: Any) -> list[dict[str, Any]]:
    return given if isinstance(given, list) else [{"role": "user", "content": given}]


def _text(content: Any) -> str:
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content or ""


def whole(body: Mapping[str, Any], made: Step) -> dict[str, Any]:
    """The answer as one document."""
    used, given = events.count_tokens(body["input"]), len(_pieces(made))
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
        "output": [_item(made)],
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": {
            **{"input_tokens": used, "output_tokens": given, "total_tokens": used + given},
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens_details": {"reasoning_tokens": 0},
        },
    }


def frames(body: Mapping[str, Any], made: Step) -> Iterator[bytes]:
    """The answer as a stream."""
    return (events.named(one["type"], one) for one in sequence(body, made))


def sequence(body: Mapping[str, Any], made: Step) -> Iterator[dict[str, Any]]:
    """The answer as events, numbered."""
    done = whole(body, made)
    begun = {**done, "status": "in_progress", "output": [], "usage": None}
    listed = [
        ("response.created", {"response": begun}),
        ("response.in_progress", {"response": begun}),
        *_said(done["output"][0], _pieces(made)),
        ("response.completed", {"response": done}),
    ]
    for number, (name, data) in enumerate(listed):
        yield {"type": name, "sequence_number": number, **data}


def _said(item: dict[str, Any], pieces: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The events of an answer's one item."""
    where = {"item_id": item["id"], "output_index": 0}
    field = {"message": "content", "function_call": "arguments", "custom_tool_call": "input"}[item["type"]]
    begun = {**item, "status": "in_progress", field: [] if field == "content" else ""}
    yield "response.output_item.added", {"output_index": 0, "item": begun}
    if field == "content":
        part = item["content"][0]
        place = {**where, "content_index": 0}
        yield "response.content_part.added", {**place, "part": {**part, "text": ""}}
        for piece in pieces:
            yield "response.output_text.delta", {**place, "delta": piece, "logprobs": []}
        yield "response.output_text.done", {**place, "text": part["text"], "logprobs": []}
        yield "response.content_part.done", {**place, "part": part}
    else:
        kind = "function_call_arguments" if field == "arguments" else "custom_tool_call_input"
        for piece in pieces:
            yield f"response.{kind}.delta", {**where, "delta": piece}
        yield f"response.{kind}.done", {**where, field: item[field]}
    yield "response.output_item.done", {"output_index": 0, "item": item}


def _item(made: Step) -> dict[str, Any]:
    if isinstance(made, Say):
        part = {"type": "output_text", "text": made.text, "annotations": [], "logprobs": []}
        about: dict[str, Any] = {"id": f"msg_{secrets.token_hex(24)}", "type": "message", "status": "completed"}
        return {**about, "role": "assistant", "content": [part]}
    call = {"status": "completed", "call_id": f"call_{secrets.token_urlsafe(18)}", "name": made.tool}
    if isinstance(made.arguments, str):
        return {"id": f"ctc_{secrets.token_hex(24)}", "type": "custom_tool_call", **call, "input": made.arguments}
    return {"id": f"fc_{secrets.token_hex(24)}", "type": "function_call", **call, "arguments": json.dumps(made.arguments)}


def _pieces(made: Step) -> list[str]:
    if isinstance(made, Say):
        return events.words(made.text)
    return events.words(made.arguments if isinstance(made.arguments, str) else json.dumps(made.arguments))


async def session(
    request: web.Request, owner: str, wrong: Callable[[Any], dict[str, Any] | None], headers: Mapping[str, str]
) -> web.StreamResponse:
    """One WebSocket to its end. `wrong`: what is wrong with a body that asks for a response, as the API words it."""
    socket = web.WebSocketResponse(compress=True, max_msg_size=0)
    socket.headers.update(headers)
    await socket.prepare(request)
    before: dict[str, list[dict[str, Any]]] = {}
    async for message in socket:
        if message.type is not WSMsgType.TEXT:
            continue
        body = json.loads(message.data)
        if body.pop("type", None) != "response.create":
            problem: dict[str, Any] | None = {
                "type": "invalid_request_error",
                "code": "invalid_value",
                "message": "Unknown event.",
            }
        elif (earlier := body.get("previous_response_id")) is not None and earlier not in before:
            text = f"Previous response with id '{earlier}' not found."
            problem = {"type": "invalid_request_error", "code": "previous_response_not_found", "message": text}
        else:
            problem = wrong(body)
        if problem is not None:
            await socket.send_json({"type": "error", "status": 400, "error": problem})
            continue
        body["input"] = [*before.get(earlier or "", ()), *_items(body["input"])]
        for event in sequence(body, step(body, owner)):
            await socket.send_json(event)
        made = event["response"]
        before[made["id"]] = [*body["input"], *made["output"]]
        while len(before) > KEPT:
            before.pop(next(iter(before)))
    return socket
