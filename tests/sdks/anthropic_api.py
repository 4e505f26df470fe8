"""api.anthropic.com: `/v1/messages` with streams and tools, `/v1/files`.

Shapes: docs.anthropic.com/en/api (messages, messages-streaming, files-create, errors).
"""

import json
import secrets
from typing import Any, ClassVar, Final

from aiohttp import web

from standin.anthropic_api import error
from standin.events import named

from .api import Api, Call
from .script import PIECES, TOOL_ARGUMENTS, TOOL_NAME

MESSAGES: Final = {
    429: "This request would exceed your organization's rate limit",
    404: "model: claude-none",
    500: "Internal error",
}


class Anthropic(Api):
    """The API."""

    host = "api.anthropic.com"
    header: ClassVar = "x-api-key"

    def error(self, status: int) -> web.Response:
        return error(status, MESSAGES.get(status, "invalid x-api-key"), {"retry-after": "1"} if status == 429 else {})

    async def answer(self, call: Call) -> web.StreamResponse:
        if "anthropic-version" not in call.request.headers:
            return error(400, "anthropic-version: header is required")
        match call.request.method, call.request.path:
            case "POST", "/v1/messages":
                return await self._messages(call, json.loads(call.body))
            case "POST", "/v1/files":
                return _file(call)
        return error(404, "Not found")

    async def _messages(self, call: Call, body: dict[str, Any]) -> web.StreamResponse:
        last = body["messages"][-1]["content"]
        result = (
            next((block["content"] for block in last if block["type"] == "tool_result"), None)
            if isinstance(last, list)
            else None
        )
        if body.get("stream"):
            return await _stream(call, body["model"])
        if body.get("tools") and result is None:
            use = {"type": "tool_use", "id": f"toolu_{secrets.token_hex(12)}", "name": TOOL_NAME, "input": TOOL_ARGUMENTS}
            return web.json_response(_message(body["model"], [use], "tool_use"))
        text = "".join(PIECES) if result is None else f"The tool said: {result}"
        return web.json_response(_message(body["model"], [{"type": "text", "text": text}], "end_turn"))


def _message(model: str, content: list[dict[str, Any]], stop: str | None) -> dict[str, Any]:
    return {
        "id": f"msg_{secrets.token_hex(12)}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": {"input_tokens": 8, "output_tokens": 3},
    }


async def _stream(call: Call, model: str) -> web.StreamResponse:
    def event(name: str, **data: Any) -> bytes:
        return named(name, {"type": name, **data})

    begin = (
        event("message_start", message=_message(model, [], None)),
        event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        event("ping"),
    )
    pieces = (event("content_block_delta", index=0, delta={"type": "text_delta", "text": piece}) for piece in PIECES)
    end = (
        event("content_block_stop", index=0),
        event("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": 3}),
        event("message_stop"),
    )
    return await call.stream(begin, *pieces, end=end)


def _file(call: Call) -> web.Response:
    about: dict[str, Any] = {
        "id": f"file_{secrets.token_hex(12)}",
        "type": "file",
        "filename": "data.bin",
        "mime_type": "application/octet-stream",
    }
    about |= {"size_bytes": len(call.received.form()["file"]), "created_at": "2026-11-24T00:00:00Z", "downloadable": False}
    return web.json_response(about)
