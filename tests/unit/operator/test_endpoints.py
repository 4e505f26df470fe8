"""Endpoints against the chart's upstream settings."""

from ipaddress import ip_network

import pytest

from devbox_operator.endpoints import refusal, refused_ranges
from devbox_operator.settings import Upstreams

FLOOR = frozenset({"10.99.0.1", "fd00::1", "203.0.113.9"})
GATEWAY = "gateway.rel.svc"


def refused(endpoint: str, **settings: object) -> str | None:
    return refusal(endpoint, Upstreams.model_validate(settings), FLOOR, GATEWAY)


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


PERMITTED = (ip_network("10.20.0.0/16"), ip_network("fd00::/8"))


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
    ],
    ids=["public", "permitted", "everything public", "wider than permitted", "private", "metadata", "loopback"],
)
def test_ranges(cidrs: list[str], words: str | None) -> None:
    found = refused_ranges(cidrs, PERMITTED)
    assert found is None if words is None else words in (found or "")
