"""What programs do with the websockets package at OpenAI's Realtime API, in the way of browsers: the key is a subprotocol.

Run by tests/sdks.
"""

import asyncio
import base64
import contextlib
import importlib.metadata
import json
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import websockets
from facts import TOOL, new_file, say, serve, weather, wrong
from websockets.asyncio.client import ClientConnection, connect
from websockets.extensions.permessage_deflate import PerMessageDeflate

URL, TOKEN = os.environ["OPENAI_URL"], os.environ["OPENAI"]
ADDRESS = f"{URL.replace('https:', 'wss:')}/v1/realtime?model=gpt-realtime-2"


def protocols(token: str) -> list[Any]:
    return ["realtime", f"openai-insecure-api-key.{token}"]


@contextlib.asynccontextmanager
async def session(token: str = TOKEN) -> AsyncIterator[ClientConnection]:
    async with connect(ADDRESS, subprotocols=protocols(token)) as socket:
        say(created=json.loads(await socket.recv())["type"])
        yield socket


async def plain() -> None:
    async with session() as socket:
        extensions = socket.protocol.extensions
        say(subprotocol=socket.subprotocol, compressed=any(isinstance(each, PerMessageDeflate) for each in extensions))
        await ask(socket)


async def ask(socket: ClientConnection) -> None:
    await socket.send(json.dumps({"type": "response.create"}))
    text = ""
    async for message in socket:
        event = json.loads(message)
        if event["type"] == "response.output_text.delta":
            say(piece=event["delta"])
            text += event["delta"]
        if event["type"] == "response.done":
            say(text=text)
            return


async def tools() -> None:
    async with session() as socket:
        tool = {"type": "function", "name": TOOL["name"], "parameters": TOOL["schema"]}
        await socket.send(json.dumps({"type": "response.create", "response": {"tools": [tool]}}))
        use = json.loads(await socket.recv())
        output = weather(json.loads(use["arguments"]))
        item = {"type": "function_call_output", "call_id": use["call_id"], "output": output}
        await socket.send(json.dumps({"type": "conversation.item.create", "item": item}))
        say(text=f"The tool said: {json.loads(await socket.recv())['item']['output']}")


async def upload() -> None:
    async with session() as socket:
        content = new_file()
        for start in range(0, len(content), 1 << 20):
            audio = base64.b64encode(content[start : start + (1 << 20)]).decode()
            await socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))
        await socket.send(json.dumps({"type": "input_audio_buffer.commit"}))
        say(arrived=json.loads(await socket.recv())["item_id"])


async def error_event() -> None:
    async with session() as socket:
        await socket.send(json.dumps({"type": "no.such.event"}))
        say(error=json.loads(await socket.recv())["error"])


async def retry() -> None:
    """`async for` connects again after errors of servers."""
    async for socket in connect(ADDRESS, subprotocols=protocols(TOKEN)):
        async with socket:
            say(created=json.loads(await socket.recv())["type"])
            await ask(socket)
        return


async def wrong_token() -> None:
    async with session(wrong(TOKEN)):
        pass


def about(error: Any) -> dict[str, Any]:
    if not isinstance(error, websockets.InvalidStatus):
        return {}
    return {"status": error.response.status_code, "body": json.loads(error.response.body)}


def runs(scenario: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    return lambda: asyncio.run(scenario())


scenarios = {
    "plain": plain,
    "stream": plain,
    "tools": tools,
    "upload": upload,
    "fail": plain,
    "error event": error_event,
    "retry": retry,
    "wrong token": wrong_token,
}
serve(
    importlib.metadata.version("websockets"),
    {name: runs(scenario) for name, scenario in scenarios.items()},
    about,
)
