"""What a gateway of the cluster finds when it is asked to dial: the operator's own token, real DNS, and the release's NetworkPolicies."""

import pytest
from tests.support.workspace import Workspace

from devbox_api import names
from devbox_stage.waiting import NotYet, wait_for

pytestmark = pytest.mark.row("S29")


def test_a_probe_says_whether_an_api_can_be_reached(workspace: Workspace) -> None:
    workspace.gateway_config(credential=None)
    workspace.gateway_config("misspelt", endpoint="https://no-such-name.invalid", credential=None)
    for name in ("anthropic", "misspelt"):
        assert "nobody has called it yet" in workspace.condition("gatewayconfigs", name, "Reachable", "NotTried", "Unknown")
    at = ("-n", workspace.name, "annotate", "gwc", "--all", f"{names.PROBE_REQUESTED_ANNOTATION}=1")
    workspace.kubectl(*at)
    assert "was reached" in workspace.condition("gatewayconfigs", "anthropic", "Reachable", "Reached", "True")

    def missing() -> str:
        found = workspace.conditions("gatewayconfigs", "misspelt")["Reachable"]
        # (What a cluster's DNS says of others' names is its own affair: no such name, or, late, nothing, where it leads nowhere.)
        if found["status"] != "False" or found["reason"] not in {"NameNotFound", "LookupFailed", "ConnectTimedOut"}:
            raise NotYet(f"Reachable={found['status']} {found['reason']}")
        return str(found["message"])

    assert wait_for("a misspelt name is told", missing, seconds=60).startswith("https://no-such-name.invalid ")
    assert workspace.conditions("gatewayconfigs", "misspelt")["Ready"]["status"] == "True"
    table = workspace.kubectl("-n", workspace.name, "get", "gwc").out.splitlines()
    assert "REACHABLE" in table[0]
    assert "True" in next(line for line in table if line.startswith("anthropic"))
