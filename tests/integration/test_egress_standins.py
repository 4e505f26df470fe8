"""The image tools and the registries, in plain pods without a proxy: where a client fails in test_egress_clients.py, it is not these."""

import json
from collections.abc import Iterator

import pytest
from tests.support import NAMESPACES
from tests.support.egress_clients import CLIENTS, Client
from tests.support.registries import pod_spec
from tests.support.standins import hosts
from tests.support.workspace import Workspace

from devbox_api.names import CA_VARIABLES, WGET_VARIABLE
from devbox_stage.kubectl import Kubectl
from devbox_stage.upstream import Upstream


@pytest.fixture(scope="module")
def plain(cluster: Kubectl, upstream: Upstream, tools_image: str, registries: str) -> Iterator[Workspace]:
    """A namespace with the pod `plain`, which knows the registries' addresses and trusts their CA."""
    home = Workspace(cluster, upstream)
    home.create()
    container = {
        "name": "devbox",
        "image": tools_image,
        "command": ["sleep", "infinity"],
        "env": [
            *({"name": name, "value": "/ca/ca.crt"} for name in CA_VARIABLES),
            {"name": WGET_VARIABLE, "value": "/ca/wgetrc"},
        ],
        "volumeMounts": [{"name": "ca", "mountPath": "/ca", "readOnly": True}],
    }
    data = {"ca.crt": upstream.ca, "wgetrc": "ca_certificate = /ca/ca.crt\n"}
    aliases = [{"ip": registries, "hostnames": list(hosts.ALL)}]
    spec = pod_spec(container, hostAliases=aliases, volumes=[{"name": "ca", "configMap": {"name": "ca"}}])
    try:
        home.apply(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ca"}, "data": data},
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "plain"}, "spec": spec},
        )
        cluster("-n", home.name, "wait", "pod/plain", "--for=condition=Ready", "--timeout=60s", timeout=70)
        yield home
    finally:
        home.delete()


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_a_client_gets_what_it_asks_for(plain: Workspace, client: Client, request: pytest.FixtureRequest) -> None:
    request.node.stash.setdefault(NAMESPACES, []).append(plain.name)
    result = plain.exec("plain", ["sh", "-ec", f"cd $(mktemp -d); export HOME=$PWD; {client.script}"], check=False)
    assert result.code == 0, result.err[-2000:]
    assert hosts.GREETING in result.out, json.dumps([result.out[-500:], result.err[-500:]])
