"""What an agent does all day, and what the API got: one row of the demo's big table per call.

Goes in: a `Stage`. Comes out: `Outcome`s. The programs are the files of agent/, unchanged SDK code as anybody would write it. The
integration tests run the same table.
"""

import itertools
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from devbox_stage.credentials import Key
from devbox_stage.kubectl import CommandError
from devbox_stage.stage import PYTHON, Stage
from devbox_stage.upstream import HOSTS, PACE_SECONDS, Received

from .needles import script
from .outcome import Outcome

CREDENTIAL_HEADERS: Final = ("authorization", "x-api-key", "x-goog-api-key", "x-internal-token")
_OLD_PYTHON: Final = "/opt/anthropic1/bin/python"
_NODE: Final = ("sh", "-c", "cd /opt/agent && exec node --input-type=module-typescript -")


@dataclass(frozen=True)
class Call:
    """One program and what has to arrive."""

    title: str
    rows: tuple[str, ...]
    devbox: str
    gateway: str
    """The API: "anthropic", "openai" or "internal"."""
    program: str
    """A file of agent/."""
    argv: tuple[str, ...]
    sends: str
    """How this client sends its key, for people."""
    user_agent: str
    """What its User-Agent holds."""
    request: str
    answer: str
    """A text that the program has to print."""
    by_stdin: bool = False

    @property
    def variable(self) -> str:
        """The gateway's name in the devbox."""
        return self.gateway.upper()


CALLS: Final = (
    Call(
        *("curl", ("S16", "S6"), "agent", "anthropic", "messages.sh", ("sh", "-c")),
        *("Authorization: Bearer $ANTHROPIC", "curl/", "POST /v1/messages", "you said: hello from curl"),
    ),
    Call(
        *("Anthropic SDK 2.x, Python", ("S13", "S8"), "agent", "anthropic", "anthropic_message.py", (PYTHON, "-c")),
        *("Authorization: Bearer $ANTHROPIC", "Anthropic/Python 2.", "POST /v1/messages", "you said: hello from anthropic 2."),
    ),
    Call(
        *("Anthropic SDK 1.x, Python", ("S13", "S8"), "agent", "anthropic", "anthropic_message.py", (_OLD_PYTHON, "-c")),
        *("X-Api-Key: $ANTHROPIC", "Anthropic/Python 1.", "POST /v1/messages", "you said: hello from anthropic 1."),
    ),
    Call(
        *("OpenAI SDK, Python", ("S14",), "agent", "openai", "openai_chat.py", (PYTHON, "-c")),
        *("Authorization: Bearer $OPENAI", "OpenAI/Python", "POST /v1/chat/completions", "you said: hello from openai"),
    ),
    Call(
        *("OpenAI SDK, TypeScript", ("S15",), "agent", "openai", "openai_chat.ts", _NODE),
        *("Authorization: Bearer $OPENAI", "OpenAI/JS", "POST /v1/chat/completions", "you said: hello from TypeScript"),
        by_stdin=True,
    ),
    Call(
        *("an internal API, own header", ("S7", "S18"), "agent", "internal", "internal.sh", ("sh", "-c")),
        *("X-Internal-Token: $INTERNAL", "curl/", "GET /v1/customers?page=2", '"page": 2'),
    ),
    Call(
        *("customer A's devbox", ("S11",), "customer-a", "anthropic", "messages.sh", ("sh", "-c")),
        *("Authorization: Bearer $ANTHROPIC", "curl/", "POST /v1/messages", "Hello customer-a, you said"),
    ),
    Call(
        *("customer B's devbox", ("S11",), "customer-b", "anthropic", "messages.sh", ("sh", "-c")),
        *("Authorization: Bearer $ANTHROPIC", "curl/", "POST /v1/messages", "Hello customer-b, you said"),
    ),
)


def make_calls(stage: Stage, calls: Sequence[Call] = CALLS) -> list[Outcome]:
    """Run them, two at a time, then ask the upstream once what it received."""
    before = stage.upstream.last()
    with ThreadPoolExecutor(2) as pool:
        printed = list(pool.map(lambda call: _run(stage, call), calls))
    received = stage.upstream.received(before)
    return [_judge(stage, call, output, received) for call, output in zip(calls, printed, strict=True)]


def _run(stage: Stage, call: Call) -> str:
    text = script(call.program)
    argv = list(call.argv) if call.by_stdin else [*call.argv, text]
    try:
        return stage.exec(call.devbox, argv, stdin=text if call.by_stdin else None).out.strip()
    except CommandError as error:
        return error.errors.strip()


def key_header(api: str, key: Key) -> tuple[str, str]:
    """Where an API wants its key: header and value."""
    value = key.value.reveal()
    return {
        "anthropic": ("x-api-key", value),
        "openai": ("authorization", f"Bearer {value}"),
        "google": ("x-goog-api-key", value),
        "internal": ("x-internal-token", value),
    }[api]


