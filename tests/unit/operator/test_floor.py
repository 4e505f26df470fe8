"""What the floor document is made of: what is kept of Nodes, Services and ServiceCIDRs, and few ranges where there are many nodes."""

import base64
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from devbox_api.route import FloorDocument
from devbox_operator.documents import objects as documents
from devbox_operator.seen.floor import (
    NodePlace,
    Place,
    bridges,
    cluster_ips,
    collapsed,
    gateway_slice,
    node,
    service_cidrs,
    slice_addresses,
)
from devbox_proxy.known.floor import compile_floor


def test_a_node_has_addresses_and_the_ranges_of_its_pods() -> None:
    addresses = [
        {"type": "InternalIP", "address": "10.0.0.1"},
        {"type": "ExternalIP", "address": "203.0.113.9"},
        {"type": "Hostname", "address": "node-1"},
    ]
    both = {"podCIDR": "34.118.1.0/24", "podCIDRs": ["34.118.1.0/24", "2600:1f14:1::/80"]}
    assert node({"spec": both, "status": {"addresses": addresses}}) == NodePlace(
        ("10.0.0.1", "203.0.113.9"), ("2600:1f14:1::/80", "34.118.1.0/24")
    )


@pytest.mark.parametrize(
    ("annotations", "found"),
    [
        (
            {"flannel.alpha.coreos.com/public-ip": "192.0.2.4", "flannel.alpha.coreos.com/public-ipv6": "2001:DB8::4"},
            ("192.0.2.4", "2001:db8::4"),
        ),
        (
            {"projectcalico.org/IPv4Address": "10.0.0.1/24", "projectcalico.org/IPv4IPIPTunnelAddr": "10.244.93.192"},
            ("10.244.93.192",),
        ),
        ({"projectcalico.org/IPv6VXLANTunnelAddr": "fd00:244::9"}, ("fd00:244::9",)),
        ({"network.cilium.io/ipv4-cilium-host": "10.244.0.28"}, ("10.244.0.28",)),
        ({"k8s.ovn.org/host-cidrs": '["10.0.0.1/24","172.16.9.5/16","fd00:9::5/64"]'}, ("172.16.9.5", "fd00:9::5")),
        ({"k8s.ovn.org/node-primary-ifaddr": '{"ipv4":"10.0.0.1/24","ipv6":""}'}, ()),
        ({"node.antrea.io/transport-addresses": "172.16.9.5,fd00:9::5"}, ("172.16.9.5", "fd00:9::5")),
        ({"k3s.io/external-ip": "198.51.100.9", "k3s.io/internal-ip": "10.0.0.1, fd00::1"}, ("198.51.100.9", "fd00::1")),
        ({"example.com/proxy": "198.51.100.9", "projectcalico.org/IPv4Address": "nonsense"}, ()),
    ],
    ids=["flannel", "Calico", "Calico, IPv6", "Cilium", "OVN", "OVN, JSON", "Antrea", "k3s", "anybody's, and what is none"],
)
def test_further_addresses_of_a_node_are_those_that_network_plugins_write_down(
    annotations: dict[str, str], found: tuple[str, ...]
) -> None:
    status = {"addresses": [{"type": "InternalIP", "address": "10.0.0.1"}, {"type": "Hostname", "address": "node-1"}]}
    assert node({"metadata": {"annotations": annotations}, "status": status}).addresses == ("10.0.0.1", *found)


def test_a_name_that_is_an_address_counts() -> None:
    with capture_logs() as lines:
        view = node(
            {"status": {"addresses": [{"type": "Hostname", "address": "10.0.0.9"}, {"type": "InternalDNS", "address": "n"}]}}
        )
    assert view.addresses == ("10.0.0.9",)
    assert not lines


def test_a_node_is_at_the_first_addresses_of_its_pods_ranges() -> None:
    assert bridges(("10.244.1.0/24", "10.244.2.128/25", "fd00:244:1::/64", "10.9.9.9/32", "nonsense")) == {
        "10.244.1.0/31",
        "10.244.2.128/31",
        "fd00:244:1::/127",
        "10.9.9.9/32",
    }


def test_the_document_of_a_large_cluster_fits_into_a_secret() -> None:
    """Five thousand nodes, as many as Kubernetes supports, each with two families and a tunnel's address of each."""
    addresses, cidrs = set[str](), set[str]()
    for number in range(5000):
        high, low = divmod(number, 256)
        cidrs |= {f"10.{high + 100}.{low}.0/24", f"fd00:1234:5678:{number:x}::/64"}
        addresses |= {f"192.168.{high}.{low}", f"2001:db8:1234:5678::{number:x}", f"10.{high + 100}.{low}.77"}
        addresses.add(f"fd00:1234:5678:{number:x}::77")
    body = documents.floor(addresses, collapsed(frozenset(cidrs)), collapsed(bridges(cidrs)), "creds")
    assert len(base64.b64decode(body["data"]["floor.json"])) < 2**20 * 0.8


