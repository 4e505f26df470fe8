"""What counts as a leak, and how the counters are read."""

from typing import Any

import pytest
from tests.probes.catcher import Zone
from tests.probes.counters import Packets, parsed
from tests.probes.report import Verdict, failed
from tests.probes.world import is_allowed

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
        ("ff02::2", "icmpv6", 0, True),
        ("ff02::1", "udp", 0, False),
        ("fe80::1", "icmpv6", 0, False),
    ],
)
def test_a_leak_is_what_goes_anywhere_but_to_the_gateways_ports(
    destination: str, protocol: str, port: int, allowed: bool
) -> None:
    assert is_allowed(Packets("10.244.0.5", destination, protocol, port, 1), GATEWAYS) is allowed


@pytest.mark.parametrize(
    ("concat", "expected"),
    [
        (["10.244.0.5", "203.0.113.7", "tcp", 443], Packets("10.244.0.5", "203.0.113.7", "tcp", 443, 3)),
        (["10.244.0.5", "203.0.113.7", "icmp"], Packets("10.244.0.5", "203.0.113.7", "icmp", 0, 3)),
        (["10.244.0.5", "203.0.113.7", 253], Packets("10.244.0.5", "203.0.113.7", "253", 0, 3)),
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
