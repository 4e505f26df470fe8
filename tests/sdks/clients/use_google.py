"""What programs do with the Google Gen AI SDK for Python. Run by tests/sdks."""

import asyncio
import importlib.metadata
import io
import os
from typing import Any

from facts import TOOL, new_file, say, serve, weather, wrong
from google import genai
from google.genai import types

URL, TOKEN = os.environ["GEMINI_URL"], os.environ["GEMINI"]
MODEL = "gemini-4-flash"


def made(token: str = TOKEN, **options: Any) -> genai.Client:
    return genai.Client(api_key=token, http_options=types.HttpOptions(base_url=URL, **options))


client = made()


def base_urls() -> None:
    ends = ("", "/")
    for end in ends:
        ask(genai.Client(api_key=TOKEN, http_options=types.HttpOptions(base_url=URL + end)))
    say(urls=len(ends))


def ask(client: genai.Client) -> None:
    say(text=client.models.generate_content(model=MODEL, contents="count").text)


def own_variables() -> None:
    os.environ |= {"GOOGLE_GEMINI_BASE_URL": URL, "GEMINI_API_KEY": TOKEN}
    ask(genai.Client())


def stream() -> None:
    text = ""
    for chunk in client.models.generate_content_stream(model=MODEL, contents="count"):
        if piece := chunk.text:
            say(piece=piece)
            text += piece
    say(text=text)


def tools() -> None:
    function = types.FunctionDeclaration(
        name=TOOL["name"], description=TOOL["description"], parameters_json_schema=TOOL["schema"]
    )
    config = types.GenerateContentConfig(tools=[types.Tool(function_declarations=[function])])
    contents: list[Any] = [types.Content(role="user", parts=[types.Part(text="How warm is it in Zürich?")])]
    answer = client.models.generate_content(model=MODEL, contents=contents, config=config)
    (use,) = answer.function_calls
    result = types.Part.from_function_response(name=use.name, response={"result": weather(use.args)})
    contents += [answer.candidates[0].content, types.Content(role="user", parts=[result])]
    say(text=client.models.generate_content(model=MODEL, contents=contents, config=config).text)


def upload(client: genai.Client, **config: Any) -> None:
    config |= {"mime_type": "application/octet-stream"}
    file = client.files.upload(file=io.BytesIO(new_file()), config=types.UploadFileConfig(**config))
    say(bytes=file.size_bytes)


async def upload_at_once() -> None:
    config = types.UploadFileConfig(mime_type="application/octet-stream")
    file = await made().aio.files.upload(file=io.BytesIO(new_file()), config=config)
    say(bytes=file.size_bytes)


def upload_with_headers() -> None:
    """With what it needs said for the second request, too."""
    told = made(client_args={"headers": {"x-goog-api-key": TOKEN}})
    upload(told, http_options=types.HttpOptions(base_url=URL))


def inline(client: genai.Client) -> None:
    part = types.Part.from_bytes(data=new_file(), mime_type="application/octet-stream")
    say(text=client.models.generate_content(model=MODEL, contents=[part, "count"]).text)


async def _live() -> None:
    config = types.LiveConnectConfig(response_modalities=[types.Modality.TEXT])
    async with client.aio.live.connect(model=MODEL, config=config) as session:
        say(created="setupComplete")
        await session.send_client_content(turns=types.Content(role="user", parts=[types.Part(text="count")]))
        async for message in session.receive():
            if message.text:
                say(piece=message.text)


def about(error: Any) -> dict[str, Any]:
    return {"status": getattr(error, "code", None), "body": getattr(error, "details", None)}


patient = made(retry_options=types.HttpRetryOptions(attempts=3, initial_delay=0.02, jitter=0.01))
serve(
    importlib.metadata.version("google-genai"),
    {
        "plain": lambda: ask(client),
        "own variables": own_variables,
        "base urls": base_urls,
        "stream": stream,
        "tools": tools,
        "upload": lambda: upload(client),
        "upload at once": lambda: asyncio.run(upload_at_once()),
        "upload with headers": upload_with_headers,
        "inline": lambda: inline(client),
        "fail": lambda: ask(client),
        "retry": lambda: ask(patient),
        "realtime": lambda: asyncio.run(_live()),
        "wrong token": lambda: ask(made(wrong(TOKEN))),
        "wrong token upload": lambda: inline(made(wrong(TOKEN))),
    },
    about,
)
