"""The names that the sinkhole's DNS knows, and where each leads. CoreDNS asks it, since a cluster's DNS forwards what it does not know.

Data: name → the answers of one look-up after the other. The zone is of RFC 6761's kind: nobody's. Used by world.py and proxied.py.

The good addresses have to count as public, or the gateway's dial check would refuse them; those of the documentation's ranges don't. So
they are somebody's, and nothing is sent before the kernel says that it ends in the sinkhole (sinkhole.py, `proof`).
"""

from typing import Final

ZONE: Final = "probe.example"
PUBLIC: Final = "140.82.112.3"
KEPT_PUBLIC: Final = "140.82.112.4"
OTHER_PUBLIC: Final = "1.1.1.1"
OWN_RANGE: Final = "9.9.9.0/24"
"""Public, and by the release's `clusterCIDRs` the cluster's own."""
PUBLIC6: Final = "2606:4700:4700::1111"
ALLOWED: Final = f"allowed-ok.{ZONE}"
ALLOWED6: Final = f"allowed-6.{ZONE}"
"""Has an IPv6 address alone."""
KEPT: Final = f"kept.{ZONE}"
LEADS_TO: Final = {
    "to-loopback": "127.0.0.1",
    "to-this-host": "0.0.0.0",  # noqa: S104 (an answer)
    "to-private-10": "10.200.1.1",
    "to-private-172": "172.20.1.1",
    "to-private-192": "192.168.7.7",
    "to-cgnat": "100.64.3.3",
    "to-metadata": "169.254.169.254",
    "to-multicast": "224.0.0.1",
    "to-loopback6": "::1",
    "to-mapped": "::ffff:169.254.169.254",
    "to-mapped-loopback": "::ffff:127.0.0.1",
    "to-nat64": "64:ff9b::a9fe:a9fe",
    "to-6to4": "2002:a9fe:a9fe::1",
    "to-unique-local": "fd00::1",
    "to-api-server": "10.99.0.1",
    "to-service": "10.96.0.1",
    "to-link-local6": "fe80::1",
    "to-node6": "fd42:99::1",
    "to-service6": "fd42:96::1",
    "to-bridge6": "fd42:244::1",
    "to-metadata6": "fd00:ec2::254",
    "to-own-public": "9.9.9.9",
    "to-own-public-embedded": "64:ff9b::909:909",
}
"""Allowed by name, and by the address they lead to never."""
REBINDS: Final = f"rebinds.{ZONE}"
MIXED: Final = f"mixed.{ZONE}"
ANSWERS: Final[dict[str, list[list[str]]]] = {
    ALLOWED: [[PUBLIC]],
    ALLOWED6: [[PUBLIC6]],
    KEPT: [[KEPT_PUBLIC]],
    f"forbidden.{ZONE}": [[OTHER_PUBLIC]],
    f"sub.{ALLOWED}": [[OTHER_PUBLIC]],
    f"xn--llowed-ok-6cg.{ZONE}": [[OTHER_PUBLIC]],
    **{f"{name}.{ZONE}": [[address]] for name, address in LEADS_TO.items()},
    # Each look-up asks for A and for AAAA: four questions, two look-ups.
    REBINDS: [[PUBLIC], [PUBLIC], ["127.0.0.1"], ["169.254.169.254"]],
    MIXED: [[PUBLIC, "169.254.169.254"]],
}
