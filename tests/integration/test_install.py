"""The chart's life on the real cluster: install, upgrade with CRDs, uninstall, install again; and who may do what.

It is a release of its own beside the session's, for namespaces of its own, with CRDs of another group (the chart's template
brings them as it brings ours) and without pods: what runs in them is tested elsewhere.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.support import INSTALL_TEST_CRDS as CRDS
from tests.support.admission import ask, plain, until

from devbox_api import names
from devbox_stage.kubectl import Kubectl, Object
from devbox_stage.stage import RELEASE_NAMESPACE
from devbox_stage.waiting import NotYet, wait_for

NAME, SPACE, WATCHED = "install-test", "install-test", ("install-a", "install-b")
VALUES = {
    "image": {"repository": "registry.example/devbox-gateway"},
    "watchNamespaces": list(WATCHED),
    "rbac": {"aggregateRoles": False},
    "operator": {"replicas": 0},
    "gateway": {"replicas": 0},
}
# What Kubernetes itself puts into every namespace, or derives from what is there.
NOT_OURS = {("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")}
GUARDS = (
    *("devbox-deny", "devbox-networkpolicies", "devbox-pods"),
    *("ephemeral-containers", "forced-deletion", "forced-deletion-by-eviction"),
)
GUARD_KINDS = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
"""What running devboxes are confined by stays."""
DERIVED = {"Event", "Endpoints", "EndpointSlice", "ReplicaSet", "PodMetrics"}


@pytest.fixture(scope="module")
def chart(project_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the chart whose CRDs have other names, and that takes 0 replicas."""
    copy = tmp_path_factory.mktemp("chart") / "devbox-gateway"
    shutil.copytree(project_root / "charts" / "devbox-gateway", copy)
    for path, name in zip(sorted((copy / "files" / "crds").iterdir()), CRDS, strict=True):
        plural, _, group = name.partition(".")
        crd = yaml.safe_load(path.read_text(encoding="utf-8"))
        crd["metadata"]["name"] = name
        kind = plural.removesuffix("s").title()
        crd["spec"] |= {"group": group, "names": {"kind": kind, "listKind": f"{kind}List", "plural": plural}}
        path.write_text(yaml.safe_dump(crd), encoding="utf-8")
    # (Beside a release that works in every namespace it would be refused, and so it would be without pods.)
    (copy / "templates" / "other-releases.yaml").unlink()
    path = copy / "values.schema.json"
    schema = json.loads(path.read_text(encoding="utf-8"))
    for name in ("operator", "gateway"):
        schema["properties"][name]["properties"]["replicas"]["minimum"] = 0
    path.write_text(json.dumps(schema), encoding="utf-8")
    return copy


@pytest.fixture(scope="module")
def installed(cluster: Kubectl, chart: Path, release: None) -> Iterator[Path]:
    """The release; gone afterwards, with what an uninstall keeps. (The session's own is there before: beside this one it is refused.)"""
    _clean(cluster)  # (a run that was cut off leaves what an uninstall keeps)
    cluster.apply(plain("Namespace", name) for name in WATCHED)
    try:
        _helm(cluster, "install", chart, "--create-namespace")
        yield chart
    finally:
        _clean(cluster)


def _clean(cluster: Kubectl) -> None:
    cluster.helm("uninstall", NAME, "-n", SPACE, "--ignore-not-found", "--wait")
    cluster("delete", "namespace", SPACE, *WATCHED, "--ignore-not-found", "--timeout=60s", timeout=90)
    cluster("delete", ",".join(GUARD_KINDS), "-l", f"devbox-gateway.io/guard={SPACE}", "--ignore-not-found", "--timeout=60s")
    cluster("delete", "crd", *CRDS, "--ignore-not-found", "--timeout=60s", timeout=90)


def _helm(cluster: Kubectl, verb: str, chart: Path, *flags: str) -> None:
    cluster.helm(verb, NAME, str(chart), "-n", SPACE, "--values", "-", *flags, stdin=yaml.safe_dump(VALUES))