def key_problems(stage: Stage, one: Received, api: str, key: Key) -> list[str]:
    """What is wrong with the credentials of a request that arrived: the key exactly once, in its place, and no token."""
    header, value = key_header(api, key)
    problems = []
    if one.header(header) != [value]:
        problems.append(f"{header} does not hold the real key, exactly once")
    others = [name for name in CREDENTIAL_HEADERS if name != header and one.header(name)]
    if others:
        problems.append(f"credentials arrived in {', '.join(others)} too")
    if one.holds("gws_"):
        problems.append("a gws_ token arrived upstream")
    return problems


def _judge(stage: Stage, call: Call, output: str, received: Sequence[Received]) -> Outcome:
    key = stage.key_of(call.devbox, call.gateway)
    sees = [f"sent       {call.sends}", f"answer     {_readable(output)}"]
    method, path = call.request.split(" ")
    mine = [
        one
        for one in received
        if (one.host, one.method, one.path) == (HOSTS[call.gateway], method, path)
        and any(call.user_agent in agent for agent in one.header("user-agent"))
        and (one.holds(key.value.reveal()) or one.owner is None)
    ]
    if len(mine) != 1:
        listed = ", ".join(f"{one.method} {one.host}{one.path} {one.status}" for one in received) or "nothing"
        problem = f"the upstream should have received this call once, not {len(mine)} times; it received: {listed}"
        return Outcome(call.title, call.rows, sees, ["-"], problem)
    one = mine[0]
    header, value = key_header(call.gateway, key)
    shown = value.replace(key.value.reveal(), key.shown)
    got = [
        f"{one.method} https://{one.host}{one.path}",
        f"{header}: {shown}",
        f"whole key matches, no gws_ token: {one.status}",
    ]
    problems = key_problems(stage, one, call.gateway, key)
    if call.answer not in output:
        problems.append(f"the answer does not hold {call.answer!r}")
    if problems:
        got[-1] = f"status {one.status}"
    return Outcome(call.title, call.rows, sees, got, "; ".join(problems) or None)


def _readable(output: str) -> str:
    """An answer in a line or two: of a message in JSON, what it says."""
    try:
        said = json.loads(output)["content"][0]["text"]
        return f'{{… "text": "{said}" …}}'
    except (ValueError, KeyError, IndexError, TypeError):
        return output if len(output) < 160 else f"{output[:160]}…"


def environment(stage: Stage) -> Outcome:
    """`echo $ANTHROPIC` and `echo $ANTHROPIC_URL`, and so for every gateway of the devbox."""
    names = ("ANTHROPIC", "OPENAI", "INTERNAL")
    echo = "; ".join(f'echo "${name}"; echo "${name}_URL"' for name in names)
    lines = stage.exec("agent", ["sh", "-c", echo]).out.split("\n")
    sees, problems = [], []
    for index, name in enumerate(names):
        token, url = lines[2 * index], lines[2 * index + 1]
        sees += [f"$ echo ${name}", f"{token[:24]}… ({len(token)} characters)", f"$ echo ${name}_URL", url]
        if not token.startswith("gws_eyJ"):
            problems.append(f"${name} is not a gws_ token")
        if url != f"https://{stage.gateway_host}":
            problems.append(f"${name}_URL is not https://{stage.gateway_host}")
    return Outcome("the environment", ("S1", "S10", "S26"), sees, ["nothing yet"], "; ".join(problems) or None)


def streamed(stage: Stage) -> Outcome:
    """A stream with the time at which each event reached the agent."""
    before = stage.upstream.last()
    output = stage.exec("agent", [PYTHON, "-c", script("anthropic_stream.py")]).out.strip().splitlines()
    arrivals = [(float(line.split(" ")[0]), line.split(" ", 1)[1].strip()) for line in output]
    one = stage.received(before)[-1]
    words = [(at, text) for at, text in arrivals if text.startswith("content_block_delta")]
    sees = [f"{at:6.2f} s  {text}" for at, text in arrivals if text.split(" ")[0] not in ("text", "ping")]
    got = [f"{one.method} https://{one.host}{one.path}", f"one event every {PACE_SECONDS} s", f"{len(words)} words"]
    problems = key_problems(stage, one, "anthropic", stage.key_of("agent", "anthropic"))
    if (lump := lumped(words_at := [at for at, _ in words])) is not None:
        problems.append(lump)
    if not words_at or not arrivals[-1][1].startswith("message_stop"):
        problems.append("the stream did not end with message_stop")
    return Outcome("a stream, event by event", ("S17",), sees, got, "; ".join(problems) or None)


def lumped(arrivals: Sequence[float]) -> str | None:
    """What is wrong with the arrival times of events that left `PACE_SECONDS` apart; None if they came one by one.

    Half the pace between two neighbours leaves room for a busy machine, and a stream that is held back and handed out at
    once has no such gap anywhere. One pair in four may have run together.
    """
    gaps = [after - before for before, after in itertools.pairwise(arrivals)]
    together = sum(gap < PACE_SECONDS / 2 for gap in gaps)
    if not gaps or together > len(gaps) / 4:
        return f"{together} of {len(gaps)} events came together with the one before"
    return None
