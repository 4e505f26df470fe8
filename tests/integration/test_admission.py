"""What the operator's own credentials can do in an attacker's hands: the chart's admission policies, asked one by one.

Everything starts from what the operator's own code makes, which passes; each row changes one thing. What others may do to devboxes' pods
is test_admission_pods.py.
"""

import json
from collections.abc import Iterator

import pytest
from tests.support.admission import (
    CREDENTIALS,
    GONE,
    OPERATOR,
    OURS,
    OWN,
    RESTRICTED,
    Answer,
    ask,
    changed,
    create,
    devbox_pod,
    gateway_addresses,
    operator_settings,
    own_policy,
    plain,
    policies_at_work,
    secret,
    token_secret,
)

from devbox_api import names
from devbox_operator.settings import Settings
from devbox_stage.kubectl import Kubectl, Object
from devbox_stage.stage import RELEASE_NAMESPACE

HERE, ELSEWHERE = "admission-here", "admission-elsewhere"


@pytest.fixture(scope="module", autouse=True)
def namespaces(cluster: Kubectl, release: None) -> Iterator[None]:
    """Two namespaces for users' objects, one with service accounts; gone afterwards."""
    policies_at_work(cluster)
    cluster.apply([plain("Namespace", HERE), plain("Namespace", ELSEWHERE)])
    cluster.apply([plain("ServiceAccount", name, HERE) for name in (names.AGENT_SERVICE_ACCOUNT, "admin-like")])
    yield
    cluster("delete", "namespace", HERE, ELSEWHERE, "--timeout=90s", timeout=120)


