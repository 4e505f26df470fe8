"""Which families a pod uses, on which devices: what kernels say of addresses, word for word. And this machine's own kernel, asked."""

import socket
import subprocess

import pytest

from devbox_init.families import IFREQ, Family, devices_ipv4, devices_ipv6, ways_out
from devbox_init.kernel import families_in_use

LOOPBACK = "00000000000000000000000000000001 01 80 10 80       lo\n"
LINK_LOCAL = "fe80000000000000a0cb42fffe1fa197 03 40 20 80     eth0\n"
UNIQUE_LOCAL = "fd000010024400000000000000000007 03 40 00 80     eth0\n"
TENTATIVE = "fd000010024400000000000000000007 03 40 00 c0     eth0\n"
DEPRECATED = "20010db8000000000000000000000005 03 40 00 e0     eth0\n"
GVISOR = "00000000000000000000000000000001 01 80 00 00       lo\nfe80000000000000a0cb42fffe1fa197 02 40 00 00     eth0\n"
GVISOR_GLOBAL = "fd000010024400000000000000000007 02 40 00 00     eth0\n"
SECOND = "fd000010024500000000000000000009 04 40 00 80     net1\n"
SECOND_LINK_LOCAL = "fe80000000000000a0cb42fffe1fa198 04 40 20 80     net1\n"
ON_LOOPBACK_DEVICE = "fd000203000000000000000000000001 01 40 00 80       lo\n"


@pytest.mark.parametrize(
    ("table", "devices"),
    [
        ("", ""),
        (LOOPBACK, ""),
        (LINK_LOCAL + LOOPBACK, ""),
        (LINK_LOCAL + UNIQUE_LOCAL + LOOPBACK, "eth0"),
        (UNIQUE_LOCAL, "eth0"),
        (TENTATIVE + LINK_LOCAL + LOOPBACK, "eth0"),
        (DEPRECATED + LINK_LOCAL + LOOPBACK, "eth0"),
        (GVISOR, ""),
        (GVISOR + GVISOR_GLOBAL, "eth0"),
        (LOOPBACK + ON_LOOPBACK_DEVICE, "lo"),
        (UNIQUE_LOCAL + DEPRECATED, "eth0"),
        (UNIQUE_LOCAL + SECOND + LINK_LOCAL, "eth0 net1"),
        (UNIQUE_LOCAL + SECOND_LINK_LOCAL, "eth0"),
    ],
    ids=[
        "none at all",
        "loopback",
        "what every device has by itself",
        "the pod's own",
        "alone",
        "just coming",
        "just going",
        "gVisor's, which has no scopes",
        "and the pod's own there",
        "the loopback device's own",
        "two on one device",
        "a second device",
        "one with nothing but what it has by itself",
    ],
)
def test_ipv6(table: str, devices: str) -> None:
    assert devices_ipv6(table) == set(devices.split())


def ifreq(device: str, address: str) -> bytes:
    """As a kernel of 64 bits answers."""
    name, where = device.encode().ljust(16, b"\0"), socket.inet_aton(address)
    return (name + (2).to_bytes(2, "little") + bytes(2) + where).ljust(IFREQ, b"\0")


def test_the_records_are_those_of_a_kernel() -> None:
    """What one answered, in a network with loopback, a /32 as Calico's pods have it, and the second device of EKS."""
    answer = bytes.fromhex(
        "6c6f0000000000000000000000000000020000007f00000100000000000000000000000000000000"
        "65746830000000000000000000000000020000000af4000700000000000000000000000000000000"
        "7634696630000000000000000000000002000000a9feac0200000000000000000000000000000000"
    )
    assert ifreq("lo", "127.0.0.1") + ifreq("eth0", "10.244.0.7") + ifreq("v4if0", "169.254.172.2") == answer


@pytest.mark.parametrize(
    ("addresses", "devices"),
    [
        ([], ""),
        ([("lo", "127.0.0.1")], ""),
        ([("lo", "127.0.0.1"), ("lo", "127.0.0.53")], ""),
        ([("lo", "127.0.0.1"), ("eth0", "10.244.0.7")], "eth0"),
        ([("lo", "127.0.0.1"), ("v4if0", "169.254.172.2")], "v4if0"),
        ([("lo", "127.0.0.1"), ("lo", "10.203.0.1")], "lo"),
        ([("eth0", "10.244.0.7"), ("eth0:1", "10.244.0.8"), ("eth0:dhcp", "10.244.0.9")], "eth0"),
        ([("eth0", "10.244.0.7"), ("net1", "192.168.7.2")], "eth0 net1"),
        ([("a-name-of-15-ch.", "10.244.0.7")], "a-name-of-15-ch."),
    ],
    ids=[
        "none at all",
        "loopback",
        "more of it",
        "the pod's own",
        "a way out of the node's",
        "the loopback device's own",
        "more addresses of one device",
        "a second device",
        "a name that fills its place",
    ],
)
def test_ipv4(addresses: list[tuple[str, str]], devices: str) -> None:
    assert devices_ipv4(b"".join(ifreq(*one) for one in addresses)) == set(devices.split())


def test_a_device_is_a_way_out_once_whatever_families_it_has() -> None:
    assert ways_out([{"eth0", "lo"}, {"eth0"}]) == {"eth0"}
    assert ways_out([{"v4if0"}, {"eth0"}]) == {"eth0", "v4if0"}, "one each is two"
    assert ways_out([{"lo"}, {"lo"}]) == ways_out([]) == set()


def test_this_kernel_says_what_ip_says() -> None:
    """Other families or devices than the right ones would hold every agent back, or none."""
    for family, flag in ((Family.IPV4, "-4"), (Family.IPV6, "-6")):
        lines = subprocess.run(["ip", "-o", flag, "addr"], capture_output=True, text=True, check=True).stdout.splitlines()
        words = [line.split() for line in lines]
        own = {device.partition("@")[0] for _, device, _, one, *_ in words if not one.startswith(("127.", "::1/", "fe80:"))}
        assert families_in_use().get(family, set()) == own, words
