"""A DNS server on UDP that answers A and AAAA as a test says, and nothing else. Called by tests in a namespace (netns.py)."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from ipaddress import ip_address

from .netns import NAMESERVER

Answers = Callable[[str], Sequence[str] | None]
"""Lower-case name → addresses of both families; an empty list: no such name; None: no answer. Called for each question of a lookup."""
_A, _AAAA = 1, 28


class DnsServer(asyncio.DatagramProtocol):
    """Answers with no time to live, so that every lookup asks again."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._transport: asyncio.DatagramTransport | None = None
        self.asked: list[str] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        assert self._transport is not None
        if (answer := self.answer(data)) is not None:
            self._transport.sendto(answer, addr)

    def answer(self, query: bytes) -> bytes | None:
        """The answer to one query; None: silence."""
        labels, position = [], 12
        while length := query[position]:
            labels.append(query[position + 1 : position + 1 + length])
            position += 1 + length
        end = position + 5
        kind = int.from_bytes(query[position + 1 : position + 3], "big")
        name = b".".join(labels).decode("ascii", "replace").lower()
        self.asked.append(name)
        addresses = self._answers(name)
        if addresses is None:
            return None
        every = [ip_address(text) for text in addresses]
        fitting = [address for address in every if kind == (_A if address.version == 4 else _AAAA)]
        # Answer, recursion available; NXDOMAIN only for a name that has no address at all.
        flags = 0x8180 if every else 0x8183
        head = query[:2] + flags.to_bytes(2, "big") + b"\0\x01" + len(fitting).to_bytes(2, "big") + b"\0\0\0\0"
        records = b"".join(
            b"\xc0\x0c" + kind.to_bytes(2, "big") + b"\0\x01\0\0\0\0" + len(a.packed).to_bytes(2, "big") + a.packed
            for a in fitting
        )
        return head + query[12:end] + records


@contextlib.asynccontextmanager
async def dns_server(answers: Answers) -> AsyncIterator[DnsServer]:
    """A running one, where the namespace's resolv.conf points."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((NAMESERVER, 53))
    transport, server = await asyncio.get_running_loop().create_datagram_endpoint(lambda: DnsServer(answers), sock=sock)
    try:
        yield server
    finally:
        transport.close()
