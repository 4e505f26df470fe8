"""Many ranges as one set: the same answers as those of the networks themselves, at once."""

import time
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox_common.ranges import Address, Network, Ranges

OVERLAPPING = tuple(map(ip_network, ("10.0.1.0/24", "10.0.0.0/24", "10.0.0.128/25", "10.0.3.0/24", "2600:1f14:1::/56")))


@pytest.mark.parametrize(
    "address", ["10.0.0.0", "10.0.0.255", "10.0.1.0", "10.0.1.255", "10.0.3.7", "2600:1f14:1:ff::", "2600:1f14:1::"]
)
def test_an_address_that_one_of_them_holds(address: str) -> None:
    assert ip_address(address) in Ranges.of(OVERLAPPING)


@pytest.mark.parametrize(
    "address", ["9.255.255.255", "10.0.2.0", "10.0.4.0", "2600:1f14:1:100::", "::a00:1", "0.0.0.1", "ffff::"]
)
def test_an_address_that_none_holds(address: str) -> None:
    assert ip_address(address) not in Ranges.of(OVERLAPPING)
    assert ip_address(address) not in Ranges()


def test_the_ends_of_the_families() -> None:
    everything = Ranges.of(map(ip_network, ("0.0.0.0/0", "::/0")))
    for address in (IPv4Address(0), IPv4Address(2**32 - 1), IPv6Address(0), IPv6Address(2**128 - 1)):
        assert address in everything


@pytest.mark.parametrize(
    ("network", "covered"),
    [
        *(
            ("10.0.0.0/23", True),
            ("10.0.1.128/32", True),
            ("10.0.0.0/22", False),
            ("10.0.2.0/24", False),
            ("10.0.0.0/8", False),
        ),
        *(("2600:1f14:1::/64", True), ("2600:1f14:1::/48", False)),
    ],
)
def test_a_network_that_they_cover_together(network: str, covered: bool) -> None:
    assert Ranges.of(OVERLAPPING).covers(ip_network(network)) is covered
    assert not Ranges().covers(ip_network(network))


small = st.integers(24, 32).flatmap(
    lambda prefix: st.integers(0, 2 ** (prefix - 24) - 1).map(lambda n: ip_network((0x0A000000 + (n << (32 - prefix)), prefix)))
)


@given(st.lists(small, max_size=8), small)
def test_it_says_what_the_networks_say(networks: list[Network], asked: Network) -> None:
    ranges = Ranges.of(networks)

    def held(address: Address) -> bool:
        return any(address in network for network in networks)

    for address in map(IPv4Address, range(0x0A000000 - 1, 0x0A000100 + 1)):
        assert (address in ranges) is held(address)
    assert ranges.covers(asked) is all(map(held, asked))


def test_thousands_cost_what_one_does() -> None:
    """5,000 nodes whose ranges have gaps between them, so that none can be joined: far less than a millisecond for one address."""
    ranges = Ranges.of(ip_network((0x22000000 + (number << 9), 24)) for number in range(5000))
    address = ip_address("34.100.0.7")
    assert address not in ranges
    least = min(_seconds(ranges, address) for _ in range(5))
    assert least < 1e-4


def _seconds(ranges: Ranges, address: Address) -> float:
    began = time.perf_counter()
    for _ in range(100):
        assert address not in ranges
    return (time.perf_counter() - began) / 100
