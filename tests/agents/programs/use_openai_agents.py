"""openai-agents, as its documentation has it."""

from job import ASKED, TOOLS

from agents import Agent, Runner, function_tool

agent = Agent(name="coder", model="gpt-5.5", tools=[function_tool(tool) for tool in TOOLS.values()])
print(Runner.run_sync(agent, ASKED).final_output)
