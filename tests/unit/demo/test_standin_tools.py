"""The stand-in's wire formats where an agent works: calls of tools as they stream, with the real SDKs as judges."""

import json
from typing import Any

import pytest
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from .agent_tools import ASKED, CLAUDE_CODE, CODEX, GEMINI_CLI, PATCH
from .conftest import Upstream
from .sdk_clients import anthropic_client, openai_client

ANTHROPIC: Any = [{"name": tool.name, "input_schema": tool.schema} for tool in CLAUDE_CODE]
CHAT: Any = [{"type": "function", "function": {"name": tool.name, "parameters": tool.schema}} for tool in GEMINI_CLI]
RESPONSES: Any = [
    {"type": "function", "name": "exec_command", "parameters": CODEX[0].schema, "strict": False},
    {"type": "custom", "name": "apply_patch"},
]


async def test_messages_with_tools_stream(upstream: Upstream) -> None:
    client, messages = anthropic_client(upstream), [{"role": "user", "content": ASKED}]
    said = []
    for result in ("box", "written", None):
        asked: Any = {"model": "claude-opus-5-5", "max_tokens": 64, "messages": messages, "tools": ANTHROPIC}
        async with client.messages.stream(**asked) as stream:
            answer = await stream.get_final_message()
        said.append((answer.stop_reason, answer.content[0].model_dump(include={"name", "input", "text"})))
        messages.append({"role": "assistant", "content": answer.model_dump(mode="json")["content"]})
        block = {"type": "tool_result", "tool_use_id": getattr(answer.content[0], "id", ""), "content": result}
        messages.append({"role": "user", "content": [block]})  # type: ignore[dict-item]
    assert said == [
        ("tool_use", {"name": "Bash", "input": {"command": "uname -n"}}),
        ("tool_use", {"name": "Write", "input": {"file_path": "/tmp/name.txt", "content": "box\n"}}),
        ("end_turn", {"text": "Done. The command printed: box"}),
    ]


async def test_chat_completions_with_tools_stream(upstream: Upstream) -> None:
    client = openai_client(upstream)
    asked: Any = {"model": "gpt-5.5", "messages": [{"role": "user", "content": ASKED}], "tools": CHAT}
    async with client.chat.completions.stream(**asked) as stream:
        streamed = await stream.get_final_completion()
    whole = await client.chat.completions.create(**asked)
    for answer in (streamed, whole):
        assert answer.choices[0].finish_reason == "tool_calls"
        assert answer.choices[0].message.tool_calls is not None
        (call,) = answer.choices[0].message.tool_calls
        assert call.type == "function"
        assert (call.function.name, json.loads(call.function.arguments)) == ("run_shell_command", {"command": "uname -n"})
    asked["messages"] += [
        whole.choices[0].message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": "call_1", "content": "Output: box"},
    ]
    tool_calls = (await client.chat.completions.create(**asked)).choices[0].message.tool_calls
    assert tool_calls is not None
    (call,) = tool_calls
    assert call.type == "function"
    assert json.loads(call.function.arguments) == {"file_path": "/tmp/name.txt", "content": "box\n"}


async def test_responses_with_tools_stream(upstream: Upstream) -> None:
    client, given = openai_client(upstream), [{"role": "user", "content": ASKED}]
    items = []
    for result in ("Output:\nbox", "written", None):
        asked: Any = {"model": "gpt-5.5", "input": given, "tools": RESPONSES}
        async with client.responses.stream(**asked) as stream:
            kinds = [event.type async for event in stream]
            (item,) = (await stream.get_final_response()).output
        assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
        items.append(item.model_dump(include={"type", "name", "arguments", "input"}))
        given.append(item.model_dump(exclude_none=True))
        call = getattr(item, "call_id", "")
        given.append({"type": f"{item.type}_output", "call_id": call, "output": result or ""})
    assert items == [
        {"type": "function_call", "name": "exec_command", "arguments": json.dumps({"cmd": "uname -n"})},
        {"type": "custom_tool_call", "name": "apply_patch", "input": PATCH},
        {"type": "message"},
    ]


