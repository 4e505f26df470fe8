"""What a request costs the gateway beside what it costs whoever sends it, both in processor time: SECURITY.md's hundred times.

Goes in: a gateway, and bytes that were made before. Comes out: rows. The sender is a thread with plain sockets that does
nothing but send and read; what the kernel does for a packet on its way through loopback counts as the sender's, so that on a wire the
ratio is somewhat worse.
"""

import asyncio
import contextlib
import socket
import time
from typing import Final

from tests.support.gateway_process import HOST
from tests.support.kube_api import jwt
from tests.support.netns import GATEWAY
from tests.unit.proxy.hellos import client_hello

from .client import Target
from .report import Row
from .world import World, world

MOST: Final = 100.0
"""Times what it costs the sender: SECURITY.md."""
SECONDS: Final = 5.0
DEVBOXES: Final = 20
"""As many as there are sorts of requests, or more."""
MINE: Final = "gws_the-senders-own"
"""Where the sender's token belongs."""
CONNECTIONS: Final = 4000
"""From one address: with more the kernel looks ever longer for a free port, which would count as the sender's cost."""


class Sender:
    """One connection after another, each with the same bytes."""

    def __init__(self, source: str, target: Target, data: bytes, seconds: float) -> None:
        self._source, self._target, self._data, self._seconds = source, target, data, seconds
        self.count = 0
        self.cpu_seconds = 0.0

    def run(self) -> None:
        """In a thread of its own."""
        began, until = time.thread_time(), time.monotonic() + self._seconds
        while time.monotonic() < until and self.count < CONNECTIONS:
            # (A gateway that closes at once may reset what is still on its way.)
            with contextlib.suppress(ConnectionError, TimeoutError), socket.socket() as one:
                one.settimeout(2.0)
                one.bind((self._source, 0))
                one.connect(self._target)
                one.sendall(self._data)
                one.shutdown(socket.SHUT_WR)
                while one.recv(1 << 16):
                    pass
            self.count += 1
        self.cpu_seconds = time.thread_time() - began


def requests(other: str) -> dict[str, bytes]:
    """What to send to the data port, in clear; `other`: somebody else's token."""
    unknown = f"gws_{jwt(7, 'uid-of-nobody', aud=['devbox-gateway.io/API'])}"

    def head(*lines: str, token: str = unknown, line: str = "GET / HTTP/1.1") -> bytes:
        return "\r\n".join([line, f"Host: {HOST}", f"x-api-key: {token}", *lines, "", ""]).encode()

    chunk = b"1\r\nx\r\n"
    return {
        "nothing but a connection": b"",
        "one byte": b"G",
        "no HTTP": b"\x16\x03\x01" * 20,
        "no token": f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode(),
        "a token that nobody issued": head(),
        "somebody else's token": head(token=other),
        "a token in each of 40 headers": head(*(f"x-{number}: {unknown}" for number in range(40))),
        "a head of 60 KiB": head(*(f"x-{number}: {'v' * 1500}" for number in range(40))),
        "a target of 8,000 bytes, escaped": head(line=f"GET /{'%2e%2f' * 1300} HTTP/1.1"),
        "a query of 900 values": head(line=f"GET /?{'&'.join(f'a{n}=gws_' for n in range(900))} HTTP/1.1"),
        "64 requests behind one another": head() * 64,
        "a request that is served": head("Connection: close", token=MINE),
        "a body of 1,000 chunks of a byte": head(
            "Transfer-Encoding: chunked", "Connection: close", token=MINE, line="POST / HTTP/1.1"
        )
        + chunk * 1000
        + b"0\r\n\r\n",
        "the same with a token that nobody issued": head("Transfer-Encoding: chunked", line="POST / HTTP/1.1") + chunk * 1000,
    }


def tunnels() -> dict[str, bytes]:
    """What to send to the forward proxy."""
    line = "CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com:443\r\n"
    return {
        "a CONNECT without a token": f"{line}\r\n".encode(),
        "a CONNECT with a token of no shape": f"{line}Proxy-Authorization: Bearer {'gws_' * 300}\r\n\r\n".encode(),
    }


async def costs(long: bool) -> list[Row]:
    """All of them, one sort after another, each from a devbox of its own."""
    seconds, rows = SECONDS if long else 0.4, list[Row]()
    async with world(listen={"host": GATEWAY, "tls": None}) as stage:
        other, *senders = [stage.devbox(number) for number in range(DEVBOXES)]
        await stage.known(DEVBOXES)
        ports = {False: stage.gateway.address, True: (GATEWAY, stage.gateway.process.egress)}
        sorts = [(False, *item) for item in requests(stage.token(other)).items()] + [
            (True, *item) for item in tunnels().items()
        ]
        for (tunnel, name, data), devbox in zip(sorts, senders[: len(sorts)], strict=True):
            sent = data.replace(MINE.encode(), stage.token(devbox).encode())
            rows.append(await _row(stage, name, Sender(devbox.address, ports[tunnel], sent, seconds)))
    async with world(limits={"handshakesPerDevbox": 100_000}) as stage:
        sender = Sender(stage.devbox(0).address, stage.gateway.address, client_hello(HOST), seconds)
        rows.append(await _row(stage, "a ClientHello, with no pace", sender))
    return rows


async def _row(stage: World, name: str, sender: Sender) -> Row:
    before = stage.gateway.process.cpu_seconds
    await asyncio.to_thread(sender.run)
    spent = stage.gateway.process.cpu_seconds - before
    ratio = spent / sender.cpu_seconds
    own, its = (f"{cpu / sender.count * 1e6:.0f} us" for cpu in (spent, sender.cpu_seconds))
    measured = f"{own} beside {its}: {ratio:.1f} times; {sender.count} sent"
    return Row(f"cost of {name}", f"less than {MOST:.0f} times the sender's", measured, ratio < MOST)
