"""What others than the operator may do to a devbox's pod, and in the credentials namespace: the chart's admission policies.

Everybody else is the administrator here: what that one may not, nobody with fewer rights may.
"""

import json
from collections.abc import Iterator

import pytest
from tests.support.admission import (
    CREDENTIALS,
    GONE,
    OPERATOR,
    RESTRICTED,
    ask,
    changed,
    create,
    devbox_pod,
    operator_settings,
    plain,
    policies_at_work,
    secret,
    until,
)

from devbox_api import names
from devbox_operator.settings import Settings
from devbox_stage.kubectl import Kubectl, Object
from devbox_stage.stage import RELEASE_NAMESPACE

HERE = "admission-pods"


@pytest.fixture(scope="module")
def settings(cluster: Kubectl, release: None) -> Settings:
    """The operator's."""
    return operator_settings(cluster)


@pytest.fixture(scope="module")
def box(cluster: Kubectl, settings: Settings) -> Iterator[str]:
    """The name of a devbox's pod that the operator made and keeps gated, since a GatewayConfig is missing."""
    policies_at_work(cluster)
    spec = {"image": "localhost/none", "gateways": [{"name": "API", "gatewayRef": {"name": "absent"}}]}
    spec["volumes"] = [{"name": "kept", "mountPath": "/kept", "readOnly": True, "emptyDir": {}}]
    metadata = {"name": "box", "namespace": HERE}
    cluster.apply(
        [plain("Namespace", HERE), {"apiVersion": names.API_VERSION, "kind": "Devbox", "metadata": metadata, "spec": spec}]
    )

    def pods() -> list[str]:
        return [one["metadata"]["name"] for one in cluster.all("pods", HERE, names.DEVBOX_LABEL)]

    until("the operator makes the pod", lambda: bool(pods()))
    yield pods()[0]
    cluster("delete", "namespace", HERE, "--timeout=90s", timeout=120)


@pytest.fixture(scope="module")
def tenant(cluster: Kubectl, box: str) -> str:
    """Who has the role `edit` in the devbox's namespace, and nothing else."""
    cluster("-n", HERE, "create", "rolebinding", "tenant", "--clusterrole=edit", "--user=tenant")
    until("the role is known", lambda: ask(cluster, "-n", HERE, "auth", "can-i", "patch", "pods", user="tenant").ok)
    return "tenant"


@pytest.fixture(scope="module")
def reporter(cluster: Kubectl, box: str) -> str:
    """Who may write the status of that namespace's pods."""
    cluster("-n", HERE, "create", "role", "reporter", "--verb=get,patch", "--resource=pods,pods/status")
    cluster("-n", HERE, "create", "rolebinding", "reporter", "--role=reporter", "--user=reporter")
    may = ("auth", "can-i", "patch", "pods", "--subresource=status")
    until("the role is known", lambda: ask(cluster, "-n", HERE, *may, user="reporter").ok)
    return "reporter"


class TestCredentialsNamespace:
    """Written by the operator, and nothing runs in it."""

    def test_only_the_operator_writes_secrets(self, cluster: Kubectl, settings: Settings) -> None:
        answer = create(cluster, secret(CREDENTIALS, names.CREDENTIAL_TYPE))
        assert "only the operator writes Secrets here" in answer.text

    def test_no_pods(self, cluster: Kubectl, settings: Settings) -> None:
        harmless = devbox_pod(settings, CREDENTIALS, metadata__labels=GONE, spec__serviceAccountName="default")
        assert "it holds credentials" in create(cluster, harmless).text


def patched(cluster: Kubectl, box: str, operations: list[Object], *flags: str, user: str = "") -> str:
    """What a JSON patch is answered with, as a dry run; empty where it passes."""
    where = ("-n", HERE, "patch", "pod", box, "--type=json", "--dry-run=server", *flags, "-p", json.dumps(operations))
    answer = ask(cluster, *where, user=user)
    return "" if answer.ok else answer.text


def put(path: str, value: object) -> Object:
    return {"op": "add", "path": path, "value": value}


LABEL, NOTE = names.DEVBOX_LABEL.replace("/", "~1"), names.SPEC_HASH_ANNOTATION.replace("/", "~1")
CONFINES, OPERATORS, IMAGES, OWNER = (
    "they confine it",
    "are the operator's; change the Devbox",
    "the images of a devbox's pod can't be changed",
    "its owner can't be changed",
)
INIT_IMAGE = put("/spec/initContainers/0/image", "evil.example/devbox-gateway:1")
OPEN = {"op": "remove", "path": "/spec/schedulingGates"}


