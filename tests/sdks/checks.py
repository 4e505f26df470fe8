"""What holds after every scenario, whatever it was."""

import json
from typing import Any

from . import traces
from .api import Received
from .client import Fact
from .world import World


def arrived(world: World, output: str, requests: int = 1) -> list[Received]:
    """What the APIs received: so many requests, each with its credential and nothing of a token; and `output` has no credential."""
    received = world.apis.received
    for one in received:
        assert traces.wrong_with(one, world.apis.apis[one.host], world.tokens.values()) == []
    assert len(received) == requests, [(one.method, one.path) for one in received]
    assert not traces.in_text(output, world.credentials), "the client printed a credential"
    return received


def refusal(fact: Fact) -> dict[str, Any]:
    """The gateway's error, from an exception that holds its body."""
    body = fact["body"]
    error: dict[str, Any] = body.get("error", body)
    assert error["message"].startswith("devbox-gateway: "), body
    assert "gws_" not in json.dumps(body).replace("no gws_ token", ""), "a refusal repeats the token"
    return error
