"""pydantic-ai. The second argument: the model."""

import sys

from job import ASKED, TOOLS
from pydantic_ai import Agent

print(Agent(sys.argv[2], tools=list(TOOLS.values())).run_sync(ASKED).output)
