"""`python -m tests.probes.catcher`: what answers in the sinkhole, on every address.

Goes in, on standard input: the DNS answers as JSON, one line. Comes out: "up", then a banner for each TCP connection that says
something, and an echo for each datagram, on `PORTS`; on port 53, DNS. It
counts nothing: the kernel does (counters.py). Started by sinkhole.py.
"""

import asyncio
import json
import socket
import sys
from collections.abc import Callable
from typing import Final

from tests.support.dns_server import DnsServer

from devbox_cluster.network import has_ipv6

PORTS: Final = (22, 53, 80, 443, 853, 8443, 9999)
BANNER: Final = b"devbox-probes: you should not be here\n"
_PKTINFO: Final = 8
"""IP_PKTINFO, ip(7): which of all addresses a datagram was sent to, so that the answer comes from there."""

_FREEBIND: Final = 78
"""IPV6_FREEBIND, in6.h: it may answer from addresses that no device has."""


class Zone:
    """Names whose answers change from one question to the next, round and round."""

    def __init__(self, answers: dict[str, list[list[str]]]) -> None:
        self._answers = answers
        self._asked: dict[str, int] = {}

    def __call__(self, name: str) -> list[str]:
        listed = self._answers.get(name, [[]])
        number = self._asked.get(name, 0)
        self._asked[name] = number + 1
        return listed[number % len(listed)]


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, dns: DnsServer | None) -> None:
    try:
        if dns is None:
            # Not before something came: through a proxy, a ClientHello that was let through is what counts.
            await asyncio.wait_for(reader.read(65536), 60)
            writer.write(BANNER)
        else:
            await dns.serve(reader, writer)
            return
        await writer.drain()
        while await asyncio.wait_for(reader.read(65536), 60):
            pass  # it is the other side that ends it
    except (OSError, asyncio.IncompleteReadError, TimeoutError):
        pass  # whoever came has gone
    finally:
        writer.close()


def _datagrams(port: int, dns: DnsServer | None) -> None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IP, _PKTINFO, 1)
    sock.bind(("0.0.0.0", port))  # noqa: S104 (every address of a namespace of its own)
    # struct in_pktinfo: interface, the address to send from, the address in the header
    _echo(sock, dns, (socket.IPPROTO_IP, _PKTINFO), lambda info: bytes(4) + info[8:12] + bytes(4))


def _datagrams6(port: int) -> None:
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    sock.setsockopt(socket.IPPROTO_IPV6, _FREEBIND, 1)
    sock.bind(("::", port))
    # struct in6_pktinfo: the address, interface
    _echo(sock, None, (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO), lambda info: info[:16] + bytes(4))


def _echo(sock: socket.socket, dns: DnsServer | None, kind: tuple[int, int], back: Callable[[bytes], bytes]) -> None:
    sock.setblocking(False)

    def answer() -> None:
        data, ancillary, _, peer = sock.recvmsg(65536, 128)
        sent_to = [value for level, number, value in ancillary if (level, number) == kind]
        if not sent_to:
            return

        def send(reply: bytes) -> None:
            sock.sendmsg([reply], [(*kind, back(sent_to[0]))], 0, peer)

        if dns is None:
            send(data)
        else:
            dns.respond(data, send)

    asyncio.get_running_loop().add_reader(sock.fileno(), answer)


async def main() -> None:
    """Serve until killed."""
    dns = DnsServer(Zone(json.loads(sys.stdin.readline())))
    ipv6 = has_ipv6()
    for port in PORTS:
        server = dns if port == 53 else None

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: DnsServer | None = server) -> None:
            await _serve(reader, writer, server)

        await asyncio.start_server(serve, None, port, backlog=4096)
        _datagrams(port, server)
        if ipv6:
            _datagrams6(port)
    print("up", flush=True)  # noqa: T201
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