@pytest.mark.parametrize(
    ("spec", "cidrs"),
    [
        ({"podCIDR": "34.118.1.0/24"}, ("34.118.1.0/24",)),
        ({"podCIDRs": ["34.118.1.0/24"]}, ("34.118.1.0/24",)),
        ({"podCIDR": "", "podCIDRs": None}, ()),
        ({}, ()),
        (None, ()),
    ],
)
def test_a_node_may_say_less(spec: Any, cidrs: tuple[str, ...]) -> None:
    assert node({"spec": spec}) == NodePlace((), cidrs)


def test_services_slices_and_their_ranges() -> None:
    assert service_cidrs({"spec": {"cidrs": ["34.118.224.0/20", "2600:1f14:2::/108"]}}) == (
        "34.118.224.0/20",
        "2600:1f14:2::/108",
    )
    assert service_cidrs({}) == ()
    assert cluster_ips({"spec": {"clusterIPs": ["10.96.0.1", "None", ""]}}) == ("10.96.0.1",)
    assert slice_addresses({"endpoints": [{"addresses": ["10.0.0.7"]}, {}]}) == ("10.0.0.7",)


def of_node(*addresses: str) -> tuple[str, ...]:
    return node({"status": {"addresses": [{"type": "InternalIP", "address": one} for one in addresses]}}).addresses


def of_service(*addresses: str) -> tuple[str, ...]:
    return cluster_ips({"spec": {"clusterIPs": list(addresses)}})


def test_where_the_gateways_are() -> None:
    """Those that the Service leads to, on the ports that it has; and every address counts for the floor."""
    ports = [{"name": "data", "port": 8443}, {"name": "egress", "port": 3128}, {"name": "canary", "port": 8479}]
    endpoints = [
        {"addresses": ["10.42.0.7"], "conditions": {"ready": True}},
        {"addresses": ["10.42.0.8"], "conditions": {"ready": False, "serving": True, "terminating": True}},
        {"addresses": ["10.42.0.9"]},
        {},
    ]
    seen = gateway_slice({"endpoints": endpoints, "ports": ports})
    assert seen.addresses == ("10.42.0.7", "10.42.0.8", "10.42.0.9")
    assert seen.ready == (Place("10.42.0.7", 8443, 8479), Place("10.42.0.9", 8443, 8479))
    assert gateway_slice({"endpoints": endpoints, "ports": ports[:2]}).ready == (), "the first release has no canary"
    assert gateway_slice({"addressType": "FQDN", "endpoints": [{"addresses": ["gateway"]}], "ports": ports}).ready == ()


def of_slice(*addresses: str) -> tuple[str, ...]:
    return slice_addresses({"addressType": "FQDN", "endpoints": [{"addresses": [one]} for one in addresses]})


@pytest.mark.parametrize("read", [of_node, of_service, of_slice])
def test_what_is_no_address_keeps_no_gateway_from_the_others(read: Callable[..., tuple[str, ...]]) -> None:
    """A gateway refuses a document with a single one as a whole."""
    name = f"{read.__name__}.internal"
    with capture_logs() as lines:
        found = read(name, "10.0.0.1", "010.0.0.2", "", "2001:DB8:0::0001")
        read(name, "10.0.0.1")
    assert found == ("10.0.0.1", "2001:db8::1")
    told = [line["address"] for line in lines if line["event"] == "address_unreadable"]
    assert told.count(name) == 1, "each is told once, not with every look"
    assert compile_floor(FloorDocument(addresses=found)).addresses == set(found), "gateway and operator write an address alike"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("fd00:0000::00Aa", "fd00::aa"),
        ("fd00::1%eth0", "fd00::1"),
        ("::ffff:10.0.0.5", "10.0.0.5"),
        ("::FFFF:0a00:0005", "10.0.0.5"),
    ],
    ids=["zeros and case", "zeros in front", "a zone is of that node alone", "IPv4 in IPv6", "in hexadecimal"],
)
def test_an_address_is_written_as_the_gateway_compares_it(text: str, address: str) -> None:
    assert of_node(text) == of_service(text) == of_slice(text) == (address,)


def texts(*cidrs: str) -> list[str]:
    return list(map(str, collapsed(frozenset(cidrs))))


def test_the_ranges_of_thousands_of_nodes_are_one() -> None:
    nodes = [f"10.{number >> 8}.{number & 255}.0/24" for number in range(4096)]
    assert texts(*nodes, "10.1.0.0/16", "2600:1f14:1::/80", "2600:1f14:1:0:1::/80") == ["10.0.0.0/12", "2600:1f14:1::/79"]
    assert texts(*nodes[1:]) == [f"10.0.{2**n}.0/{24 - n}" for n in range(8)] + [f"10.{2**n}.0.0/{16 - n}" for n in range(4)]


def test_a_range_that_can_not_be_read_takes_none_of_the_others_away() -> None:
    collapsed.cache_clear()
    with capture_logs() as lines:
        assert texts("34.118.1.0/24", "nonsense", "10.0.0.0/33", "") == ["34.118.1.0/24"]
        texts("34.118.1.0/24", "nonsense", "10.0.0.0/33", "")
    assert [line["range"] for line in lines] == ["", "10.0.0.0/33", "nonsense"], "each is told once, not with every look"
    assert texts("34.118.1.7/24") == ["34.118.1.0/24"], "bits behind the length are no reason to leave a range open"
