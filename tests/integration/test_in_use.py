"""Deleting a GatewayConfig or an EgressPolicy that devboxes use is refused with their names; nothing that cleans up is held back."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from tests.support.admission import ask, plain, policies_at_work, secret, until

from devbox_api import names
from devbox_stage.kubectl import Kubectl, Object

HERE, ELSEWHERE = "in-use-here", "in-use-elsewhere"
SPEC = {"endpoint": "https://api.example.com", "authMechanism": {"type": "Bearer"}, "allowedNamespaces": {"from": "All"}}


@pytest.fixture(scope="module", autouse=True)
def namespaces(cluster: Kubectl, release: None) -> Iterator[None]:
    """Two namespaces for users' objects; gone afterwards."""
    policies_at_work(cluster)
    cluster.apply([plain("Namespace", HERE), plain("Namespace", ELSEWHERE)])
    yield
    cluster("delete", "namespace", HERE, ELSEWHERE, "--timeout=90s", timeout=120)


@pytest.fixture
def gateway(cluster: Kubectl) -> Iterator[Callable[..., None]]:
    """Makes the GatewayConfig `api` with what its status says of its users."""

    def make(*used_by: str) -> None:
        cluster.apply([{**_head("GatewayConfig", "api"), "spec": SPEC}])
        _used_by(cluster, HERE, *used_by)

    yield make
    cluster("-n", HERE, "delete", "dbx", "--all")
    # Clean, whatever the test left and however slowly the API server's own cache follows.
    until("the GatewayConfig is gone", lambda: ask(cluster, "-n", HERE, "delete", "gwc", "--all").ok)


def _used_by(cluster: Kubectl, namespace: str, *devboxes: str) -> None:
    """Set what the operator would set (it may do so too, and corrects what is not true)."""
    patch = json.dumps({"status": {"usedBy": list(devboxes), "devboxes": len(devboxes)}})
    cluster("-n", namespace, "patch", "gwc", "api", "--subresource=status", "--type=merge", "-p", patch)


def _head(kind: str, name: str, namespace: str = HERE) -> Object:
    return {"apiVersion": names.API_VERSION, "kind": kind, "metadata": {"name": name, "namespace": namespace}}


def devbox(own_name: str, /, **reference: str) -> Object:
    """A Devbox that uses one gateway. It never runs: the image does not exist."""
    gateways = [{"name": "API", "gatewayRef": reference}]
    return {**_head("Devbox", own_name), "spec": {"image": "localhost/none", "gateways": gateways}}


def _stays_refused(cluster: Kubectl, kind: str, name: str) -> None:
    """For that reason, and not once alone: another API server, or a policy that is just being read, may say something else."""

    def refused() -> bool:
        answer = ask(cluster, "-n", HERE, "delete", kind, name, "--dry-run=server")
        return not answer.ok and f"{HERE}/{name} is used by " in answer.text

    until("refused", refused)
    assert all(refused() for _ in range(3))


def test_refused_with_the_names_of_the_devboxes(cluster: Kubectl, gateway: Callable[..., None]) -> None:
    cluster.apply([devbox("one", name="api"), devbox("two", name="api", namespace=HERE)])
    gateway(f"{HERE}/one", f"{HERE}/two")
    _stays_refused(cluster, "gwc", "api")
    answer = ask(cluster, "-n", HERE, "delete", "gwc", "api")
    assert not answer.ok
    assert f"GatewayConfig {HERE}/api is used by " in answer.text
    assert f"{HERE}/one" in answer.text
    assert f"{HERE}/two" in answer.text
    assert f"kubectl -n {HERE} annotate gatewayconfig api devbox-gateway.io/force-delete=true" in answer.text


def test_refused_before_the_operator_has_seen_the_devbox(cluster: Kubectl, gateway: Callable[..., None]) -> None:
    gateway()
    cluster.apply([devbox("one", name="api")])
    _stays_refused(cluster, "gwc", "api")
    for _ in range(3):
        _used_by(cluster, HERE)  # The operator has seen it by now, and said so: that is taken back.
        answer = ask(cluster, "-n", HERE, "delete", "gwc", "api", "--dry-run=server")
        assert not answer.ok
        assert f"{HERE}/one" in answer.text


def test_refused_for_devboxes_of_other_namespaces(cluster: Kubectl, gateway: Callable[..., None]) -> None:
    cluster.apply([{**devbox("far", name="api", namespace=HERE), "metadata": {"name": "far", "namespace": ELSEWHERE}}])
    gateway(f"{ELSEWHERE}/far")
    answer = ask(cluster, "-n", HERE, "delete", "gwc", "api")
    assert not answer.ok
    assert f"is used by {ELSEWHERE}/far;" in answer.text
    cluster("-n", ELSEWHERE, "delete", "dbx", "far")
    gateway()


def test_a_status_that_lags_does_not_count(cluster: Kubectl, gateway: Callable[..., None]) -> None:
    gateway(f"{HERE}/one")
    cluster("-n", HERE, "delete", "gwc", "api")


