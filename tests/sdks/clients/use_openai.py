"""What programs do with the OpenAI SDK for Python. Run by tests/sdks."""

import json
import os
from typing import Any

import openai
from facts import TOOL, new_file, say, serve, weather, wrong

URL, TOKEN = os.environ["OPENAI_URL"], os.environ["OPENAI"]
MODEL = "gpt-5.5"
client = openai.OpenAI(base_url=URL, api_key=TOKEN)


def ask(client: openai.OpenAI) -> None:
    completion = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "count"}])
    say(text=completion.choices[0].message.content)


def own_variables() -> None:
    os.environ |= {"OPENAI_BASE_URL": URL, "OPENAI_API_KEY": TOKEN}
    ask(openai.OpenAI())


def base_urls() -> None:
    ends = ("", "/", "/v1", "/v1/")
    for end in ends:
        ask(openai.OpenAI(base_url=URL + end, api_key=TOKEN))
    say(urls=len(ends))


def stream() -> None:
    text = ""
    for chunk in client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "count"}], stream=True):
        if piece := chunk.choices[0].delta.content:
            say(piece=piece)
            text += piece
    say(text=text)


def tools() -> None:
    function = {"name": TOOL["name"], "description": TOOL["description"], "parameters": TOOL["schema"]}
    tool: Any = {"type": "function", "function": function}
    messages: list[Any] = [{"role": "user", "content": "How warm is it in Zürich?"}]
    message: Any = client.chat.completions.create(model=MODEL, messages=messages, tools=[tool]).choices[0].message
    (use,) = message.tool_calls
    result = weather(json.loads(use.function.arguments))
    messages += [message, {"role": "tool", "tool_call_id": use.id, "content": result}]
    say(text=client.chat.completions.create(model=MODEL, messages=messages, tools=[tool]).choices[0].message.content)


def upload(client: openai.OpenAI) -> None:
    file = client.files.create(file=("data.bin", new_file(), "application/octet-stream"), purpose="user_data")
    say(bytes=file.bytes)


def realtime() -> None:
    with client.realtime.connect(model="gpt-realtime-2") as connection:
        say(created=connection.recv().type)
        connection.response.create()
        for event in connection:
            if event.type == "response.output_text.delta":
                say(piece=event.delta)
            if event.type == "response.done":
                return


def about(error: Any) -> dict[str, Any]:
    return {"status": getattr(error, "status_code", None), "body": getattr(error, "body", None)}


serve(
    openai.__version__,
    {
        "plain": lambda: ask(client),
        "own variables": own_variables,
        "base urls": base_urls,
        "stream": stream,
        "tools": tools,
        "upload": lambda: upload(client),
        "fail": lambda: ask(client.with_options(max_retries=0)),
        "retry": lambda: ask(client),
        "realtime": realtime,
        "wrong token": lambda: ask(openai.OpenAI(base_url=URL, api_key=wrong(TOKEN))),
        "wrong token upload": lambda: upload(openai.OpenAI(base_url=URL, api_key=wrong(TOKEN), max_retries=0)),
    },
    about,
)
