"""What programs do with the Anthropic SDK for Python, 2.x and 1.x alike. Run by tests/sdks."""

import os
from typing import Any

import anthropic
from facts import TOOL, new_file, say, serve, weather, wrong

URL, TOKEN = os.environ["ANTHROPIC_URL"], os.environ["ANTHROPIC"]
MODEL = "claude-sonnet-5-5"
client = anthropic.Anthropic(base_url=URL, api_key=TOKEN)


def ask(client: anthropic.Anthropic) -> None:
    message = client.messages.create(model=MODEL, max_tokens=64, messages=[{"role": "user", "content": "count"}])
    say(text="".join(block.text for block in message.content if block.type == "text"))


def own_variables() -> None:
    os.environ |= {"ANTHROPIC_BASE_URL": URL, "ANTHROPIC_API_KEY": TOKEN}
    ask(anthropic.Anthropic())


def base_urls() -> None:
    ends = ("", "/")
    for end in ends:
        ask(anthropic.Anthropic(base_url=URL + end, api_key=TOKEN))
    say(urls=len(ends))


def stream() -> None:
    with client.messages.stream(model=MODEL, max_tokens=64, messages=[{"role": "user", "content": "count"}]) as events:
        for piece in events.text_stream:
            say(piece=piece)
        say(text=events.get_final_text())


def tools() -> None:
    tool: Any = {"name": TOOL["name"], "description": TOOL["description"], "input_schema": TOOL["schema"]}
    messages: list[Any] = [{"role": "user", "content": "How warm is it in Zürich?"}]
    message = client.messages.create(model=MODEL, max_tokens=64, messages=messages, tools=[tool])
    (use,) = [block for block in message.content if block.type == "tool_use"]
    result = {"type": "tool_result", "tool_use_id": use.id, "content": weather(use.input)}
    messages += [{"role": "assistant", "content": message.content}, {"role": "user", "content": [result]}]
    message = client.messages.create(model=MODEL, max_tokens=64, messages=messages, tools=[tool])
    say(text="".join(block.text for block in message.content if block.type == "text"))


def upload(client: anthropic.Anthropic) -> None:
    file = client.files.upload(file=("data.bin", new_file(), "application/octet-stream"))
    say(bytes=file.size_bytes)


def about(error: Any) -> dict[str, Any]:
    return {"status": getattr(error, "status_code", None), "body": getattr(error, "body", None)}


serve(
    anthropic.__version__,
    {
        "plain": lambda: ask(client),
        "own variables": own_variables,
        "base urls": base_urls,
        "stream": stream,
        "tools": tools,
        "upload": lambda: upload(client),
        "fail": lambda: ask(client.with_options(max_retries=0)),
        "retry": lambda: ask(client),
        "wrong token": lambda: ask(anthropic.Anthropic(base_url=URL, api_key=wrong(TOKEN))),
        "wrong token upload": lambda: upload(anthropic.Anthropic(base_url=URL, api_key=wrong(TOKEN), max_retries=0)),
    },
    about,
)