@pytest.fixture(scope="module")
def settings(cluster: Kubectl, release: None) -> Settings:
    """The operator's."""
    return operator_settings(cluster)


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
    """The operator's own credentials in an attacker's hands: what they can still write."""

    @pytest.mark.parametrize(
        ("namespace", "kind", "name", "allowed"),
        [
            (HERE, "Opaque", OWN, False),
            (HERE, "kubernetes.io/service-account-token", OWN, False),
            (HERE, names.ROUTE_TYPE, OWN, False),
            (CREDENTIALS, names.ROUTE_TYPE, "route-1", True),
            (CREDENTIALS, names.CREDENTIAL_TYPE, "credential-1", True),
            (CREDENTIALS, names.GATEWAY_TYPE, "gateway-1", True),
            (CREDENTIALS, names.EGRESS_TYPE, "egress-1", True),
            (HERE, names.EGRESS_TYPE, "egress-1", False),
            (CREDENTIALS, names.FLOOR_TYPE, "floor-1", True),
            (CREDENTIALS, "Opaque", "one", False),
            (CREDENTIALS, names.TOKENS_TYPE, OWN, False),
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

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({}, None),
            ({"metadata__namespace": "kube-system"}, "its own types of Secrets only"),
            ({"metadata__name": "anthropic"}, "that have the name of their pod"),
            ({"metadata__ownerReferences": GONE}, "that have the name of their pod"),
            ({"metadata__ownerReferences__0__name": "two-0123456789"}, "that have the name of their pod"),
            ({"immutable": True}, "that have the name of their pod"),
        ],
        ids=str,
    )
    def test_token_secrets(self, cluster: Kubectl, change: Object, message: str | None) -> None:
        judged(create(cluster, token_secret(HERE, **change), OPERATOR), message)

    def test_a_users_secret_is_neither_changed_nor_shown(self, cluster: Kubectl) -> None:
        theirs = {**secret(HERE, "Opaque", "theirs"), "stringData": {"key": "a-value-that-is-theirs"}}
        cluster.apply([theirs])
        change = ("-p", '{"metadata":{"labels":{"a":"b"}}}', "-o", "yaml")
        patch = ask(cluster, "-n", HERE, "patch", "secret", "theirs", *change, user=OPERATOR)
        assert "its own types of Secrets only" in patch.text
        assert "key:" not in patch.text
        assert not ask(cluster, "-n", HERE, "delete", "secret", "theirs", user=OPERATOR).ok

    @pytest.mark.parametrize(
        ("namespace", "change", "message"),
        [
            (ELSEWHERE, {}, None),
            (ELSEWHERE, {"metadata__name": "other"}, "the ServiceAccount devbox-agent only"),
            (ELSEWHERE, {"metadata__annotations": {"eks.amazonaws.com/role-arn": "x"}}, "may not write annotations"),
            (ELSEWHERE, {"secrets": [{"name": "theirs"}]}, "give the ServiceAccount devbox-agent Secrets"),
            (ELSEWHERE, {"imagePullSecrets": [{"name": "theirs"}]}, "give the ServiceAccount devbox-agent Secrets"),
            (ELSEWHERE, {"automountServiceAccountToken": GONE}, "its token be mounted"),
            (ELSEWHERE, {"automountServiceAccountToken": True}, "its token be mounted"),
            ("kube-system", {}, "in namespaces of the system"),
            (RELEASE_NAMESPACE, {}, "in namespaces of the system"),
        ],
        ids=str,
    )
    def test_service_accounts(self, cluster: Kubectl, namespace: str, change: Object, message: str | None) -> None:
        thing = {**plain("ServiceAccount", names.AGENT_SERVICE_ACCOUNT, namespace), "automountServiceAccountToken": False}
        judged(create(cluster, changed(thing, change), OPERATOR), message)

    @pytest.mark.parametrize(
        ("patch", "message"),
        [
            ({"metadata": {"labels": OURS}}, None),
            ({"metadata": {"annotations": {"iam.gke.io/gcp-service-account": "x"}}}, "may not write annotations"),
            ({"imagePullSecrets": [{"name": "theirs"}]}, "give the ServiceAccount devbox-agent Secrets"),
        ],
        ids=str,
    )
    def test_a_service_account_that_is_there(self, cluster: Kubectl, patch: Object, message: str | None) -> None:
        where = (
            "-n",
            HERE,
            "patch",
            "serviceaccount",
            names.AGENT_SERVICE_ACCOUNT,
            "--dry-run=server",
            "-p",
            json.dumps(patch),
        )
        judged(ask(cluster, *where, user=OPERATOR), message)

    @pytest.mark.parametrize(
        ("namespace", "change", "message"),
        [
            (ELSEWHERE, {}, None),
            (ELSEWHERE, {"metadata__name": "other"}, "the ConfigMap devbox-gateway-ca only"),
            (ELSEWHERE, {"data": {names.CA_BUNDLE_KEY: "x", "other": "y"}}, "the key ca-bundle.crt"),
            (ELSEWHERE, {"binaryData": {names.CA_BUNDLE_KEY: "eA=="}, "data": {}}, "the key ca-bundle.crt"),
            (ELSEWHERE, {"binaryData": dict.fromkeys(names.TRUST_KEYS, "eA==")}, None),
            (ELSEWHERE, {"binaryData": {"other": "eA=="}}, "the key ca-bundle.crt"),
            (ELSEWHERE, {"immutable": True}, "the key ca-bundle.crt"),
            (ELSEWHERE, {"metadata__annotations": {"a": "b"}}, "may not write annotations"),
            ("kube-public", {}, "in namespaces of the system"),
            (CREDENTIALS, {}, "in namespaces of the system"),
        ],
        ids=str,
    )
    def test_configmaps(self, cluster: Kubectl, namespace: str, change: Object, message: str | None) -> None:
        thing = {**plain("ConfigMap", names.CA_CONFIG_MAP, namespace), "data": {names.CA_BUNDLE_KEY: "x"}}
        judged(create(cluster, changed(thing, change), OPERATOR), message)

    @pytest.mark.parametrize("regarding", ["devbox-gateway.io/v1alpha1", "v1"])
    def test_events(self, cluster: Kubectl, regarding: str) -> None:
        event = {
            **{"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "one", "namespace": HERE}},
            **{"eventTime": "2026-11-23T12:00:00.000000Z", "reason": "R", "action": "A", "type": "Warning"},
            **{"reportingController": "devbox-gateway.io/operator", "reportingInstance": "one"},
            "regarding": {"apiVersion": regarding, "kind": "Any", "name": "one", "namespace": HERE},
        }
        expected = None if regarding.startswith("devbox") else "Events about objects of devbox-gateway.io only"
        judged(create(cluster, event, OPERATOR), expected)

    def test_foreign_pods_and_policies_are_left_alone(self, cluster: Kubectl, settings: Settings) -> None:
        policy = {
            **{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"},
            **{"metadata": {"name": "theirs", "namespace": HERE}, "spec": {"podSelector": {}}},
        }
        cluster.apply([policy, theirs(settings)])
        removed = ask(cluster, "-n", HERE, "delete", "networkpolicy", "theirs", user=OPERATOR).text
        assert "managed-by: devbox-gateway only" in removed or "may not delete a devbox's NetworkPolicy" in removed
        for verb in (("delete", "pod", "theirs"), ("label", "pod", "theirs", "a=b", "--dry-run=server")):
            answer = ask(cluster, "-n", HERE, *verb, user=OPERATOR)
            assert "managed-by: devbox-gateway only" in answer.text or "change nothing else" in answer.text

    def test_its_own_policy_is_repaired_though_its_label_is_gone(self, cluster: Kubectl, settings: Settings) -> None:
        # (Made by a person, as a person's edit would leave it. Its owner is there, or garbage collection would take it.)
        cluster.apply([theirs(settings, OWN, ELSEWHERE)])
        owner = cluster.get("pod", OWN, ELSEWHERE)
        assert owner is not None
        left = {"metadata__labels": GONE, "metadata__ownerReferences__0__uid": owner["metadata"]["uid"]}
        policy = own_policy(ELSEWHERE, **left, spec={"podSelector": {}, "ingress": [{}]})
        cluster("create", "-f", "-", stdin=json.dumps(policy))
        repaired = own_policy(ELSEWHERE)
        steps = [
            [{"op": "add", "path": "/metadata/labels", "value": repaired["metadata"]["labels"]}],
            [{"op": "replace", "path": "/spec", "value": repaired["spec"]}],
        ]
        for operations in (steps[0], steps[0] + steps[1]):
            where = (
                "-n",
                ELSEWHERE,
                "patch",
                "networkpolicy",
                OWN,
                "--type=json",
                "--dry-run=server",
                "-p",
                json.dumps(operations),
            )
            judged(ask(cluster, *where, user=OPERATOR), None)
        wider = [{"op": "add", "path": "/spec/egress", "value": [{}]}]
        where = ("-n", ELSEWHERE, "patch", "networkpolicy", OWN, "--type=json", "--dry-run=server", "-p", json.dumps(wider))
        judged(ask(cluster, *where, user=OPERATOR), "lead to two ports of the gateway's pods only")


class TestOperatorsDevboxes:
    """The operator's own credentials in an attacker's hands: which Devboxes they can delete."""

    @pytest.mark.row("S23")
    def test_only_those_that_are_to_end_by_themselves(self, cluster: Kubectl) -> None:
        only = "that have a spec.lifecycle.ttl, or idle with the action Delete, only"
        for name, lifecycle, message in (
            ("stays", None, only),
            ("empty", {}, only),
            ("ends", {"ttl": "24h"}, None),
            ("rests", {"idle": {"after": "1h", "action": "Suspend"}}, only),
            ("goes", {"idle": {"after": "1h", "action": "Delete"}}, None),
        ):
            spec = {"suspend": True, **({} if lifecycle is None else {"lifecycle": lifecycle})}
            cluster.apply(
                [
                    {
                        "apiVersion": names.API_VERSION,
                        "kind": "Devbox",
                        "metadata": {"name": name, "namespace": ELSEWHERE},
                        "spec": spec,
                    }
                ]
            )
            where = ("-n", ELSEWHERE, "delete", "dbx", name, "--dry-run=server")
            judged(ask(cluster, *where, user=OPERATOR), message)
            judged(ask(cluster, *where), None)
        every = ("-n", ELSEWHERE, "delete", "--raw", f"/apis/{names.API_VERSION}/namespaces/{ELSEWHERE}/devboxes?dryRun=All")
        assert "cannot deletecollection" in ask(cluster, *every, user=OPERATOR).text


def judged(answer: Answer, message: str | None) -> None:
    """It was refused with this message; None: it was not."""
    if message is None:
        assert answer.ok, answer.text
    else:
        assert message in answer.text


def theirs(settings: Settings, name: str = "theirs", namespace: str = HERE) -> Object:
    """A person's pod, as harmless as pods are."""
    thing = devbox_pod(settings, namespace, metadata__labels=GONE, metadata__ownerReferences=GONE, metadata__name=name)
    thing["spec"]["serviceAccountName"] = "default"
    return thing


ROOT = {"runAsUser": 0, "runAsNonRoot": False}
OTHER_KEY = {"name": "K", "valueFrom": {"secretKeyRef": {"name": "anthropic", "key": "k"}}}
FIELD = {"name": "K", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}}
ADDRESSES = {"name": "K", "valueFrom": {"fieldRef": {"fieldPath": "status.podIPs"}}}
PROBE = {"httpGet": {"host": "169.254.169.254", "path": "/", "port": 80}}
INIT, AGENT = "spec__initContainers__0", "spec__containers__0"
CONTEXT, WORK, WORKS = f"{AGENT}__securityContext", "devbox-gateway-workspace", "spec__volumes__-"
WORK_VOLUME: Object = {"name": WORK, "emptyDir": {}}
NAMED, OWNED, GATE = "named after their Devbox", "that a Devbox owns", "with the gate devbox-gateway.io/tokens only"
HELD, GIVEN = "with the init container devbox-init", "which is given nothing but the workspace"
PROFILES, NOT_ROOT, HOOKS = "the runtime's own seccomp", "nowhere root", "without hooks, devices"
ENVIRONMENT, STEERS = "no environment but literals", "steer the container runtime"
PODS: list[tuple[Object, str | None]] = [
    ({}, None),
    ({"metadata__annotations__example.com/more": "x"}, None),
    ({f"{INIT}__image": "IMAGE:another-tag"}, None),
    ({f"{INIT}__image": "IMAGE@sha256:" + 64 * "0"}, None),
    ({"spec__securityContext__seLinuxOptions": {"level": "s0:c1,c2"}}, None),
    ({"spec__hostNetwork": True}, "in the node's namespaces"),
    ({"spec__hostPID": True}, "in the node's namespaces"),
    ({"spec__hostIPC": True}, "in the node's namespaces"),
    ({"spec__shareProcessNamespace": True}, "in the node's namespaces"),
    ({"spec__nodeName": "node-1", "spec__schedulingGates": []}, GATE),
    ({"spec__serviceAccountName": "default"}, "of the service account devbox-agent"),
    ({"spec__automountServiceAccountToken": True}, "without its token"),
    ({"spec__volumes__-": {"name": "h", "hostPath": {"path": "/"}}}, "emptyDir, Secret"),
    ({"spec__volumes__-": {"name": "t", "projected": {"sources": [{"secret": {"name": "anthropic"}}]}}}, "emptyDir, Secret"),
    ({"spec__volumes__-": {"name": "s", "secret": {"secretName": "anthropic"}}}, "no Secret but their own token Secret"),
    ({"spec__volumes__-": {"name": "s", "csi": {"driver": "secrets-store.csi.k8s.io"}}}, "emptyDir, Secret"),
    ({"metadata__name": "anthropic", "spec__volumes": [], AGENT + "__volumeMounts": [], AGENT + "__env": []}, NAMED),
    ({"metadata__labels__devbox-gateway.io/devbox": "two"}, NAMED),
    ({"metadata__ownerReferences": GONE}, OWNED),
    ({"metadata__ownerReferences__0__name": "two"}, OWNED),
    ({"metadata__ownerReferences__0__apiVersion": "v1", "metadata__ownerReferences__0__kind": "Pod"}, OWNED),
    ({"spec__schedulingGates": GONE}, GATE),
    ({"spec__schedulingGates": [{"name": "example.com/other"}]}, GATE),
    ({f"{AGENT}__env__-": OTHER_KEY}, ENVIRONMENT),
    ({f"{AGENT}__env__-": FIELD}, ENVIRONMENT),
    ({f"{AGENT}__env__-": ADDRESSES}, None),
    ({f"{INIT}__env": [ADDRESSES]}, GIVEN),
    ({f"{AGENT}__envFrom": [{"secretRef": {"name": OWN}}]}, ENVIRONMENT),
    ({f"{AGENT}__envFrom": [{"configMapRef": {"name": "any"}}]}, ENVIRONMENT),
    ({CONTEXT: GONE}, "drop all capabilities"),
    ({f"{INIT}__securityContext": {"privileged": True}}, "drop all capabilities"),
    ({f"{CONTEXT}__capabilities__add": ["NET_RAW"]}, "drop all capabilities"),
    ({"spec__securityContext": ROOT, f"{CONTEXT}__runAsNonRoot": False}, NOT_ROOT),
    ({"spec__securityContext__runAsUser": GONE}, NOT_ROOT),
    ({"spec__securityContext__runAsGroup": 0}, NOT_ROOT),
    ({f"{CONTEXT}__runAsUser": 0, f"{CONTEXT}__runAsNonRoot": False}, NOT_ROOT),
    ({f"{CONTEXT}__runAsGroup": 0}, NOT_ROOT),
    ({"spec__securityContext__supplementalGroups": [0]}, NOT_ROOT),
    ({"spec__securityContext__sysctls": [{"name": "net.ipv4.ip_forward", "value": "1"}]}, NOT_ROOT),
    ({"spec__securityContext__seccompProfile": {"type": "Unconfined"}}, PROFILES),
    ({"spec__securityContext__seccompProfile": GONE}, PROFILES),
    ({f"{CONTEXT}__seccompProfile": {"type": "Localhost", "localhostProfile": "x"}}, PROFILES),
    ({f"{CONTEXT}__appArmorProfile": {"type": "Unconfined"}}, PROFILES),
    ({f"{CONTEXT}__seLinuxOptions": {"type": "spc_t"}}, PROFILES),
    ({"spec__securityContext__seLinuxOptions": {"user": "system_u"}}, PROFILES),
    ({f"{AGENT}__livenessProbe": PROBE}, HOOKS),
    ({f"{AGENT}__lifecycle": {"postStart": PROBE}}, HOOKS),
    ({f"{AGENT}__ports": [{"containerPort": 80, "hostPort": 80}]}, HOOKS),
    ({"metadata__annotations": {"cdi.k8s.io/gpu": "vendor.com/device=all"}}, STEERS),
    ({"metadata__annotations": {"k8s.v1.cni.cncf.io/networks": "macvlan"}}, STEERS),
    ({"metadata__annotations": {"networking.gke.io/interfaces": "[]"}}, STEERS),
    ({"metadata__annotations": {"io.kubernetes.cri-o.Devices": "/dev/sda"}}, STEERS),
    ({"spec__priorityClassName": "system-node-critical"}, "a priority of the system's"),
    ({"spec__resourceClaims": [{"name": "d", "resourceClaimName": "d"}]}, "claims of devices"),
    ({"spec__initContainers": GONE}, HELD),
    ({f"{INIT}__name": "other"}, HELD),
    ({"spec__initContainers__-": {"name": "other", "image": "x", "securityContext": RESTRICTED}}, HELD),
    ({f"{INIT}__command": ["sh"]}, HELD),
    ({f"{INIT}__restartPolicy": "Always"}, HELD),
    ({f"{INIT}__volumeMounts": [{"name": "devbox-gateway-tokens", "mountPath": "/t"}]}, GIVEN),
    ({WORKS: WORK_VOLUME, f"{INIT}__volumeMounts": [{"name": WORK, "mountPath": "/t"}]}, GIVEN),
    ({f"{INIT}__volumeMounts": [{"name": "data", "mountPath": names.INIT_WORKSPACE}]}, GIVEN),
    ({WORKS: WORK_VOLUME, f"{INIT}__volumeMounts": [{"name": WORK, "mountPath": names.INIT_WORKSPACE, "subPath": "a"}]}, GIVEN),
    (
        {
            f"{INIT}__volumeMounts": [{"name": WORK, "mountPath": names.INIT_WORKSPACE}],
            f"{INIT}__args__-": f"--workspace={names.INIT_WORKSPACE}",
            "spec__volumes__-": {"name": WORK, "persistentVolumeClaim": {"claimName": "one-0123456789"}},
        },
        None,
    ),
    ({"spec__volumes__-": {"name": WORK, "configMap": {"name": "any"}}}, "whose workspace is a claim or an emptyDir"),
    ({f"{INIT}__args__-": "--workspace=/run/devbox-gateway/tokens"}, "may not let an agent run"),
    ({f"{INIT}__env": [{"name": "A", "value": "b"}]}, GIVEN),
    ({f"{INIT}__image": "evil.example/devbox-gateway:1"}, "has to be of the release's image"),
    ({f"{INIT}__image": "IMAGE:5000/evil"}, "has to be of the release's image"),
    ({f"{INIT}__args__-": "--start-anyway"}, "may not let an agent run"),
    ({f"{INIT}__args__2": "--canary-port=9"}, "may not let an agent run"),
    ({f"{INIT}__args__0": "--gateway=evil.example"}, "may not let an agent run"),
    ({"spec__hostAliases__0__ip": "192.0.2.1"}, "leads to the gateway's own Service"),
    ({"spec__hostAliases__0__hostnames__-": "api.anthropic.com"}, "leads to the gateway's own Service"),
    ({"spec__hostAliases__-": {"ip": "192.0.2.1", "hostnames": ["other.example"]}}, "leads to the gateway's own Service"),
    ({"spec__hostAliases": GONE}, "leads to the gateway's own Service"),
    ({"metadata__labels": OURS}, "with the label devbox-gateway.io/devbox"),
    ({"metadata__labels": {names.DEVBOX_LABEL: "one"}}, "managed-by: devbox-gateway only"),
]


@pytest.mark.parametrize(("change", "message"), PODS, ids=str)
def test_pods(cluster: Kubectl, settings: Settings, change: Object, message: str | None) -> None:
    home = settings.image.reference.rpartition(":")[0]
    change = {path: value.replace("IMAGE", home) if isinstance(value, str) else value for path, value in change.items()}
    judged(create(cluster, devbox_pod(settings, HERE, gateway_addresses(cluster), **change), OPERATOR), message)


CODE: Object = {
    "codeMounts": [{"name": "app", "repository": "https://git.example/org/app", "gateway": "API", "installCommand": "make"}],
    "secretEnv": [{"name": "S", "secretRef": {"name": "s"}}],
}
CLONE, SETUP = "spec__initContainers__1", "spec__initContainers__2"
PROGRAM, IMAGE, AGENTS = (
    "runs its image's own program",
    "devboxes.gitImage names",
    "the agent's own image, environment and mounts",
)
OWN_KEY: Object = {"name": "S", "valueFrom": {"secretKeyRef": {"name": OWN, "key": "secret-env.S"}}}
CODE_PODS: list[tuple[Object, str | None]] = [
    ({}, None),
    ({SETUP: GONE}, None),
    ({f"{CLONE}__image": "GIT:another-tag"}, None),
    ({f"{CLONE}__image": "GIT@sha256:" + 64 * "0"}, None),
    ({CLONE: GONE}, HELD),
    ({f"{CLONE}__name": "other"}, HELD),
    ({f"{SETUP}__name": "devbox-clone"}, "Duplicate value"),
    ({"spec__initContainers__-": {"name": "other", "image": "x", "securityContext": RESTRICTED}}, HELD),
    ({f"{CLONE}__restartPolicy": "Always"}, HELD),
    ({f"{SETUP}__restartPolicy": "Always"}, HELD),
    ({f"{CLONE}__image": "evil.example/git:1"}, IMAGE),
    ({f"{CLONE}__image": "GIT:5000/evil"}, IMAGE),
    ({f"{CLONE}__image": "GITevil:1"}, IMAGE),
    ({f"{CLONE}__command": ["sh"]}, PROGRAM),
    ({f"{CLONE}__args": ["x"]}, PROGRAM),
    ({f"{CLONE}__securityContext__readOnlyRootFilesystem": False}, PROGRAM),
    ({f"{CLONE}__env__-": {"name": "LD_PRELOAD", "value": "x"}}, PROGRAM),
    ({f"{CLONE}__env__-": OWN_KEY}, PROGRAM),
    ({f"{CLONE}__env__-": OTHER_KEY}, ENVIRONMENT),
    ({f"{CLONE}__env__-": FIELD}, ENVIRONMENT),
    ({f"{CLONE}__envFrom": [{"secretRef": {"name": OWN}}]}, ENVIRONMENT),
    ({f"{CLONE}__volumeMounts__-": {"name": "devbox-gateway-tokens", "mountPath": "/t"}}, PROGRAM),
    ({f"{CLONE}__volumeMounts__-": {"name": "data", "mountPath": "/d"}}, PROGRAM),
    ({f"{CLONE}__lifecycle": {"preStop": PROBE}}, "may not be set for init containers"),
    ({f"{CLONE}__securityContext__capabilities__add": ["NET_RAW"]}, "drop all capabilities"),
    ({f"{SETUP}__image": "evil.example/agent:1"}, AGENTS),
    ({f"{SETUP}__env__-": {"name": "B", "value": "b"}}, AGENTS),
    ({f"{SETUP}__env": []}, AGENTS),
    ({f"{SETUP}__volumeMounts__-": {"name": "data", "mountPath": "/d"}}, AGENTS),
    ({f"{SETUP}__command": ["evil"]}, AGENTS),
    ({f"{SETUP}__args": ["x"]}, AGENTS),
    ({f"{SETUP}__lifecycle": {"preStop": PROBE}}, "may not be set for init containers"),
]


@pytest.mark.row("S23")
@pytest.mark.parametrize(("change", "message"), CODE_PODS, ids=str)
def test_pods_that_mount_code(cluster: Kubectl, settings: Settings, change: Object, message: str | None) -> None:
    git = settings.devboxes.git_image.rpartition(":")[0]
    change = {path: value.replace("GIT", git, 1) if isinstance(value, str) else value for path, value in change.items()}
    judged(create(cluster, devbox_pod(settings, HERE, gateway_addresses(cluster), CODE, **change), OPERATOR), message)


LAUNCHING: Object = {"command": ["sleep", "infinity"], "launchCommands": ["make"]}
STARTUP = f"{AGENT}__startupProbe"
LAUNCH_PODS: list[tuple[Object, str | None]] = [
    ({}, None),
    ({STARTUP: GONE}, None),
    ({f"{STARTUP}__exec__command": ["sh", "-c", "id"]}, HOOKS),
    ({f"{STARTUP}__exec": GONE, f"{STARTUP}__httpGet": PROBE["httpGet"]}, HOOKS),
    ({f"{STARTUP}__exec": GONE, f"{STARTUP}__tcpSocket": {"host": "169.254.169.254", "port": 80}}, HOOKS),
    ({f"{AGENT}__name": "other"}, HOOKS),
]


@pytest.mark.row("S23")
@pytest.mark.parametrize(("change", "message"), LAUNCH_PODS, ids=str)
def test_pods_with_launch_commands(cluster: Kubectl, settings: Settings, change: Object, message: str | None) -> None:
    judged(create(cluster, devbox_pod(settings, HERE, gateway_addresses(cluster), LAUNCHING, **change), OPERATOR), message)


@pytest.mark.parametrize("namespace", ["kube-public", RELEASE_NAMESPACE, CREDENTIALS])
def test_no_pods_of_the_systems_or_the_release(cluster: Kubectl, settings: Settings, namespace: str) -> None:
    account = plain(
        "ServiceAccount", names.AGENT_SERVICE_ACCOUNT, namespace
    )  # (the API server looks for it before any policy is asked)
    cluster.apply([account])
    answer = create(cluster, devbox_pod(settings, namespace, gateway_addresses(cluster)), OPERATOR)
    cluster("-n", namespace, "delete", "serviceaccount", names.AGENT_SERVICE_ACCOUNT)
    assert "in namespaces of the system" in answer.text or "it holds credentials" in answer.text


PORTS, SELECTS, BOTH, NOTHING_IN = (
    "lead to two ports of the gateway's pods only",
    "select the pods of their devbox only",
    "of both directions only",
    "that let nothing in only",
)
PEER, PORT = "spec__egress__0__to__0", "spec__egress__0__ports__0"
POLICIES: list[tuple[Object, str | None]] = [
    ({}, None),
    ({"spec__egress__0__ports": [{"protocol": "TCP", "port": 8443}]}, None),
    ({"spec__egress": GONE}, None),
    ({"spec__egress": [{}]}, PORTS),
    ({"spec__egress__-": {"to": [{"namespaceSelector": {}}]}}, PORTS),
    ({"spec__egress__0__to": GONE}, PORTS),
    ({"spec__egress__0__to__-": {"ipBlock": {"cidr": "0.0.0.0/0"}}}, PORTS),
    ({f"{PEER}__namespaceSelector": {}}, PORTS),
    ({f"{PEER}__podSelector": {}}, PORTS),
    ({f"{PEER}__podSelector": GONE}, PORTS),
    ({"spec__egress__0__ports": GONE}, PORTS),
    ({f"{PORT}__port": 8479}, PORTS),
    ({f"{PORT}__endPort": 9000}, PORTS),
    ({f"{PORT}__protocol": "UDP"}, PORTS),
    ({"spec__ingress": [{}]}, NOTHING_IN),
    ({"spec__policyTypes": ["Egress"]}, BOTH),
    ({"spec__policyTypes": ["Ingress"], "spec__egress": GONE}, BOTH),
    ({"spec__podSelector": {}}, SELECTS),
    ({"spec__podSelector": {"matchLabels": {"app": "theirs"}}}, SELECTS),
    ({"spec__podSelector__matchLabels__devbox-gateway.io/devbox": "two"}, SELECTS),
    ({"metadata__name": "allow-all"}, "have the name of their pod"),
    ({"metadata__ownerReferences": GONE}, "have the name of their pod"),
    ({"metadata__namespace": "kube-system"}, "in namespaces of the system"),
]


@pytest.mark.parametrize(("change", "message"), POLICIES, ids=str)
def test_network_policies(cluster: Kubectl, change: Object, message: str | None) -> None:
    judged(create(cluster, own_policy(HERE, **change), OPERATOR), message)


DENY: Object = {
    **{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"},
    "metadata": {"name": names.DENY_POLICY, "namespace": ELSEWHERE, "labels": OURS},
    "spec": {
        "podSelector": {"matchExpressions": [{"key": names.DEVBOX_LABEL, "operator": "Exists"}]},
        "policyTypes": ["Ingress", "Egress"],
    },
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, None),
        ({"spec__podSelector": {}}, "selects all devboxes of its namespace"),
        ({"spec__podSelector__matchExpressions__0__operator": "DoesNotExist"}, "selects all devboxes of its namespace"),
        ({"spec__egress": [{}]}, "allows nothing"),
        ({"spec__ingress": [{}]}, NOTHING_IN),
        ({"spec__policyTypes": ["Ingress"]}, BOTH),
        ({"metadata__ownerReferences": own_policy(HERE)["metadata"]["ownerReferences"]}, "belongs to nobody"),
        ({"metadata__name": "another-deny"}, SELECTS),
        ({"metadata__namespace": "kube-system"}, "in namespaces of the system"),
    ],
    ids=str,
)
def test_the_namespaces_own_network_policy(cluster: Kubectl, change: Object, message: str | None) -> None:
    judged(create(cluster, changed(DENY, change), OPERATOR), message)
