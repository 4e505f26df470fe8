"""The admission policies on a control plane of the test's own, with the operator at work.

The cases are those of tests/integration, which need no kubelet: one by one, against the chart as Helm renders it.
"""

from collections.abc import Iterator

import pytest
import uvloop
from tests.integration.test_admission import (  # noqa: F401 (pytest finds them by name)
    TestOperatorsTokens,
    TestOperatorsWrites,
    namespaces,
    settings,
    test_network_policies,
    test_no_pods_of_the_systems_or_the_release,
    test_pods,
    test_the_namespaces_own_network_policy,
)
from tests.integration.test_admission_pods import (  # noqa: F401
    TestCredentialsNamespace,
    TestDebugContainers,
    TestDevboxPods,
    box,
    reporter,
    tenant,
    test_every_expression_type_checks,
)
from tests.support.control_plane import ControlPlane, control_plane
from tests.support.release import install

from devbox_demo.kubectl import Kubectl

from .world import inside

pytestmark = [
    pytest.mark.skipif(not inside(), reason="needs a network of its own: make chaos-short"),
    pytest.mark.xdist_group("admission"),
]


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """Etcd, API server and controllers."""
    with control_plane() as made:
        yield made


@pytest.fixture(scope="module")
def cluster(plane: ControlPlane) -> Kubectl:
    """Its administrator."""
    return Kubectl(plane.admin_kubeconfig)


@pytest.fixture(scope="module")
def release(plane: ControlPlane) -> Iterator[None]:
    """The chart, and one operator."""
    made = install(plane)

    uvloop.run(made.authorise())
    made.operator()
    yield
    made.end()
