"""Deleting, changing and sharing: nothing is left behind, nothing that is in use goes by mistake, changes are live."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import pytest
from tests.support.workspace import Workspace, gone, identities

from devbox_api import names
from devbox_stage.kubectl import CommandError, Kubectl
from devbox_stage.stage import RELEASE_NAMESPACE
from devbox_stage.upstream import HOSTS
from devbox_stage.waiting import NotYet, wait_for

CREDENTIALS = f"{RELEASE_NAMESPACE}-credentials"
GATEWAY_GONE, CREDENTIAL_GONE, NOT_GRANTED = (503, "gateway_gone"), (503, "credential_gone"), (403, "credential_not_granted")
GRACE_SECONDS = 20
REFUSED_SECONDS = 3.0
ASKS_ON = """trap '' TERM
while true; do
  curl -s -m 5 -w '\\n %{http_code}' -H 'anthropic-version: 2023-06-01' -H "x-api-key: $ANTHROPIC" "$ANTHROPIC_URL/v1/models" |
    { said=$(cat); code=$(printf %s "$said" | grep -o '"code":"[a-z_]*"' | cut -d '"' -f 4); echo "$(date +%s.%N) ${said##* } $code"; }
  sleep 0.2
done"""
KINDS = "pods,secrets,configmaps,serviceaccounts,networkpolicies,roles,rolebindings,services"


def children(cluster: Kubectl, workspace: Workspace) -> list[str]:
    """Everything of ours in the devbox's namespace."""
    return identities(cluster.all(KINDS, workspace.name, names.MANAGED_SELECTOR))


def documents(cluster: Kubectl, *words: str) -> list[str]:
    """Objects of the credentials namespace that mention one of `words` anywhere but in a value."""
    found = cluster.all("secrets", CREDENTIALS)
    return identities(one for one in found if any(word in f"{one['metadata']}" for word in words))


@pytest.mark.row("S12", "S27")
def test_a_deleted_devbox_leaves_nothing_behind(cluster: Kubectl, workspace: Workspace) -> None:
    pod = workspace.working_devbox()
    uid = workspace.kubectl.get("pod", pod, workspace.name)["metadata"]["uid"]  # type: ignore[index]
    route = f"Secret {CREDENTIALS}/route-{uid}"
    credential = f"Secret {CREDENTIALS}/{names.credential_name(workspace.name, 'anthropic', 'api-key')}"
    everything = identities(cluster.all("secrets", CREDENTIALS))
    assert {route, credential} <= set(everything)
    made = children(cluster, workspace)
    assert any(one.startswith(f"Pod {workspace.name}/{pod}") for one in made)
    assert any(one.startswith("NetworkPolicy") for one in made)

    cluster("-n", workspace.name, "delete", "dbx", "agent", "--timeout=60s", timeout=90)

    # (What denies everything to the namespace's devboxes stays for ten minutes more.)
    kept = f"NetworkPolicy {workspace.name}/{names.DENY_POLICY}"
    gone("the devbox's children", lambda: [one for one in children(cluster, workspace) if one != kept])
    gone("the route", lambda: [one for one in identities(cluster.all("secrets", CREDENTIALS)) if one == route])
    cluster("-n", workspace.name, "delete", "gwc", "anthropic", "--timeout=30s")
    gone("the credential", lambda: [one for one in identities(cluster.all("secrets", CREDENTIALS)) if one == credential])
    gone("documents of the namespace", lambda: documents(cluster, workspace.name))
    left = {one["metadata"]["name"] for one in cluster.all("secrets,configmaps,serviceaccounts", workspace.name)}
    assert left == {"anthropic", "default", "kube-root-ca.crt"}, "only the user's Secret and what every namespace has"


@dataclass(frozen=True)
class Said:
    """A line of what a pod that asks on and on has printed."""

    at: float
    """Seconds since 1970, by its node's clock, which is the test's."""
    status: int
    code: str


def asked(workspace: Workspace, pod: str) -> list[Said]:
    """All of them. (The last line may not be whole.)"""
    text = workspace.kubectl("-n", workspace.name, "logs", pod).out
    lines = [line.split(" ") for line in text[: text.rfind("\n") + 1].splitlines()]
    return [Said(float(at), int(status), code) for at, status, code in lines]


