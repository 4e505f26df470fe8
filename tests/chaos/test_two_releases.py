"""Two releases in one cluster, as docs/install.md has it: each works in its own namespaces, is kept out of the other's, and
neither's guards hinder the other."""

import functools
from collections.abc import Iterator, Mapping
from typing import Final

import pytest
import uvloop
from tests.support.control_plane import control_plane
from tests.support.fleet import devbox, fill_namespace
from tests.support.release import NAMESPACE, Release, install

from devbox_api import names
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
