"""litellm as a library, call by call. The second argument: the model."""

import json
import sys

import litellm
from job import ASKED, TOOLS


def described(name: str, *arguments: str) -> dict[str, object]:
    """A function whose arguments are texts."""
    schema = {"type": "object", "properties": {one: {"type": "string"} for one in arguments}, "required": list(arguments)}
    return {"type": "function", "function": {"name": name, "parameters": schema}}


tools = [described("run_shell_command", "command"), described("write_file", "file_path", "content")]
messages = [{"role": "user", "content": ASKED}]
while True:
    message = litellm.completion(model=sys.argv[2], messages=messages, tools=tools).choices[0].message
    messages.append(message)
    if not message.tool_calls:
        break
    for call in message.tool_calls:
        result = TOOLS[call.function.name](**json.loads(call.function.arguments))
        messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
print(message.content)
