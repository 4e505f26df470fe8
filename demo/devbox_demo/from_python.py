"""The Python client, for what a person uses it for: a gateway, a key, a devbox with both, a command in it, and nothing left behind.

Goes in: a `Stage`. Comes out: an `Outcome`. The integration tests run the same.
"""

import secrets
from contextlib import ExitStack

from devbox_cluster.paths import kubeconfig
from devbox_gateway import DevboxGateway
from devbox_stage.credentials import make_key
from devbox_stage.stage import Stage
from devbox_stage.upstream import HOSTS

from .calls import key_problems
from .needles import script
from .outcome import Outcome

TITLE = "a devbox made, used and ended from Python"
ROWS = ("S9", "S24", "S25")


def work_from_python(stage: Stage) -> Outcome:
    """Each object is made by the client, and the call that its devbox makes is looked for at the API."""
    key, before = make_key("anthropic", "from-python"), stage.upstream.last()
    stage.upstream.add_keys(key)
    name = f"from-python-{secrets.token_hex(3)}"
    said: list[str] = []
    with ExitStack() as stack:
        stack.callback(stage.upstream.revoke_keys, key)
        client = stack.enter_context(DevboxGateway(kubeconfig=kubeconfig(), namespace=stage.namespace))
        gateway = client.gateway_configs.create(
            name=name, endpoint=f"https://{HOSTS['anthropic']}", auth_mechanism={"type": "bearer"}
        )
        stack.callback(gateway.delete)
        secret = client.secrets.create(name=name, value=key.value.reveal())
        stack.callback(client.secrets.delete, secret)
        devbox = client.devboxes.create(
            name=name,
            gateways={"ANTHROPIC": {"gateway": gateway.id, "secret": secret}},
            spec={"terminationGracePeriodSeconds": 1},
            progress=lambda progress: said.append(str(progress)),
        )
        stack.callback(devbox.shutdown)
        token = devbox.cmd.exec("echo $ANTHROPIC").stdout().strip()
        result = devbox.cmd.exec(script("messages.sh"))
        answer = result.stdout().strip()
    sees = [
        *(f"create(…)   {line}" for line in said[-1:]),
        f"$ echo $ANTHROPIC   {token[:24]}…",
        f"cmd.exec(…)   exit code {result.exit_code}",
    ]
    received = [one for one in stage.upstream.received(before) if one.holds(key.value.reveal())]
    problems = [] if token.startswith("gws_") else ["$ANTHROPIC is not a gws_ token"]
    if "you said: hello from curl" not in answer:
        problems.append(f"the answer is {answer[:200]!r}")
    if len(received) != 1:
        problems.append(f"the upstream received the call {len(received)} times")
    for one in received:
        problems += key_problems(stage, one, "anthropic", key)
    got = [f"{one.method} https://{one.host}{one.path} {one.status}, with the real key" for one in received] or ["-"]
    return Outcome(TITLE, ROWS, sees, got, "; ".join(problems) or None)