@pytest.mark.row("S4")
@pytest.mark.parametrize("what", ["dbx", "pod"])
def test_a_token_ends_when_its_pod_is_deleted_while_its_processes_go_on(
    cluster: Kubectl, workspace: Workspace, what: str
) -> None:
    """Asked from that very pod, in its grace period, by a process that ignores the order to end."""
    pod = workspace.working_devbox(command=["sh", "-c", ASKS_ON], terminationGracePeriodSeconds=GRACE_SECONDS)

    def answered() -> None:
        if not any(said.status == 200 for said in asked(workspace, pod)):
            raise NotYet("no call of the pod was answered yet")

    wait_for("the pod's calls are answered", answered, seconds=30)
    cluster("-n", workspace.name, "delete", what, "agent" if what == "dbx" else pod, "--wait=false")

    def going() -> float:
        found = workspace.get("pod", pod)
        assert found is not None, "it went at once: nothing was seen of its grace period"
        if (at := found["metadata"].get("deletionTimestamp")) is None:
            raise NotYet("the pod is not being deleted yet")
        return datetime.fromisoformat(at).timestamp() - GRACE_SECONDS

    deleted = wait_for("the pod's deletion", going, seconds=20, interval=0.05)

    def seen() -> list[Said]:
        found = asked(workspace, pod)
        if found[-1].at < deleted + GRACE_SECONDS / 2:
            raise NotYet(f"it has asked until {found[-1].at - deleted:.1f} s after the deletion")
        return found

    lines = wait_for("the half of its grace period", seen, seconds=GRACE_SECONDS)
    lines = lines[next(number for number, said in enumerate(lines) if said.status == 200) :]
    first = next(number for number, said in enumerate(lines) if said.status != 200)
    assert all(said.status == 200 for said in lines[:first])
    assert lines[first].at >= deleted - 1, "refused before it was deleted (deletionTimestamp has whole seconds)"
    assert lines[first].at <= deleted + 1 + REFUSED_SECONDS
    # (The second once its Route has gone, too.)
    assert {(said.status, said.code) for said in lines[first:]} <= {(403, "pod_gone"), (401, "token_unknown")}
    assert len(lines) - first > 10, "it went on asking"


@pytest.mark.row("S4")
def test_a_token_of_a_pod_that_is_gone_is_worth_nothing_in_the_next_one(cluster: Kubectl, workspace: Workspace) -> None:
    """A later devbox of the same name."""
    pod = workspace.working_devbox()
    uid = workspace.kubectl.get("pod", pod, workspace.name)["metadata"]["uid"]  # type: ignore[index]
    token = workspace.sh(pod, 'printf %s "$ANTHROPIC"')
    cluster("-n", workspace.name, "delete", "dbx", "agent", "--timeout=60s", timeout=90)
    gone("the route", lambda: [one for one in identities(cluster.all("secrets", CREDENTIALS)) if one.endswith(f"/route-{uid}")])
    workspace.devbox()
    second = workspace.ready()
    assert second != pod, "a pod's name is never used again"
    workspace.becomes(second, 200)
    assert workspace.sh(second, 'printf %s "$ANTHROPIC"') != token
    assert workspace.said(second, token) == (401, "token_unknown")


@pytest.mark.row("S4")
def test_a_deleted_pod_is_replaced_under_a_new_name(workspace: Workspace, cluster: Kubectl) -> None:
    pod = workspace.working_devbox()
    cluster("-n", workspace.name, "delete", "pod", pod, "--timeout=60s", timeout=90)

    def attempt() -> str:
        if (name := workspace.ready()) == pod:
            raise NotYet("the old pod's name is still in the status")
        return name

    second = wait_for("a new pod", attempt, seconds=60)
    workspace.becomes(second, 200)


@pytest.mark.row("S27")
def test_users_objects_stay_as_they_were_written(workspace: Workspace) -> None:
    """No finalizer, no annotation of kopf's, and nobody but the user has written metadata or spec."""
    workspace.working_devbox()
    for kind, name in (("devboxes.devbox-gateway.io", "agent"), ("gatewayconfigs.devbox-gateway.io", "anthropic")):
        found = workspace.kubectl("-n", workspace.name, "get", kind, name, "-o", "json", "--show-managed-fields").out
        assert "kopf" not in found
        metadata = workspace.get(kind, name)["metadata"]  # type: ignore[index]
        assert "finalizers" not in metadata
        assert not metadata.get("annotations")
        assert not metadata.get("labels")
    raw = workspace.kubectl("-n", workspace.name, "get", "secret", "anthropic", "-o", "json").out
    assert "kopf" not in raw
    secret = workspace.get("secret", "anthropic")
    assert secret is not None
    assert "finalizers" not in secret["metadata"]
    assert set(secret["metadata"]["annotations"]) == {names.ALLOWED_HOSTS_ANNOTATION}
    assert "ownerReferences" not in secret["metadata"]


