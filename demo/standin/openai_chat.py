"""Chat completions, as JSON and as server-sent events: text, and calls of tools.

Goes in: a request's body. Comes out: an answer's, or the frames of a stream. Shapes: platform.openai.com/docs/api-reference/chat.
"""

import json
import secrets
import time
from collections.abc import Iterator, Mapping
from typing import Any

from . import agent, events
from .agent import Say, Step, Tool


def step(body: Mapping[str, Any], owner: str) -> Step:
    """What is answered."""
    messages = body["messages"]
    asked = "\n".join(text(one.get("content")) for one in messages if one.get("role") == "user")
    results = [text(one.get("content")) for one in messages if one.get("role") == "tool"]
    functions = [one["function"] for one in body.get("tools") or () if one.get("type") == "function"]
    tools = [Tool(one["name"], one.get("parameters") or {}) for one in functions]
    said = text(messages[-1].get("content")) if messages else ""
    everything = "\n".join(text(one.get("content")) for one in messages)
    return agent.next_step(asked, tools, results) or agent.listing(everything) or agent.echo(owner, said)


def text(content: Any) -> str:
    """Of a message's content, in each of its forms."""
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content or ""


def whole(body: Mapping[str, Any], made: Step) -> dict[str, Any]:
    """The answer as one document."""
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None, "annotations": []}
    message |= {"content": made.text} if isinstance(made, Say) else {"tool_calls": [_call(made, made.arguments)]}
    return {
        "id": f"chatcmpl-{secrets.token_urlsafe(18)}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": body["model"],
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(made)}],
        "usage": _usage(body, made),
        "service_tier": "default",
        "system_fingerprint": None,
    }


def frames(body: Mapping[str, Any], made: Step) -> Iterator[bytes]:
    """The answer as a stream."""
    chunk = {
        "id": f"chatcmpl-{secrets.token_urlsafe(18)}",
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": body["model"],
        "service_tier": "default",
        "system_fingerprint": None,
    }

    def choice(delta: dict[str, Any], finish: str | None = None) -> bytes:
        return events.unnamed({**chunk, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]})

    if isinstance(made, Say):
        yield choice({"role": "assistant", "content": "", "refusal": None})
        for piece in _pieces(made):
            yield choice({"content": piece})
    else:
        yield choice({"role": "assistant", "content": None, "tool_calls": [{"index": 0, **_call(made, "")}]})
        for piece in _pieces(made):
            yield choice({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
    yield choice({}, _finish(made))
    if (body.get("stream_options") or {}).get("include_usage"):
        yield events.unnamed({**chunk, "choices": [], "usage": _usage(body, made)})
    yield events.unnamed("[DONE]")


def _finish(made: Step) -> str:
    return "stop" if isinstance(made, Say) else "tool_calls"


def _pieces(made: Step) -> list[str]:
    return events.words(made.text if isinstance(made, Say) else json.dumps(made.arguments))


def _call(made: agent.Use, arguments: Mapping[str, Any] | str) -> dict[str, Any]:
    function = {"name": made.tool, "arguments": arguments if isinstance(arguments, str) else json.dumps(arguments)}
    return {"id": f"call_{secrets.token_urlsafe(18)}", "type": "function", "function": function}


def _usage(body: Mapping[str, Any], made: Step) -> dict[str, int]:
    used, given = events.count_tokens(body["messages"]), len(_pieces(made))
    return {"prompt_tokens": used, "completion_tokens": given, "total_tokens": used + given}
