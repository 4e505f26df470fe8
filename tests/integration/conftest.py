"""The real cluster, the installed release and the stand-in; each test has namespaces of its own.

Nothing is skipped: where the cluster is missing, every test fails with the command to run.
"""

import fcntl
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.probes.names import OWN_RANGE
from tests.support import NAMESPACES, apis_service, busybox, volumes
from tests.support import registries as running_registries
from tests.support.workspace import Workspace

from devbox_cluster import config
from devbox_cluster import images as cluster_images
from devbox_cluster.paths import cache_dir, kubeconfig
from devbox_cluster.progress import ClusterError
from devbox_stage import stage as staging
from devbox_stage import upstream as standin
from devbox_stage.kubectl import CommandError, Kubectl, tool_path
from devbox_stage.stage import Stage
from devbox_stage.upstream import Upstream

OPENS = "opens-everything"
"""A NetworkPolicy of this name is trusted by the release that the tests install: it shows what a CNI would that enforces none."""
PERMITTED = (
    *(config.SERVICE_CIDR, config.POD_CIDR, f"{config.NODE_ADDRESS}/32"),
    *(config.SERVICE_CIDR6, config.POD_CIDR6, f"{config.NODE_ADDRESS6}/128"),
)
"""Ranges of the cluster's own that the release lets EgressPolicies open: what stays closed in them does so for another reason."""
SECONDS = 420
"""For a test with its fixtures: the first one may have to build images and install."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder needs the cluster."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.cluster)
            item.add_marker(pytest.mark.timeout(SECONDS))


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Several pytest processes may share the cluster: one installs, the others find it done."""
    with (cache_dir() / "integration.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def cluster() -> Kubectl:
    """The local cluster."""
    made = Kubectl(kubeconfig())
    try:
        made("get", "--raw=/readyz", timeout=15)
    except CommandError as error:
        pytest.fail(f"the local cluster does not answer; run: make cluster\n{error}", pytrace=False)
    return made


@pytest.fixture(scope="session")
def dual_stack(cluster: Kubectl) -> bool:
    """Pods have an address of both families: the local cluster's, where the machine's kernel has IPv6."""
    return all(len(one["spec"].get("podCIDRs", ())) > 1 for one in cluster.all("nodes"))


@pytest.fixture(scope="session")
def kubectl(cluster: Kubectl) -> list[str]:
    """The beginning of a kubectl command line."""
    program = shutil.which("kubectl", path=tool_path())
    assert program is not None
    return [program, *cluster.command[1:]]


@pytest.fixture(scope="session")
def image_references(cluster: Kubectl) -> dict[str, str]:
    """The images of this work tree, in the cluster."""
    try:
        with _one_at_a_time():
            return cluster_images.ensure(names=(*cluster_images.REGULAR, "devbox", "git"))
    except ClusterError as error:
        pytest.fail(f"no images; run: make images\n{error}", pytrace=False)


@pytest.fixture(scope="session")
def upstream(cluster: Kubectl, image_references: dict[str, str]) -> Upstream:
    """The stand-in for the three APIs."""
    with _one_at_a_time():
        address, ca = standin.deploy(cluster, image_references["demo"], apis_service.CERTIFIED)
        return standin.connect(cluster, address, ca)


@pytest.fixture(scope="session")
def release(cluster: Kubectl, image_references: dict[str, str], upstream: Upstream) -> None:
    """The chart of this work tree, installed and serving."""
    with _one_at_a_time():
        values = apis_service.values(upstream, apis_service.apply(cluster), running_registries.address(cluster))
        values["clusterCIDRs"] = [OWN_RANGE]
        values["devboxes"] |= {"defaultImage": image_references["devbox"], "gitImage": image_references["git"]}
        values["egress"] |= {"trustedPolicies": [OPENS], "enforcementSeconds": 15, "permittedCIDRs": list(PERMITTED)}
        staging.install(cluster, image_references["devbox-gateway"], values)


@pytest.fixture(scope="session")
def tools_image(cluster: Kubectl) -> str:
    """Built and loaded for the tests that run it alone."""
    with _one_at_a_time():
        return cluster_images.ensure(names=["tools"])["tools"]


@pytest.fixture(scope="session")
def busybox_image(cluster: Kubectl) -> str:
    """One with a shell and nothing else, likewise."""
    with _one_at_a_time():
        return busybox.busybox_image()


@pytest.fixture(scope="session")
def registries(cluster: Kubectl, upstream: Upstream, tools_image: str) -> str:
    """The address of the registries' Service; they serve."""
    with _one_at_a_time():
        running_registries.deploy(cluster, tools_image)
    return running_registries.address(cluster)


@pytest.fixture
def workspaces(
    cluster: Kubectl, upstream: Upstream, release: None, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Workspace]]:
    """Makes namespaces for one test and takes them away."""
    made: list[Workspace] = []

    def make(**labels: str) -> Workspace:
        one = Workspace(cluster, upstream)
        made.append(one)
        request.node.stash.setdefault(NAMESPACES, []).append(one.name)
        one.create(labels)
        return one

    yield make
    for one in made:
        one.delete()


@pytest.fixture
def workspace(workspaces: Callable[..., Workspace]) -> Workspace:
    """A namespace for one test."""
    return workspaces()


@pytest.fixture
def storage_class(cluster: Kubectl) -> Iterator[str]:
    """One without a provisioner; its name."""
    with volumes.storage_class(cluster) as name:
        yield name


@pytest.fixture
def volume(cluster: Kubectl, storage_class: str, tmp_path: Path) -> Iterator[volumes.MakeVolume]:
    """Makes volumes of it, on this machine."""
    with volumes.volumes(cluster, storage_class, tmp_path) as make:
        yield make


@pytest.fixture(scope="session")
def session_examples(cluster: Kubectl, upstream: Upstream, release: None) -> Iterator[Stage]:
    """examples/, applied unchanged to a namespace of this session, with keys that the upstream takes."""
    home = Workspace(cluster, upstream)
    home.create()
    try:
        staging.apply_examples(cluster, home.name)
        yield staging.connect(cluster, upstream, home.name)
    finally:
        home.delete()


@pytest.fixture
def examples(session_examples: Stage, request: pytest.FixtureRequest) -> Stage:
    """The session's examples, for a test that leaves them working."""
    request.node.stash.setdefault(NAMESPACES, []).append(session_examples.namespace)
    return session_examples
