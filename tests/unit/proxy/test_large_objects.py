"""A gateway process among large objects: what its start costs is bounded, whatever the pods' authors wrote into them."""

from typing import Any, Final

from tests.support.gateway_process import stage
from tests.support.kube_api import DEVBOX_NAMESPACE, Cluster

from devbox_api import names

MIB: Final = 1 << 20
PODS: Final = 40
MOST: Final = 40 * MIB
"""Beyond what a start takes anyway; held as they came, the pods would be twice as much."""


async def peak(cluster: Cluster) -> int:
    """The most memory of a gateway that starts, until it is ready."""
    async with stage(cluster) as made:
        return made.process.peak


def large_pod(cluster: Cluster, number: int) -> None:
    env = [{"name": f"V{count}", "value": "x" * 32768} for count in range(20)]
    annotations = {"example.com/note": "x" * 200_000}
    metadata: dict[str, Any] = {"uid": f"u-{number}", "namespace": DEVBOX_NAMESPACE, "annotations": annotations}
    metadata |= {"labels": {names.DEVBOX_LABEL: f"big-{number}"}, "managedFields": [{"fieldsV1": {"f:x": {}}}]}
    spec = {"containers": [{"name": "devbox", "env": env}], "schedulingGates": [{"name": names.SCHEDULING_GATE}]}
    cluster.put("pods", f"big-{number}", metadata=metadata, spec=spec, status={"phase": "Pending"})


async def test_large_pods_cost_a_gateway_next_to_nothing() -> None:
    cluster = Cluster()
    cluster.pod()
    before = await peak(cluster)
    for number in range(PODS):
        large_pod(cluster, number)
    grown = await peak(cluster) - before
    assert grown <= MOST, f"{grown / MIB:.0f} MiB for {PODS} pods of 0.8 MiB"