def _everything(cluster: Kubectl, namespace: str) -> set[tuple[str, str]]:
    """Kind and name of all that is in a namespace and is somebody's."""
    kinds = cluster("api-resources", "--namespaced", "--verbs=list", "-o", "name").out.split()
    found = json.loads(cluster("get", ",".join(kinds), "-n", namespace, "-o", "json").out)["items"]
    return {(one["kind"], one["metadata"]["name"]) for one in found if one["kind"] not in DERIVED} - NOT_OURS


def _cluster_scoped(cluster: Kubectl) -> set[tuple[str, str]]:
    """Kind and name of the release's objects without a namespace."""
    kinds = cluster("api-resources", "--namespaced=false", "--verbs=list", "-o", "name").out.split()
    chosen = f"app.kubernetes.io/instance={NAME}"
    found = json.loads(cluster("get", ",".join(kinds), "-l", chosen, "-o", "json").out)["items"]
    return {(one["kind"], one["metadata"]["name"]) for one in found}


def test_one_install_is_everything(cluster: Kubectl, installed: Path) -> None:
    for crd in CRDS:
        cluster("wait", f"crd/{crd}", "--for=condition=Established", "--timeout=20s")
    wanted = {("Deployment", "devbox-operator"), ("Deployment", "devbox-gateway"), ("Service", "gateway")}
    assert wanted <= _everything(cluster, SPACE)
    policies = {name for kind, name in _cluster_scoped(cluster) if kind == "ValidatingAdmissionPolicy"}
    assert len(policies) == 18


def test_an_upgrade_updates_the_crds(cluster: Kubectl, installed: Path) -> None:
    path = min((installed / "files" / "crds").iterdir())
    before = path.read_text(encoding="utf-8")
    crd = yaml.safe_load(before)
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["added"] = {"type": "string"}
    path.write_text(yaml.safe_dump(crd), encoding="utf-8")
    _helm(cluster, "upgrade", installed)
    explained = "{.spec.versions[0].schema.openAPIV3Schema.properties.spec.properties.added.type}"
    assert cluster("get", "crd", CRDS[0], "-o", f"jsonpath={explained}").out == "string"
    path.write_text(before, encoding="utf-8")
    _helm(cluster, "upgrade", installed)
    assert cluster("get", "crd", CRDS[0], "-o", f"jsonpath={explained}").out == ""


def test_an_uninstall_keeps_what_running_devboxes_need_and_the_next_install_takes_it_over(
    cluster: Kubectl, installed: Path
) -> None:
    operator = f"system:serviceaccount:{SPACE}:devbox-operator"
    deployment = cluster.get("deployment", "devbox-operator", SPACE)
    assert deployment is not None
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "devbox-operator", "uid": deployment["metadata"]["uid"]}
    leaf = plain("Secret", names.LEAF_SECRET, SPACE)
    leaf["metadata"]["ownerReferences"] = [owner]
    route = {**plain("Secret", "route-1", f"{SPACE}-credentials"), "type": names.ROUTE_TYPE}
    for made in (plain("Secret", names.CA_SECRET, SPACE), leaf, route):
        answer = ask(cluster, "create", "-f", "-", user=operator, stdin=json.dumps(made))
        assert answer.ok, answer.text
    address = cluster("-n", SPACE, "get", "service", "gateway", "-o", "jsonpath={.spec.clusterIP}").out

    cluster.helm("uninstall", NAME, "-n", SPACE, "--wait", "--timeout", "60s")
    kept = {("Service", "gateway"), ("Secret", names.CA_SECRET)}
    until("all else is collected", lambda: _everything(cluster, SPACE) == kept)
    guards = {(kind, f"{SPACE}-{name}") for kind in GUARD_KINDS for name in GUARDS}
    assert _cluster_scoped(cluster) == {("CustomResourceDefinition", crd) for crd in CRDS} | guards
    assert cluster.get("namespace", f"{SPACE}-credentials") is None
    for namespace in WATCHED:
        assert _everything(cluster, namespace) == set()

    _helm(cluster, "install", installed)
    assert cluster("-n", SPACE, "get", "service", "gateway", "-o", "jsonpath={.spec.clusterIP}").out == address
    assert cluster.get("secret", names.CA_SECRET, SPACE) is not None