def test_a_devbox_that_uses_its_namesake_elsewhere_does_not_count(cluster: Kubectl, gateway: Callable[..., None]) -> None:
    cluster.apply([devbox("one", name="api", namespace=ELSEWHERE), devbox("two", name="other")])
    gateway()
    cluster("-n", HERE, "delete", "gwc", "api")


def test_one_file_with_both_is_deleted_at_once(cluster: Kubectl, gateway: Callable[..., None], tmp_path: Path) -> None:
    boxes = [devbox(name, name="api") for name in ("one", "two", "three")]
    gateway(*(f"{HERE}/{box['metadata']['name']}" for box in boxes))
    cluster.apply(boxes)
    api = yaml.safe_load(cluster("-n", HERE, "get", "gwc", "api", "-o", "yaml").out)
    secrets = [secret(HERE, "Opaque", name) for name in ("a", "b", "c", "d", "e")]
    cluster.apply(secrets)
    file = tmp_path / "all.yaml"
    file.write_text(yaml.safe_dump_all([*boxes, *secrets, api]))
    cluster("delete", "-f", str(file))


def test_forced(cluster: Kubectl, gateway: Callable[..., None]) -> None:
    cluster.apply([devbox("one", name="api")])
    gateway(f"{HERE}/one", f"{ELSEWHERE}/far")
    cluster("-n", HERE, "annotate", "gwc", "api", "devbox-gateway.io/force-delete=true")
    cluster("-n", HERE, "delete", "gwc", "api")


@pytest.mark.parametrize("cleaner", ["namespace-controller", "generic-garbage-collector"])
def test_the_clusters_own_cleaners(cluster: Kubectl, gateway: Callable[..., None], cleaner: str) -> None:
    cluster.apply([devbox("one", name="api")])
    gateway(f"{HERE}/one", f"{ELSEWHERE}/far")
    user = f"system:serviceaccount:kube-system:{cleaner}"
    answer = ask(cluster, "-n", HERE, "delete", "gwc", "api", "--dry-run=server", user=user)
    assert answer.ok, answer.text
    cluster("-n", HERE, "delete", "dbx", "one")
    gateway()


def test_its_namespace_can_always_be_deleted(cluster: Kubectl) -> None:
    name = "in-use-going"
    cluster.apply([plain("Namespace", name)])
    box = devbox("one", name="api")
    box["metadata"]["namespace"] = name
    cluster.apply([{**_head("GatewayConfig", "api", name), "spec": SPEC}, box])
    _used_by(cluster, name, f"{name}/one", f"{ELSEWHERE}/far")
    cluster("delete", "namespace", name, "--timeout=60s")


@pytest.fixture
def egress(cluster: Kubectl) -> Iterator[None]:
    """An EgressPolicy `web` and a Devbox `one` that stands under it."""
    box = devbox("one", name="none")
    box["spec"]["egressPolicyRef"] = {"name": "web"}
    cluster.apply([{**_head("EgressPolicy", "web"), "spec": {"allowedHostnames": ["github.com"]}}, box])
    yield
    cluster("-n", HERE, "delete", "dbx", "--all")
    until("the EgressPolicy is gone", lambda: ask(cluster, "-n", HERE, "delete", "egp", "--all").ok)


@pytest.mark.usefixtures("egress")
class TestEgressPolicy:
    """The same policy, generalised: what differs is how a Devbox refers to it."""

    def test_refused_with_the_names(self, cluster: Kubectl) -> None:
        _stays_refused(cluster, "egp", "web")
        text = ask(cluster, "-n", HERE, "delete", "egp", "web").text
        assert f"EgressPolicy {HERE}/web is used by {HERE}/one;" in text
        assert f"kubectl -n {HERE} annotate egresspolicy web devbox-gateway.io/force-delete=true" in text

    def test_one_that_nobody_uses_goes(self, cluster: Kubectl) -> None:
        cluster.apply([{**_head("EgressPolicy", "other"), "spec": {}}])
        cluster("-n", HERE, "delete", "egp", "other")

    def test_forced(self, cluster: Kubectl) -> None:
        cluster("-n", HERE, "annotate", "egp", "web", "devbox-gateway.io/force-delete=true")
        cluster("-n", HERE, "delete", "egp", "web")

    @pytest.mark.parametrize("cleaner", ["namespace-controller", "generic-garbage-collector"])
    def test_the_clusters_own_cleaners(self, cluster: Kubectl, cleaner: str) -> None:
        user = f"system:serviceaccount:kube-system:{cleaner}"
        answer = ask(cluster, "-n", HERE, "delete", "egp", "web", "--dry-run=server", user=user)
        assert answer.ok, answer.text


def test_a_namespace_with_an_egress_policy_in_use_can_be_deleted(cluster: Kubectl) -> None:
    name = "in-use-egress-going"
    cluster.apply([plain("Namespace", name)])
    box = devbox("one", name="none")
    box["metadata"]["namespace"] = name
    box["spec"]["egressPolicyRef"] = {"name": "web"}
    cluster.apply([{**_head("EgressPolicy", "web", name), "spec": {}}, box])
    cluster("delete", "namespace", name, "--timeout=60s")
