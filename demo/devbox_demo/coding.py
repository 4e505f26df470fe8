"""Claude Code and Codex at work in a devbox of their own: a command is run, a file is written, and the keys are nowhere.

Goes in: a `Stage`, and the image `agents`, whose programs were taken from their registry while the demo ran. Comes out: `Outcome`s. The
programs are unchanged; what they are told by is aliases of the gateways' variables, and for Codex a file (agent/claude.sh, agent/codex.sh).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from devbox_api import names
from devbox_cluster import images
from devbox_cluster.progress import ClusterError
from devbox_stage.kubectl import CommandError
from devbox_stage.stage import Stage, wait_for_devbox
from devbox_stage.upstream import HOSTS, Received
from devbox_stage.waiting import NotYet, wait_for

from .attacks import search
from .calls import key_problems
from .needles import script
from .outcome import Outcome

IMAGE: Final = "agents"
NAME: Final = "coder"
ALIASES: Final[Mapping[str, Mapping[str, Sequence[str]]]] = {
    "ANTHROPIC": {"token": ["ANTHROPIC_API_KEY"], "url": ["ANTHROPIC_BASE_URL"]},
    "OPENAI": {"token": ["OPENAI_API_KEY", "CODEX_API_KEY"], "url": ["OPENAI_BASE_URL"]},
}
SECONDS: Final = 120.0
"""For one agent: its first start reads 300 MiB from the disk."""


@dataclass(frozen=True)
class Agent:
    """One program, and what has to arrive."""

    title: str
    gateway: str
    """The API: "anthropic" or "openai"."""
    program: str
    """A file of agent/."""
    version: tuple[str, ...]
    """The command that prints it."""
    user_agent: str
    """With what its User-Agent begins."""
    request: str
    """Method and path, without the query."""
    status: int
    least: int
    """Requests: one for each step, or one WebSocket for all."""


AGENTS: Final = (
    Agent("Claude Code", "anthropic", "claude.sh", ("claude", "--version"), "claude-cli/", "POST /v1/messages", 200, 3),
    Agent("Codex", "openai", "codex.sh", ("codex", "--version"), "codex", "GET /v1/responses", 101, 1),
)


def image(say: Callable[[str], None]) -> str | None:
    """The reference of the image with the agents, made where it is missing; None, and a line about it, where no registry is reached."""
    say("Claude Code and Codex from their registry, into an image for this machine alone (once, a minute or two)")
    try:
        return images.ensure(names=[IMAGE])[IMAGE]
    except ClusterError as error:
        reason = str(error).strip().splitlines() or ["?"]
        say(f"they are not to be had, and their part is left out: {reason[0]} {reason[-1] if len(reason) > 1 else ''}".rstrip())
        return None


def devbox(reference: str) -> dict[str, Any]:
    """The Devbox, with the gateways and the EgressPolicy of examples/."""
    gateways = [{"name": name, "gatewayRef": {"name": name.lower()}, "aliases": aliases} for name, aliases in ALIASES.items()]
    spec = {"image": reference, "command": ["sleep", "infinity"], "gateways": gateways, "egressPolicyRef": {"name": "code"}}
    return {"apiVersion": names.API_VERSION, "kind": "Devbox", "metadata": {"name": NAME}, "spec": spec}


def code(stage: Stage, reference: str) -> list[Outcome]:
    """Make the devbox, let both work in it at the same time, then look for the keys in all that they left there."""
    stage.kubectl.apply([devbox(reference)], namespace=stage.namespace)
    stage.pods[NAME] = wait_for_devbox(stage.kubectl, stage.namespace, NAME)["status"]["podName"]
    with ThreadPoolExecutor(len(AGENTS)) as pool:
        outcomes = list(pool.map(lambda agent: work(stage, agent), AGENTS))
    return [*outcomes, search(stage, NAME, "are the keys in that pod?", python="python3")]


def work(stage: Stage, agent: Agent) -> Outcome:
    """One agent's job."""
    before = stage.upstream.last()
    version = stage.exec(NAME, agent.version).out.strip()
    try:
        printed = stage.exec(NAME, ["bash", "-c", script(agent.program)], timeout=SECONDS).out
    except CommandError as error:
        return Outcome(agent.title, ("S1",), [version], ["-"], error.errors.strip()[-600:] or "it printed nothing")
    received = wait_for(f"{agent.title}'s requests", lambda: arrived(stage, agent, before), seconds=15)
    return judge(stage, agent, version, printed, received)


def arrived(stage: Stage, agent: Agent, before: int) -> list[Received]:
    """The agent's own requests with a credential of this stage; a WebSocket is there when it has ended. Raises NotYet."""
    mine = [
        one
        for one in stage.received(before)
        if one.host == HOSTS[agent.gateway] and any(name.startswith(agent.user_agent) for name in one.header("user-agent"))
    ]
    if len(mine) < agent.least:
        raise NotYet(f"{len(mine)} of at least {agent.least}")
    return mine


def judge(stage: Stage, agent: Agent, version: str, printed: str, received: Sequence[Received]) -> Outcome:
    """What the agent said, the file that it wrote, and what the API got."""
    lines = [line for line in printed.splitlines() if line.strip()]
    said, held = (lines[-2] if len(lines) > 1 else "-"), (lines[-1] if lines else "-")
    key = stage.key_of("agent", agent.gateway)
    problems = sorted({problem for one in received for problem in key_problems(stage, one, agent.gateway, key)})
    if held != stage.pods[NAME]:
        problems.append(f"the file holds {held!r}, not what uname prints")
    wrong = [one for one in received if (f"{one.method} {_path(one)}", one.status) != (agent.request, agent.status)]
    problems += [f"{one.method} {one.path} was answered with {one.status}" for one in wrong]
    sees = [version, "it ran       uname -n", f"it wrote     NAME.txt: {held}", f"it says      {said}"]
    got = [f"{len(received)} x {agent.request}", f"https://{HOSTS[agent.gateway]}, with the real key alone"]
    return Outcome(f"{agent.title} at work", ("S1",), sees, got, "; ".join(problems) or None)


def _path(one: Received) -> str:
    return re.sub(r"\?.*", "", one.path)
