"""What the stand-ins say in every protocol, so that tests know what clients have to see."""

from typing import Final

PIECES: Final = ("one", " two", " three")
"""Of an answer's text."""
TOOL_NAME: Final = "weather"
TOOL_ARGUMENTS: Final = {"city": "Zürich"}
TOOL_RESULT: Final = "7 degrees"
"""What the clients' tool returns."""
