"""Confinement by packets: what a devbox sends is counted where it would arrive, beside a pod that no policy holds.

The measurements of `make probes`, shorter; docs/confinement.md has the tables of the long ones.
"""

from collections.abc import Callable, Iterator

import pytest
from tests.probes.births import births
from tests.probes.endings import SHORT, endings
from tests.probes.faults import kill_gateway_pod, restart_kube_router, under
from tests.probes.matrix import direct
from tests.probes.proxied import proxied
from tests.probes.report import failed
from tests.probes.tightened import tightened
from tests.probes.world import World, world
from tests.support.workspace import Workspace

from devbox_stage.kubectl import Kubectl
from devbox_stage.upstream import Upstream


@pytest.fixture(scope="module")
def probed(cluster: Kubectl, upstream: Upstream, release: None) -> Iterator[World]:
    """A devbox, pods without a policy, and the sinkhole, for all tests of this file."""
    made: list[Workspace] = []

    def make(**labels: str) -> Workspace:
        one = Workspace(cluster, upstream)
        made.append(one)
        one.create(labels)
        return one

    try:
        with world(cluster, make) as opened:
            yield opened
    finally:
        for one in made:
            one.delete()


@pytest.mark.row("S20")
def test_no_packet_of_a_devbox_passes_but_to_the_gateways_ports(probed: World) -> None:
    assert failed(direct(probed)) == []


@pytest.mark.row("S19", "S20")
def test_the_forward_proxy_leads_to_the_allowed_host_alone(probed: World) -> None:
    assert failed(proxied(probed)) == []


@pytest.mark.row("S20")
def test_no_packet_passes_in_the_first_seconds(probed: World) -> None:
    assert failed(births(probed, number=10, controls=2)) == []


@pytest.mark.row("S19", "S20")
def test_tunnels_are_cut_when_their_policy_loses_the_host(probed: World) -> None:
    assert failed(tightened(probed)) == []


@pytest.mark.row("S20")
@pytest.mark.parametrize("fault", ["kube-router restarted", "gateway pod killed"])
def test_no_packet_passes_during_a_fault(probed: World, fault: str) -> None:
    causes: dict[str, Callable[[], None]] = {
        "kube-router restarted": restart_kube_router,
        "gateway pod killed": lambda: kill_gateway_pod(probed),
    }
    assert failed([under(probed, fault, causes[fault])]) == []


@pytest.mark.row("S20")
def test_no_packet_passes_while_a_devbox_ends_however_long_its_processes_take(probed: World) -> None:
    assert failed(endings(probed, SHORT, grace=6)) == []
