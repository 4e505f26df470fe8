"""EgressPolicies on the real cluster: what the operator makes of them, and what a devbox is given. (What passes is the gateway's.)"""

import base64
import hashlib
import json
from typing import Any

import pytest
from tests.support.admission import OPERATOR, ask, until
from tests.support.workspace import Workspace, gone

from devbox_api import names
from devbox_stage.kubectl import CommandError, Kubectl, Object
from devbox_stage.stage import RELEASE_NAMESPACE

COLLECTOR = "system:serviceaccount:kube-system:generic-garbage-collector"
"""Who may, since a pod's policy goes with its pod: what happens if it goes, or is changed, all the same."""

CREDENTIALS = f"{RELEASE_NAMESPACE}-credentials"
LIVE = 2.0
"""Seconds in which an edit has to be in force."""


def policy(workspace: Workspace, name: str = "web", **spec: Any) -> str:
    """Apply an EgressPolicy; returns its document's name."""
    metadata = {"name": name}
    workspace.apply({"apiVersion": names.API_VERSION, "kind": "EgressPolicy", "metadata": metadata, "spec": spec})
    found = workspace.get("egresspolicies.devbox-gateway.io", name)
    assert found is not None
    return f"egress-{found['metadata']['uid']}"


def document(cluster: Kubectl, name: str) -> dict[str, Any] | None:
    """A document of the credentials namespace that holds nothing secret."""
    found = cluster.get("secret", name, CREDENTIALS)
    assert found is None or found["type"] == names.EGRESS_TYPE
    return None if found is None else json.loads(base64.b64decode(found["data"][names.EGRESS_KEY]))


def route(cluster: Kubectl, workspace: Workspace, pod: str) -> dict[str, Any]:
    """What of a pod's Route may be shown: never its tokens."""
    made = workspace.get("pod", pod)
    assert made is not None
    found = cluster.get("secret", f"route-{made['metadata']['uid']}", CREDENTIALS)
    assert found is not None
    whole = json.loads(base64.b64decode(found["data"][names.ROUTE_KEY]))
    shown = {key: whole[key] for key in ("requires", "confined")}
    return {**shown, "policy": whole["egress"]["policy"], "digests": whole["egress"]["digests"]}


def status(workspace: Workspace, name: str = "web") -> dict[str, Any]:
    found = workspace.get("egresspolicies.devbox-gateway.io", name)
    return found.get("status", {}) if found else {}


@pytest.fixture
def running(workspace: Workspace) -> tuple[Workspace, str, str]:
    """A working devbox under the policy `web`: the workspace, the pod, the document's name."""
    made = policy(workspace, allowedHostnames=["github.com"])
    pod = workspace.working_devbox(egressPolicyRef={"name": "web"})
    return workspace, pod, made


@pytest.mark.row("S19")
def test_a_policy_says_who_uses_it(running: tuple[Workspace, str, str]) -> None:
    workspace, _, _ = running
    until("status.usedBy", lambda: status(workspace).get("usedBy") == [f"{workspace.name}/agent"])
    assert status(workspace)["devboxes"] == 1
    assert workspace.conditions("egresspolicies", "web")["Ready"]["status"] == "True"
    columns = workspace.kubectl("-n", workspace.name, "get", "egp,dbx").out
    assert '["github.com"]' in columns
    assert "web" in next(line for line in columns.splitlines() if line.startswith("devbox.devbox-gateway.io/agent"))


@pytest.mark.row("S19")
def test_an_edit_is_live_and_restarts_nothing(running: tuple[Workspace, str, str], cluster: Kubectl) -> None:
    workspace, pod, name = running
    assert document(cluster, name) == {
        "version": 1,
        "requires": [],
        "name": "web",
        "namespace": workspace.name,
        "uid": name.removeprefix("egress-"),
        "allow_all": False,
        "hostnames": ["github.com"],
        "ports": [443],
        "cidrs": [],
    }
    policy(
        workspace, allowedHostnames=["gitlab.com", "*.gitlab.com"], allowedPorts=[8443, 443], allowedCIDRs=["203.0.113.0/24"]
    )
    # (From here on: what kubectl takes to start is no part of it.)
    until(
        "the document follows", lambda: (document(cluster, name) or {}).get("hostnames") == ["*.gitlab.com", "gitlab.com"], LIVE
    )
    assert (document(cluster, name) or {})["ports"] == [443, 8443]
    assert workspace.ready() == pod
    assert workspace.conditions("devboxes", "agent")["RestartRequired"]["status"] == "False"


