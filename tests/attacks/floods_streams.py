"""Generators about answers that never end: readers that stop, WebSockets, devboxes that are deleted meanwhile. See floods.py."""

import asyncio
import base64
import hashlib
import struct
from typing import Final

from tests.support.raw_client import RawClient
from tests.support.recorder import Peer, Recorded

from .corpus import Generator
from .generators import get
from .lab import Slot
from .run import Run

STALL: Final = 8.0
"""limits.writeStallSeconds of the lane with stuck readers (lane.py); the default is 300."""
DEFAULT_STALL: Final = 300.0
BUFFERED: Final = 24 << 20
"""Bytes that an API can send to a reader that is stuck: the kernel's buffers on two connections, and the gateway's one."""
_MAGIC: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY: Final = base64.b64encode(b"sixteen bytes ok")
MAX_FRAME: Final = 1 << 20
MAX_FRAGMENTS: Final = 10_000


async def slow_reader(slot: Slot, run: Run, generator: Generator) -> None:
    """Clients of several devboxes that ask for a GiB each, and read nothing of it."""
    lab, loop = slot.lab, asyncio.get_running_loop()
    count = generator.number("conns", 200)
    run.facts |= {"many": True, "streams": count}
    written: dict[int, int] = {}
    piece = bytes(1 << 16)

    async def endless(request: Recorded, peer: Peer) -> None:
        await peer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 1073741824\r\n\r\n")
        key = len(written)
        for number in range(1 << 14):
            written[key] = (number + 1) << 16
            await peer.write(piece)

    for each in lab.slots:
        each.api.answer = endless
    before = lab.stage.process.rss
    clients: list[RawClient] = []
    try:
        for number in range(count):
            each = lab.slots[number % len(lab.slots)]
            client = await each.client(receive_buffer=4096)
            clients.append(client)
            await client.send(get(each.values(each.usual), "/stuck"))
            await client.until(lambda client: b"\r\n\r\n" in client.received or client.ended is not None, 5)
            client.stop_reading()
        started = loop.time()
        await asyncio.sleep(3)
        run.rss_growth = lab.stage.process.rss - before
        run.facts["upstream paused"] = True if max(written.values(), default=0) <= BUFFERED else max(written.values())
        run.facts["got through"] = len(written)
        while any(each.api.open_connections for each in lab.slots) and loop.time() - started < STALL * 3:  # noqa: ASYNC110 (sockets)
            await asyncio.sleep(0.2)
        left = sum(len(each.api.open_connections) for each in lab.slots)
        run.facts["stall closed"] = (
            True if not left and len(written) == count else f"{left} open, {len(written)} of {count} served"
        )
        run.facts["closed after"] = [loop.time() - started]
    finally:
        for client in clients:
            await client.close()
        for each in lab.slots:
            each.api.requests.clear()


def _websocket(run: Run) -> bytes:
    return get(
        run.values,
        "/ws",
        f"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {_KEY.decode()}\r\n",
    )


async def serve_websocket(request: Recorded, peer: Peer) -> None:
    """A strict one: it closes with 1009 for what is too long or in too many pieces, with 1002 for what is not masked or has RSV bits."""
    key = request.values("sec-websocket-key")[0]
    accept = base64.b64encode(hashlib.sha1(key + _MAGIC, usedforsecurity=False).digest())
    await peer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n")
    await peer.write(b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
    peer.closing = True
    code, fragments = 0, 0
    while not code:
        first, second = await peer.reader.readexactly(2)
        length = second & 0x7F
        if length >= 126:
            length = int.from_bytes(await peer.reader.readexactly(2 if length == 126 else 8), "big")
        fragments += 1
        if first & 0x70 or not second & 0x80:
            code = 1002
        elif length > MAX_FRAME or fragments > MAX_FRAGMENTS:
            code = 1009
        else:
            await peer.reader.readexactly(4 + length)
    await peer.write(b"\x88\x02" + struct.pack("!H", code))
    # What is on its way is read, so that the close is not lost in a reset.
    async with asyncio.timeout(2):
        while await peer.reader.read(1 << 16):
            pass


def _frame(first: int, payload: bytes, *, masked: bool = True) -> bytes:
    size, mask = len(payload), 0x80 if masked else 0
    length = bytes([mask | size]) if size < 126 else bytes([mask | 127]) + size.to_bytes(8, "big")
    # A mask of zeros leaves the payload as it is.
    return bytes([first]) + length + (b"\0\0\0\0" if masked else b"") + payload


async def ws_abuse(slot: Slot, run: Run, generator: Generator) -> None:
    """A frame of 64 MiB, a message in a million pieces, a frame without a mask, a compressed one that nobody agreed to."""
    abuses = {
        "64 MiB frame": _frame(0x82, bytes(64 << 20)),
        "1M fragments": _frame(0x02, b"") + _frame(0x00, b"x") * 1_000_000,
        "unmasked": _frame(0x81, b"hello", masked=False),
        "RSV1": _frame(0xC1, b"\xf2\x48\xcd\xc9\xc9\x07\x00"),
    }
    run.facts["websocket"] = {}
    process = slot.lab.stage.process
    before = process.rss
    for name, data in abuses.items():
        slot.api.answer = serve_websocket
        async with await slot.client() as client:
            await client.send(_websocket(run))
            await client.until(lambda client: b"\r\n\r\n" in client.received or client.ended is not None, 5)
            if not client.received.startswith(b"HTTP/1.1 101"):
                run.facts["websocket"][name] = f"no WebSocket: {bytes(client.received[:12])!r}"
                continue
            mark = client.received.index(b"\r\n\r\n") + 4
            sending = asyncio.create_task(client.send(data))
            await client.until(lambda client, mark=mark: len(client.received) >= mark + 4 or client.ended is not None, 10)  # type: ignore[misc]
            run.rss_growth = max(run.rss_growth, process.rss - before)
            sending.cancel()
            close = bytes(client.received[mark : mark + 4])
            code = str(int.from_bytes(close[2:], "big")) if close[:1] == b"\x88" else ""
            run.facts["websocket"][name] = code or ("closed" if client.ended else "still open")
    slot.api.requests.clear()


async def revoke_during_stream(slot: Slot, run: Run, generator: Generator) -> None:
    """The devbox's pod is deleted while it reads a stream and holds a WebSocket."""
    loop = asyncio.get_running_loop()

    async def events(request: Recorded, peer: Peer) -> None:
        if request.values("upgrade"):
            await serve_websocket(request, peer)
            return
        await peer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await peer.write(b"7\r\nping:1\n\r\n")
            await asyncio.sleep(0.5)

    slot.api.answer = events
    async with await slot.client() as stream, await slot.client() as websocket:
        await stream.send(get(run.values, "/events"))
        await websocket.send(_websocket(run))
        for client in (stream, websocket):
            await client.until(lambda client: b"\r\n\r\n" in client.received or client.ended is not None, 5)
        statuses = [bytes(client.received[9:12]) for client in (stream, websocket)]
        if statuses != [b"200", b"101"]:
            run.problems.append(f"the streams did not begin: {statuses}")
        slot.devbox.delete()
        started = loop.time()
        for client in (stream, websocket):
            await client.until(lambda client: client.ended is not None, 40)
        times = [client.ended_at - started for client in (stream, websocket) if client.ended]
        run.facts |= {"closed after": times, "still open": 2 - len(times), "many": True}
        if stream.received.endswith(b"0\r\n\r\n"):
            run.problems.append("the stream that was cut looks whole")
    slot.devbox.pod_object()
