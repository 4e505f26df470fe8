"""langchain-openai and langchain-anthropic with tools, call by call. The second argument: which of them."""

import sys

from job import ASKED, TOOLS
from langchain_core.tools import tool

if sys.argv[2] == "openai":
    from langchain_openai import ChatOpenAI

    model = ChatOpenAI(model="gpt-5.5")
else:
    from langchain_anthropic import ChatAnthropic

    model = ChatAnthropic(model="claude-opus-5-5")
tools = {name: tool(function) for name, function in TOOLS.items()}
messages = [("user", ASKED)]
while True:
    answer = model.bind_tools(list(tools.values())).invoke(messages)
    messages.append(answer)
    if not answer.tool_calls:
        break
    messages += [tools[call["name"]].invoke(call) for call in answer.tool_calls]
print(answer.text)