@pytest.mark.row("S19")
def test_another_policy_is_live(running: tuple[Workspace, str, str], cluster: Kubectl) -> None:
    workspace, pod, name = running
    before = route(cluster, workspace, pod)
    assert before["policy"] == name
    other = policy(workspace, "other", allowAll=True)
    workspace.kubectl(
        "-n", workspace.name, "patch", "dbx", "agent", "--type=merge", "-p", '{"spec":{"egressPolicyRef":{"name":"other"}}}'
    )
    until("the Route follows", lambda: route(cluster, workspace, pod)["policy"] == other, LIVE)
    workspace.kubectl("-n", workspace.name, "patch", "dbx", "agent", "--type=merge", "-p", '{"spec":{"egressPolicyRef":null}}')
    until("and without one", lambda: route(cluster, workspace, pod)["policy"] is None, LIVE)
    assert route(cluster, workspace, pod)["digests"] == before["digests"], "the same token"
    assert workspace.ready() == pod
    assert workspace.conditions("devboxes", "agent")["RestartRequired"]["status"] == "False"


@pytest.mark.row("S19")
def test_one_in_use_is_not_deleted_by_mistake(running: tuple[Workspace, str, str], cluster: Kubectl) -> None:
    workspace, pod, name = running
    with pytest.raises(CommandError, match=f"EgressPolicy {workspace.name}/web is used by {workspace.name}/agent;"):
        cluster("-n", workspace.name, "delete", "egp", "web", "--timeout=20s")
    assert document(cluster, name) is not None

    cluster("-n", workspace.name, "annotate", "egp", "web", f"{names.FORCE_DELETE_ANNOTATION}=true")
    cluster("-n", workspace.name, "delete", "egp", "web", "--timeout=20s")
    message = workspace.condition("devboxes", "agent", "Accepted", "EgressPolicyNotFound")
    assert f"EgressPolicy {workspace.name}/web does not exist" in message
    gone("the document", lambda: document(cluster, name))
    assert route(cluster, workspace, pod)["policy"] is None, "it reaches no host"
    workspace.becomes(pod, 200)  # and goes on using its gateways

    policy(workspace, allowedHostnames=["github.com"])
    assert workspace.ready() == pod
    cluster("-n", workspace.name, "delete", "dbx", "agent", "--timeout=60s", timeout=90)
    until("it goes with its last user", lambda: not status(workspace).get("usedBy"))
    cluster("-n", workspace.name, "delete", "egp", "web", "--timeout=20s")


@pytest.mark.row("S4", "S20")
def test_every_devbox_has_the_way_out(workspace: Workspace, cluster: Kubectl) -> None:
    """With or without a policy: environment, Secret and Route agree. Compared by digest: no token is ever shown."""
    pod = workspace.working_devbox()

    def digest(command: str) -> str:
        return workspace.sh(pod, f"{command} | tr -d '\\n' | sha256sum").split()[0]

    inside = {digest(f'printf %s "${variable}"') for variable in names.PROXY_VARIABLES}
    secret: Object | None = workspace.get("secret", pod)
    assert secret is not None
    assert set(secret["data"]) == {"ANTHROPIC", "HTTPS_PROXY", "env.sh"}
    stored = base64.b64decode(secret["data"]["HTTPS_PROXY"])
    assert inside == {hashlib.sha256(stored).hexdigest()}
    direct, again, node = workspace.sh(
        pod, 'for v in "$NO_PROXY" "$no_proxy" "$NODE_USE_ENV_PROXY"; do echo "$v"; done'
    ).splitlines()
    assert direct.startswith(f"gateway.{RELEASE_NAMESPACE}.svc,localhost,")
    assert (again, node) == (direct, "1")
    shape = "^http://devbox:gws_[A-Za-z0-9_.-]*@gateway[.]devbox-gateway-system[.]svc:3128$"
    assert workspace.sh(pod, f"printf %s \"$HTTPS_PROXY\" | grep -c '{shape}'") == "1"
    assert (
        workspace.sh(pod, '. /run/devbox-gateway/tokens/env.sh && test "$https_proxy" = "$HTTPS_PROXY" && echo same') == "same"
    )

    token = stored.decode().partition(names.TOKEN_PREFIX)[2].partition("@")[0]
    found = route(cluster, workspace, pod)
    assert names.token_digest(token) in found["digests"]
    assert (found["policy"], found["confined"], found["requires"]) == (None, True, [])
    review = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": token, "audiences": ["devbox-gateway.io/egress"]},
    }
    answer = json.loads(
        cluster("create", "--raw", "/apis/authentication.k8s.io/v1/tokenreviews", "-f", "-", stdin=json.dumps(review)).out
    )
    assert answer["status"]["authenticated"] is True
    assert answer["status"]["user"]["extra"]["authentication.kubernetes.io/pod-name"] == [pod]


