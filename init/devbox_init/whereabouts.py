"""The question that a pod asks the gateway through its Service, and the answer: which of the gateway's pods it was.

Goes in: the bytes of an answer, and the address that was asked. Comes out: that pod's own address and ports, or None. Pure.
The other side is whereabouts.py of the gateway, which says the same by itself, since this imports nothing of ours.

The Service balances each connection for itself. Two of them say something of one gateway only if both went to it.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

ASKING: Final = b"OPTIONS * HTTP/1.1\r\nHost: whereabouts.devbox-gateway.invalid\r\n\r\n"
MOST: Final = 1024
"""Bytes of an answer."""
_ANSWER: Final = re.compile(
    rb"HTTP/1\.1 204 [^\r\n]*\r\n(?:[^\r\n]+\r\n)*?"
    rb"Devbox-Gateway-Pod: ([0-9a-f.:]{2,39}) ([0-9]{1,5}) ([0-9]{1,5})\r\n"
    rb"(?:[^\r\n]+\r\n)*\r\n"
)
_PORTS: Final = range(1, 65536)


@dataclass(frozen=True)
class Whereabouts:
    """One of the gateway's pods."""

    address: str
    data: int
    canary: int


def read(answer: bytes, asked: str) -> Whereabouts | None:
    """What it says, if it says it in this very form. `asked`: the address through which, of whose family the pod's own has to be."""
    found = _ANSWER.fullmatch(answer) if len(answer) <= MOST else None
    if found is None:
        return None
    data, canary = int(found[2]), int(found[3])
    try:
        address, through = ip_address(found[1].decode("ascii")), ip_address(asked)
    except ValueError:
        return None
    if address.version != through.version or not _reachable(address, through) or data == canary:
        return None
    return Whereabouts(str(address), data, canary) if data in _PORTS and canary in _PORTS else None


def whole(answer: bytes) -> bool:
    """Nothing more is waited for."""
    return b"\r\n\r\n" in answer or len(answer) > MOST


def crowded(answer: bytes) -> bool:
    """It will not say, for the sake of its canary."""
    return answer.startswith(b"HTTP/1.1 503 ")


def _reachable(address: IPv4Address | IPv6Address, through: IPv4Address | IPv6Address) -> bool:
    """From one pod to another. Loopback would be the asking pod itself, but where the gateway was asked there."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return False
    return not (address.is_unspecified or address.is_multicast or (address.is_loopback and not through.is_loopback))
