"""Whether an agent did its job: the command ran in its devbox, the file holds what it printed, and the API got the real key alone. Pure.

Goes in: what was seen. Comes out: what is wrong, for a line of the table.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from devbox_api import names
from devbox_stage.credentials import Key
from devbox_stage.upstream import Received

from .rows import Way

HEADERS = ("authorization", "x-api-key", "x-goog-api-key")
_STEPS = 2
"""Requests of an agent that is told what its command printed, at least; over a WebSocket there is one."""


@dataclass(frozen=True)
class Seen:
    """One agent, one API."""

    agent: str
    way: str
    version: str
    seconds: float
    requests: str
    problem: str | None
    side_hosts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Place:
    """Where an agent works, and which one it is."""

    pod: str
    version: str


@dataclass(frozen=True)
class Did:
    """How an agent ended, what it printed, and what its file holds."""

    status: int
    said: str
    wrote: str


def title(way: Way) -> str:
    """Of an agent's way."""
    return f"{way.gateway} {way.title}".rstrip()


def judge(way: Way, did: Did, pod: str, received: Sequence[Received], key: Key) -> list[str]:
    """What is wrong; nothing, if it did its job. `pod`: what `uname -n` prints there."""
    asked = Counter(f"{one.method} {path(one)}" for one in received)
    problems = []
    if did.status != 0:
        problems.append(f"it ended with status {did.status}")
    if did.wrote.strip() != pod:
        problems.append(f"the file holds {did.wrote.strip()!r}, not {pod!r}")
    least = 1 if way.request.startswith("GET ") else _STEPS
    if asked[way.request] < least:
        problems.append(f"the API got {asked[way.request]} of at least {least} {way.request}")
    problems += sorted({problem for one in received for problem in credentials(one, key)})
    problems += sorted({f"{one.method} {path(one)} was answered with {one.status}" for one in received if one.status >= 400})
    if problems:
        problems.append(f"it said: {' | '.join(did.said.strip().splitlines()[-6:])[-600:]}")
    return problems


def requests(received: Sequence[Received]) -> str:
    """Which there were, and how many."""
    asked = Counter(f"{one.method} {path(one)}" for one in received)
    return ", ".join(f"{count} x {request}" for request, count in asked.items()) or "-"


def credentials(one: Received, key: Key) -> list[str]:
    """What is wrong with those of a request: the key once, in its place, and no token anywhere."""
    value = key.value.reveal()
    wanted = {
        "anthropic": ("x-api-key", value),
        "openai": ("authorization", f"Bearer {value}"),
        "google": ("x-goog-api-key", value),
    }
    header, content = wanted[key.api]
    problems = [] if one.header(header) == [content] else [f"{header} does not hold the real key, once"]
    problems += [f"a credential arrived in {name} too" for name in HEADERS if name != header and one.header(name)]
    return problems + (["a gws_ token arrived"] if one.holds(names.TOKEN_PREFIX) else [])


def path(one: Received) -> str:
    """Without the query."""
    return re.sub(r"\?.*", "", one.path)