Question = tuple[str, str, str, bool]
"""A verb, a resource (with its group, subresource, name), a namespace, and whether it is allowed."""


def _allowed(cluster: Kubectl, user: str, questions: list[Question]) -> list[Question]:
    """The questions, each with the API server's answer in place of the expected one."""
    reviews: list[Object] = []
    for verb, resource, namespace, _ in questions:
        path, _, name = resource.partition(":")
        path, _, subresource = path.partition("/")
        plural, _, group = path.partition(".")
        attributes = {"verb": verb, "group": group, "resource": plural, "namespace": namespace}
        attributes |= {"subresource": subresource, "name": name}
        spec = {"user": user, "groups": ["system:serviceaccounts", "system:authenticated"], "resourceAttributes": attributes}
        reviews.append({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec})
    everything = json.dumps({"apiVersion": "v1", "kind": "List", "items": reviews})
    answers = cluster("create", "-f", "-", "-o", 'jsonpath={.status.allowed}{"\\n"}', stdin=everything).out.split()
    return [(*asked[:3], answer == "true") for asked, answer in zip(questions, answers, strict=True)]


def _expect(cluster: Kubectl, user: str, questions: list[Question]) -> None:
    """Every answer as expected, once the authorizer has learnt of new roles."""

    def attempt() -> None:
        wrong = sorted(set(_allowed(cluster, user, questions)) - set(questions))
        if wrong:
            raise NotYet(f"{user} unexpectedly: {wrong}")

    wait_for("the API server's answers", attempt, seconds=20)


GATEWAY: list[Question] = [
    ("create", "tokenreviews.authentication.k8s.io", "", True),
    ("create", "subjectaccessreviews.authorization.k8s.io", "", False),
    ("list", "secrets", f"{SPACE}-credentials", True),
    ("update", "secrets", f"{SPACE}-credentials", False),
    ("get", "secrets:gateway-tls", SPACE, False),
    ("list", "secrets", "install-a", False),
    ("watch", "pods", "install-a", True),
    ("watch", "pods", SPACE, False),
    ("watch", "pods", "", False),
    ("delete", "pods", "install-a", False),
    ("get", "devboxes.devbox-gateway.io", "install-a", False),
    ("get", "egresspolicies.devbox-gateway.io", "install-a", False),
    ("create", "serviceaccounts/token:devbox-agent", "install-a", False),
]
OPERATOR: list[Question] = [
    ("list", "devboxes.devbox-gateway.io", "install-a", True),
    ("list", "devboxes.devbox-gateway.io", "", False),
    ("patch", "devboxes.devbox-gateway.io", "install-a", False),
    ("delete", "devboxes.devbox-gateway.io", "install-a", True),
    ("delete", "devboxes.devbox-gateway.io", "", False),
    ("deletecollection", "devboxes.devbox-gateway.io", "install-a", False),
    ("delete", "gatewayconfigs.devbox-gateway.io", "install-a", False),
    ("patch", "devboxes.devbox-gateway.io/status", "install-a", True),
    ("watch", "egresspolicies.devbox-gateway.io", "install-a", True),
    ("patch", "egresspolicies.devbox-gateway.io", "install-a", False),
    ("patch", "egresspolicies.devbox-gateway.io/status", "install-a", True),
    ("create", "pods", "install-b", True),
    ("create", "pods", SPACE, False),
    ("create", "pods", "kube-system", False),
    ("create", "pods/exec", "install-a", False),
    ("get", "pods/log", "install-a", False),
    ("create", "serviceaccounts/token:devbox-agent", "install-a", True),
    ("create", "serviceaccounts/token:default", "install-a", False),
    ("create", "serviceaccounts/token:devbox-agent", "kube-system", False),
    ("create", "serviceaccounts/token:devbox-gateway", SPACE, False),
    ("list", "secrets", "install-a", True),
    ("list", "secrets", "", False),
    ("list", "secrets", SPACE, False),
    ("get", "secrets:devbox-gateway-ca", SPACE, True),
    ("get", "secrets:sh.helm.release.v1.install-test.v1", SPACE, False),
    ("create", "secrets", f"{SPACE}-credentials", True),
    ("create", "secrets", "kube-system", False),
    ("list", "nodes", "", True),
    ("watch", "servicecidrs.networking.k8s.io", "", True),
    ("watch", "namespaces", "", True),
    ("delete", "nodes", "", False),
    ("create", "roles.rbac.authorization.k8s.io", "install-a", False),
    ("create", "tokenreviews.authentication.k8s.io", "", False),
    ("update", "leases.coordination.k8s.io:devbox-operator", SPACE, True),
    ("update", "leases.coordination.k8s.io:other", SPACE, False),
    ("delete", "customresourcedefinitions.apiextensions.k8s.io", "", False),
]