@pytest.mark.row("S12")
def test_a_gatewayconfig_in_use_is_not_deleted_by_mistake(workspace: Workspace, cluster: Kubectl) -> None:
    pod = workspace.working_devbox()

    def used() -> None:
        found = workspace.get("gatewayconfigs.devbox-gateway.io", "anthropic")
        if found is None or found["status"].get("usedBy") != [f"{workspace.name}/agent"]:
            raise NotYet(f"{found and found.get('status')}")

    wait_for("status.usedBy", used, seconds=30)
    with pytest.raises(CommandError, match=f"{workspace.name}/agent"):
        cluster("-n", workspace.name, "delete", "gwc", "anthropic", "--timeout=20s")
    assert workspace.status(pod) == 200

    cluster("-n", workspace.name, "annotate", "gwc", "anthropic", f"{names.FORCE_DELETE_ANNOTATION}=true")
    cluster("-n", workspace.name, "delete", "gwc", "anthropic", "--timeout=20s")
    workspace.condition("devboxes", "agent", "CredentialsResolved", "GatewayNotFound")

    workspace.refused(pod, GATEWAY_GONE, on_the_way=[CREDENTIAL_GONE])
    workspace.gateway_config()
    workspace.becomes(pod, 200)


@pytest.mark.row("S12", "S5")
def test_a_changed_endpoint_is_live(workspace: Workspace) -> None:
    """The same pod, the same token: the calls go where the object says now."""
    pod = workspace.working_devbox()
    workspace.becomes(pod, 200)
    key = workspace.key("internal")
    workspace.secret("internal", key.value.reveal(), hosts=HOSTS["internal"], key="token")
    workspace.gateway_config(
        description="now another API",
        endpoint=f"https://{HOSTS['internal']}",
        authMechanism={"type": "Header", "key": "X-Internal-Token"},
        credential={"secretRef": {"name": "internal"}},
    )

    def moved() -> None:
        if (status := workspace.status(pod, "/v1/whoami")) != 200:
            raise NotYet(f"it is {status}")

    wait_for("the other API answers", moved, seconds=10)
    assert workspace.ready() == pod


@pytest.mark.row("S9")
def test_a_withdrawn_grant_stops_the_calls(workspace: Workspace) -> None:
    pod = workspace.working_devbox()
    workspace.becomes(pod, 200)
    workspace.kubectl("-n", workspace.name, "annotate", "secret", "anthropic", f"{names.ALLOWED_HOSTS_ANNOTATION}-")
    workspace.refused(pod, NOT_GRANTED, on_the_way=[CREDENTIAL_GONE])
    workspace.condition("devboxes", "agent", "CredentialsResolved", "SecretNotGranted")
    workspace.kubectl("-n", workspace.name, "delete", "secret", "anthropic")
    workspace.refused(pod, CREDENTIAL_GONE, on_the_way=[NOT_GRANTED])


@pytest.mark.row("S11", "S29")
def test_teams_share_a_gatewayconfig_across_namespaces(workspaces: Callable[..., Workspace]) -> None:
    """As examples/teams/: a label opens it, each team's Secret is its own; taking the label away closes it."""
    platform, first, second, stranger = workspaces(), workspaces(team="yes"), workspaces(team="yes"), workspaces()
    platform.gateway_config(
        credential=None, allowedNamespaces={"from": "Selector", "selector": {"matchLabels": {"team": "yes"}}}
    )
    reference = {"name": "anthropic", "namespace": platform.name}
    for one in (first, second, stranger):
        one.secret("anthropic", one.key().value.reveal())
        one.devbox(gateways=[{"name": "ANTHROPIC", "gatewayRef": reference, "secretRef": {"name": "anthropic"}}])
    before = platform.upstream.last()
    pods = {one.name: one.ready() for one in (first, second)}
    for one in (first, second):
        one.becomes(pods[one.name], 200)
    owners = {one.owner for one in platform.upstream.received(before) if one.status == 200}
    assert {first.name, second.name} <= owners
    message = stranger.condition("devboxes", "agent", "CredentialsResolved", "NamespaceNotAllowed")
    assert f"{platform.name}/anthropic" in message

    first.kubectl("label", "namespace", first.name, "team-")
    first.condition("devboxes", "agent", "CredentialsResolved", "NamespaceNotAllowed")
    first.refused(pods[first.name], GATEWAY_GONE, on_the_way=[CREDENTIAL_GONE])
    assert second.status(pods[second.name]) == 200
