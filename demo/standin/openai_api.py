"""The API of api.openai.com: `/v1/chat/completions` and `/v1/responses` (openai_chat.py, openai_responses.py), `/v1/models`.

Shapes: https://platform.openai.com/docs/api-reference. The key counts as `Authorization: Bearer …` alone, and nothing is
served outside `/v1`.
"""

import json
import re
import secrets
from typing import Any, Final

from aiohttp import web

from . import events, openai_chat, openai_responses
from .keys import KeyRing

HOST: Final = "api.openai.com"
KNOWN: Final = re.compile(r"gpt-[4-9][a-z0-9.-]*")
"""Agents ask small models for titles, by names that change."""
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
        case "GET", "/v1/responses" if request.headers.get("Upgrade", "").lower() == "websocket":
            return await openai_responses.session(request, owner, _wrong, _headers(owner))
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
    of = openai_chat if field == "messages" else openai_responses
    step = of.step(body, owner)
    if body.get("stream"):
        return await events.stream(request, of.frames(body, step), pace=pace, headers=_headers(owner))
    return web.json_response(of.whole(body, step), headers=_headers(owner))


def _wrong(body: Any) -> dict[str, Any] | None:
    """What is wrong with a response that is asked for over a WebSocket, as its error event words it."""
    problem = _problem(body, "input")
    return None if problem is None else json.loads(str(problem.text))["error"]


def _problem(body: Any, field: str) -> web.Response | None:
    if not isinstance(body, dict) or "model" not in body:
        return error(400, "you must provide a model parameter")
    if field not in body:
        return error(400, f"Missing required parameter: '{field}'.", code="missing_required_parameter")
    model = body["model"]
    if model == "rate-limited":  # the error that clients retry, at will
        return error(429, "Rate limit reached", kind="requests", code="rate_limit_exceeded")
    if not isinstance(model, str) or not KNOWN.fullmatch(model):
        message = f"The model `{model}` does not exist or you do not have access to it."
        return error(404, message, code="model_not_found")
    return None


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 1754000000, "owned_by": "openai"}


def _headers(owner: str) -> dict[str, str]:
    return {
        "x-request-id": f"req_{secrets.token_hex(16)}",
        "openai-organization": owner,
        "openai-version": "2020-10-01",
        "x-ratelimit-remaining-requests": "9999",
    }
