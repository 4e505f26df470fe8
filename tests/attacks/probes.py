"""What some keys of `expect` need besides the case's own bytes: one more request, from another address, at another moment.

A probe belongs to cases that have one of its keys. It writes what it saw into `run.facts`; expect.py judges.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

from tests.support.raw_client import RawClient
from tests.support.recorder import Peer, Recorded

from .generators import get
from .lab import Slot
from .run import Run

OURS: Final = "/a-harmless-request"
"""How the targets of requests begin that are not the case's own."""


@dataclass(frozen=True)
class Probe:
    """Does nothing, in either place."""

    keys: tuple[str, ...]

    async def on_connection(self, run: Run, client: RawClient) -> None:
        """With the case's own connection, when all was said."""

    async def afterwards(self, run: Run, slot: Slot) -> None:
        """When that is closed."""


@dataclass(frozen=True)
class _OtherAddress(Probe):
    """Another devbox with the same token, and headers that say it is the first."""

    async def afterwards(self, run: Run, slot: Slot) -> None:
        more = f"X-Forwarded-For: {slot.address}\r\nForwarded: for={slot.address}\r\nX-Real-IP: {slot.address}\r\n"
        async with await slot.client("10.203.0.250") as client:
            await client.send(get(run.values, f"{OURS}-spoofed", more))
            await client.until(lambda client: client.ended is not None, 5)
            run.facts["spoofed"] = bytes(client.received[:12])


@dataclass(frozen=True)
class _OnceMore(Probe):
    """One more request on the same connection."""

    async def on_connection(self, run: Run, client: RawClient) -> None:
        if client.ended:
            return
        before = len(client.received)
        await client.send(get(run.values, f"{OURS}-once-more"))
        await client.until(lambda client: client.ended is not None or client.received[before:].endswith(b"ok"), 3)
        run.facts["once more"] = bytes(client.received[before : before + 12])


@dataclass(frozen=True)
class _BehindHandshake(Probe):
    """What a tunnel would carry, after an answer that opened none."""

    async def on_connection(self, run: Run, client: RawClient) -> None:
        await client.send(b"\x81\x05raw-1GET /tunnelled HTTP/1.1\r\nHost: raw\r\nContent-Length: 0\r\n\r\n")
        await client.until(lambda client: client.ended is not None, 1)


@dataclass(frozen=True)
class _HeldBack(Probe):
    """How much of an unfinished line comes through, for one that begins as the credential does and for one that does not."""

    async def afterwards(self, run: Run, slot: Slot) -> None:
        real = run.values.real
        run.facts["held back"] = {}
        for name, piece in (("alike", real[: len(real) // 2]), ("unlike", "z" * (len(real) // 2)), ("line", "a whole line\n")):
            go_on = asyncio.Event()

            async def pausing(request: Recorded, peer: Peer, piece: str = piece, go_on: asyncio.Event = go_on) -> None:
                await peer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 4000\r\n\r\n")
                await peer.write(b"a" * 1000 + b"\n" + piece.encode())
                await go_on.wait()
                await peer.write(b"b" * (4000 - 1001 - len(piece)))

            slot.api.answer = pausing
            async with await slot.client() as client:
                await client.send(get(run.values, f"{OURS}-held-back"))
                await asyncio.sleep(0.4)
                run.facts["held back"][name] = len(client.received.partition(b"\r\n\r\n")[2])
                go_on.set()
                await client.until(lambda client: len(client.received.partition(b"\r\n\r\n")[2]) >= 4000, 3)


@dataclass(frozen=True)
class _BadSecret(Probe):
    """A credential with a control character in it."""

    async def afterwards(self, run: Run, slot: Slot) -> None:
        token = slot.bind(f"B{len(slot.devbox.bindings)}", f"https://{slot.endpoint_host}", "sk-re\nal-value-two")
        await slot.known(token)
        values = slot.values(token)
        seen = []
        for _ in range(3):
            async with await slot.client() as client:
                await client.send(get(values, f"{OURS}-bad-secret"))
                await client.until(lambda client: client.ended is not None, 5)
                seen.append(bytes(client.received[9:12]))
        run.facts["bad secret"] = seen


PROBES: Final[tuple[Probe, ...]] = (
    _OtherAddress(("gateway.identity_from_peer",)),
    _OnceMore(("answer.reusable",)),
    _BehindHandshake(("answer.no_tunnel",)),
    _HeldBack(("answer.held_back_alike",)),
    _BadSecret(("gateway.bad_credential_refused",)),
)
