"""generativelanguage.googleapis.com: generateContent, streams, tools, resumable uploads, and the Live API.

Shapes: ai.google.dev/api (generate-content, files, live), cloud.google.com/apis/design/errors.
"""

import json
import re
from typing import Any, ClassVar, Final

from aiohttp import WSMsgType, web

from standin.events import unnamed

from .api import Api, Call
from .script import PIECES, TOOL_ARGUMENTS, TOOL_NAME

STATUSES: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
}
GENERATE: Final = re.compile(r"/(v1|v1beta)/models/[a-z0-9-]+:(generateContent|streamGenerateContent)")
UPLOAD: Final = re.compile(r"/upload/(v1|v1beta)/files")
LIVE: Final = re.compile(r"/ws/google\.ai\.generativelanguage\.(v1|v1beta)\.GenerativeService\.BidiGenerateContent")


class Google(Api):
    """The API."""

    host = "generativelanguage.googleapis.com"
    header: ClassVar = "x-goog-api-key"

    def error(self, status: int) -> web.Response:
        problem = {"code": status, "message": f"A problem of kind {STATUSES[status]}", "status": STATUSES[status]}
        return web.json_response({"error": problem}, status=status)

    async def answer(self, call: Call) -> web.StreamResponse:
        if asked := GENERATE.fullmatch(call.request.path):
            if asked[2] == "generateContent":
                return self._generate(json.loads(call.body))
            pieces = (unnamed(_content({"text": piece})) for piece in PIECES)
            return await call.stream((), *pieces, end=(unnamed(_content({"text": ""}, finish="STOP")),))
        if UPLOAD.fullmatch(call.request.path):
            return self._upload(call)
        if LIVE.fullmatch(call.request.path):
            return await _live(call)
        return self.error(404)

    def _generate(self, body: dict[str, Any]) -> web.Response:
        parts = body["contents"][-1]["parts"]
        if (answer := next((part["functionResponse"] for part in parts if "functionResponse" in part), None)) is not None:
            return web.json_response(_content({"text": f"The tool said: {answer['response']['result']}"}, finish="STOP"))
        if body.get("tools"):
            call = {"functionCall": {"name": TOOL_NAME, "args": TOOL_ARGUMENTS}}
            return web.json_response(_content(call, finish="STOP"))
        return web.json_response(_content({"text": "".join(PIECES)}, finish="STOP"))

    def _upload(self, call: Call) -> web.Response:
        if "upload_id" not in call.request.query:
            # An address at Google, as the real API gives it.
            where = f"https://{self.host}{call.request.path}?upload_id=42&upload_protocol=resumable"
            return web.json_response({}, headers={"X-Goog-Upload-URL": where, "X-Goog-Upload-Status": "active"})
        file = {"name": "files/42", "mimeType": "application/octet-stream", "sizeBytes": str(len(call.body)), "state": "ACTIVE"}
        return web.json_response({"file": file}, headers={"X-Goog-Upload-Status": "final"})


def _content(part: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": [part]}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    usage = {"promptTokenCount": 8, "candidatesTokenCount": 3, "totalTokenCount": 11}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-4-flash", "responseId": "r1"}


async def _live(call: Call) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(max_msg_size=0)
    await socket.prepare(call.request)
    call.received.compressed = bool(socket.compress)
    async for message in socket:
        if message.type not in {WSMsgType.TEXT, WSMsgType.BINARY}:
            continue
        text = message.data if isinstance(message.data, str) else message.data.decode()
        call.received.frames.append(text)
        if "setup" in json.loads(text):
            await socket.send_bytes(json.dumps({"setupComplete": {}}).encode())
            continue
        async for piece in call.apis.paced(call.request, PIECES):
            turn = {"modelTurn": {"role": "model", "parts": [{"text": piece}]}}
            await socket.send_bytes(json.dumps({"serverContent": turn}).encode())
        await socket.send_bytes(json.dumps({"serverContent": {"turnComplete": True}}).encode())
    return socket