@pytest.mark.row("S20")
def test_a_foreign_policy_stops_a_running_devbox_and_it_heals(workspace: Workspace, cluster: Kubectl) -> None:
    pod = workspace.working_devbox()
    workspace.becomes(pod, 200)
    opened = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "allow-dns"},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"ports": [{"port": 53, "protocol": "UDP"}]}]},
    }
    workspace.apply(opened)
    message = workspace.condition("devboxes", "agent", "EgressConfined", "ForeignPolicy")
    assert f"{workspace.name}/allow-dns" in message
    workspace.condition("devboxes", "agent", "Ready", "ForeignPolicy")
    found = route(cluster, workspace, pod)
    assert (found["confined"], found["requires"]) == (False, ["confined"])
    workspace.refused(pod, (403, "devbox_not_confined"))
    events = cluster.all("events.events.k8s.io", workspace.name)
    assert any(one["reason"] == "ForeignPolicy" and one["regarding"]["kind"] == "Devbox" for one in events)

    cluster("-n", workspace.name, "delete", "networkpolicy", "allow-dns")
    assert workspace.ready() == pod
    workspace.becomes(pod, 200)
    assert route(cluster, workspace, pod)["confined"] is True


@pytest.mark.row("S20")
@pytest.mark.parametrize("change", ["deleted", "opened"])
def test_the_devboxs_own_policy_is_put_right(workspace: Workspace, cluster: Kubectl, change: str) -> None:
    pod = workspace.working_devbox()
    before = workspace.get("networkpolicy", pod)
    assert before is not None
    assert [port["port"] for port in before["spec"]["egress"][0]["ports"]] == [8443, 3128]
    patch = '{"spec":{"ingress":[{}],"egress":[{}]}}'
    way: tuple[str, ...] = ("delete", "networkpolicy", pod)
    if change == "opened":
        way = ("patch", "networkpolicy", pod, "--type=merge", "-p", patch)
    said = ask(cluster, "-n", workspace.name, *way)
    assert "this NetworkPolicy confines a devbox" in said.text, "by anybody else, the administrator included"
    said = ask(cluster, "-n", workspace.name, *way, user=OPERATOR)
    assert "the operator may" in said.text, "nor with the operator's own credentials"
    done = ask(cluster, "-n", workspace.name, *way, user=COLLECTOR)
    assert done.ok, done.text

    def right() -> bool:
        found = workspace.get("networkpolicy", pod)
        return found is not None and found["spec"] == before["spec"]

    until("the policy is back", right, 5)
    assert workspace.ready() == pod
    workspace.becomes(pod, 200)


@pytest.mark.row("S20")
def test_the_agent_starts_after_devbox_init(workspace: Workspace) -> None:
    pod = workspace.get("pod", workspace.working_devbox())
    assert pod is not None
    (init,) = pod["status"]["initContainerStatuses"]
    assert init["name"] == names.INIT_CONTAINER
    ended = init["state"]["terminated"]
    assert ended["exitCode"] == 0
    assert ended["message"].startswith(names.INIT_CONFINED)
    (agent,) = pod["status"]["containerStatuses"]
    assert ended["finishedAt"] <= agent["state"]["running"]["startedAt"]
    confined = workspace.conditions("devboxes", "agent")["EgressConfined"]
    assert (confined["status"], confined["reason"]) == ("True", "Confined")


def test_a_private_range_that_is_not_permitted_is_told(workspace: Workspace, cluster: Kubectl) -> None:
    name = policy(workspace, allowedHostnames=["github.com"], allowedCIDRs=["10.1.0.0/16"])
    message = workspace.condition("egresspolicies", "web", "Accepted", "RangeNotPermitted")
    assert "egress.permittedCIDRs: [10.1.0.0/16]" in message
    assert document(cluster, name) is not None, "the rest of it works"
