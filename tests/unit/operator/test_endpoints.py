"""Endpoints against the chart's upstream settings."""

from ipaddress import ip_network

import pytest

from devbox_operator.endpoints import host_of, refusal, refused_ranges
from devbox_operator.settings import Upstreams

FLOOR = frozenset({"10.99.0.1", "fd00::1", "203.0.113.9"})
OWN = (ip_network("34.118.224.0/20"), ip_network("34.118.240.0/21"), ip_network("2600:1f14:1::/56"))
"""The ranges of a cluster whose pods and Services have public addresses."""
GATEWAY = "gateway.rel.svc"


def refused(endpoint: str, **settings: object) -> str | None:
    return refusal(endpoint, Upstreams.model_validate(settings), FLOOR, OWN, GATEWAY)


@pytest.mark.parametrize(
    "endpoint",
    ["https://api.anthropic.com", "https://1.1.1.1", "https://[2606:4700::1111]:8443/x", "https://models.corp.example"],
)
def test_public_addresses_and_names_are_allowed(endpoint: str) -> None:
    assert refused(endpoint) is None


@pytest.mark.parametrize(
    "endpoint", ["https://10.1.2.3", "https://192.168.0.1:8443", "https://[fd12::5]", "https://100.64.0.1"]
)
def test_private_addresses_are_refused_unless_the_chart_names_them(endpoint: str) -> None:
    message = refused(endpoint)
    assert message is not None
    assert "upstreams.allowedCIDRs: [" in message
    everything = ["10.0.0.0/8", "192.168.0.0/16", "fd00::/8", "100.64.0.0/10"]
    assert refused(endpoint, allowedCIDRs=everything) is None


@pytest.mark.parametrize("endpoint", ["https://34.118.224.2", "https://[::ffff:34.118.224.2]", "https://[2600:1f14:1::7]:8443"])
def test_public_addresses_of_pods_and_services_are_refused_likewise(endpoint: str) -> None:
    message = refused(endpoint)
    assert message is not None
    assert "an address of the cluster's own" in message
    assert "upstreams.allowedCIDRs: [" in message
    assert refused(endpoint, allowedCIDRs=["34.118.0.0/16", "2600:1f14:1::/64"]) is None
    assert refused(endpoint, allowedHosts=[host_of(endpoint)]) is None
    assert refused(endpoint, allowedCIDRs=["34.118.0.0/24", "2600:1f14:2::/64"]) is not None


@pytest.mark.parametrize("endpoint", ["https://34.118.223.255", "https://34.118.248.0", "https://[2600:1f14:1:100::]"])
def test_what_lies_beside_the_clusters_ranges_is_allowed(endpoint: str) -> None:
    assert refused(endpoint) is None


def test_a_host_may_be_named_in_place_of_a_range() -> None:
    assert refused("https://10.1.2.3", allowedHosts=["10.1.2.3"]) is None


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://127.0.0.1",
        "https://127.9.9.9",
        "https://[::1]",
        "https://localhost",
        "https://x.localhost",
        "https://169.254.169.254",
        "https://[fe80::1]",
        "https://0.0.0.0",
        "https://[::]",
        "https://[::ffff:127.0.0.1]",
        "https://[::ffff:169.254.169.254]",
        "https://224.0.0.1",
        "https://10.99.0.1",
        "https://[::ffff:10.99.0.1]",
        "https://203.0.113.9",
        "https://gateway.rel.svc",
        "https://gateway.rel.svc.cluster.local",
    ],
)
def test_nothing_opens_the_floor(endpoint: str) -> None:
    assert refused(endpoint) is not None
    assert (
        refused(endpoint, allowedCIDRs=["0.0.0.0/0", "::/0"], allowedHosts=[endpoint.split("//")[1], "*.rel.svc"]) is not None
    )


PERMITTED = (ip_network("10.20.0.0/16"), ip_network("fd00::/8"), ip_network("34.118.225.0/24"))


@pytest.mark.parametrize(
    ("cidrs", "words"),
    [
        (["203.0.112.0/24", "2a00::/16"], None),
        (["10.20.3.0/24", "fd00:1::/32"], None),
        (["0.0.0.0/0"], None),
        (["10.0.0.0/8"], "egress.permittedCIDRs: [10.0.0.0/8]"),
        (["192.168.1.7/32", "fe80::/16"], "192.168.1.7/32"),
        (["169.254.169.254/32"], "never leads to 169.254.169.254/32"),
        (["127.0.0.0/8"], "never leads to 127.0.0.0/8"),
        (["34.118.224.0/20", "2600:1f14:1::7/128"], "34.118.224.0/20, 2600:1f14:1::7/128 is the cluster's own; "),
        (["34.118.225.128/25"], None),
        (["34.118.224.0/19", "34.118.0.0/16", "2600:1f14:1::/48"], None),
        (["34.118.226.0/24", "10.0.0.0/8"], "egress.permittedCIDRs: [10.0.0.0/8, 34.118.226.0/24]"),
    ],
    ids=[
        *("public", "permitted", "everything public", "wider than permitted", "private", "metadata", "loopback"),
        *(
            "the cluster's own",
            "the cluster's own, permitted",
            "wider than the cluster's own",
            "the cluster's own and a private one",
        ),
    ],
)
def test_ranges(cidrs: list[str], words: str | None) -> None:
    found = refused_ranges(cidrs, PERMITTED, OWN)
    assert found is None if words is None else words in (found or "")
