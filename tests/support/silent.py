"""A port that says nothing, as one behind a firewall that drops."""

import contextlib
import socket
from collections.abc import Iterator


@contextlib.contextmanager
def silent(host: str) -> Iterator[tuple[str, int]]:
    """Its address and port. It listens, its queue has room for one, which is there, and the kernel drops what else wants to come."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family, backlog=0) as server:
        port = int(server.getsockname()[1])
        with socket.create_connection((host, port)):
            yield host, port