class TestDevboxPods:
    """What confines a pod can't be taken off it, nor what the operator believes of it be changed."""

    def test_nobody_else_makes_one(self, cluster: Kubectl, box: str, settings: Settings) -> None:
        cluster.apply([plain("ServiceAccount", names.AGENT_SERVICE_ACCOUNT, HERE)])
        assert "create a Devbox and it makes the pod" in create(cluster, devbox_pod(settings, HERE)).text

    @pytest.mark.parametrize("label", [names.DEVBOX_LABEL, names.MANAGED_BY_LABEL])
    @pytest.mark.parametrize("change", ["-", "=other"])
    def test_the_labels_stay(self, cluster: Kubectl, box: str, label: str, change: str) -> None:
        answer = ask(cluster, "-n", HERE, "label", "pod", box, f"{label}{change}", "--overwrite")
        assert CONFINES in answer.text

    @pytest.mark.parametrize(
        "annotation",
        [
            names.INCARNATION_ANNOTATION,
            names.SPEC_HASH_ANNOTATION,
            names.SPEC_FIELDS_ANNOTATION,
            names.INIT_HASH_ANNOTATION,
            names.RESTARTED_AT_ANNOTATION,
        ],
    )
    @pytest.mark.parametrize("change", ["-", "=999999"])
    def test_the_operators_annotations_stay(self, cluster: Kubectl, box: str, annotation: str, change: str) -> None:
        if annotation == names.RESTARTED_AT_ANNOTATION and change == "-":
            return  # (it has none)
        answer = ask(cluster, "-n", HERE, "annotate", "pod", box, f"{annotation}{change}", "--overwrite")
        assert OPERATORS in answer.text

    @pytest.mark.parametrize(
        ("operations", "message"),
        [
            ([INIT_IMAGE], IMAGES),
            ([put("/spec/containers/0/image", "evil.example/agent:1")], IMAGES),
            ([{"op": "remove", "path": "/metadata/ownerReferences"}], OWNER),
            ([put("/metadata/ownerReferences/0/uid", "0b5b7a35-8a3b-4a0b-9b0b-5a3b0b5b7a35")], OWNER),
            ([OPEN], "only the operator opens the gate"),
            ([put(f"/metadata/labels/{LABEL}-more", "x")], CONFINES),
            ([put("/metadata/labels/team", "a"), put("/metadata/annotations/example.com~1note", "x")], ""),
            ([put("/metadata/finalizers", ["example.com/later"])], ""),
            ([put("/spec/activeDeadlineSeconds", 3600)], ""),
            ([put("/spec/tolerations/-", {"key": "example.com/pool", "operator": "Exists"})], ""),
            ([put("/spec/nodeSelector", {"pool": "a"})], ""),
        ],
        ids=str,
    )
    def test_what_others_may_change(self, cluster: Kubectl, box: str, operations: list[Object], message: str) -> None:
        said = patched(cluster, box, operations)
        assert message in said if message else not said

    @pytest.mark.parametrize(
        ("operations", "steers"),
        [
            ([put("/metadata/annotations/k8s.v1.cni.cncf.io~1networks", "macvlan")], True),
            ([put("/metadata/annotations/cdi.k8s.io~1gpu", "vendor.com/device=all")], True),
            ([put("/metadata/annotations/io.katacontainers.config.hypervisor.kernel_params", "x")], True),
            ([put("/metadata/annotations/sidecar.istio.io~1inject", "true")], True),
            ([{"op": "remove", "path": "/metadata/annotations/linkerd.io~1inject"}], True),
            ([put("/metadata/labels/istio.io~1dataplane-mode", "ambient")], True),
            ([{"op": "remove", "path": "/metadata/labels/sidecar.istio.io~1inject"}], True),
            ([put("/metadata/labels/team", "a"), put("/metadata/annotations/example.com~1note", "x")], False),
            ([put("/metadata/annotations/cluster-autoscaler.kubernetes.io~1safe-to-evict", "false")], False),
        ],
        ids=str,
    )
    def test_a_tenant_opens_neither_network_nor_sandbox(
        self, cluster: Kubectl, box: str, tenant: str, operations: list[Object], steers: bool
    ) -> None:
        """A network plugin, whose rights are the whole cluster's, writes such notes all the time."""
        said = patched(cluster, box, operations, user=tenant)
        assert "could open the devbox" in said if steers else not said
        assert not patched(cluster, box, operations)

    def test_by_a_status_neither(self, cluster: Kubectl, box: str, reporter: str) -> None:
        network = [put("/metadata/annotations/k8s.v1.cni.cncf.io~1networks", "macvlan")]
        assert "could open the devbox" in patched(cluster, box, network, "--subresource=status", user=reporter)
        assert not patched(cluster, box, network, "--subresource=status")

    @pytest.mark.parametrize("subresource", ["status", "ephemeralcontainers", "resize"])
    @pytest.mark.parametrize(
        ("path", "value"),
        [(f"/metadata/labels/{LABEL}", "other"), (f"/metadata/annotations/{NOTE}", "x"), ("/spec/initContainers/0/image", "x")],
    )
    def test_a_subresource_leads_to_none_of_it(
        self, cluster: Kubectl, box: str, subresource: str, path: str, value: str
    ) -> None:
        where = (
            "-n",
            HERE,
            "patch",
            "pod",
            box,
            "--type=json",
            f"--subresource={subresource}",
            "--dry-run=server",
            "-o",
            "json",
        )
        answer = ask(cluster, *where, "-p", json.dumps([put(path, value)]))
        if not answer.ok:
            assert "NotFound" not in answer.text
        else:  # (most subresources drop what is not theirs)
            found = json.loads(answer.text)
            for step in path.replace("~1", "\n").split("/")[1:]:
                found = found[int(step)] if isinstance(found, list) else found[step.replace("\n", "/")]
            assert found != value

    @pytest.mark.parametrize(
        ("operations", "message"),
        [
            ([OPEN], ""),
            ([OPEN, INIT_IMAGE], "change nothing else"),
            ([put("/spec/containers/0/image", "evil.example/agent:1")], "change nothing else"),
            ([put("/metadata/labels/team", "a")], "change nothing else"),
            ([put("/metadata/annotations/a", "b")], "change nothing else"),
            ([{"op": "remove", "path": "/metadata/ownerReferences"}], "change nothing else"),
            ([put("/metadata/finalizers", ["example.com/later"])], "change nothing else"),
            ([put("/spec/activeDeadlineSeconds", 3600)], "change nothing else"),
            ([put("/spec/tolerations/-", {"key": "example.com/pool", "operator": "Exists"})], "change nothing else"),
            ([put("/spec/nodeSelector", {"pool": "a"})], "change nothing else"),
        ],
        ids=str,
    )
    def test_the_operator_opens_the_gate_and_that_is_all(
        self, cluster: Kubectl, box: str, operations: list[Object], message: str
    ) -> None:
        said = patched(cluster, box, operations, user=OPERATOR)
        assert message in said if message else not said

    def test_the_rest_can_change(self, cluster: Kubectl, box: str) -> None:
        cluster("-n", HERE, "label", "pod", box, "example.com/note=yes", "--overwrite")


