"""Packets of pods, counted behind the NetworkPolicies: by source, destination, protocol and port, in the kernel.

Goes in: nothing. Comes out: `Packets`, one row for each flow's key. The sets sit in the hooks `forward` and `input` at a priority
after the filters of kube-router, so that a packet which a policy drops or rejects is not counted, and one that passes is, wherever
it goes: the sinkhole, a pod, a Service (by then it is a pod's address), the API server, the node. Another set, in the sinkhole, counts
what arrives there. What answers the
other side (kubelet, for one) is not counted; what has no connection, such as a stray ACK, is. Nor is what IPv6 needs to find
neighbours, which never leaves the link.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from devbox_cluster import config

from .shell import INSIDE, NAMESPACE, nft, run

_SETS: Final = """
  set ports4 { type ipv4_addr . ipv4_addr . inet_proto . inet_service; flags dynamic; size 65535; counter; }
  set others4 { type ipv4_addr . ipv4_addr . inet_proto; flags dynamic; size 65535; counter; }
  set ports6 { type ipv6_addr . ipv6_addr . inet_proto . inet_service; flags dynamic; size 65535; counter; }
  set others6 { type ipv6_addr . ipv6_addr . inet_proto; flags dynamic; size 65535; counter; }
  chain count {
    ct direction reply return
    icmpv6 type { mld-listener-report, mld-listener-done, mld2-listener-report } return
    icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert } return
    meta nfproto ipv4 meta l4proto { tcp, udp, sctp } update @ports4 { ip saddr . ip daddr . meta l4proto . th dport }
    meta nfproto ipv4 meta l4proto != { tcp, udp, sctp } update @others4 { ip saddr . ip daddr . meta l4proto }
    meta nfproto ipv6 meta l4proto { tcp, udp, sctp } update @ports6 { ip6 saddr . ip6 daddr . meta l4proto . th dport }
    meta nfproto ipv6 meta l4proto != { tcp, udp, sctp } update @others6 { ip6 saddr . ip6 daddr . meta l4proto }
  }
"""
_NODE: Final = f"""
table inet {NAMESPACE} {{
  {_SETS}
  chain forwarded {{
    type filter hook forward priority 50; policy accept;
    iifname "{config.POD_DEVICE}" jump count
  }}
  chain received {{
    type filter hook input priority 50; policy accept;
    iifname "{config.POD_DEVICE}" jump count
  }}
}}
"""
_TRIED: Final = f"""
table bridge {NAMESPACE} {{
  set others6 {{ type ipv6_addr . ipv6_addr . inet_proto; flags dynamic; size 65535; counter; }}
  chain came {{
    type filter hook prerouting priority -400; policy accept;
    ether type ip6 update @others6 {{ ip6 saddr . ip6 daddr . meta l4proto }}
  }}
}}
"""
"""In front of every filter, the local cluster's source guard among them: what pods send over IPv6, without ports."""
_SINKHOLE: Final = f"""
table inet {NAMESPACE} {{
  {_SETS}
  chain arrived {{
    type filter hook prerouting priority -300; policy accept;
    iifname != "lo" jump count
  }}
}}
"""
_PROTOCOLS: Final = {"icmp": 1, "tcp": 6, "udp": 17, "ipv6-icmp": 58, "icmpv6": 58, "sctp": 132}
_COUNTED: Final = ("ports4", "others4", "ports6", "others6")
_SERVICES: Final = "-n"
"""Numbers, not names, where nft would say `domain` for 53."""


class Packets(NamedTuple):
    """What was counted under one key."""

    source: str
    destination: str
    protocol: str
    port: int
    """0 where the protocol has none."""
    number: int

    @property
    def shown(self) -> str:
        """For people."""
        port = f":{self.port}" if self.port else ""
        return f"{self.number} of {self.protocol} {self.source} → {self.destination}{port}"


class Counters:
    """The node's and the sinkhole's."""

    def install(self) -> None:
        """Make the sets, empty."""
        nft(_NODE)
        nft(_TRIED)
        nft(_SINKHOLE, where=INSIDE)

    def reset(self) -> None:
        """Forget what was counted. (Not `nft reset`: whole keys go, since pods' addresses are used again.)"""
        script = "\n".join(f"flush set inet {NAMESPACE} {name}" for name in _COUNTED)
        nft(f"{script}\nflush set bridge {NAMESPACE} others6")
        nft(script, where=INSIDE)

    def node(self) -> list[Packets]:
        """What passed the policies."""
        return _read("inet")

    def tried(self) -> list[Packets]:
        """What came to the node over IPv6, whatever became of it. Without ports."""
        return _read("bridge")

    def sinkhole(self) -> list[Packets]:
        """What arrived in the sinkhole, by the address that the pod has."""
        return _read("inet", INSIDE)


def _read(family: str, where: Iterable[str] = ()) -> list[Packets]:
    return parsed(json.loads(run(*where, "nft", "-j", _SERVICES, "list", "table", family, NAMESPACE)))


def parsed(listed: Mapping[str, Any]) -> list[Packets]:
    """The rows of nft's JSON."""
    sets = [item["set"] for item in listed["nftables"] if "set" in item]
    return [_packets(element["elem"]) for one in sets for element in one.get("elem", ())]


def _packets(element: Mapping[str, Any]) -> Packets:
    source, destination, protocol, *port = element["val"]["concat"]
    numbers = {number: name for name, number in _PROTOCOLS.items()}
    name = numbers.get(protocol, str(protocol)) if isinstance(protocol, int) else str(protocol)
    return Packets(source, destination, name, int(port[0]) if port else 0, int(element["counter"]["packets"]))


def listed(packets: Iterable[Packets]) -> str:
    """All of them, for people."""
    return "; ".join(one.shown for one in packets) or "0 packets"


def total(packets: Iterable[Packets], wanted: Callable[[Packets], bool]) -> int:
    """How many of them are wanted."""
    return sum(one.number for one in packets if wanted(one))
