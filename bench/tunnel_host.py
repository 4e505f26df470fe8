"""The host at a tunnel's end: `python -m bench.tunnel_host HOST PORT`. It greets a ClientHello, and sends to whoever says a word more."""

import contextlib
import sys
import threading
from socket import create_server, socket

from .tunnel import GREETING, HELLO, PIECE


def serve(one: socket) -> None:
    """One connection."""
    with one, contextlib.suppress(OSError):
        got = 0
        while got < len(HELLO):
            part = len(one.recv(1 << 16))
            if not part:
                return
            got += part
        one.sendall(GREETING)
        while one.recv(1 << 16):
            while True:
                one.sendall(PIECE)


if __name__ == "__main__":
    listener = create_server((sys.argv[1], int(sys.argv[2])), backlog=1024)
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
