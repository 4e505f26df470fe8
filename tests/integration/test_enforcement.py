"""A CNI that does not enforce NetworkPolicy, or not for one address family, as `devbox-init` meets it: the canary answers, and the
agent does not start.

The cluster's own CNI enforces; a policy that the release trusts (conftest.py) opens what ours closes, which looks the same from within.
"""

from typing import Any

import pytest
from tests.integration.conftest import OPENS
from tests.support.admission import until
from tests.support.workspace import Workspace

from devbox_api import names
from devbox_stage.kubectl import Kubectl


def _open(*to: str) -> dict[str, Any]:
    """Egress to these ranges; without any, to everything."""
    rule = {"to": [{"ipBlock": {"cidr": one}} for one in to]} if to else {}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": OPENS},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [rule]},
    }


@pytest.mark.row("S20")
def test_the_agent_is_held_back_until_policies_work(workspace: Workspace, cluster: Kubectl) -> None:
    workspace.apply(_open())
    workspace.secret("anthropic", workspace.key().value.reveal())
    workspace.gateway_config()
    workspace.devbox()
    message = workspace.condition("devboxes", "agent", "EgressConfined", "NotEnforced")
    assert "does not enforce NetworkPolicy" in message
    assert "egress.requireEnforcement=false" in message
    workspace.condition("devboxes", "agent", "Ready", "NotEnforced")
    workspace.condition("devboxes", "agent", "Stalled", "NotEnforced", "True")
    (pod,) = workspace.pods()
    (init,) = pod["status"]["initContainerStatuses"]
    ended = [state["terminated"] for state in (init["state"], init["lastState"]) if "terminated" in state]
    assert {one["exitCode"] for one in ended} == {names.INIT_NOT_ENFORCED}
    assert "running" not in pod["status"]["containerStatuses"][0]["state"]
    events = cluster.all("events.events.k8s.io", workspace.name)
    assert [one["type"] for one in events if one["reason"] == "NotEnforced"] == ["Warning"], "one, on the transition"

    cluster("-n", workspace.name, "delete", "networkpolicy", OPENS)
    assert workspace.ready() == pod["metadata"]["name"], "the kubelet tries again, in the same pod"
    until("confined", lambda: workspace.conditions("devboxes", "agent")["EgressConfined"]["status"] == "True")


@pytest.mark.row("S20")
@pytest.mark.parametrize(("cidr", "family"), [("0.0.0.0/0", "IPv4"), ("::/0", "IPv6")])
def test_a_family_that_policies_do_not_hold_is_enough_to_hold_the_agent_back(
    workspace: Workspace, dual_stack: bool, cidr: str, family: str
) -> None:
    if family == "IPv6" and not dual_stack:
        pytest.skip("the cluster's pods have no IPv6 address: there is nothing to open")
    workspace.apply(_open(cidr))
    workspace.secret("anthropic", workspace.key().value.reveal())
    workspace.gateway_config()
    workspace.devbox()
    message = workspace.condition("devboxes", "agent", "EgressConfined", "NotEnforced")
    assert f"does not enforce NetworkPolicy for {family}; install a CNI that does" in message
    (pod,) = workspace.pods()
    assert "running" not in pod["status"]["containerStatuses"][0]["state"]
