"""Gemini, Azure OpenAI and GitHub, as far as examples/python goes: each takes its key in its own place, once, and nothing else beside it.

Goes in: requests. Comes out: that API's answer, or its 401. A key is good if it begins with `KEY`.
"""

import base64
import binascii
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from .git_host import backend
from .hosts import AZURE, GEMINI, GITHUB, GITHUB_API, KEY

Serve = Callable[[web.Request], Awaitable[web.StreamResponse]]
PLACES: Final = ("Authorization", "api-key", "x-goog-api-key", "x-api-key")


def key_of(request: web.Request, place: str, prefix: str = "") -> str | None:
    """The key, where it is good and the only one."""
    given = {name: request.headers.getall(name) for name in PLACES if name in request.headers}
    value = given.get(place, [""])[0]
    good = list(given) == [place] and len(given[place]) == 1 and value.startswith(prefix + KEY)
    return value.removeprefix(prefix) if good else None


def completion(text: str) -> dict[str, Any]:
    """As OpenAI's API words it."""
    return {"object": "chat.completion", "choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]}


async def gemini(request: web.Request) -> web.StreamResponse:
    """`generateContent`."""
    if key_of(request, "x-goog-api-key") is None:
        return web.json_response({"error": {"code": 401, "status": "UNAUTHENTICATED"}}, status=401)
    if not request.path.endswith(":generateContent"):
        return web.json_response({"error": {"code": 404, "status": "NOT_FOUND"}}, status=404)
    said = (await request.json())["contents"][-1]["parts"][0]["text"]
    return web.json_response({"candidates": [{"content": {"role": "model", "parts": [{"text": f"you said: {said}"}]}}]})


async def azure(request: web.Request) -> web.StreamResponse:
    """A deployment's chat completions."""
    if key_of(request, "api-key") is None:
        return web.json_response(
            {"error": {"code": "401", "message": "Access denied due to invalid subscription key"}}, status=401
        )
    if not request.path.endswith("/chat/completions") or "api-version" not in request.query:
        return web.json_response({"error": {"code": "404", "message": "Resource not found"}}, status=404)
    return web.json_response(completion(f"you said: {(await request.json())['messages'][-1]['content']}"))


async def github_api(request: web.Request) -> web.StreamResponse:
    """A repository's issues."""
    if key_of(request, "Authorization", "Bearer ") is None:
        return web.json_response({"message": "Bad credentials"}, status=401)
    if not request.path.endswith("/issues"):
        return web.json_response({"message": "Not Found"}, status=404)
    return web.json_response([{"number": 1, "title": "the first issue"}])


def github(repositories: Path) -> Serve:
    """Private repositories, which whoever has a key may read and write."""

    async def serve(request: web.Request) -> web.StreamResponse:
        _, _, encoded = request.headers.get("Authorization", "").partition("Basic ")
        try:
            user, _, key = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            user = key = ""
        if user != "x-access-token" or not key.startswith(KEY):
            return web.Response(
                status=401, text="Authentication required\n", headers={"WWW-Authenticate": 'Basic realm="GitHub"'}
            )
        return await backend(request, await request.read(), repositories, user)

    return serve


def serving(repositories: Path) -> dict[str, Serve]:
    """By their hosts."""
    return {GEMINI: gemini, AZURE: azure, GITHUB_API: github_api, GITHUB: github(repositories)}
