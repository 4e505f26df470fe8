"""Endpoints against the chart's upstream settings."""

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any

import pytest

from devbox_operator.documents.endpoints import host_of, refusal, refused_ranges
from devbox_operator.settings import Image, Settings

FLOOR = frozenset({"10.99.0.1", "fd00::1", "203.0.113.9"})
OWN = (ip_network("34.118.224.0/20"), ip_network("34.118.240.0/21"), ip_network("2600:1f14:1::/56"))
"""The ranges of a cluster whose pods and Services have public addresses."""
GATEWAY = "gateway.rel.svc"


def settings(**change: object) -> Settings:
    image = Image(reference="registry.example/devbox-gateway:1")
    return Settings.model_validate(
        {"releaseNamespace": "rel", "credentialsNamespace": "rel-credentials", "image": image, **change}
    )


def refused(endpoint: str, *, others: Mapping[str, object] | None = None, **upstreams: object) -> str | None:
    return refusal(endpoint, settings(upstreams=upstreams, **(others or {})), FLOOR, OWN, GATEWAY)


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
        "https://[64:ff9b::a9fe:a9fe]",
        "https://[64:ff9b::a63:1]",
        "https://[64:ff9b:1::808:808]",
        "https://[2002:a9fe:a9fe::]",
        "https://100.100.100.200",
        "https://168.63.129.16",
        "https://192.0.0.192",
        "https://[fd00:ec2::254]",
        "https://[fd00:42::42]",
        "https://[fd00:a9fe:a9fe::1]",
        "https://[fd00:c1::a9fe:a9fe]",
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


@pytest.mark.parametrize(
    "endpoint", ["https://198.51.100.7", "https://[::ffff:198.51.100.7]", "https://[64:ff9b::c633:6407]", "https://[2a00:1::5]"]
)
def test_what_the_chart_closes_besides_nothing_opens(endpoint: str) -> None:
    everything: dict[str, Any] = {"allowedCIDRs": ["0.0.0.0/0", "::/0"], "allowedHosts": [host_of(endpoint)]}
    assert refused(endpoint, **everything) is None
    closed = {"floor": {"extraCIDRs": ["198.51.100.0/24", "2a00:1::/64"]}}
    assert "floor.extraCIDRs" in (refused(endpoint, others=closed, **everything) or "")


def test_an_address_of_a_nat64_is_judged_as_the_one_that_it_leads_to() -> None:
    named = {"nat64Prefixes": ["64:ff9b:1::/96", "fd64::/64"]}
    assert refused("https://[64:ff9b:1::808:808]", others=named) is None
    assert refused("https://[fd64::8:808:800:0]", others=named) is None
    assert "nat64Prefixes" in (refused("https://[64:ff9b:1::808:808]") or "")
    for private in ("https://[64:ff9b:1::a14:1]", "https://[fd64::a:1400:100:0]"):
        assert "upstreams.allowedCIDRs" in (refused(private, others=named) or "")
        assert refused(private, others=named, allowedCIDRs=["10.20.0.0/16"]) is None
    assert "where the gateway never leads" in (refused("https://[fd64::a9:fea9:fe00:0]", others=named) or "")


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f.0x1", "1.2.3.4.5"])
def test_a_number_is_no_name(host: str) -> None:
    assert "four decimal numbers" in (refused(f"https://{host}") or "")


def test_a_name_without_a_dot_leads_nowhere_unless_the_chart_says_where() -> None:
    assert "models.team-a.svc" in (refused("https://models") or "")
    assert refused("https://models", addressOverrides={"models": "10.96.1.2"}) is None
    assert refused("https://models.team-a.svc", allowedHosts=["*.svc"]) is None


PERMITTED = ["10.20.0.0/16", "fd00::/8", "34.118.225.0/24"]


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
        (["168.63.129.16/32", "fd00:ec2::/64"], "never leads to 168.63.129.16/32, fd00:ec2::/64"),
        (["64:ff9b:1:2::/64"], "never leads to 64:ff9b:1:2::/64"),
        (["198.51.100.0/25"], "never leads to 198.51.100.0/25"),
        (["34.118.224.0/20", "2600:1f14:1::7/128"], "34.118.224.0/20, 2600:1f14:1::7/128 is the cluster's own; "),
        (["34.118.225.128/25"], None),
        (["34.118.224.0/19", "34.118.0.0/16", "2600:1f14:1::/48"], None),
        (["34.118.226.0/24", "10.0.0.0/8"], "egress.permittedCIDRs: [10.0.0.0/8, 34.118.226.0/24]"),
    ],
    ids=[
        *("public", "permitted", "everything public", "wider than permitted", "private", "metadata", "loopback"),
        *("other metadata", "a NAT64 that nobody named", "closed by the chart"),
        *(
            "the cluster's own",
            "the cluster's own, permitted",
            "wider than the cluster's own",
            "the cluster's own and a private one",
        ),
    ],
)
def test_ranges(cidrs: list[str], words: str | None) -> None:
    found = refused_ranges(
        cidrs, settings(egress={"permittedCIDRs": PERMITTED}, floor={"extraCIDRs": ["198.51.100.0/24"]}), OWN
    )
    assert found is None if words is None else words in (found or "")


@pytest.mark.row("S29")
@pytest.mark.parametrize(
    "host",
    [
        "models.team-a.svc",
        "models.team-a.svc.cluster.local",
        "MODELS.team-a.svc".lower(),
        "ai.corp.internal",
        "nas.local",
        "x.home.arpa",
    ],
)
def test_a_name_that_can_only_be_inside_is_refused_unless_the_chart_names_it(host: str) -> None:
    message = refused(f"https://{host}:8443/v1")
    assert message is not None
    assert message.endswith(f"upstreams.allowedHosts: [{host}]")
    assert refused(f"https://{host}", allowedHosts=[host]) is None
    assert refused(f"https://{host}", allowedHosts=[f"*.{host.partition('.')[2]}"]) is None
    assert refused(f"https://{host}", addressOverrides={host: "10.1.2.3"}) is None
    assert refused(f"https://{host}", allowedCIDRs=["10.0.0.0/8"]) is None, "what DNS says of it alone decides"
    assert refused(f"https://{host}", allowedHosts=["other.example"]) is not None


@pytest.mark.row("S29")
@pytest.mark.parametrize(
    "host", ["internal.example", "svc.example.com", "api.prod.svc.example.com", "local.example", "mylocal"]
)
def test_a_public_name_that_looks_like_one_is_not(host: str) -> None:
    message = refused(f"https://{host}")
    assert message is None or "has no dot" in message
