"""Which families a pod uses: what kernels say of addresses, word for word. And this machine's own kernel, asked."""

import socket
import subprocess

import pytest

from devbox_init.families import IFREQ, Family, uses_ipv4, uses_ipv6
from devbox_init.kernel import families_in_use

LOOPBACK = "00000000000000000000000000000001 01 80 10 80       lo\n"
LINK_LOCAL = "fe80000000000000a0cb42fffe1fa197 03 40 20 80     eth0\n"
UNIQUE_LOCAL = "fd000010024400000000000000000007 03 40 00 80     eth0\n"
TENTATIVE = "fd000010024400000000000000000007 03 40 00 c0     eth0\n"
DEPRECATED = "20010db8000000000000000000000005 03 40 00 e0     eth0\n"
GVISOR = "00000000000000000000000000000001 01 80 00 00       lo\nfe80000000000000a0cb42fffe1fa197 02 40 00 00     eth0\n"
GVISOR_GLOBAL = "fd000010024400000000000000000007 02 40 00 00     eth0\n"
ON_LOOPBACK_DEVICE = "fd000203000000000000000000000001 01 40 00 80       lo\n"


@pytest.mark.parametrize(
    ("table", "used"),
    [
        ("", False),
        (LOOPBACK, False),
        (LINK_LOCAL + LOOPBACK, False),
        (LINK_LOCAL + UNIQUE_LOCAL + LOOPBACK, True),
        (UNIQUE_LOCAL, True),
        (TENTATIVE + LINK_LOCAL + LOOPBACK, True),
        (DEPRECATED + LINK_LOCAL + LOOPBACK, True),
        (GVISOR, False),
        (GVISOR + GVISOR_GLOBAL, True),
        (LOOPBACK + ON_LOOPBACK_DEVICE, True),
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
        "the device does not matter",
    ],
)
def test_ipv6(table: str, used: bool) -> None:
    assert uses_ipv6(table) is used


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
    ("addresses", "used"),
    [
        ([], False),
        ([("lo", "127.0.0.1")], False),
        ([("lo", "127.0.0.1"), ("lo", "127.0.0.53")], False),
        ([("lo", "127.0.0.1"), ("eth0", "10.244.0.7")], True),
        ([("lo", "127.0.0.1"), ("v4if0", "169.254.172.2")], True),
        ([("lo", "127.0.0.1"), ("lo", "10.203.0.1")], True),
    ],
    ids=["none at all", "loopback", "more of it", "the pod's own", "a way out of the node's", "the device does not matter"],
)
def test_ipv4(addresses: list[tuple[str, str]], used: bool) -> None:
    assert uses_ipv4(b"".join(ifreq(*one) for one in addresses)) is used


def test_this_kernel_says_what_ip_says() -> None:
    """Other families than the right ones would hold every agent back, or none."""
    for family, flag in ((Family.IPV4, "-4"), (Family.IPV6, "-6")):
        lines = subprocess.run(["ip", "-o", flag, "addr"], capture_output=True, text=True, check=True).stdout.splitlines()
        words = [line.split()[3] for line in lines]
        own = [one for one in words if not one.startswith(("127.", "::1/", "fe80:"))]
        assert (family in families_in_use()) is bool(own), words
