"""What an agent gone wrong would try: find the key, use the token elsewhere, call the API behind the gateway's back.

Goes in: a `Stage`. Comes out: `Outcome`s. Every refusal has a positive control beside it: the search finds a planted canary,
the token works where it belongs, the call that is cut works from a pod with no policy.
"""

import json
from dataclasses import dataclass

from devbox_stage import upstream as standin
from devbox_stage.credentials import make_key
from devbox_stage.stage import PYTHON, Stage
from devbox_stage.upstream import HOSTS

from .calls import key_problems
from .needles import search_pod
from .outcome import Outcome

Place = tuple[str, str, str]
"""Namespace, pod, container."""


@dataclass(frozen=True)
class Answer:
    """What curl got."""

    status: int
    """0: no answer."""
    body: str
    curl: int
    """curl's own exit code: 7 refused, 28 no answer in time."""

    @property
    def shown(self) -> str:
        """One line for people."""
        if self.status == 0:
            return {7: "connection refused", 28: "no answer within 3 s"}.get(self.curl, f"curl exit code {self.curl}")
        return f"{self.status} {self._message()}"

    def _message(self) -> str:
        try:
            error = json.loads(self.body)["error"]
            return f"{error.get('code') or error['type']}: {error['message']}" if isinstance(error, dict) else str(error)
        except (ValueError, KeyError, TypeError):
            return self.body.strip()[:80]


def get(stage: Stage, where: Place, host: str, address: str, *, path: str, header: str = "") -> Answer:
    """`GET https://<host><path>` at `address`, sent from the pod `where`.

    The header goes in by standard input. Certificates are not checked: an attacker would not check them either.
    """
    config = f'header = "{header}"\n' if header else ""
    script = (
        f"curl -sk --connect-timeout 3 -m 10 -o - -w '\\n%{{http_code}}' --resolve {host}:443:{address} "
        f"-H 'anthropic-version: 2023-06-01' -K - https://{host}{path}; echo \" $?\""
    )
    namespace, pod, container = where
    out = stage.kubectl.exec(namespace, pod, ["sh", "-c", script], container=container, stdin=config).out
    body, _, tail = out.rpartition("\n")[0].rpartition("\n")
    status, code = tail.split(" ")
    return Answer(int(status), body, int(code))


def devbox_pod(stage: Stage, devbox: str) -> Place:
    """Where a devbox's commands run."""
    return stage.namespace, stage.pods[devbox], "devbox"


def control_pod(stage: Stage) -> Place:
    """A pod that is no devbox and that no policy holds."""
    return standin.NAMESPACE, standin.ready_pod(stage.kubectl, standin.NAMESPACE, "control"), "control"


def node_pod(stage: Stage) -> Place:
    """A pod in the node's own network."""
    name = "on-the-node"
    return standin.NODE_NAMESPACE, standin.ready_pod(stage.kubectl, standin.NODE_NAMESPACE, name), name


def key_is_nowhere(stage: Stage) -> Outcome:
    """Search the agent's pod for every key there is, in every encoding, with a canary as positive control."""
    return search(stage, "agent", "is the key in the pod?")


def search(stage: Stage, devbox: str, title: str, python: str = PYTHON) -> Outcome:
    """The same of any devbox whose image has a Python."""
    canary = make_key("anthropic", "canary").value
    wanted = {name: key.value for name, key in stage.keys.items()}
    found = search_pod(stage.kubectl, stage.namespace, stage.pods[devbox], wanted, canary, python=python)
    planted = sorted({place.split(" of ")[0] if " of " in place else "file" for place in found.where("canary")})
    sees = [
        f"read {found.files} files ({found.bytes / 2**20:.0f} MiB), {found.unreadable} not readable",
        f"read {found.processes} processes: environment, arguments, {found.memory / 2**20:.0f} MiB of memory",
        f"a planted canary: found in {', '.join(planted)}",
    ]
    problems = [f"{name}'s key is in {', '.join(found.where(name))}" for name in wanted if found.where(name)]
    if planted != ["environ", "file", "memory"]:
        problems.append("the search did not find its own canary in a file, an environment and a memory, so it proves nothing")
    sees.append("the keys: nowhere" if not problems else "the keys: see below")
    return Outcome(
        title,
        ("S2", "S26"),
        sees,
        [f"{len(wanted)} keys looked for", "raw, reversed, hex, percent,", "UTF-16, base64"],
        _all(problems),
    )


def token_elsewhere(stage: Stage) -> Outcome:
    """The agent's token from another devbox, from a pod that is no devbox and from the node; from its own pod, it works."""
    token = stage.exec("agent", ["sh", "-c", 'printf %s "$ANTHROPIC"']).out
    before = stage.upstream.last()
    sees, problems = [], []
    for who, where, wanted in (
        ("its own devbox", devbox_pod(stage, "agent"), (200,)),
        ("another devbox", devbox_pod(stage, "customer-a"), (401, 403)),
        ("a pod without policy", control_pod(stage), (401, 403)),
        ("the node", node_pod(stage), (401, 403)),
    ):
        answer = get(stage, where, stage.gateway_host, stage.gateway_address, path="/v1/models", header=f"x-api-key: {token}")
        shown = "200" if answer.status == 200 else answer.shown
        sees.append(f"{who:20} {shown}")
        if answer.status not in wanted:
            problems.append(f"from {who}: {answer.shown}, not {' or '.join(map(str, wanted))}")
    received = stage.received(before)
    got = [f"{len(received)} request, from its own devbox"]
    if len(received) != 1:
        problems.append(f"the upstream received {len(received)} requests, not the one from the token's own devbox")
    else:
        problems += key_problems(stage, received[0], "anthropic", stage.key_of("agent", "anthropic"))
    return Outcome("the agent's token, used from", ("S4", "S26"), sees, got, _all(problems))


def behind_the_gateways_back(stage: Stage) -> Outcome:
    """The API itself, called directly: cut for a devbox, reachable for a pod with no policy."""
    host, address = HOSTS["anthropic"], stage.upstream.address
    before = stage.upstream.last()
    cut = get(stage, devbox_pod(stage, "agent"), host, address, path="/v1/models")
    control = get(stage, control_pod(stage), host, address, path="/v1/models")
    problems = []
    if cut.status:
        problems.append(f"the devbox reached the API: {cut.shown}")
    if control.status != 401:
        problems.append(f"the control pod should have been answered 401: {control.shown}; so the cut proves nothing")
    sees = [f"{'the devbox':20} {cut.shown}", f"{'a pod without policy':20} {control.shown}"]
    got = [f"{len(stage.upstream.received(before))} request, from the pod without policy"]
    return Outcome(f"a direct call to {host}", ("S20",), sees, got, _all(problems))


def _all(problems: list[str]) -> str | None:
    return "; ".join(problems) or None
