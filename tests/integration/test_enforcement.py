"""A CNI that does not enforce NetworkPolicy, as `devbox-init` meets it: the canary answers, and the agent does not start.

The cluster's own CNI enforces; a policy that the release trusts (conftest.py) opens what ours closes, which looks the same from within.
"""

import pytest
from tests.integration.conftest import OPENS
from tests.support.admission import until
from tests.support.workspace import Workspace

from devbox_api import names
from devbox_demo.kubectl import Kubectl


@pytest.mark.row("S20")
def test_the_agent_is_held_back_until_policies_work(workspace: Workspace, cluster: Kubectl) -> None:
    opens = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": OPENS},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]},
    }
    workspace.apply(opens)
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
