"""A DNS server on UDP and TCP (RFC 1035, 7766) that answers A and AAAA as real ones do, and as a test says: by aliases, late, in a
truncated datagram, after a lost one, with an error, or not at all.

Goes in: what names lead to.
"""

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import pairwise
from typing import Final

from .netns import NAMESERVER

A, CNAME, OPT, AAAA = 1, 5, 41, 28
SERVFAIL, NXDOMAIN, REFUSED = 2, 3, 5
PLAIN: Final = 512
"""Bytes of a datagram for who does not say that he takes more (RFC 6891)."""
_ANSWER, _CUT = 0x8180, 0x0200
"""A response, recursion desired and available; truncated."""


@dataclass(frozen=True)
class Answer:
    """What a name leads to."""

    addresses: Sequence[str] = ()
    """Of both families."""
    aliases: Sequence[str] = ()
    """The name is one for the first of these, that for the next; the last has the addresses."""
    ttl: int = 0
    error: int = 0
    """SERVFAIL, NXDOMAIN, REFUSED."""
    failing: tuple[int, ...] = (A, AAAA)
    """What that error is the answer to; other questions have the records."""
    late: float = 0
    """Seconds."""
    lost: int = 0
    """So many of the first questions by UDP, for each family, get no answer."""
    only: tuple[int, ...] = (A, AAAA)
    """What is answered at all; other questions never are."""
    tcp_only: bool = False
    """A datagram is a truncated answer without any record."""
    tcp: bool = True
    """By TCP there is an answer. Else the connection stays, and nothing comes."""


Answers = Callable[[str], Answer | Sequence[str] | None]
"""Lower-case name → its answer, or addresses alone; an empty list: no such name; None: silence. Called for each question of a lookup."""


class DnsServer(asyncio.DatagramProtocol):
    """Answers with no time to live unless a test says one."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._transport: asyncio.DatagramTransport | None = None
        self._lost = Counter[tuple[str, int]]()
        self.asked: list[str] = []
        self.by_tcp: list[str] = []
        """Those of `asked` that came by TCP."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        assert self._transport is not None
        transport = self._transport
        self.respond(data, lambda answer: transport.sendto(answer, addr))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One TCP connection, with any number of questions, each answered when its answer is there."""

        def send(answer: bytes) -> None:
            if not writer.is_closing():
                writer.write(len(answer).to_bytes(2, "big") + answer)

        try:
            while True:
                length = int.from_bytes(await reader.readexactly(2), "big")
                self.respond(await reader.readexactly(length), send, tcp=True)
        except (OSError, asyncio.IncompleteReadError):
            pass  # whoever came has gone
        finally:
            writer.close()

    def respond(self, query: bytes, send: Callable[[bytes], None], *, tcp: bool = False) -> None:
        """Send the answer to one question, now or late or never."""
        labels, position = [], 12
        while length := query[position]:
            labels.append(query[position + 1 : position + 1 + length])
            position += 1 + length
        end = position + 5
        kind = int.from_bytes(query[position + 1 : position + 3], "big")
        name = b".".join(labels).decode("ascii", "replace").lower()
        self.asked.append(name)
        if tcp:
            self.by_tcp.append(name)
        said = self._answers(name)
        if said is None:
            return
        answer = said if isinstance(said, Answer) else Answer(said, error=0 if said else NXDOMAIN)
        if not tcp and self._lost[name, kind] < answer.lost:
            self._lost[name, kind] += 1
            return
        if kind not in answer.only or (tcp and not answer.tcp):
            return
        # The record that says how much of a datagram the client takes is the first of the additional ones (RFC 6891 6.1.2).
        takes = (
            int.from_bytes(query[end + 3 : end + 5], "big") if query[11] and query[end + 1 : end + 3] == b"\0\x29" else PLAIN
        )
        whole = _response(query[:end], kind, answer, 0xFFFF if tcp else 0 if answer.tcp_only else max(takes, PLAIN))
        if answer.late:
            asyncio.get_running_loop().call_later(answer.late, send, whole)
        else:
            send(whole)


def _response(question: bytes, kind: int, answer: Answer, room: int) -> bytes:
    """As many records as there is room for; a real server cuts so, too."""
    error = answer.error if kind in answer.failing else 0
    body, count, flags = question[12:], 0, _ANSWER | error
    for record in () if error else _records(question[12:-4], kind, answer):
        if 12 + len(body) + len(record) > room:
            flags |= _CUT
            break
        body += record
        count += 1
    if answer.tcp_only and not room:
        flags |= _CUT
    return question[:2] + flags.to_bytes(2, "big") + b"\0\x01" + count.to_bytes(2, "big") + b"\0\0\0\0" + body


def _records(name: bytes, kind: int, answer: Answer) -> list[bytes]:
    chain = [name, *map(_wire, answer.aliases)]
    every = [ip_address(text) for text in answer.addresses]
    fitting = [address for address in every if kind == (A if address.version == 4 else AAAA)]
    aliases = [_record(one, CNAME, answer.ttl, other) for one, other in pairwise(chain)]
    return aliases + [_record(chain[-1], kind, answer.ttl, address.packed) for address in fitting]


def _record(name: bytes, kind: int, ttl: int, data: bytes) -> bytes:
    return name + kind.to_bytes(2, "big") + b"\0\x01" + ttl.to_bytes(4, "big") + len(data).to_bytes(2, "big") + data


def _wire(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


@contextlib.asynccontextmanager
async def dns_server(answers: Answers) -> AsyncIterator[DnsServer]:
    """A running one, where the namespace's resolv.conf points."""
    server = DnsServer(answers)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: server, local_addr=(NAMESERVER, 53), family=socket.AF_INET)
    listening = await asyncio.start_server(server.serve, NAMESERVER, 53)
    try:
        yield server
    finally:
        transport.close()
        listening.close()