async def test_responses_over_a_websocket_go_on_from_an_earlier_one(upstream: Upstream) -> None:
    headers = {"Authorization": f"Bearer {upstream.openai.value.reveal()}"}
    read: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
    items, earlier = [], None
    given: list[dict[str, Any]] = [{"role": "user", "content": ASKED}]
    async with (
        upstream.session() as session,
        session.ws_connect(upstream.url("api.openai.com", "/v1/responses"), headers=headers) as socket,
    ):
        for result in ("Output:\nbox", "written", ""):
            await socket.send_json(
                {
                    **{"type": "response.create", "model": "gpt-5.5", "input": given, "tools": RESPONSES},
                    "previous_response_id": earlier,
                }
            )
            event = read.validate_python(await socket.receive_json())
            while event.type != "response.completed":
                event = read.validate_python(await socket.receive_json())
            (item,), earlier = event.response.output, event.response.id
            items.append((item.type, getattr(item, "name", None)))
            # What is new, and nothing of what was before.
            given = [{"type": f"{item.type}_output", "call_id": getattr(item, "call_id", ""), "output": result}]
        await socket.send_json(
            {"type": "response.create", "model": "gpt-5.5", "input": [], "previous_response_id": "resp_none"}
        )
        assert (await socket.receive_json())["error"]["code"] == "previous_response_not_found"
    assert items == [("function_call", "exec_command"), ("custom_tool_call", "apply_patch"), ("message", None)]


@pytest.mark.parametrize(
    "names", [("functionDeclarations", "functionResponse"), ("function_declarations", "function_response")]
)
@pytest.mark.parametrize("method", ["generateContent", "streamGenerateContent?alt=sse"])
async def test_gemini_calls_a_tool(upstream: Upstream, method: str, names: tuple[str, str]) -> None:
    declared = [{"name": tool.name, "parameters": tool.schema} for tool in GEMINI_CLI]
    declarations, response = names
    contents: list[dict[str, Any]] = [{"role": "user", "parts": [{"text": ASKED}]}]
    headers = {"x-goog-api-key": upstream.google.value.reveal()}
    url = upstream.url("generativelanguage.googleapis.com", f"/v1beta/models/gemini-3.1-pro-preview:{method}")
    said = []
    async with upstream.session() as session:
        for result in ("Output: box", "written", ""):
            body = {"contents": contents, "tools": [{declarations: declared}]}
            async with session.post(url, json=body, headers=headers) as answer:
                text = await answer.text()
            events = [json.loads(one.removeprefix("data: ")) for one in text.strip().split("\n\n")]
            assert [one["candidates"][0].get("finishReason") for one in events] == [None] * (len(events) - 1) + ["STOP"]
            parts = [part for one in events for part in one["candidates"][0]["content"]["parts"]]
            call = parts[0].get("functionCall", {})
            said.append((call.get("name"), call.get("args"), "".join(part.get("text", "") for part in parts)))
            contents.append({"role": "model", "parts": parts})
            output = {"name": call.get("name"), "response": {"output": result}}
            contents.append({"role": "user", "parts": [{response: output}]})
    assert said == [
        ("run_shell_command", {"command": "uname -n"}, ""),
        ("write_file", {"file_path": "/tmp/name.txt", "content": "box\n"}, ""),
        (None, None, "Done. The command printed: box"),
    ]


@pytest.mark.parametrize(("headers", "status"), [({}, 401), ({"x-goog-api-key": "AIzaWrong"}, 400)])
async def test_gemini_refuses_what_is_no_key(upstream: Upstream, headers: dict[str, str], status: int) -> None:
    url = upstream.url("generativelanguage.googleapis.com", "/v1beta/models/gemini-3.1-pro-preview:generateContent")
    async with upstream.session() as session, session.post(url, json={"contents": []}, headers=headers) as answer:
        assert answer.status == status
        assert (await answer.json())["error"]["code"] == status
