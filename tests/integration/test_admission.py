"""What the operator's own credentials can do in an attacker's hands, and what confines a devbox's pod: the admission policies."""

import json
from collections.abc import Iterator

import pytest
from tests.support.admission import (
    CREDENTIALS,
    INIT,
    OPERATOR,
    OURS,
    RESTRICTED,
    Answer,
    ask,
    create,
    plain,
    pod,
    policies_at_work,
    secret,
)

from devbox_api import names
from devbox_demo.kubectl import Kubectl, Object
from devbox_demo.stage import RELEASE_NAMESPACE

HERE, ELSEWHERE = "admission-here", "admission-elsewhere"


@pytest.fixture(scope="module", autouse=True)
def namespaces(cluster: Kubectl, release: None) -> Iterator[None]:
    """Two namespaces for users' objects, one with service accounts; gone afterwards."""
    policies_at_work(cluster)
    cluster.apply([plain("Namespace", HERE), plain("Namespace", ELSEWHERE)])
    cluster.apply([plain("ServiceAccount", name, HERE) for name in (names.AGENT_SERVICE_ACCOUNT, "admin-like")])
    yield
    cluster("delete", "namespace", HERE, ELSEWHERE, "--timeout=90s", timeout=120)


class TestOperatorsTokens:
    """The operator's own credentials in an attacker's hands: which tokens they still give."""

    def request(
        self, cluster: Kubectl, spec: Object, account: str = names.AGENT_SERVICE_ACCOUNT, user: str = OPERATOR
    ) -> Answer:
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        url = f"/api/v1/namespaces/{HERE}/serviceaccounts/{account}/token"
        return ask(cluster, "create", "--raw", url, "-f", "-", user=user, stdin=json.dumps(body))

    BOUND = {"kind": "Pod", "apiVersion": "v1", "name": "one", "uid": "0b5b7a35-8a3b-4a0b-9b0b-5a3b0b5b7a35"}  # noqa: RUF012

    def test_ours_for_a_pod_pass_the_policy(self, cluster: Kubectl) -> None:
        answer = self.request(cluster, {"audiences": ["devbox-gateway.io/API"], "boundObjectRef": self.BOUND})
        # Past admission: the API server now looks for the pod.
        assert 'pods "one" not found' in answer.text

    @pytest.mark.parametrize(
        ("spec", "message"),
        [
            ({"audiences": ["https://kubernetes.default.svc"], "boundObjectRef": BOUND}, "audiences that begin with"),
            ({"audiences": ["devbox-gateway.io/API", "x"], "boundObjectRef": BOUND}, "audiences that begin with"),
            ({"audiences": [], "boundObjectRef": BOUND}, "audiences that begin with"),
            ({"audiences": ["devbox-gateway.io/API"]}, "bound to a pod"),
            ({"audiences": ["devbox-gateway.io/API"], "boundObjectRef": {**BOUND, "kind": "Secret"}}, "bound to a pod"),
            ({"audiences": ["devbox-gateway.io/API"], "boundObjectRef": {**BOUND, "uid": ""}}, "bound to a pod"),
        ],
        ids=["the API server's", "one of ours and another", "none", "not bound", "bound to a Secret", "bound by name only"],
    )
    def test_others_are_refused(self, cluster: Kubectl, spec: Object, message: str) -> None:
        assert message in self.request(cluster, spec).text

    def test_of_another_account_are_refused(self, cluster: Kubectl) -> None:
        answer = self.request(cluster, {"audiences": ["devbox-gateway.io/API"], "boundObjectRef": self.BOUND}, "admin-like")
        assert "forbidden" in answer.text

    def test_nobody_else_is_concerned(self, cluster: Kubectl) -> None:
        assert self.request(cluster, {"audiences": ["anything"]}, "admin-like", user="").ok