@pytest.mark.parametrize(
    ("component", "questions"), [("gateway", GATEWAY), ("operator", OPERATOR)], ids=["gateway", "operator"]
)
def test_rights_in_watched_namespaces_only(
    cluster: Kubectl, installed: Path, component: str, questions: list[Question]
) -> None:
    _expect(cluster, f"system:serviceaccount:{SPACE}:devbox-{component}", questions)


_WRITE = {"get", "create", "update", "patch", "delete"}
PEOPLE = {
    "view": {kind: {"get", "list", "watch"} for kind in ("devboxes", "egresspolicies", "gatewayconfigs")},
    "edit": {"devboxes": _WRITE, "egresspolicies": {"get"}, "gatewayconfigs": {"get"}},
    "admin": {"devboxes": {"create", "delete"}, "egresspolicies": _WRITE, "gatewayconfigs": _WRITE},
}


@pytest.mark.parametrize("role", PEOPLE)
def test_the_clusters_own_roles_include_ours(cluster: Kubectl, release: None, installed: Path, role: str) -> None:
    """With the session's release, which aggregates: `edit` gives Devboxes, `admin` GatewayConfigs, nobody the status."""
    person = f"install-{role}"
    binding = {
        **{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding"},
        "metadata": {"name": person, "namespace": WATCHED[0]},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": person}],
    }
    cluster.apply([binding])
    verbs = ("get", "list", "watch", "create", "update", "patch", "delete")
    questions: list[Question] = []
    for kind, allowed in PEOPLE[role].items():
        wanted = allowed | ({"get", "list", "watch"} if role != "view" else set())
        wanted |= set(verbs) if role == "admin" else set()
        questions += [(verb, f"{kind}.devbox-gateway.io", WATCHED[0], verb in wanted) for verb in verbs]
        questions += [("patch", f"{kind}.devbox-gateway.io/status", WATCHED[0], False)]
    _expect(cluster, person, questions)


def test_the_session_release_is_as_the_chart_says(cluster: Kubectl, release: None) -> None:
    """Without watchNamespaces: the gateway sees pods everywhere and still no Secret outside the credentials namespace."""
    questions: list[Question] = [
        ("watch", "pods", "", True),
        ("list", "secrets", "", False),
        ("list", "secrets", RELEASE_NAMESPACE, False),
        ("list", "secrets", f"{RELEASE_NAMESPACE}-credentials", True),
    ]
    _expect(cluster, f"system:serviceaccount:{RELEASE_NAMESPACE}:devbox-gateway", questions)
