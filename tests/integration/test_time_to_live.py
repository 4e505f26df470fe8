"""A devbox that ends by itself, on a real cluster: kept alive once, then deleted with its pod and everything of it."""

import subprocess
import sys
from time import monotonic
from typing import Final

import pytest
from tests.support.workspace import IMAGE, Workspace, gone, identities

from devbox_api import names
from devbox_cluster.paths import kubeconfig
from devbox_stage.kubectl import Kubectl
from devbox_stage.stage import RELEASE_NAMESPACE
from devbox_stage.waiting import NotYet, wait_for

TTL: Final = 60.0
LATE_SECONDS: Final = 15.0
CREDENTIALS: Final = f"{RELEASE_NAMESPACE}-credentials"


def cli(workspace: Workspace, *words: str) -> str:
    """stdout."""
    first, *rest = words
    line = [sys.executable, "-m", "devbox_gateway.cli", first, "--kubeconfig", str(kubeconfig()), "-n", workspace.name, *rest]
    done = subprocess.run(line, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, f"{words}: {done.stdout} {done.stderr}"
    return done.stdout


@pytest.mark.row("S23")
def test_it_lives_as_long_as_it_was_given(cluster: Kubectl, workspace: Workspace) -> None:
    started = monotonic()
    cli(workspace, "create", "agent", "--image", IMAGE, "--ttl", "60s")
    made = monotonic()
    before = workspace.get("dbx", "agent")
    assert before is not None
    assert "expiresAt" in before["status"]
    assert before["status"]["expiresAt"] in cluster("-n", workspace.name, "get", "dbx", "agent", "-o", "wide").out
    assert "ENDS IN" in cli(workspace, "ls", "-o", "wide")
    pod = before["status"]["podName"]
    assert "its 1m begin anew" in cli(workspace, "keep-alive", "agent")
    kept = monotonic()

    def later() -> None:
        item = workspace.get("dbx", "agent")
        if item is None or item["status"]["expiresAt"] <= before["status"]["expiresAt"]:
            raise NotYet(f"{item and item['status'].get('expiresAt')}")

    if kept - started > 3:  # (else both times may be of the same second)
        wait_for("it is known that it was kept alive", later, seconds=10, interval=0.2)
    while workspace.get("dbx", "agent") is not None and monotonic() - kept < TTL + LATE_SECONDS:
        assert workspace.get("pod", pod) is not None or workspace.get("dbx", "agent") is None, "nothing of it goes before"
    lived = monotonic() - kept
    print(f"ready after {made - started:.1f} s; deleted {lived:.1f} s after it was kept alive")  # noqa: T201 (the figures; shown by -rP)
    assert TTL <= lived < TTL + LATE_SECONDS

    def left() -> list[str]:
        mine = [
            one for one in identities(cluster.all("pods,secrets,networkpolicies", workspace.name)) if one.endswith(f"/{pod}")
        ]
        credential = names.credential_name(workspace.name, "anthropic", "api-key")
        return mine + [one for one in identities(cluster.all("secrets", CREDENTIALS)) if one.endswith(f"/{credential}")]

    gone("what the devbox had", left)
    events = cluster(
        "-n",
        workspace.name,
        "get",
        "events.events.k8s.io",
        "-o",
        "jsonpath={range .items[*]}{.reason} {.regarding.kind}/{.regarding.name}{'\\n'}{end}",
    ).out
    assert {"ExpiresSoon Devbox/agent", "Expired Devbox/agent"} <= set(events.splitlines())
