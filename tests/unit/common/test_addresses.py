"""Addresses within addresses, and what nothing leads to."""

from ipaddress import IPv4Address, IPv6Network, ip_address, ip_network

import pytest

from devbox_common.addresses import (
    UNKNOWN_NAT64,
    embedded,
    nat64_prefix,
    never,
    never_range,
    public,
    public_range,
    translated,
)

EXAMPLES = {
    # RFC 6052 2.4: 192.0.2.33 behind prefixes of every length.
    "2001:db8::/32": "2001:db8:c000:221::",
    "2001:db8:100::/40": "2001:db8:1c0:2:21::",
    "2001:db8:122::/48": "2001:db8:122:c000:2:2100::",
    "2001:db8:122:300::/56": "2001:db8:122:3c0:0:221::",
    "2001:db8:122:344::/64": "2001:db8:122:344:c0:2:2100::",
    "2001:db8:122:344::/96": "2001:db8:122:344::192.0.2.33",
}


@pytest.mark.parametrize("prefix", EXAMPLES)
def test_every_length_of_prefix_is_read_as_its_rfc_says(prefix: str) -> None:
    found = translated(ip_address(EXAMPLES[prefix]), (nat64_prefix(prefix),))
    assert found == IPv4Address("192.0.2.33")


def test_of_prefixes_in_one_another_the_longest_leads_and_all_count() -> None:
    prefixes = tuple(map(nat64_prefix, ("2001:db8:122::/48", "2001:db8:122:344::/96")))
    address = ip_address("2001:db8:122:344::192.0.2.33")
    assert translated(address, prefixes) == IPv4Address("192.0.2.33")
    assert set(embedded(address, prefixes)) == {IPv4Address("192.0.2.33"), IPv4Address("3.68.0.0")}


@pytest.mark.parametrize("text", ["64:ff9b:1::/47", "64:ff9b:1::/100", "10.0.0.0/8", "64:ff9b:1::1/96", "nonsense", ""])
def test_what_is_no_nat64_prefix_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"NAT64 prefix has a length|no IPv6 prefix"):
        nat64_prefix(text)


@pytest.mark.parametrize(
    ("address", "inner"),
    [
        ("::ffff:169.254.169.254", "169.254.169.254"),
        ("64:ff9b::a9fe:a9fe", "169.254.169.254"),
        ("2002:a9fe:a9fe::", "169.254.169.254"),
        ("2001:db8::200:5efe:a9fe:a9fe", "169.254.169.254"),
        ("::ffff:0:169.254.169.254", "169.254.169.254"),
        ("::169.254.169.254", "169.254.169.254"),
    ],
)
def test_what_is_within_counts(address: str, inner: str) -> None:
    assert IPv4Address(inner) in embedded(ip_address(address))
    assert never(ip_address(address)) is not None


@pytest.mark.parametrize("length", [48, 56, 64, 96])
def test_a_local_nat64_is_closed_until_its_prefix_is_named(length: int) -> None:
    """RFC 8215 gives the /48 to whoever has a use for it, in prefixes of any length: until the length is known, nobody knows which four
    octets are the IPv4 address."""
    prefix = IPv6Network((int(IPv6Network("64:ff9b:1::/48").network_address), length))
    leads_to = {"169.254.169.254": "a cloud's metadata service", "93.184.216.34": None}
    for inner, expected in leads_to.items():
        address = ip_address(_behind(prefix, int(IPv4Address(inner))))
        assert never(address) in (UNKNOWN_NAT64, "a cloud's metadata service")
        assert never(address, (prefix,)) == expected
        assert translated(address, (prefix,)) == IPv4Address(inner)


def _behind(prefix: IPv6Network, inner: int) -> int:
    """RFC 6052 2.3, bit by bit."""
    value, place = int(prefix.network_address), prefix.prefixlen
    for bit in range(32):
        place += 8 if place == 64 else 0
        value |= (inner >> 31 - bit & 1) << 127 - place
        place += 1
    return value


def test_ranges_that_nothing_leads_to() -> None:
    for closed in ("169.254.0.0/17", "168.63.129.16/32", "fd00:ec2::/64", "64:ff9b:1::/48", "::1/128"):
        assert never_range(ip_network(closed)), closed
    for other in ("0.0.0.0/0", "168.63.0.0/16", "fd00::/8", "64:ff9b::/32"):
        assert not never_range(ip_network(other)), other
    assert not never_range(ip_network("64:ff9b:1:1::/64"), (nat64_prefix("64:ff9b:1:1::/96"),))


@pytest.mark.parametrize(
    "text",
    [
        *(
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "172.32.0.0",
            "192.0.0.9",
            "192.0.0.10",
            "192.0.1.0",
        ),
        *("198.17.255.255", "198.20.0.0", "239.255.255.255"),
        *("2000::", "2001:1::1", "2001:20::1", "2001:3::1", "2001:200::", "2606:4700::1111", "3ffe::1", "3fff:1000::"),
    ],
)
def test_what_is_anybodys_is_public_on_every_python(text: str) -> None:
    assert public(ip_address(text))


@pytest.mark.parametrize(
    "text",
    [
        *("0.1.2.3", "10.0.0.0", "100.64.0.0", "100.127.255.255", "127.0.0.1", "169.254.0.1", "172.16.0.0", "172.31.255.255"),
        *("192.0.0.8", "192.0.0.11", "192.0.0.171", "192.0.2.1", "192.168.0.0", "198.18.0.0", "198.19.255.255"),
        *("198.51.100.7", "203.0.113.7", "240.0.0.1", "255.255.255.255"),
        *(
            "::",
            "::1",
            "::8.8.8.8",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "64:ff9b:1::1",
            "100::1",
            "1fff::",
            "2001::1",
            "2001:2::1",
        ),
        *(
            "2001:db8::1",
            "2002:808:808::",
            "3fff::1",
            "3fff:fff::1",
            "4000::",
            "5f00::1",
            "fc00::1",
            "fdff::1",
            "fe80::1",
            "fec0::1",
        ),
        "ff0e::1",
    ],
)
def test_what_is_for_private_or_special_use_is_not_public_on_any_python(text: str) -> None:
    assert not public(ip_address(text))


@pytest.mark.parametrize(
    ("text", "some"),
    [
        *(("0.0.0.0/0", True), ("::/0", True), ("10.0.0.0/7", True), ("10.0.0.0/8", False), ("100.64.0.0/10", False)),
        *(
            ("192.0.0.0/24", False),
            ("192.0.0.9/32", True),
            ("192.0.0.8/30", False),
            ("2001:20::/28", True),
            ("2001::/23", False),
        ),
        *(("2002::/16", False), ("2002::/15", True), ("3fff::/20", False), ("fc00::/7", False), ("fd00::/8", False)),
        *(("64:ff9b::/96", True), ("64:ff9b:1::/48", False), ("::ffff:10.0.0.0/104", False), ("34.118.224.0/20", True)),
    ],
)
def test_a_range_is_public_where_some_of_it_is(text: str, some: bool) -> None:
    assert public_range(ip_network(text)) is some
