"""A devbox's environment as a real kubelet makes it, and what a shell in it reaches without a proxy."""

import json

import pytest
from tests.support.workspace import Workspace

from devbox_stage.stage import PYTHON

SERVER = f"""\
{PYTHON} -m http.server 8000 </dev/null >/dev/null 2>&1 &
for i in $(seq 300); do curl -s --noproxy '*' -o /dev/null http://127.0.0.1:8000/ && exit 0; sleep 0.1; done
exit 1
"""
CODES = """
import json, os, socket, sys, urllib.request
own = os.environ["DEVBOX_POD_IPS"].split(",")[0]
hosts = ["localhost", "127.0.0.1", "127.0.0.2", "0.0.0.0", socket.gethostname(), own]
print(json.dumps({host: urllib.request.urlopen(f"http://{host}:8000/", timeout=10).status for host in hosts}))
"""


@pytest.mark.row("S14", "S16")
def test_variables_expand_and_local_servers_are_reached(workspace: Workspace) -> None:
    written = {
        "OPENAI_BASE_URL": "$(ANTHROPIC_URL)/v1",
        "LATER": "$(OPENAI_BASE_URL)/models",
        "LITERAL": "$(NOBODY) $$(ANTHROPIC_URL) $$",
        "NO_PROXY": "added.example",
        "PIP_CERT": "/mine",
    }
    env = [{"name": name, "value": value} for name, value in written.items()]
    pod = workspace.working_devbox(env=env)
    # Without a container's name, kubectl means the agent's.
    said = workspace.kubectl("-n", workspace.name, "exec", pod, "--", "env")
    assert "Defaulted container" not in said.err
    found = dict(line.split("=", 1) for line in said.out.splitlines() if "=" in line)
    url = found["ANTHROPIC_URL"]
    assert url.startswith("https://gateway.")
    assert found["OPENAI_BASE_URL"] == f"{url}/v1"
    assert found["LATER"] == f"{url}/v1/models"
    assert found["LITERAL"] == "$(NOBODY) $(ANTHROPIC_URL) $"
    assert found["PIP_CERT"] == "/mine"
    addresses = [one["ip"] for one in workspace.pods()[0]["status"]["podIPs"]]
    assert found["DEVBOX_POD_IPS"] == ",".join(addresses)
    ways = found["NO_PROXY"].split(",")
    assert {"localhost", "0.0.0.0", "::1", pod, *addresses, "added.example"} <= set(ways)  # noqa: S104
    assert found["no_proxy"] == found["NO_PROXY"]

    workspace.sh(pod, SERVER)
    answered = json.loads(workspace.exec(pod, [PYTHON, "-c", CODES]).out)
    assert set(answered.values()) == {200}, answered
    # Who takes no notice is told so, by the forward proxy; and what is asked for directly goes nowhere but to the gateway.
    told = workspace.sh(pod, "curl -sS --noproxy '' -w '%{http_code}' http://127.0.0.3:8000/")
    assert "did not understand what $NO_PROXY says" in told
    assert told.endswith("405")
    assert workspace.exec(pod, ["curl", "-sS", "-m", "5", "https://added.example/"], check=False).code in {6, 28}
    files = workspace.sh(pod, "ls /run/devbox-gateway/ca").split()
    assert sorted(files) == ["ca-bundle.crt", "devbox-gateway.ini", "java-options", "truststore.p12", "wgetrc"]
