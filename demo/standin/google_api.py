"""The Gemini API of generativelanguage.googleapis.com: `generateContent` and `streamGenerateContent` (SSE) with tools, `countTokens`.

Shapes: ai.google.dev/api/generate-content; errors: cloud.google.com/apis/design/errors.
The key counts in `x-goog-api-key` and nowhere else.
"""

import json
import re
import secrets
from collections.abc import Iterator, Mapping
from typing import Any, Final

from aiohttp import web

from . import agent, events
from .agent import Say, Step, Tool
from .keys import KeyRing

HOST: Final = "generativelanguage.googleapis.com"
STATUSES: Final = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 404: "NOT_FOUND"}
CALL: Final = re.compile(r"/(?:v1|v1beta)/models/([a-z0-9.-]+):(generateContent|streamGenerateContent|countTokens)")
_SNAKE: Final = re.compile(r"_([a-z])")
_KEPT: Final = ("parameters", "parametersJsonSchema", "response", "args")
MODEL: Final = re.compile(r"gemini-[a-z0-9.-]+")


def error(status: int, message: str) -> web.Response:
    """An error as that API words it."""
    return web.json_response({"error": {"code": status, "message": message, "status": STATUSES[status]}}, status=status)


def authenticate(request: web.Request, keys: KeyRing) -> str | web.Response:
    """Whose key it is, or the refusal: 400 for a wrong key, as the real API has it."""
    presented = request.headers.getall("x-goog-api-key", [])
    if len(presented) == 1 and (owner := keys.owner("google", presented[0])):
        return owner
    if presented:
        return error(400, "API key not valid. Please pass a valid API key.")
    return error(401, "Request is missing required authentication credential.")


async def handle(request: web.Request, owner: str, pace: float) -> web.StreamResponse:
    """One request with a good key."""
    asked = CALL.fullmatch(request.path)
    if request.method != "POST" or asked is None or not MODEL.fullmatch(asked[1]):
        return error(404, f"{request.method} {request.path} is not found for API version v1beta.")
    try:
        body = json.loads(await request.read())
        contents = body["contents"]
    except (ValueError, KeyError, TypeError):
        return error(400, "Invalid JSON payload received, or contents is not specified.")
    if asked[2] == "countTokens":
        return web.json_response({"totalTokens": events.count_tokens(contents)})
    step = _step(body, owner)
    if asked[2] == "generateContent":
        parts = [{"text": step.text}] if isinstance(step, Say) else _parts(step)
        return web.json_response(_answer(asked[1], contents, parts, ended=True))
    return await events.stream(request, _frames(asked[1], contents, step), pace=pace, headers={})


def _step(body: Mapping[str, Any], owner: str) -> Step:
    asked, results, said = [], [], ""
    body = _camel(body)
    for content in body["contents"]:
        texts = [str(part["text"]) for part in content.get("parts", ()) if "text" in part]
        said = " ".join(texts)
        if content.get("role", "user") == "user":
            asked += texts
        results += [_result(part["functionResponse"]) for part in content.get("parts", ()) if "functionResponse" in part]
    declared = [one for tool in body.get("tools") or () for one in tool.get("functionDeclarations", ())]
    tools = [Tool(one["name"], one.get("parametersJsonSchema") or one.get("parameters") or {}) for one in declared]
    return agent.next_step("\n".join(asked), tools, results) or agent.echo(owner, said)


def _camel(given: Any) -> Any:
    """With the names that the documentation has; the API takes those with underscores as well (litellm's). What tools are called, and
    what they take and give, stays as it is."""
    if isinstance(given, list):
        return [_camel(one) for one in given]
    if not isinstance(given, dict):
        return given
    spelled = {_SNAKE.sub(lambda found: found[1].upper(), name): value for name, value in given.items()}
    return {name: value if name in _KEPT else _camel(value) for name, value in spelled.items()}


def _result(answer: Mapping[str, Any]) -> str:
    given = answer.get("response") or {}
    return str(next((given[name] for name in ("output", "result", "return_value", "content") if name in given), given))


def _parts(step: Step) -> list[dict[str, Any]]:
    """As they come in a stream: a call is never cut."""
    if isinstance(step, Say):
        return [{"text": piece} for piece in events.words(step.text)]
    return [{"functionCall": {"id": secrets.token_hex(4), "name": step.tool, "args": step.arguments}}]


def _frames(model: str, contents: Any, step: Step) -> Iterator[bytes]:
    parts = _parts(step)
    for part in parts[:-1]:
        yield events.unnamed(_answer(model, contents, [part], ended=False))
    yield events.unnamed(_answer(model, contents, parts[-1:], ended=True))


def _answer(model: str, contents: Any, parts: list[dict[str, Any]], *, ended: bool) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
    if ended:
        candidate["finishReason"] = "STOP"
    used = events.count_tokens(contents)
    usage = {"promptTokenCount": used, "candidatesTokenCount": len(parts), "totalTokenCount": used + len(parts)}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": model, "responseId": secrets.token_urlsafe(16)}