PROFILE: Object = {**RESTRICTED, "runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
DEBUG: Object = {"name": "debug", "image": "localhost/none", "securityContext": PROFILE}
DROPS, NOT_ROOT, KEEPS, NO_SECRETS, MOUNTS = (
    "drops all capabilities",
    "is not root, and of the devbox's own user",
    "keeps the pod's seccomp profile",
    "no environment from Secrets",
    "mounts nothing that the devbox does not",
)
CONTEXT = "securityContext"
DEBUGGERS: list[tuple[Object, str | None]] = [
    ({}, None),
    ({f"{CONTEXT}__runAsUser": 1000, f"{CONTEXT}__runAsGroup": 1000}, None),
    ({f"{CONTEXT}__appArmorProfile": {"type": "RuntimeDefault"}}, None),
    ({"volumeMounts": [{"name": "devbox-gateway-home", "mountPath": "/home/devbox"}]}, None),
    ({"volumeMounts": [{"name": "kept", "mountPath": "/kept", "readOnly": True}]}, None),
    ({CONTEXT: GONE}, DROPS),
    ({f"{CONTEXT}__privileged": True, f"{CONTEXT}__allowPrivilegeEscalation": True}, DROPS),
    ({f"{CONTEXT}__capabilities__add": ["NET_RAW"]}, DROPS),
    ({f"{CONTEXT}__capabilities": {"drop": ["NET_RAW"]}}, DROPS),
    ({f"{CONTEXT}__runAsUser": 0, f"{CONTEXT}__runAsNonRoot": False}, NOT_ROOT),
    ({f"{CONTEXT}__runAsUser": 65532}, NOT_ROOT),
    ({f"{CONTEXT}__runAsGroup": 0}, NOT_ROOT),
    ({f"{CONTEXT}__runAsGroup": 65532}, NOT_ROOT),
    ({f"{CONTEXT}__seccompProfile": {"type": "Unconfined"}}, KEEPS),
    ({f"{CONTEXT}__seccompProfile": {"type": "Localhost", "localhostProfile": "x"}}, KEEPS),
    ({f"{CONTEXT}__appArmorProfile": {"type": "Unconfined"}}, KEEPS),
    ({f"{CONTEXT}__appArmorProfile": {"type": "Localhost", "localhostProfile": "x"}}, KEEPS),
    ({f"{CONTEXT}__seLinuxOptions": {"type": "spc_t"}}, KEEPS),
    ({f"{CONTEXT}__procMount": "Default"}, KEEPS),
    ({"envFrom": [{"secretRef": {"name": "key"}}]}, NO_SECRETS),
    ({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "key", "key": "k"}}}]}, NO_SECRETS),
    ({"volumeMounts": [{"name": "kept", "mountPath": "/kept"}]}, MOUNTS),
    (
        {"volumeMounts": [{"name": "kept", "mountPath": "/kept", "readOnly": True, "mountPropagation": "HostToContainer"}]},
        MOUNTS,
    ),
]


