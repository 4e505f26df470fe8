"""No endpoint gives its author the gateway's place in the network."""

import pytest

from devbox_proxy.destinations import Policy, Refused, Resolver, permitted
from devbox_proxy.settings import Upstreams

FLOOR = frozenset({"10.99.0.1", "203.0.113.9"})
OPEN = Policy(allowed_cidrs=("0.0.0.0/0", "::/0"), allowed_hosts=("*.example",))


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:4700::1111"])
def test_public_addresses_may_be_dialled(address: str) -> None:
    assert permitted("api.example.com", [address], Policy(), FLOOR) == [address]


@pytest.mark.parametrize(
    "address",
    [
        *(
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "198.18.0.1",
            "192.0.2.1",
            "240.0.0.1",
            "fd00::1",
            "2001:db8::1",
        ),
        *("::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::", "fec0::1"),
    ],
)
def test_private_addresses_need_a_name_in_the_settings(address: str) -> None:
    with pytest.raises(Refused, match=r"upstreams\.allowedHosts or allowedCIDRs"):
        permitted("models.example", [address], Policy(), FLOOR)
    assert permitted("models.example", [address], Policy(allowed_hosts=("models.example",)), FLOOR)
    assert permitted(
        "models.example", [address], Policy(allowed_cidrs=(f"{address}/128" if ":" in address else f"{address}/32",)), FLOOR
    )


@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1",
            "127.8.8.8",
            "0.0.0.0",  # noqa: S104 (never bound)
            "::1",
            "::",
            "169.254.169.254",
            "169.254.1.1",
            "fe80::1",
            "224.0.0.1",
            "ff02::1",
        ),
        *("fd00:ec2::254", "100.100.100.200", "10.99.0.1", "203.0.113.9"),
        *("168.63.129.16", "::ffff:168.63.129.16", "192.0.0.192", "fd20:ce::254", "fd00:ec2::23"),
        *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "2002:7f00:1::", "::ffff:10.99.0.1"),
        *("64:ff9b:1::a9fe:a9fe", "::127.0.0.1", "::ffff:0:127.0.0.1", "2001:db8::5efe:7f00:1", "2001:db8::200:5efe:a9fe:a9fe"),
    ],
)
def test_nothing_lifts_the_floor(address: str) -> None:
    with pytest.raises(Refused):
        permitted("a.example", [address], OPEN, FLOOR)


def test_one_bad_address_among_good_ones_refuses_the_host() -> None:
    with pytest.raises(Refused):
        permitted("a.example", ["93.184.216.34", "127.0.0.1"], OPEN, FLOOR)
    with pytest.raises(Refused):
        permitted("a.example", [], OPEN, FLOOR)


async def test_an_override_is_dialled_but_not_below_the_floor() -> None:
    policy = Policy.of(Upstreams(address_overrides={"api.anthropic.com": "10.96.1.2:8443", "a.example": "10.99.0.1"}))
    resolver = Resolver(policy, lambda: FLOOR)
    assert await resolver.resolve("api.anthropic.com", 443) == [("10.96.1.2", 8443)]
    with pytest.raises(Refused):
        await resolver.resolve("a.example", 443)


@pytest.mark.parametrize("text", ["10.0.0.1:x", "example.com", "10.0.0.300", ""])
def test_an_override_that_is_no_address_is_refused_at_start(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Policy.of(Upstreams(address_overrides={"a.example": text}))
