"""api.openai.com: `/v1/chat/completions` with streams and tools, `/v1/files`, `/v1/realtime` as a WebSocket.

Shapes: platform.openai.com/docs/api-reference (chat, files, realtime, errors).
"""

import base64
import hashlib
import json
import secrets
from typing import Any, ClassVar, Final

from aiohttp import WSMsgType, web

from standin.events import unnamed
from standin.openai_api import error

from .api import Api, Call
from .script import PIECES, TOOL_ARGUMENTS, TOOL_NAME

KINDS: Final = {429: "requests", 500: "server_error"}
MESSAGES: Final = {401: "Incorrect API key provided.", 404: "The model `gpt-none` does not exist", 429: "Rate limit reached"}


class OpenAI(Api):
    """The API."""

    host = "api.openai.com"
    header: ClassVar = "authorization"

    def expected(self) -> str:
        return f"Bearer {self.credential.reveal()}"

    def error(self, status: int) -> web.Response:
        answer = error(status, MESSAGES.get(status, "The server had an error"), kind=KINDS.get(status, "invalid_request_error"))
        if status == 429:
            answer.headers.update({"retry-after-ms": "20", "retry-after": "1"})
        return answer

    async def answer(self, call: Call) -> web.StreamResponse:
        match call.request.method, call.request.path:
            case "POST", "/v1/chat/completions":
                return await self._chat(call, json.loads(call.body))
            case "POST", "/v1/files":
                return _file(call)
            case "GET", "/v1/realtime" if "model" in call.request.query:
                return await Realtime(call).run()
        return error(404, f"Invalid URL ({call.request.method} {call.request.path})")

    async def _chat(self, call: Call, body: dict[str, Any]) -> web.StreamResponse:
        last = body["messages"][-1]
        if body.get("stream"):
            return await _stream(call, body["model"])
        if body.get("tools") and last["role"] != "tool":
            function = {"name": TOOL_NAME, "arguments": json.dumps(TOOL_ARGUMENTS)}
            use = {"id": f"call_{secrets.token_hex(12)}", "type": "function", "function": function}
            return web.json_response(_completion(body["model"], {"content": None, "tool_calls": [use]}, "tool_calls"))
        text = f"The tool said: {last['content']}" if last["role"] == "tool" else "".join(PIECES)
        return web.json_response(_completion(body["model"], {"content": text}, "stop"))


def _completion(model: str, message: dict[str, Any], finish: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{secrets.token_hex(12)}",
        "object": "chat.completion",
        "created": 1795000000,
        "model": model,
        "choices": [{"index": 0, "message": {"role": "assistant", "refusal": None, **message}, "finish_reason": finish}],
        "usage": {"prompt_tokens": 8, "completion_tokens": 3, "total_tokens": 11},
    }


async def _stream(call: Call, model: str) -> web.StreamResponse:
    about = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1795000000, "model": model}

    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        return unnamed({**about, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]})

    begin = (chunk({"role": "assistant", "content": "", "refusal": None}),)
    return await call.stream(
        begin, *(chunk({"content": piece}) for piece in PIECES), end=(chunk({}, "stop"), unnamed("[DONE]"))
    )


def _file(call: Call) -> web.Response:
    form = call.received.form()
    about = {"id": f"file-{secrets.token_hex(12)}", "object": "file", "bytes": len(form["file"]), "created_at": 1795000000}
    about |= {"filename": "data.bin", "purpose": form["purpose"].decode(), "status": "processed"}
    return web.json_response(about)


class Realtime:
    """One session."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._socket = web.WebSocketResponse(protocols=("realtime",), compress=True, max_msg_size=0)
        self._audio = bytearray()

    async def run(self) -> web.WebSocketResponse:
        """To its end."""
        await self._socket.prepare(self._call.request)
        self._call.received.compressed = bool(self._socket.compress)
        await self._send("session.created", session={"type": "realtime", "model": self._call.request.query["model"]})
        async for message in self._socket:
            if message.type is WSMsgType.TEXT:
                self._call.received.frames.append(message.data)
                await self._event(json.loads(message.data))
        return self._socket

    async def _send(self, kind: str, **fields: Any) -> None:
        await self._socket.send_json({"type": kind, "event_id": f"event_{secrets.token_hex(8)}", **fields})

    async def _event(self, event: dict[str, Any]) -> None:
        where = {"response_id": "resp_1", "item_id": "item_1", "output_index": 0}
        match event["type"]:
            case "response.create" if event.get("response", {}).get("tools"):
                arguments = json.dumps(TOOL_ARGUMENTS)
                await self._send(
                    "response.function_call_arguments.done", call_id="call_1", name=TOOL_NAME, arguments=arguments, **where
                )
            case "response.create":
                async for piece in self._call.apis.paced(self._call.request, PIECES):
                    await self._send("response.output_text.delta", content_index=0, delta=piece, **where)
                await self._send(
                    "response.done", response={"id": "resp_1", "object": "realtime.response", "status": "completed"}
                )
            case "conversation.item.create":
                await self._send("conversation.item.added", item=event["item"])
            case "input_audio_buffer.append":
                self._audio += base64.b64decode(event["audio"])
            case "input_audio_buffer.commit":
                await self._send("input_audio_buffer.committed", item_id=hashlib.sha256(self._audio).hexdigest())
            case kind:
                problem = {"type": "invalid_request_error", "code": "invalid_value", "message": f"Invalid value: '{kind}'."}
                await self._send("error", error=problem)
