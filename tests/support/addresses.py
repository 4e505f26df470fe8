"""Where this machine, or the network that a test made, can be reached besides loopback."""

import socket


def own_address() -> str:
    """An address that is not loopback, where no setting lets a gateway lead and which an EndpointSlice may hold. Raises OSError
    where there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # (a datagram's socket: nothing is sent)
        return str(probe.getsockname()[0])