class TestDebugContainers:
    """`kubectl debug` gives no more than the devbox has, and not before it has it."""

    @pytest.fixture
    def done(self, cluster: Kubectl, box: str) -> Iterator[str]:
        """A pod whose devbox-init has let the agent run. (It is gated, so that no kubelet says otherwise.)"""
        state = {"terminated": {"exitCode": 0, "startedAt": None, "finishedAt": None, "reason": "Completed"}}
        self.init(cluster, box, state)
        yield box
        cluster(
            "-n",
            HERE,
            "patch",
            "pod",
            box,
            "--subresource=status",
            "--type=merge",
            "-p",
            '{"status":{"initContainerStatuses":null}}',
        )

    def init(self, cluster: Kubectl, box: str, state: Object) -> None:
        found = {"name": names.INIT_CONTAINER, "image": "x", "imageID": "", "ready": True, "restartCount": 0, "state": state}
        patch = json.dumps({"status": {"initContainerStatuses": [found]}})
        cluster("-n", HERE, "patch", "pod", box, "--subresource=status", "--type=merge", "-p", patch)

    def debug(self, cluster: Kubectl, box: str, change: Object) -> str:
        patch = json.dumps({"spec": {"ephemeralContainers": [changed(DEBUG, change)]}})
        where = ("-n", HERE, "patch", "pod", box, "--subresource=ephemeralcontainers", "--dry-run=server", "-p", patch)
        answer = ask(cluster, *where)
        return "" if answer.ok else answer.text

    @pytest.mark.parametrize(("change", "message"), DEBUGGERS, ids=str)
    def test_no_more_than_the_devbox(self, cluster: Kubectl, done: str, change: Object, message: str | None) -> None:
        said = self.debug(cluster, done, change)
        assert message in said if message else not said

    @pytest.mark.parametrize(
        "state",
        [None, {"running": {"startedAt": None}}, {"terminated": {"exitCode": 3, "startedAt": None, "finishedAt": None}}],
    )
    def test_not_before_devbox_init_is_done(self, cluster: Kubectl, box: str, state: Object | None) -> None:
        if state is not None:
            self.init(cluster, box, state)
        assert "starts when devbox-init is done" in self.debug(cluster, box, {})


def test_every_expression_type_checks(cluster: Kubectl, settings: Settings) -> None:
    """The API server's own checker found nothing in any policy of the release."""
    policies = [
        one for one in cluster.all("validatingadmissionpolicies") if one["metadata"]["name"].startswith(f"{RELEASE_NAMESPACE}-")
    ]
    assert len(policies) == 18
    for policy in policies:
        warnings = policy["status"].get("typeChecking", {}).get("expressionWarnings", [])
        assert [(policy["metadata"]["name"], one["fieldRef"]) for one in warnings] == []
