"""The forward proxy's port as `devbox-init` uses it: it says which gateway it is, in the words that the gateway has for it.

Goes in: an address, and where data port and canary are. Comes out: its port.
"""

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator

from devbox_proxy.tunnels.whereabouts import ASKED, Whereabouts, answer


@contextlib.contextmanager
def asked(host: str, data: int, canary: int, *, port: int = 0, says: bytes | None = None) -> Iterator[int]:
    """`says`: whatever is said in place of the answer."""

    class One(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):
                if self.request.recv(1024) == ASKED + b"\r\n\r\n":
                    here = str(self.request.getsockname()[0])
                    self.request.sendall(answer(here, Whereabouts((), data, canary)) if says is None else says)

    class Server(socketserver.ThreadingTCPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        allow_reuse_address = daemon_threads = True
        request_queue_size = 128

    with Server((host, port), One) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()
            thread.join()
