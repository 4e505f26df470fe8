"""Deleting, changing and sharing: nothing is left behind, nothing that is in use goes by mistake, changes are live."""

from collections.abc import Callable

import pytest
from tests.support.workspace import Workspace, gone, identities

from devbox_api import names
from devbox_demo.kubectl import CommandError, Kubectl
from devbox_demo.stage import RELEASE_NAMESPACE
from devbox_demo.upstream import HOSTS
from devbox_demo.waiting import NotYet, wait_for

CREDENTIALS = f"{RELEASE_NAMESPACE}-credentials"
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


@pytest.mark.row("S4")
def test_a_token_ends_with_its_pod(cluster: Kubectl, workspace: Workspace) -> None:
    """Also for a later devbox of the same name, from its own pod."""
    pod = workspace.working_devbox()
    token = workspace.sh(pod, 'printf %s "$ANTHROPIC"')
    cluster("-n", workspace.name, "delete", "dbx", "agent", "--timeout=60s", timeout=90)
    workspace.devbox()
    second = workspace.ready()
    assert second != pod, "a pod's name is never used again"
    workspace.becomes(second, 200)
    assert workspace.sh(second, 'printf %s "$ANTHROPIC"') != token
    command = "curl -sS -o /dev/null -w '%{http_code}' -H 'anthropic-version: 2023-06-01' -K - \"$ANTHROPIC_URL/v1/models\""
    assert workspace.sh(second, command, stdin=f'header = "x-api-key: {token}"') in ("401", "403")


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

    def refused() -> None:
        if (status := workspace.status(pod)) == 200:
            raise NotYet(f"the calls are still answered {status}")

    wait_for("calls through a deleted GatewayConfig are refused", refused, seconds=10)
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

    def refused() -> None:
        if (status := workspace.status(pod)) == 200:
            raise NotYet("still answered")
        assert status in (403, 502, 503)

    wait_for("calls with a credential that is not granted any more are refused", refused, seconds=10)
    workspace.condition("devboxes", "agent", "CredentialsResolved", "SecretNotGranted")


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

    def refused() -> None:
        if (status := first.status(pods[first.name])) == 200:
            raise NotYet(f"still answered {status}")

    wait_for("calls from a namespace that is not allowed any more are refused", refused, seconds=10)
    assert second.status(pods[second.name]) == 200
