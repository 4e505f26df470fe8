"""How a client program talks to the tests: names of scenarios come in by standard input, facts go out as JSON, a line each."""

import hashlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

FILE_BYTES = 3 * 2**20
Scenario = Callable[[], None]


def say(**fact: Any) -> None:
    """One line, at once."""
    sys.stdout.write(json.dumps(fact) + "\n")
    sys.stdout.flush()


def serve(version: str, scenarios: Mapping[str, Scenario], about: Callable[[Any], Mapping[str, Any]]) -> None:
    """Run what is asked for, until there is no more. `about`: what the SDK's exceptions say."""
    say(version=version)
    for line in sys.stdin:
        try:
            scenarios[line.strip()]()
        except Exception as error:
            say(raised=type(error).__name__, said=str(error), **about(error))
        say(done=True)


def new_file() -> bytes:
    """Something to upload; tells its digest."""
    content = os.urandom(FILE_BYTES)
    say(sha256=hashlib.sha256(content).hexdigest())
    return content


def wrong(token: str) -> str:
    """A token that was issued to nobody."""
    return token[:-6] + ("AAAAAA" if token[-6:] != "AAAAAA" else "BBBBBB")


def weather(arguments: Any) -> str:
    """What the tool does."""
    say(tool=arguments["city"])
    return "7 degrees"


TOOL = {
    "name": "weather",
    "description": "The temperature in a city",
    "schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
