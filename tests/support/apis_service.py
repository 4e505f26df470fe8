"""One address for every API of the integration tests, whoever serves it: the demo's stand-in at 443, the SDKs' at 8444.

Goes in: the cluster, where the demo's stand-in runs. Comes out: the addresses, and the chart's values that lead the gateway to it. A
release has one set of values, so that all integration tests share this.
"""

from collections.abc import Mapping
from typing import Any, Final

from tests.sdks.in_pod import PORT
from tests.support.standins import hosts

from devbox_stage.kubectl import Kubectl
from devbox_stage.upstream import HOSTS, NAMESPACE, Upstream, gateway_values

NAME: Final = "apis"
SELECTED: Final = {"serves": NAME}
MORE: Final = {"serves-more": NAME}
"""At 443 what examples/python calls and the demo has no stand-in for, at 8444 the SDKs' again: the same names have one address."""
CERTIFIED: Final = (*hosts.APIS, *hosts.ALL, hosts.INDEX)
"""What the certificate has to be good for besides the demo's names."""


def apply(kubectl: Kubectl) -> tuple[str, str]:
    """The Services, and their addresses. A pod without a port of that name is not behind that port."""
    return _service(kubectl, NAME, SELECTED), _service(kubectl, f"more-{NAME}", MORE)


def _service(kubectl: Kubectl, name: str, selector: Mapping[str, str]) -> str:
    ports = [
        {"name": "https", "port": 443, "targetPort": "https"},
        {"name": "sdks", "port": PORT, "targetPort": "sdks"},
    ]
    metadata = {"name": name, "namespace": NAMESPACE}
    kubectl.apply(
        [{"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"selector": dict(selector), "ports": ports}}]
    )
    service = kubectl.get("service", name, NAMESPACE)
    assert service is not None
    return str(service["spec"]["clusterIP"])


def values(upstream: Upstream, addresses: tuple[str, str], registries: str) -> dict[str, Any]:
    """Those of the demo, with these addresses, at the endpoint's port, in place of the stand-in's.

    Devboxes trust the registries' certificate, and the forward proxy finds the registries at their Service's address.
    """
    made = gateway_values(upstream.address, upstream.ca)
    address, more = addresses
    made["upstreams"]["addressOverrides"] = dict.fromkeys(HOSTS.values(), address) | dict.fromkeys(hosts.APIS, more)
    made["devboxes"] = {"extraCABundle": upstream.ca}
    # What keeps devboxes from the admin port has to be their own policy: with none to let others in, nothing would be seen of that.
    made["networkPolicy"] = {"adminFrom": [{"namespaceSelector": {}}]}
    made["egress"] = {"addressOverrides": dict.fromkeys((*hosts.ALL, hosts.INDEX), f"{registries}:443")}
    return made
