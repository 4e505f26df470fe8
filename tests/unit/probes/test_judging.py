"""What counts as a leak, and how the counters are read."""

from typing import Any

import pytest
from tests.probes.catcher import Zone
from tests.probes.counters import Packets, parsed
from tests.probes.names import KEPT_PUBLIC, OTHER_PUBLIC, PUBLIC, PUBLIC6
from tests.probes.report import Verdict, failed
from tests.probes.world import in_cluster, is_allowed, is_canary

from devbox_proxy.known.floor import Floor
from devbox_proxy.upstreams.dial_check import UpstreamReach, permitted

GATEWAYS = {"10.244.0.9"}


@pytest.mark.parametrize(
    ("destination", "protocol", "port", "allowed"),
    [
        ("10.244.0.9", "tcp", 8443, True),
        ("10.244.0.9", "tcp", 3128, True),
        ("10.244.0.9", "tcp", 8479, False),
        ("10.244.0.9", "tcp", 8080, False),
        ("10.244.0.9", "udp", 8443, False),
        ("10.244.0.10", "tcp", 8443, False),
        ("203.0.113.7", "tcp", 443, False),
        ("10.99.0.1", "tcp", 31999, True),
        ("10.99.0.1", "tcp", 10250, False),
        ("fd42:99::1", "tcp", 31999, True),
        ("fd42:244::a", "tcp", 8443, False),
        ("ff02::2", "icmpv6", 0, False),
        ("ff02::1", "udp", 0, False),
        ("fe80::1", "icmpv6", 0, False),
    ],
)
def test_a_leak_is_what_goes_anywhere_but_to_the_gateways_ports(
    destination: str, protocol: str, port: int, allowed: bool
) -> None:
    assert is_allowed(Packets("10.244.0.5", destination, protocol, port, 1), GATEWAYS) is allowed


@pytest.mark.parametrize(
    ("destination", "protocol", "port", "canary"),
    [
        ("10.244.0.9", "tcp", 8479, True),
        ("10.96.0.7", "tcp", 8479, True),
        ("10.244.0.9", "udp", 8479, False),
        ("10.244.0.9", "tcp", 8080, False),
        ("10.244.0.10", "tcp", 8479, False),
        ("203.0.113.7", "tcp", 8479, False),
    ],
)
def test_probes_of_the_canary_are_told_apart_by_address_protocol_and_port(
    destination: str, protocol: str, port: int, canary: bool
) -> None:
    assert is_canary(Packets("10.244.0.5", destination, protocol, port, 1), {"10.244.0.9", "10.96.0.7"}) is canary


def test_what_leaves_the_cluster_needs_a_proof() -> None:
    outside = (PUBLIC, KEPT_PUBLIC, OTHER_PUBLIC, "169.254.169.254", "10.200.1.1")
    assert not any(in_cluster(one) for one in (*outside, PUBLIC6, "fd12:3456::1", "64:ff9b::a9fe:a9fe", "::ffff:1.1.1.1"))
    inside = ("10.244.0.9", "10.96.0.1", "10.99.0.1", "127.0.0.1", "224.0.0.1")
    assert all(
        in_cluster(one) for one in (*inside, "fd42:244::9", "fd42:96::1", "fd42:99::1", "::1", "fe80::1", "::ffff:127.0.0.1")
    )


def test_the_dial_check_takes_the_allowed_hosts_for_public() -> None:
    assert permitted("allowed", [PUBLIC, KEPT_PUBLIC, OTHER_PUBLIC, PUBLIC6], UpstreamReach(), Floor())


@pytest.mark.parametrize(
    ("concat", "expected"),
    [
        (["10.244.0.5", "203.0.113.7", "tcp", 443], Packets("10.244.0.5", "203.0.113.7", "tcp", 443, 3)),
        (["10.244.0.5", "203.0.113.7", "icmp"], Packets("10.244.0.5", "203.0.113.7", "icmp", 0, 3)),
        (["10.244.0.5", "203.0.113.7", 253], Packets("10.244.0.5", "203.0.113.7", "253", 0, 3)),
        (["fd42:244::5", "2001:db8::7", "tcp", 443], Packets("fd42:244::5", "2001:db8::7", "tcp", 443, 3)),
        (["fe80::5", "fe80::6", 6], Packets("fe80::5", "fe80::6", "tcp", 0, 3)),
    ],
)
def test_the_kernels_sets_are_read(concat: list[Any], expected: Packets) -> None:
    element = {"elem": {"val": {"concat": concat}, "counter": {"packets": 3, "bytes": 1}}}
    listed = {"nftables": [{"metainfo": {}}, {"set": {"name": "empty"}}, {"set": {"name": "one", "elem": [element]}}]}
    assert parsed(listed) == [expected]


def test_a_name_that_rebinds_has_another_answer_each_time() -> None:
    zone = Zone({"a.example": [["203.0.113.7"], ["127.0.0.1"]]})
    assert [zone("a.example"), zone("a.example"), zone("a.example")] == [["203.0.113.7"], ["127.0.0.1"], ["203.0.113.7"]]
    assert zone("unknown.example") == []


def test_what_is_shown_and_not_judged_fails_nothing() -> None:
    verdicts = [Verdict("a", "", "", "", held) for held in (True, None, False)]
    assert len(failed(verdicts)) == 1