class TestOperatorsWrites:
    """The operator's own credentials in an attacker's hands: what they can still change."""

    @pytest.mark.parametrize(
        ("namespace", "kind", "name", "allowed"),
        [
            (HERE, names.TOKENS_TYPE, "one", True),
            (HERE, "Opaque", "one", False),
            (HERE, "kubernetes.io/service-account-token", "one", False),
            (HERE, names.ROUTE_TYPE, "one", False),
            (CREDENTIALS, names.ROUTE_TYPE, "route-1", True),
            (CREDENTIALS, names.CREDENTIAL_TYPE, "credential-1", True),
            (CREDENTIALS, names.GATEWAY_TYPE, "gateway-1", True),
            (CREDENTIALS, names.EGRESS_TYPE, "egress-1", True),
            (HERE, names.EGRESS_TYPE, "egress-1", False),
            (CREDENTIALS, names.FLOOR_TYPE, "floor-1", True),
            (CREDENTIALS, "Opaque", "one", False),
            (RELEASE_NAMESPACE, "Opaque", "other", False),
            (RELEASE_NAMESPACE, "kubernetes.io/service-account-token", names.CA_SECRET, False),
        ],
    )
    def test_secrets(self, cluster: Kubectl, namespace: str, kind: str, name: str, *, allowed: bool) -> None:
        thing = secret(namespace, kind, name)
        if kind == "kubernetes.io/service-account-token":
            thing["metadata"]["annotations"] = {"kubernetes.io/service-account.name": "default"}
        answer = create(cluster, thing, OPERATOR)
        if allowed:
            assert answer.ok, answer.text
        else:
            assert "the operator may write its own types of Secrets only" in answer.text

    def test_a_users_secret_is_neither_changed_nor_shown(self, cluster: Kubectl) -> None:
        theirs = {**secret(HERE, "Opaque", "theirs"), "stringData": {"key": "a-value-that-is-theirs"}}
        cluster.apply([theirs])
        patch = ask(
            cluster,
            "-n",
            HERE,
            "patch",
            "secret",
            "theirs",
            "-p",
            '{"metadata":{"labels":{"a":"b"}}}',
            "-o",
            "yaml",
            user=OPERATOR,
        )
        assert "its own types of Secrets only" in patch.text
        assert "key:" not in patch.text
        assert not ask(cluster, "-n", HERE, "delete", "secret", "theirs", user=OPERATOR).ok

    @pytest.mark.parametrize("kind", ["ConfigMap", "ServiceAccount"])
    def test_one_configmap_and_one_service_account(self, cluster: Kubectl, kind: str) -> None:
        wanted = {"ConfigMap": names.CA_CONFIG_MAP, "ServiceAccount": "devbox-agent"}[kind]
        for name in (wanted, "other"):
            answer = create(cluster, plain(kind, name, ELSEWHERE), OPERATOR)
            assert answer.ok is (name == wanted), answer.text

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({}, None),
            ({"hostNetwork": True}, "in the node's namespaces"),
            ({"hostPID": True}, "in the node's namespaces"),
            ({"hostIPC": True}, "in the node's namespaces"),
            ({"nodeName": "node-1", "schedulingGates": []}, "with a node preset"),
            ({"serviceAccountName": "default"}, "of the service account devbox-agent"),
            ({"automountServiceAccountToken": True}, "without its token"),
            ({"volumes": [{"name": "h", "hostPath": {"path": "/"}}]}, "emptyDir, Secret"),
            (
                {"volumes": [{"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]},
                "emptyDir, Secret",
            ),
            ({"containers": [{"name": "a", "image": "localhost/none"}]}, "drop all capabilities"),
            (
                {"initContainers": [{"name": "a", "image": "x", "securityContext": {"privileged": True}}]},
                "drop all capabilities",
            ),
            ({"initContainers": []}, "with the init container devbox-init"),
            ({"initContainers": [{**INIT, "name": "other"}]}, "with the init container devbox-init"),
            ({"initContainers": [INIT, {**INIT, "name": "other"}]}, "with the init container devbox-init"),
            ({"initContainers": [{**INIT, "command": ["sh"]}]}, "with the init container devbox-init"),
            ({"initContainers": [{**INIT, "restartPolicy": "Always"}]}, "with the init container devbox-init"),
            (
                {
                    "initContainers": [{**INIT, "volumeMounts": [{"name": "t", "mountPath": "/t"}]}],
                    "volumes": [{"name": "t", "secret": {"secretName": "one"}}],
                },
                "which is given nothing",
            ),
            ({"initContainers": [{**INIT, "envFrom": [{"secretRef": {"name": "one"}}]}]}, "which is given nothing"),
            ({"labels": OURS}, "with the label devbox-gateway.io/devbox"),
            ({"labels": {names.DEVBOX_LABEL: "one"}}, "managed-by: devbox-gateway only"),
        ],
        ids=str,
    )
    def test_pods(self, cluster: Kubectl, change: Object, message: str | None) -> None:
        answer = create(cluster, pod("one", HERE, **change), OPERATOR)
        if message is None:
            assert answer.ok, answer.text
        else:
            assert message in answer.text

    def test_foreign_pods_and_policies_are_left_alone(self, cluster: Kubectl) -> None:
        policy = {
            **{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"},
            **{"metadata": {"name": "theirs", "namespace": HERE}, "spec": {"podSelector": {}}},
        }
        cluster.apply([policy, pod("theirs", HERE, labels={}, serviceAccountName="default")])
        for kind in ("networkpolicy", "pod"):
            assert "managed-by: devbox-gateway only" in ask(cluster, "-n", HERE, "delete", kind, "theirs", user=OPERATOR).text

    def test_its_own_policy_is_repaired_though_its_label_is_gone(self, cluster: Kubectl) -> None:
        owner = {"apiVersion": "v1", "kind": "Pod", "name": "one", "uid": "0b5b7a35-8a3b-4a0b-9b0b-5a3b0b5b7a35"}
        policy: Object = {
            **{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "spec": {"podSelector": {}}},
            "metadata": {"name": "bare", "namespace": ELSEWHERE, "ownerReferences": [owner]},
        }
        # (Made by a person, as a person's edit would leave it; garbage collection takes it, since there is no such pod.)
        cluster("create", "-f", "-", stdin=json.dumps(policy))
        answer = ask(cluster, "-n", ELSEWHERE, "label", "networkpolicy", "bare", "app=x", "--dry-run=server", user=OPERATOR)
        assert "managed-by: devbox-gateway only" not in answer.text


class TestCredentialsNamespace:
    """Written by the operator, and nothing runs in it."""

    def test_only_the_operator_writes_secrets(self, cluster: Kubectl) -> None:
        answer = create(cluster, secret(CREDENTIALS, names.CREDENTIAL_TYPE))
        assert "only the operator writes Secrets here" in answer.text

    def test_no_pods(self, cluster: Kubectl) -> None:
        harmless = pod("one", CREDENTIALS, labels={}, serviceAccountName="default")
        harmless["spec"]["securityContext"] = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
        assert "it holds credentials" in create(cluster, harmless).text


@pytest.fixture
def box(cluster: Kubectl) -> Iterator[None]:
    """A gated devbox pod, made by the operator's service account."""
    answer = create(cluster, pod("box", HERE), OPERATOR, dry=False)
    assert answer.ok, answer.text
    yield
    cluster("-n", HERE, "delete", "pod", "box")


@pytest.mark.usefixtures("box")
class TestDevboxPods:
    """What confines a pod can't be taken off it."""

    def test_nobody_else_makes_one(self, cluster: Kubectl) -> None:
        assert "create a Devbox and it makes the pod" in create(cluster, pod("fake", HERE)).text

    @pytest.mark.parametrize("label", [names.DEVBOX_LABEL, names.MANAGED_BY_LABEL])
    @pytest.mark.parametrize("change", ["-", "=other"])
    def test_the_labels_stay(self, cluster: Kubectl, label: str, change: str) -> None:
        answer = ask(cluster, "-n", HERE, "label", "pod", "box", f"{label}{change}", "--overwrite")
        assert "they confine it" in answer.text

    def test_the_gate_is_the_operators(self, cluster: Kubectl) -> None:
        patch = ("-n", HERE, "patch", "pod", "box", "--type=json", "-p", '[{"op":"remove","path":"/spec/schedulingGates"}]')
        assert "only the operator opens the gate" in ask(cluster, *patch).text
        answer = ask(cluster, *patch, "--dry-run=server", user=OPERATOR)
        assert answer.ok, answer.text

    RESTRICTED_PROFILE = {**RESTRICTED, "runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}  # noqa: RUF012

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({}, None),
            ({"securityContext": None}, "drops all capabilities"),
            (
                {"securityContext": {**RESTRICTED_PROFILE, "privileged": True, "allowPrivilegeEscalation": True}},
                "drops all cap",
            ),
            (
                {"securityContext": {**RESTRICTED_PROFILE, "capabilities": {"drop": ["ALL"], "add": ["NET_RAW"]}}},
                "drops all capabilities",
            ),
            ({"securityContext": {**RESTRICTED_PROFILE, "capabilities": {"drop": ["NET_RAW"]}}}, "drops all capabilities"),
            ({"securityContext": {**RESTRICTED_PROFILE, "runAsUser": 0, "runAsNonRoot": False}}, "is not root"),
            (
                {"securityContext": {**RESTRICTED_PROFILE, "seccompProfile": {"type": "Unconfined"}}},
                "keeps the pod's seccomp profile",
            ),
            ({"envFrom": [{"secretRef": {"name": "key"}}]}, "no environment from Secrets"),
            (
                {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "key", "key": "k"}}}]},
                "no environment from Secrets",
            ),
        ],
        ids=[
            *("as kubectl debug --profile=restricted", "nothing said", "privileged", "a capability", "not all dropped"),
            *("root", "no seccomp", "a whole Secret", "a Secret's key"),
        ],
    )
    def test_a_debugger_gets_no_more_than_the_devbox(self, cluster: Kubectl, change: Object, message: str | None) -> None:
        container = {"name": "debug", "image": "localhost/none", "securityContext": self.RESTRICTED_PROFILE, **change}
        patch = json.dumps({"spec": {"ephemeralContainers": [container]}})
        where = ("-n", HERE, "patch", "pod", "box", "--subresource=ephemeralcontainers", "--dry-run=server", "-p", patch)
        answer = ask(cluster, *where)
        if message is None:
            assert answer.ok, answer.text
        else:
            assert message in answer.text

    def test_the_rest_can_change(self, cluster: Kubectl) -> None:
        cluster("-n", HERE, "label", "pod", "box", "example.com/note=yes")


def test_every_expression_type_checks(cluster: Kubectl) -> None:
    """The API server's own checker found nothing in any policy of the release."""
    policies = [
        one for one in cluster.all("validatingadmissionpolicies") if one["metadata"]["name"].startswith(f"{RELEASE_NAMESPACE}-")
    ]
    assert len(policies) == 10
    for policy in policies:
        warnings = policy["status"].get("typeChecking", {}).get("expressionWarnings", [])
        assert [(policy["metadata"]["name"], one["fieldRef"]) for one in warnings] == []
