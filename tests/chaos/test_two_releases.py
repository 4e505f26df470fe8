"""Two releases in one cluster, as docs/install.md has it: each works in its own namespaces, is kept out of the other's, and
neither's guards hinder the other."""

import functools
import json
import subprocess
from collections.abc import Iterator, Mapping
from typing import Final

import pytest
import uvloop
from tests.support.control_plane import control_plane
from tests.support.fleet import devbox, fill_namespace
from tests.support.release import CHART, NAMESPACE, Release, install

from devbox_api import names
from devbox_cluster.paths import bin_dir
from devbox_common.kube import KubeApi
from devbox_operator.kit import paths

from .world import eventually

pytestmark = pytest.mark.xdist_group("two-releases")
SPACES: Final = {NAMESPACE: "team-a", "second": "team-b"}
"""Release namespace to the one that it watches."""


@pytest.fixture(scope="module")
def releases() -> Iterator[dict[str, Release]]:
    with control_plane() as plane:
        for space in SPACES.values():
            plane.kubectl("create", "namespace", space)
        made = {}
        for number, (home, space) in enumerate(SPACES.items()):
            made[home] = install(plane, {"watchNamespaces": [space], "crds": {"install": number == 0}}, home)
        yield made
        for release in made.values():
            release.end()


async def _served(api: KubeApi, home: str, space: str) -> bool:
    """The namespace has one devbox's pod, and of all releases this one has a Route for it, and for nobody else."""
    pods = (await api.request("GET", paths.pods(space), params={"labelSelector": names.DEVBOX_LABEL}))["items"]
    secrets = (await api.request("GET", paths.secrets(f"{home}-credentials")))["items"]
    routes = [item["metadata"]["name"] for item in secrets if item["type"] == names.ROUTE_TYPE]
    return len(pods) == 1 and routes == [f"route-{pod['metadata']['uid']}" for pod in pods]


async def both_at_work(releases: Mapping[str, Release]) -> None:
    async with releases[NAMESPACE].plane.admin() as api:
        for home, space in SPACES.items():
            await releases[home].authorise()
            releases[home].operator()
            await fill_namespace(api, space)
            await api.request("POST", paths.devboxes(space), body=devbox(space, "agent"))
        for home, space in SPACES.items():
            await eventually(functools.partial(_served, api, home, space), 90, every=0.3)
            for where in SPACES.values():
                for resource in ("pods", "networking.k8s.io/networkpolicies"):
                    assert await _may(api, home, where, resource) == (where == space), (home, resource, where)


async def _may(api: KubeApi, home: str, namespace: str, resource: str) -> bool:
    """The release's operator may create it there."""
    group, _, resource = resource.rpartition("/")
    attributes = {"namespace": namespace, "verb": "create", "group": group, "resource": resource}
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": f"system:serviceaccount:{home}:devbox-operator", "resourceAttributes": attributes},
    }
    answer = await api.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body=body)
    return bool(answer["status"]["allowed"])


def test_each_works_in_its_own_namespaces_alone(releases: dict[str, Release]) -> None:
    uvloop.run(both_at_work(releases))
    plane = releases[NAMESPACE].plane
    for space in SPACES.values():
        policies = plane.kubectl("get", "networkpolicies", "--namespace", space, "--output=name").split()
        assert len(policies) == 2, "the pod's own, and the namespace's"
        for policy in policies:
            with pytest.raises(RuntimeError, match="denied request"):
                plane.kubectl("delete", policy, "--namespace", space)


@pytest.mark.parametrize(
    ("values", "refused"),
    [
        ({}, "already, and this one would work in every one"),
        ({"watchNamespaces": ["team-c", "team-a"]}, f"in namespace {NAMESPACE} works in namespace team-a already"),
        ({"watchNamespaces": ["team-b"]}, "in namespace second works in namespace team-b already"),
        ({"watchNamespaces": ["team-c"]}, ""),
    ],
)
def test_a_third_one_may_work_where_no_other_does(
    releases: dict[str, Release], values: Mapping[str, object], refused: str
) -> None:
    """As `helm install` and `helm upgrade` have it, which ask the cluster."""
    assert _rendered(releases[NAMESPACE], "third", values, refused) == (not refused, refused)


def test_each_of_them_may_be_upgraded(releases: dict[str, Release]) -> None:
    for home, space in SPACES.items():
        assert _rendered(releases[home], home, {"watchNamespaces": [space]}, upgrade=True) == (True, "")


def test_one_that_works_everywhere_is_alone_and_what_an_uninstalled_one_left_is_none(releases: dict[str, Release]) -> None:
    plane = releases[NAMESPACE].plane
    saved = {home: plane.kubectl("get", "deployment/devbox-operator", "--namespace", home, "--output=json") for home in SPACES}
    guard = f"validatingadmissionpolicybinding/{NAMESPACE}-devbox-pods"
    try:
        plane.kubectl("patch", guard, "--type=json", '--patch=[{"op": "remove", "path": "/spec/matchResources"}]')
        said = f"in namespace {NAMESPACE} works in every namespace already"
        assert _rendered(releases[NAMESPACE], "third", {"watchNamespaces": ["team-c"]}, said) == (False, said)
        for home in SPACES:
            plane.kubectl("delete", "deployment/devbox-operator", "--namespace", home)
        assert _rendered(releases[NAMESPACE], "third", {}) == (True, "")
    finally:
        for document in saved.values():
            plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=_anew(document))
        selector = {"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["team-a"]}]}
        patch = json.dumps({"spec": {"matchResources": {"namespaceSelector": selector}}})
        plane.kubectl("patch", guard, "--type=merge", f"--patch={patch}")


def _anew(document: str) -> str:
    """What the API server takes once more."""
    item = json.loads(document)
    for written in ("uid", "resourceVersion", "creationTimestamp", "managedFields", "generation"):
        item["metadata"].pop(written, None)
    return json.dumps(item)


def _rendered(
    release: Release, home: str, values: Mapping[str, object], wanted: str = "", *, upgrade: bool = False
) -> tuple[bool, str]:
    """Whether Helm would install it; and else those of the expected words that it says."""
    given = {"image": {"repository": "registry.example/devbox-gateway"}, "crds": {"install": False}, **values}
    config = f"--kubeconfig={release.plane.admin_kubeconfig}"
    command = [
        str(bin_dir() / "helm"),
        "template",
        "devbox-gateway",
        str(CHART),
        "--namespace",
        home,
        *(["--is-upgrade"] if upgrade else []),
        "--dry-run=server",
        config,
    ]
    done = subprocess.run(
        [*command, "--values", "-"], input=json.dumps(given), capture_output=True, text=True, timeout=120, check=False
    )
    said = "" if done.returncode == 0 else done.stderr
    return done.returncode == 0, wanted if wanted and wanted in said else said
