"""What a gateway says of itself to whoever asks on the forward proxy's port: its pod's own address, and its ports.

Goes in: the address that the connection came to. Comes out: an answer as bytes. Pure. The other side is
whereabouts.py of `devbox-init`, which imports nothing of ours.

The Service balances each connection for itself. `devbox-init` asks here which pod it reached, and tries that very one's data port and
canary: a canary that is silent on another pod, which died, would look like a policy at work. So would one that gets more connections than
this process takes: the kernel drops what its queue has no room for, and the data port, which has another queue, answers. While that is
near, nothing is said. What is said is no more than where the connection went; it costs as much as a refusal, no line is written, and the
connection is over with it.
"""

from collections.abc import Collection
from ipaddress import ip_address
from typing import Final, NamedTuple

from devbox_common.door import plain

ASKED: Final = b"OPTIONS * HTTP/1.1\r\nHost: whereabouts.devbox-gateway.invalid"
"""The head, to the letter."""


class Whereabouts(NamedTuple):
    """Of this process."""

    addresses: tuple[str, ...]
    """The pod's own; none where nobody said."""
    data: int
    canary: int


NOWHERE: Final = Whereabouts((), 0, 0)
"""Before the ports are open."""


CROWDED: Final = b"HTTP/1.1 503 Service Unavailable\r\nServer: devbox-gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
"""In place of an answer, while the canary might not answer for the crowd before it."""


def answer(came_to: str, where: Whereabouts) -> bytes:
    """`came_to`: this end of the connection. The pod's own address of the same family is said: something in the pod, such as a mesh's
    sidecar, may have passed the connection on."""
    own = _own(came_to, where.addresses)
    said = f"Devbox-Gateway-Pod: {own} {where.data} {where.canary}\r\n" if own and where.data else ""
    return f"HTTP/1.1 204 No Content\r\n{said}Server: devbox-gateway\r\nConnection: close\r\n\r\n".encode("ascii", "replace")


def _own(came_to: str, addresses: Collection[str]) -> str:
    try:
        here = plain(came_to)
        version = ip_address(here).version
    except ValueError:
        return ""
    return next((one for one in addresses if ip_address(one).version == version), here)
