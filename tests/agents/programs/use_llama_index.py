"""llama-index-llms-openai with tools, call by call."""

from job import ASKED, TOOLS
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai import OpenAI

model = OpenAI(model="gpt-5.5")
tools = {name: FunctionTool.from_defaults(tool) for name, tool in TOOLS.items()}
history = [ChatMessage(role="user", content=ASKED)]
while True:
    answer = model.chat_with_tools(list(tools.values()), chat_history=history)
    history.append(answer.message)
    calls = model.get_tool_calls_from_response(answer, error_on_no_tool_call=False)
    if not calls:
        break
    for call in calls:
        result = tools[call.tool_name].call(**call.tool_kwargs)
        history.append(ChatMessage(role="tool", content=str(result), additional_kwargs={"tool_call_id": call.tool_id}))
print(answer.message.content)
